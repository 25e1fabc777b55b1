"""Numbers of a network of several heads as values for its page: cards, bars, a row a class, a matrix of pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from assay.metrics.interval import Estimate
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.report.findings import FEW
from assay.report.scene_names import interval_text, named, value_text
from assay.report.scene_words import MISTAKES
from assay.report.sections import MATRIX_CLASSES, TABLE_CLASSES, span
from assay.report.text import format_interval, format_value

_CARDS = (
    "accuracy",
    "tags.map",
    "boxes.ap50",
    "boxes.ap50_95",
    "masks.ap50_95",
    "pixels.miou",
    "pixels.miou_foreground",
    "panoptic.pq",
    "whole.all_right",
)
_FUNNEL = ("found", "right_class", "right_outline")


def cards(e: SceneEvaluation) -> list[dict[str, Any]]:
    """The numbers at the top: title, value, interval, and where they lie on a scale from 0 to 1."""
    return [card(name, e.metrics[name]) for name in _CARDS if name in e.metrics]


def card(name: str, estimate: Estimate) -> dict[str, Any]:
    """One number with its title and interval."""
    title = named(name).title
    known = all(math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
    return {
        "title": title[0].upper() + title[1:],
        "value": value_text(name, estimate.value).replace(" %", "\u202f%"),
        "interval": interval_text(name, estimate).strip("[]").replace(", ", " to "),
        "explained": named(name).explained,
        "scale": span(estimate) if known and not name.endswith("ece") else None,
    }


def all_numbers(e: SceneEvaluation) -> list[dict[str, Any]]:
    """Every number with its interval, for the table."""
    return [card(name, estimate) for name, estimate in e.metrics.items()]


def funnel(e: SceneEvaluation) -> list[dict[str, Any]]:
    """The three shares of things, and that of whole pictures."""
    if e.whole is None:
        return []
    titles = {
        "found": "found, whatever it was called",
        "right_class": "found with the right class",
        "right_outline": "and with the right outline"
        if e.whole.outline == "masks"
        else "and with a close box",
    }
    rows = [{**card(f"whole.{name}", e.whole.estimates[name]), "title": titles[name]} for name in _FUNNEL]
    whole = {
        **card("whole.all_right", e.whole.estimates["all_right"]),
        "title": "pictures that are all right",
    }
    return [*rows, whole]


def mistake_bar(mistakes: dict[str, int]) -> list[dict[str, Any]]:
    """Kinds of mistakes with their share of all, for one bar and the words below it."""
    total = sum(mistakes[kind] for kind in MISTAKES)
    return [
        {
            "kind": kind,
            "name": name,
            "told": told,
            "n": mistakes[kind],
            "share": round(100 * mistakes[kind] / total, 2),
        }
        for kind, (name, told) in MISTAKES.items()
        if total and mistakes[kind]
    ]


def thing_rows(e: SceneEvaluation) -> list[dict[str, Any]]:
    """Object classes that occur or were told, the lowest AP50 first; numbers of masks beside those of boxes."""
    if e.boxes is None:
        return []
    masks = {} if e.masks is None else {row["class"]: row for row in e.masks.per_class}
    rows = []
    for row in e.boxes.per_class:
        own, mask = Estimate.from_dict(row["ap50"]), masks.get(row["class"])
        if not row["objects"] and row["precision"]["value"] is None:
            continue
        rows.append(
            {
                "class": row["class"],
                "objects": row["objects"],
                "ap50": _number(own.value),
                **_interval(own, row["objects"]),
                "ap50_95": _number(row["ap50_95"]["value"]),
                "mask_ap50_95": None if mask is None else _number(mask["ap50_95"]["value"]),
                **{name: _percent(row[name]["value"]) for name in ("precision", "recall", "f1")},
            }
        )
    key = {row["class"]: row["ap50"]["value"] for row in e.boxes.per_class}
    return sorted(rows, key=lambda r: (r["objects"] == 0, key[r["class"]] or 0.0))[:TABLE_CLASSES]


def coco_rows(e: SceneEvaluation) -> list[dict[str, Any]]:
    """COCO's twelve numbers, boxes and masks side by side."""
    if e.boxes is None:
        return []
    return [
        {
            "name": _COCO[name],
            "boxes": _number(e.boxes.coco[name]),
            "masks": None if e.masks is None else _number(e.masks.coco[name]),
        }
        for name in _COCO
    ]


_COCO = {
    "ap50_95": "AP50-95",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP50-95, small (below 32 x 32 px)",
    "ap_medium": "AP50-95, medium",
    "ap_large": "AP50-95, large (above 96 x 96 px)",
    "ar1": "AR with one a class and picture",
    "ar10": "AR with ten",
    "ar100": "AR with a hundred",
    "ar_small": "AR, small",
    "ar_medium": "AR, medium",
    "ar_large": "AR, large",
}


def pixel_rows(e: SceneEvaluation) -> list[dict[str, Any]]:
    """Pixel classes that occur or were told, the lowest IoU first."""
    if e.pixels is None:
        return []
    rows, counts = [], e.material.pixels
    seen = [] if counts is None else (counts.truth > 0).sum(0).tolist()
    for row, pictures in zip(e.pixels.per_class, seen, strict=True):
        own = Estimate.from_dict(row["iou"])
        if not math.isfinite(own.value):
            continue
        rows.append(
            {
                "class": row["class"],
                "share": _percent(row["share"]),
                "pictures": pictures,
                "iou": _number(own.value),
                **_interval(own, pictures),
                "dice": _number(row["dice"]["value"]),
                "boundary_f1": _number(row["boundary_f1"]["value"]),
                "value": own.value,
            }
        )
    return sorted(rows, key=lambda row: row["value"])[:TABLE_CLASSES]


def pixel_matrix(e: SceneEvaluation) -> list[dict[str, Any]] | None:
    """Shares of each true class by answer, for up to ``MATRIX_CLASSES`` classes that occur."""
    if e.pixels is None:
        return None
    cells = np.array(e.pixels.confusion, np.float64)
    kept = np.flatnonzero(cells.sum(0) + cells.sum(1) > 0)
    if not 0 < len(kept) <= MATRIX_CLASSES:
        return None
    classes, rows = e.material.pixel_classes, []
    for i in kept:
        total = cells[i].sum()
        shares = cells[i] / total if total else cells[i]
        rows.append(
            {
                "name": classes[int(i)],
                "total": _percent(total / max(1.0, cells.sum())),
                "cells": [_cell(classes[int(i)], classes[int(j)], float(shares[j])) for j in kept],
            }
        )
    return rows


def _cell(true: str, given: str, share: float) -> dict[str, Any]:
    right = true == given
    told = f"{100 * share:.1f} % of the pixels of “{true}” were {'recognised' if right else f'taken for “{given}”'}"
    text = "·" if share < 0.005 else f"{100 * share:.0f}"
    return {"n": text, "heat": round(share if right else share**0.6, 3), "right": right, "told": told}


def tag_rows(e: SceneEvaluation) -> list[dict[str, Any]]:
    """Tags that occur or were told, the lowest AP first."""
    if e.tags is None:
        return []
    rows = []
    for row in e.tags.per_class:
        own = Estimate.from_dict(row["ap"])
        if not row["tagged"] and row["precision"]["value"] is None:
            continue
        rows.append(
            {
                "class": row["class"],
                "tagged": row["tagged"],
                "ap": _number(own.value),
                **_interval(own, row["tagged"]),
                **{name: _percent(row[name]["value"]) for name in ("precision", "recall", "f1")},
                "value": own.value if math.isfinite(own.value) else 2.0,
            }
        )
    return sorted(rows, key=lambda row: row["value"])[:TABLE_CLASSES]


def _scale(estimate: Estimate) -> dict[str, float] | None:
    known = all(math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
    return span(estimate) if known else None


def _number(value: float | None) -> str:
    return format_value("other", value)


def _percent(value: float | None) -> str:
    return format_value("accuracy", value).replace(" %", "\u202f%")


def _interval(estimate: Estimate, n: int) -> dict[str, Any]:
    """Bar and bounds of a class. Of fewer than ``FEW`` a bootstrap has too few to draw from, and would be too sure."""
    if n < FEW:
        value = estimate.value
        bar = {"low": 0.0, "width": 0.0, "value": round(100 * value, 2)} if math.isfinite(value) else None
        return {"scale": bar, "interval": "too few", "few": True}
    told = format_interval("other", estimate).strip("[]").replace(", ", " to ")
    return {"scale": _scale(estimate), "interval": told, "few": False}
