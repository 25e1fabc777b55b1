"""May a new network take the place of the live one: refused class by class, by intervals and not by luck."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assay.labels import ClassNames
from assay.metrics.evaluate import build_evaluation
from assay.metrics.evaluation import Evaluation
from assay.metrics.standing import stand

NAMES = ("a", "b", "c")


def evaluation(
    truth: list[str], said: list[str], names: tuple[str, ...] = NAMES, **about: object
) -> Evaluation:
    classes = ClassNames(names)
    probs = np.full((len(said), len(names)), 0.1, np.float32)
    probs[np.arange(len(said)), [classes.position(name) for name in said]] = 0.8
    targets = np.array([classes.position(name) for name in truth])
    given = {"paths": [f"{i}.jpg" for i in range(len(truth))], "part": "test", "draws": 20, **about}
    return build_evaluation(probs, targets, classes, **given)


TRUTH = ["a"] * 60 + ["b"] * 60 + ["c"] * 60


def said(wrong_a: int = 0, wrong_b: int = 0, wrong_c: int = 0) -> list[str]:
    """So many of each class are taken for the next one."""
    found = list(TRUTH)
    for start, wrong, other in ((0, wrong_a, "b"), (60, wrong_b, "c"), (120, wrong_c, "a")):
        found[start : start + wrong] = [other] * wrong
    return found


def test_the_same_network_passes():
    live = evaluation(TRUTH, said(5, 5, 5))
    found = stand(live, live)
    assert found.passed
    assert found.unclear == ()
    assert {one.verdict for one in found.classes} == {"as good"}


def test_a_better_network_passes():
    found = stand(evaluation(TRUTH, said(1, 2, 2)), evaluation(TRUTH, said(20, 2, 2)))
    assert found.passed
    a = next(one for one in found.classes if one.name == "a")
    assert (a.verdict, a.recall_live, a.recall_new) == (
        "better",
        pytest.approx(40 / 60),
        pytest.approx(59 / 60),
    )


def test_one_class_that_gets_worse_refuses_a_network_that_is_better_over_all():
    found = stand(evaluation(TRUTH, said(0, 0, 15)), evaluation(TRUTH, said(20, 20, 0)))
    assert found.comparison.difference.low > 0
    assert not found.passed
    worse = {one.name: one.worse for one in found.classes if one.worse}
    assert worse == {"c": ("recall",), "a": ("precision",)}
    assert [reason.partition(":")[0] for reason in found.reasons] == ["“a” gets worse", "“c” gets worse"]
    assert "recall -25.0 points" in found.reasons[1]


def test_a_small_fall_is_not_beyond_its_interval():
    found = stand(evaluation(TRUTH, said(2, 0, 0)), evaluation(TRUTH, said(0, 0, 0)))
    assert found.passed


def test_few_pictures_cannot_say():
    truth = ["a"] * 60 + ["b"] * 3
    new, live = ["a"] * 60 + ["b", "b", "a"], ["a"] * 60 + ["b"] * 3
    found = stand(evaluation(truth, new), evaluation(truth, live))
    assert found.passed
    assert found.unclear == ("b",)
    b = next(one for one in found.classes if one.name == "b")
    assert b.recall.low < -0.5


def test_one_wrong_answer_of_one_does_not_refuse():
    truth = ["a"] * 60 + ["b"] * 2
    found = stand(
        evaluation(truth, ["b"] + ["a"] * 59 + ["b", "b"]), evaluation(truth, ["a"] * 60 + ["b", "b"])
    )
    assert found.passed
    assert "b" in found.unclear


def test_precision_alone_refuses():
    truth = ["a"] * 200 + ["b"] * 60
    new = ["b"] * 40 + ["a"] * 160 + ["b"] * 60
    found = stand(evaluation(truth, new), evaluation(truth, truth))
    assert {one.name: one.worse for one in found.classes if one.worse} == {
        "a": ("recall",),
        "b": ("precision",),
    }


def test_a_lost_class_refuses_and_a_gained_one_is_told():
    truth = ["a"] * 60
    less = evaluation(truth, truth, names=("a", "b"))
    found = stand(less, evaluation(truth, truth))
    assert found.reasons == ("it no longer knows “c”",)
    assert stand(evaluation(truth, truth), less).gained == ("c",)


def test_groups_widen_what_is_said():
    senders = [f"s{i // 30}" for i in range(180)]
    new, live = said(0, 0, 12), said(0, 0, 0)
    alone = stand(evaluation(TRUTH, new), evaluation(TRUTH, live))
    grouped = stand(evaluation(TRUTH, new, groups=senders), evaluation(TRUTH, live, groups=senders))
    assert not alone.passed
    assert grouped.passed, "twelve mistakes on one sender's photos are one sender's"


def test_weights_tell_of_the_traffic():
    truth = ["a"] * 100
    new, live = ["a"] * 90 + ["b"] * 10, ["b"] * 10 + ["a"] * 90
    weights = {f"{i}.jpg": 50.0 for i in range(20)} | {f"{i}.jpg": 1.0 for i in range(80, 100)}
    found = stand(evaluation(truth, new), evaluation(truth, live), weights)
    assert found.weighted == 40
    assert found.traffic.value == pytest.approx((10 * 50 - 10) / (20 * 50 + 20))
    assert found.traffic.low < found.traffic.value < found.traffic.high
    assert stand(evaluation(truth, new), evaluation(truth, live)).traffic is None
    json.dumps(found.to_dict(), allow_nan=False)
