"""What is known of one photo before anything is decided: plain values, so that they can be kept and replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.decide.match import Match
from assay.decide.policy import NOTHING, Question
from assay.decide.thing import Thing
from assay.errors import PolicyError
from assay.types import Prediction

DIGITS = 6
"""Probabilities are rounded to so many digits before they are compared and kept, so that a replay sees the same."""


@dataclass(frozen=True)
class Evidence:
    """``photo`` is the SHA-256 of its bytes; ``answers``: question -> answer -> probability, the best answers alone.

    ``unknown`` names the questions whose network does not know photos like this. ``error`` says why it could not be
    read; then nothing else is known. ``matches`` is what it has in common with enrolled photos.
    ``things`` are shown to people and decide nothing by themselves.
    ``failure`` says why the machine itself failed on it, though the photo may be fine.
    """

    path: str
    photo: str
    size_hw: tuple[int, int] = (0, 0)
    answers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    error: str | None = None
    matches: tuple[Match, ...] = ()
    failure: str | None = None
    things: tuple[Thing, ...] = ()

    def best(self, question: str) -> tuple[str, float]:
        """The most probable answer to a question, and its probability; of equal ones the first by name."""
        return min(self.answers[question].items(), key=lambda pair: (-pair[1], pair[0]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "photo": self.photo,
            "size_hw": list(self.size_hw),
            "answers": {name: dict(values) for name, values in self.answers.items()},
            "unknown": list(self.unknown),
            "error": self.error,
            "matches": [match.to_dict() for match in self.matches],
            "failure": self.failure,
            "things": [thing.to_dict() for thing in self.things],
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Evidence:
        """The inverse of ``to_dict``.

        Raises
        ------
        PolicyError : a field is missing or of another kind.
        """
        try:
            height, width = (int(v) for v in told["size_hw"])
            answers = {
                str(q): {str(a): float(p) for a, p in values.items()} for q, values in told["answers"].items()
            }
            unknown = tuple(str(name) for name in told["unknown"])
            error = None if told["error"] is None else str(told["error"])
            things = tuple(Thing.from_dict(one) for one in told.get("things", ()))
            failure = None if told.get("failure") is None else str(told["failure"])
            matches = tuple(
                Match.from_dict(one) for one in told.get("matches", ())
            )  # older records have none
            return cls(
                str(told["path"]),
                str(told["photo"]),
                (height, width),
                answers,
                unknown,
                error,
                matches,
                failure,
                things,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise PolicyError(
                "the evidence of a decision cannot be read", got=f"{type(fault).__name__}: {fault}"[:200]
            ) from fault


def photo_digest(data: bytes) -> str:
    """SHA-256 of a photo's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def answers_of(question: Question, prediction: Prediction, most: int = 5) -> dict[str, float]:
    """Answer -> probability of one question: the ``most`` best classes, or all tags or kinds of things, or nothing.

    Of tags and things the answer NOTHING has what the best of them lacks to 1.
    """
    if question.head == "class":
        return {name: round(value, DIGITS) for name, value in prediction.top(most)}
    found: dict[str, float] = {}
    if question.head == "tags" and prediction.tags is not None:
        found = {name: float(value) for name, value in zip(prediction.classes, prediction.tags, strict=True)}
    elif prediction.boxes is not None:
        for label, score in zip(prediction.boxes.labels, prediction.boxes.scores, strict=True):
            name = prediction.object_classes[int(label)]
            found[name] = max(found.get(name, 0.0), float(score))
    rounded = {name: round(value, DIGITS) for name, value in found.items()}
    rounded[NOTHING] = round(1 - max(rounded.values(), default=0.0), DIGITS)
    kept = sorted(rounded.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    return dict(kept)


def array_digest(pixels: Any) -> str:
    """As ``photo_digest``, of pixels that were never a file."""
    return photo_digest(np.ascontiguousarray(pixels).tobytes())
