"""Where in a photo the answers of a question lie: boxes as plain values, so that they can be kept and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.decide.policy import Question
    from assay.types import Prediction

MOST_THINGS = 20
"""Of one question, the surest first."""


@dataclass(frozen=True)
class Thing:
    """One thing that was found.

    ``box_xyxy`` is in px of the upright photo. ``mask`` is COCO's compressed run lengths, ``{"size": [height, width],
    "counts": text}``; None where none was drawn.
    """

    question: str
    label: str
    score: float
    box_xyxy: tuple[float, float, float, float]
    mask: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        told = {**asdict(self), "box_xyxy": list(self.box_xyxy)}
        if self.mask is None:
            told.pop("mask")
        return told

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Thing:
        """The inverse of ``to_dict``. Raises KeyError, TypeError or ValueError where it is none."""
        left, top, right, bottom = (float(value) for value in told["box_xyxy"])
        mask = told.get("mask")
        if mask is not None:
            height, width = (int(side) for side in mask["size"])
            mask = {"size": [height, width], "counts": str(mask["counts"])}
        return cls(
            str(told["question"]), str(told["label"]), float(told["score"]), (left, top, right, bottom), mask
        )


def things_of(question: Question, prediction: Prediction, most: int = MOST_THINGS) -> tuple[Thing, ...]:
    """What a question about things has found; nothing for other questions."""
    if question.head != "boxes" or prediction.boxes is None:
        return ()
    boxes = prediction.boxes
    found = [
        Thing(
            question.name,
            prediction.object_classes[int(label)],
            round(float(score), 4),
            (round(float(x1), 1), round(float(y1), 1), round(float(x2), 1), round(float(y2), 1)),
            None if mask is None else mask.to_coco(),
        )
        for (x1, y1, x2, y2), label, score, mask in zip(
            boxes.xyxy, boxes.labels, boxes.scores, boxes.masks, strict=True
        )
    ]
    return tuple(sorted(found, key=lambda thing: -thing.score)[:most])
