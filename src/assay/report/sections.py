"""The contents of each section of the report as plain values; the page in ``pages/`` only lays them out."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from assay.metrics.evaluate import load_metrics
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate
from assay.report.findings import confident_mistakes, doubtful_hits, worst_misses
from assay.report.material import Material
from assay.report.text import format_interval, format_value
from assay.report.thumbnails import thumbnails

GALLERY = 12
MATRIX_CLASSES = 30
TABLE_CLASSES = 200
SAMPLE_CLASSES, SAMPLES = 24, 6

_CARDS = ("accuracy", "macro_f1", "auroc", "nll", "brier", "ece")
_EXPLAINED = {
    "accuracy": "share of pictures whose most probable class is right",
    "top5": "share of pictures whose class is among the five most probable",
    "macro_f1": "precision and recall in one, every class counting alike",
    "balanced_accuracy": "mean recall over the classes",
    "auroc": "how well a class is told from the rest at any threshold; 0.5 is chance",
    "nll": "mean surprise at the truth, in nats; lower is better",
    "brier": "squared distance from the truth, 0 to 2; lower is better",
    "ece": "how far stated probabilities are from the share that is right",
    "ece_floor": "the ECE that a perfectly calibrated model would show by chance",
}


def metric_cards(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The numbers at the top: title, value, interval, and where they lie on a scale from 0 to 1."""
    names = [name for name in _CARDS if name in evaluation.metrics]
    if len(evaluation.classes) > 5 and "top5" in evaluation.metrics:
        names.insert(1, "top5")
    names = [name for name in names if name != "brier"] if "top5" in names else names
    cards = [_card(name, evaluation.metrics[name]) for name in names]
    floor = evaluation.metrics.get("ece_floor")
    if names and names[-1] == "ece" and floor is not None and math.isfinite(floor.high):
        cards[-1]["interval"] += f"; chance to {floor.high:.3f}"
    return cards


def _card(name: str, estimate: Estimate) -> dict[str, Any]:
    known = load_metrics()
    title = known[name].title if name in known else name
    bounded = name in known and known[name].bounds == (0.0, 1.0)
    drawn = bounded and all(math.isfinite(v) for v in (estimate.value, estimate.low, estimate.high))
    return {
        "title": title[0].upper() + title[1:],
        "value": format_value(name, estimate.value).replace(" %", "\u202f%"),
        "interval": format_interval(name, estimate).strip("[]").replace(", ", " to "),
        "explained": _EXPLAINED.get(name, ""),
        "scale": span(estimate) if drawn and not name.startswith("ece") else None,
    }


def span(estimate: Estimate) -> dict[str, float]:
    """Left edge, width and point of an interval on a scale from 0 to 100."""
    return {
        "low": round(100 * estimate.low, 2),
        "width": round(100 * (estimate.high - estimate.low), 2),
        "value": round(100 * estimate.value, 2),
    }


def all_metrics(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Every metric with its interval, for the table."""
    return [_card(name, estimate) for name, estimate in evaluation.metrics.items()]


def class_table(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The classes that occur, the least found first; recall with its interval, precision and F1."""
    rows = []
    for row in evaluation.per_class:
        if not row["support"] and not row["predicted"]:
            continue
        recall = Estimate.from_dict(row["recall"])
        rows.append(
            {
                **row,
                "scale": span(recall) if row["support"] else None,
                **{f"{key}_text": _percent(row[key]["value"]) for key in ("precision", "recall", "f1")},
                "interval": format_interval("accuracy", recall).strip("[]").replace(", ", " to "),
            }
        )
    return sorted(rows, key=lambda r: (r["support"] == 0, r["recall"]["value"] or 0.0))[:TABLE_CLASSES]


def _percent(value: float | None) -> str:
    return format_value("accuracy", value).replace(" %", "\u202f%")


def confusion_table(evaluation: Evaluation) -> list[dict[str, Any]] | None:
    """Rows of cells for up to ``MATRIX_CLASSES`` classes; None beyond, where pairs say more."""
    if len(evaluation.classes) > MATRIX_CLASSES or evaluation.confusion is None:
        return None
    rows = []
    for k, counts in enumerate(evaluation.confusion):
        total = int(counts.sum())
        cells = [_cell(evaluation, k, j, int(n), total) for j, n in enumerate(counts)]
        rows.append({"name": evaluation.classes[k], "total": total, "cells": cells})
    return rows


def _cell(evaluation: Evaluation, k: int, j: int, n: int, total: int) -> dict[str, Any]:
    true, given = evaluation.classes[k], evaluation.classes[j]
    share = n / total if total else 0.0
    if j == k:
        told = f"{n} of {total} “{true}” were recognised ({100 * share:.0f} %)"
    else:
        told = f"{n} of {total} “{true}” were taken for “{given}” ({100 * share:.0f} %)"
    heat = share if j == k else share**0.6  # mistakes are rare, and must be seen all the same
    return {"n": n, "heat": round(heat, 3), "right": j == k, "told": told}


def galleries(evaluation: Evaluation, root: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Pictures of the most confident mistakes, of the worst misses beside them, and of the closest calls."""
    sure = confident_mistakes(evaluation, GALLERY)
    rows = {
        "sure": sure,
        "missed": worst_misses(evaluation, 6, frozenset(sure)),
        "doubtful": doubtful_hits(evaluation, 6),
    }
    places = [row for found in rows.values() for row in found]
    pictures = dict(zip(places, _pictures(evaluation, places, root), strict=True))
    return {name: [_answer(evaluation, row, pictures[row]) for row in found] for name, found in rows.items()}


def _pictures(evaluation: Evaluation, rows: list[int], root: Path | None) -> list[str | None]:
    base = root or Path()
    return thumbnails([base / evaluation.paths[row] for row in rows])


def _answer(evaluation: Evaluation, row: int, picture: str | None) -> dict[str, Any]:
    probs, target = evaluation.probs[row], int(evaluation.targets[row])
    best = [int(i) for i in np.argsort(-probs, kind="stable")[:3]]
    shown = best if target in best else [*best[:2], target]
    return {
        "picture": picture,
        "path": evaluation.paths[row],
        "label": evaluation.classes[target],
        "answer": evaluation.classes[int(evaluation.predicted[row])],
        "bars": [
            {"name": evaluation.classes[k], "share": round(100 * float(probs[k]), 1), "right": k == target}
            for k in shown
        ],
    }


def class_samples(material: Material) -> list[dict[str, Any]]:
    """A few pictures of each class from the training part: what the model was told that the class looks like."""
    rows = [row for row in material.split if row.get("label")]
    rows = [row for row in rows if row.get("part") == "train"] or rows
    if not rows and material.evaluation is not None:
        e = material.evaluation
        rows = [
            {"path": path, "label": e.classes[int(k)]} for path, k in zip(e.paths, e.targets, strict=True)
        ]
    by_class: dict[str, list[str]] = {}
    for row in rows:
        by_class.setdefault(str(row["label"]), []).append(str(row["path"]))
    shown = sorted(by_class.items(), key=lambda item: -len(item[1]))[:SAMPLE_CLASSES]
    chosen = [(name, len(paths), _spread(sorted(paths), SAMPLES)) for name, paths in shown]
    base = material.root or Path()
    drawn = iter(thumbnails([base / path for _, _, paths in chosen for path in paths], side=160))
    return [
        {"name": name, "n": n, "pictures": [{"path": path, "picture": next(drawn)} for path in paths]}
        for name, n, paths in chosen
    ]


def _spread(paths: list[str], most: int) -> list[str]:
    rows = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).astype(int))
    return [paths[int(i)] for i in rows]


def settings(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sections of the recipe with each value as used; ``decided`` marks what was left to Assay."""
    recipe, resolved = run.get("recipe"), run.get("resolved")
    if not isinstance(recipe, Mapping):
        return []
    found = []
    for section, asked in recipe.items():
        if not isinstance(asked, Mapping):
            continue
        used = resolved.get(section) if isinstance(resolved, Mapping) else None
        used = used if isinstance(used, Mapping) else {}
        rows = [
            {
                "name": name,
                "value": plain_text(used[name] if used.get(name) is not None else value),
                "decided": value is None and used.get(name) is not None,
            }
            for name, value in asked.items()
        ]
        found.append({"name": section, "rows": rows})
    return found


def plain_text(value: Any) -> str:
    """A setting or fact as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        told = [f"{key} {plain_text(v)}" for key, v in value.items() if v not in (None, "", [], {})]
        return "; ".join(told) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(plain_text(v) for v in value) or "–"
    return str(value)


def command_line(command: Any) -> str:
    """The command as one can paste it into a shell."""
    if isinstance(command, str):
        return command
    return shlex.join(str(word) for word in command) if isinstance(command, list | tuple) else ""


def facts(material: Material) -> list[tuple[str, str]]:
    """What was trained, on what, where and how long: (name, value) rows."""
    run, card, e = material.run, material.card, material.scene or material.evaluation
    model = (run.get("recipe") or {}).get("model") or card.get("model") or {}
    rates = [float(s["rate"]) for s in material.steps if isinstance(s.get("rate"), int | float)]
    chosen = run.get("chosen") or {}
    rows: list[tuple[str, Any]] = [
        ("network", model.get("model")),
        ("parameters", f"{run['parameters']:,}" if isinstance(run.get("parameters"), int) else None),
        ("starting weights", _weights(run.get("weights"))),
        ("weights kept", chosen.get("kept") if isinstance(chosen, Mapping) else None),
        ("temperature", run.get("temperature", card.get("temperature"))),
        ("data", run.get("data") or (e.root if e else None)),
        ("pictures", run.get("parts") or (e.n if e else None)),
        (
            "classes",
            len(run.get("classes") or (material.evaluation.classes if material.evaluation else [])) or None,
        ),
        (
            "tells",
            card.get("model", {}).get("heads") or (list(material.scene.heads) if material.scene else None),
        ),
        ("split", run.get("split") or None),
        ("split hash", run.get("split_hash") or (e.split_hash if e else None)),
        ("minutes", run.get("minutes")),
        ("pictures a second in training", f"{np.median(rates):.0f} (median)" if rates else None),
        ("status", run.get("status")),
        ("started", run.get("started")),
        ("machine", run.get("machine")),
        ("versions", run.get("versions")),
    ]
    return [(name, plain_text(value)) for name, value in rows if value not in (None, "", {}, [])]


def _weights(weights: Any) -> str | None:
    if isinstance(weights, Mapping):
        return (
            "; ".join(plain_text(weights[k]) for k in ("file", "summary", "licence") if weights.get(k))
            or None
        )
    return weights if isinstance(weights, str) else None
