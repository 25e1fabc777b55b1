"""Boxes in the evidence: the surest first, rounded, kept and read again; older records have none."""

from __future__ import annotations

import numpy as np
import pytest

from assay.decide.evidence import Evidence
from assay.decide.policy import Effect, Question
from assay.decide.thing import Thing, things_of
from assay.detections import Detections
from assay.errors import PolicyError
from assay.labels import ClassNames
from assay.types import Prediction

PARTS = Question("parts", "x.bundle", {"*": Effect("pass")}, head="boxes")


def prediction() -> Prediction:
    boxes = Detections(
        np.array([[0.04, 1, 10, 20], [5, 5, 9, 9]]), np.array([1, 0]), np.array([0.4, 0.91234], np.float32)
    )
    classes = ClassNames(["clasp", "label"])
    return Prediction(
        "x.jpg",
        ClassNames(["a", "b"]),
        np.empty(0, np.float32),
        (30, 20),
        boxes=boxes,
        object_classes=classes,
    )


def test_the_surest_come_first() -> None:
    first, second = things_of(PARTS, prediction())
    assert first == Thing("parts", "clasp", 0.9123, (5.0, 5.0, 9.0, 9.0))
    assert second.box_xyxy == (0.0, 1.0, 10.0, 20.0)
    assert len(things_of(PARTS, prediction(), most=1)) == 1


def test_a_mask_is_kept_where_one_was_drawn() -> None:
    mask = {"size": [30, 20], "counts": "abc"}
    drawn = Thing("parts", "clasp", 0.9, (5.0, 5.0, 9.0, 9.0), mask)
    assert Thing.from_dict(drawn.to_dict()) == drawn
    assert "mask" not in things_of(PARTS, prediction())[0].to_dict()


def test_other_questions_have_none() -> None:
    kind = Question("kind", "x.bundle", {"*": Effect("pass")})
    assert things_of(kind, prediction()) == ()


def test_evidence_keeps_them() -> None:
    seen = Evidence("x", "f" * 64, (30, 20), {}, things=things_of(PARTS, prediction()))
    told = seen.to_dict()
    assert Evidence.from_dict(told) == seen
    del told["things"]
    assert Evidence.from_dict(told).things == ()
    with pytest.raises(PolicyError, match="cannot be read"):
        Evidence.from_dict({**told, "things": [{"question": "parts", "box_xyxy": [1, 2]}]})
