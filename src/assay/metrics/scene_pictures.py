"""One row a picture: what came out of it, and how bad that is, so that a person sees the worst first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_pixels import picture_ious
from assay.metrics.scene_section import plain
from assay.metrics.scene_tags import TAG_SCORE
from assay.metrics.scene_whole import count_whole


@dataclass(frozen=True)
class ScenePicture:
    """One picture. Each value is None where nobody knows the truth, or the network does not tell.

    ``label`` and ``answer`` are class names. ``things`` are there; ``true`` of them were told with their class,
    ``missed`` not; ``false`` detections are none of them; ``outlined`` have the right outline too. ``pixel_iou`` is the
    mean IoU over classes in this picture; ``tags_wrong`` are tags told or left out wrongly.
    """

    row: int
    path: str
    label: str | None = None
    answer: str | None = None
    things: int | None = None
    true: int | None = None
    false: int | None = None
    missed: int | None = None
    outlined: int | None = None
    pixel_iou: float | None = None
    tags_wrong: int | None = None
    badness: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def picture_rows(
    material: SceneMaterial, score: float, *, tag_score: float = TAG_SCORE
) -> list[ScenePicture]:
    """One row a picture, of the detections with ``score`` or more.

    ``badness`` is the mean over what is known of: 1 where the class is wrong; 1 - F1 of its things; 1 - mean IoU of its
    pixels; the share of its tags that are wrong.
    """
    told: list[dict[str, Any]] = [{} for _ in range(material.n)]
    parts: list[list[float]] = [[] for _ in range(material.n)]
    for add in (_classes, _things, _pixels):
        add(material, score, told, parts)
    _tags(material, tag_score, told, parts)
    return [
        ScenePicture(i, path, **told[i], badness=float(np.mean(parts[i])) if parts[i] else 0.0)
        for i, path in enumerate(material.paths)
    ]


def _classes(of: SceneMaterial, _: float, told: list[dict[str, Any]], parts: list[list[float]]) -> None:
    if "class" not in of.heads:
        return
    for i, answer in enumerate(of.probs.argmax(1)):
        told[i]["answer"] = of.classes[int(answer)]
        if of.targets[i] >= 0:
            told[i]["label"] = of.classes[int(of.targets[i])]
            parts[i].append(float(answer != of.targets[i]))


def _things(of: SceneMaterial, score: float, told: list[dict[str, Any]], parts: list[list[float]]) -> None:
    if not {"boxes", "masks"} & set(of.heads):
        return
    counts = count_whole(of, score)
    columns = (counts.rows, counts.things, counts.right_class, counts.right_outline, counts.false)
    for row, things, true, outlined, false in zip(*(column.tolist() for column in columns), strict=True):
        missed = things - true
        told[row] |= {"things": things, "true": true, "false": false, "missed": missed, "outlined": outlined}
        cases = 2 * true + false + missed
        parts[row].append(1 - 2 * true / cases if cases else 0.0)


def _pixels(of: SceneMaterial, _: float, told: list[dict[str, Any]], parts: list[list[float]]) -> None:
    if of.pixels is None:
        return
    for row, overlap in zip(of.pixels.rows.tolist(), picture_ious(of.pixels).tolist(), strict=True):
        told[row]["pixel_iou"] = plain(overlap)
        if math.isfinite(overlap):
            parts[row].append(1 - overlap)


def _tags(of: SceneMaterial, score: float, told: list[dict[str, Any]], parts: list[list[float]]) -> None:
    if "tags" not in of.heads:
        return
    known = of.tags >= 0
    wrong = known & ((of.tag_scores >= score) != (of.tags == 1))
    for row in np.flatnonzero(known.any(1)).tolist():
        told[row]["tags_wrong"] = int(wrong[row].sum())
        parts[row].append(float(wrong[row].sum() / known[row].sum()))
