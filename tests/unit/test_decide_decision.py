"""The decision: pure, replayable, and never more than the evidence allows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.shop_policy import SHOP

from assay.decide.decision import Fixed, decide, differences, is_audited, propose
from assay.decide.evidence import Evidence, answers_of, photo_digest
from assay.decide.policy import NOTHING, Question
from assay.decide.policy_read import parse_policy
from assay.detections import Detections
from assay.errors import PolicyError
from assay.labels import ClassNames
from assay.types import Prediction

POLICY = parse_policy(SHOP, "shop")
FINE = {"product": {"product": 0.99}, "kind": {"bag": 0.97, "shoe": 0.02}, "genuine": {"genuine": 0.98}}


def photo(size_hw=(600, 800), unknown=(), error=None, **answers):
    return Evidence("a.jpg", photo_digest(b"a"), size_hw, {**FINE, **answers}, unknown, error)


def told(evidence, threshold=0.9):
    found = decide(POLICY, Fixed(threshold), evidence)
    return found.verdict, found.clause


def test_an_accept_is_as_sure_as_its_least_sure_answer():
    proposed = propose(POLICY, photo())
    assert (proposed.verdict, proposed.kind, proposed.score) == ("accept", "bag", 0.97)
    assert told(photo()) == ("accept", "all-right")
    assert told(photo(), 0.98) == ("review", "unsure")
    assert told(photo(), None) == ("review", "no-promise")


def test_what_speaks_against_a_photo_comes_first():
    other = {"product": {"other": 0.95}}
    assert told(photo(**other)) == ("reject", "no-product")
    assert told(photo(**other, genuine={"suspect": 0.99})) == ("reject", "no-product")
    assert told(photo(genuine={"suspect": 0.99})) == ("review", "mark")  # never final by a score alone
    assert told(photo(unknown=("kind",), **other)) == ("review", "unknown")
    assert told(photo(size_hw=(199, 800))) == ("resubmit", "too-small")
    assert told(Evidence("b", "", error="no picture")) == ("resubmit", "unreadable")


def test_equal_answers_are_decided_by_name():
    even = photo(kind={"shoe": 0.5, "bag": 0.5})
    assert even.best("kind") == ("bag", 0.5)


def test_a_record_can_be_replayed():
    first = decide(POLICY, Fixed(0.9), photo())
    record = json.loads(json.dumps(first.to_dict()))
    assert differences(record, POLICY, Fixed(0.9)) == []
    assert any("verdict: 'accept', now 'review'" in text for text in differences(record, POLICY, Fixed(0.99)))
    record["evidence"]["answers"]["kind"]["bag"] = 0.5
    assert differences(record, POLICY, Fixed(0.9))
    with pytest.raises(PolicyError, match="cannot be read"):
        differences({"evidence": {"path": 1}}, POLICY, Fixed(0.9))


def test_nobody_can_choose_which_photos_are_audited():
    digests = [photo_digest(str(i).encode()) for i in range(4000)]
    share = sum(is_audited(digest, 0.05) for digest in digests) / 4000
    assert 0.035 < share < 0.065
    assert not any(is_audited(digest, 0.0) for digest in digests)
    assert all(is_audited(digest, 1.0) for digest in digests)
    always = replace(POLICY, audit=1.0)
    assert decide(always, Fixed(0.9), photo()).audited
    assert not decide(always, Fixed(None), photo()).audited  # a person looks anyhow


def test_answers_of_each_head():
    classes = ClassNames(["a", "b"])
    of_class = Prediction("p", classes, np.array([0.25, 0.75], np.float32), (1, 1))
    assert answers_of(Question("q", "m", {}), of_class) == {"b": 0.75, "a": 0.25}
    of_tags = Prediction(
        "p", classes, np.empty(0, np.float32), (1, 1), tags=np.array([0.25, 0.5], np.float32)
    )
    assert answers_of(Question("q", "m", {}, "tags"), of_tags) == {"b": 0.5, NOTHING: 0.5, "a": 0.25}
    found = Detections(np.array([[0.0, 0, 1, 1]] * 2), np.array([1, 1]), np.array([0.75, 0.5], np.float32))
    of_boxes = Prediction(
        "p", classes, np.empty(0, np.float32), (1, 1), boxes=found, object_classes=ClassNames(["x", "y"])
    )
    assert answers_of(Question("q", "m", {}, "boxes"), of_boxes) == {"y": 0.75, NOTHING: 0.25}
    nothing = replace(
        of_boxes, boxes=Detections(np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.float32))
    )
    assert answers_of(Question("q", "m", {}, "boxes"), nothing) == {NOTHING: 1.0}
