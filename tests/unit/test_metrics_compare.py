"""Two evaluations in pairs: who is right where, class by class, and what may not be compared."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.metrics.compare import compare
from assay.metrics.evaluate import build_evaluation
from assay.metrics.evaluation import Evaluation

CLASSES = ClassNames(["a", "b", "c"])


def answers(
    said: list[int], targets: list[int], name: str, *, classes: ClassNames = CLASSES, **about
) -> Evaluation:
    probs = np.full((len(said), len(classes)), 0.1 / (len(classes) - 1), np.float32)
    probs[np.arange(len(said)), said] = 0.9
    about = {"part": "test", "split_hash": "s", "paths": [f"{i}.jpg" for i in range(len(said))]} | about
    return build_evaluation(probs, np.array(targets), classes, model=name, draws=10, **about)


def pair(n: int = 40) -> tuple[Evaluation, Evaluation]:
    """The good one is always right; the bad one is wrong on every second picture."""
    targets = [i % 3 for i in range(n)]
    wrong = [(t + 1) % 3 if i % 2 else t for i, t in enumerate(targets)]
    return answers(targets, targets, "good"), answers(wrong, targets, "bad")


def test_the_four_cells_add_up():
    c = compare(*pair())
    assert (c.both, c.only_a, c.only_b, c.neither, c.n) == (20, 20, 0, 0, 40)
    assert c.same_answer == 0.5
    assert c.better == "good"
    assert c.verdict == "good is better than bad by 50.0 points"
    assert c.part == "test"


def test_log_loss_and_brier_are_below_zero_where_the_first_is_better():
    c = compare(*pair())
    assert c.nll.high < 0
    assert c.brier.high < 0
    back = compare(*reversed(pair()))
    assert back.nll.value == pytest.approx(-c.nll.value)


def test_classes_are_told_one_by_one_and_corrected():
    c = compare(*pair(120))
    assert sorted(row.name for row in c.per_class) == ["a", "b", "c"]
    assert sum(row.n for row in c.per_class) == 120
    assert all(row.p_holm >= row.p for row in c.per_class)
    assert all(row.is_shown and row.difference.low > 0 for row in c.per_class)


def test_two_pictures_of_a_class_show_nothing():
    c = compare(answers([0, 0], [0, 0], "x"), answers([1, 1], [0, 0], "y"))
    assert not c.per_class[0].is_shown
    assert c.better is None
    assert c.verdict == "2 pictures do not show which of x and y is better"


def test_classes_in_another_order_change_nothing():
    good, bad = pair()
    order = ClassNames(["c", "a", "b"])
    place = [order.position(name) for name in CLASSES]
    turned = answers(
        [place[int(k)] for k in bad.predicted], [place[int(k)] for k in bad.targets], "bad", classes=order
    )
    one, other = compare(good, bad), compare(good, turned)
    assert (one.only_a, one.p, one.same_answer) == (other.only_a, other.p, other.same_answer)
    assert one.nll.value == pytest.approx(other.nll.value)


def test_groups_weaken_the_verdict():
    good, bad = pair()
    groups = [f"g{i // 20}" for i in range(40)]
    c = compare(replace(good, groups=groups), bad)
    assert c.p < 1e-4
    assert c.groups == 2
    assert c.p_groups == 0.5
    assert c.better is None


def test_another_class_of_one_model_is_told_and_spoils_the_log_loss():
    good, _ = pair()
    more = answers([0] * 40, [i % 3 for i in range(40)], "wider", classes=ClassNames(["a", "b", "c", "d"]))
    c = compare(good, more)
    assert c.nll is None
    assert any("also knows 1 classes" in note and "“d”" in note for note in c.notes)


def test_other_parts_are_refused():
    good, bad = pair()
    with pytest.raises(DatasetError, match="same part") as told:
        compare(good, replace(bad, part="validation"))
    assert "good was measured on test, bad on validation" in str(told.value)


def test_other_pictures_are_refused_unless_they_are_of_one_split():
    good, bad = pair()
    fewer = answers([0] * 30, [i % 3 for i in range(30)], "fewer", split_hash="other")
    with pytest.raises(DatasetError, match="same pictures") as told:
        compare(good, fewer)
    assert "10 pictures only in good's evaluation, 0 only in fewer's, 30 in both" in str(told.value)
    c = compare(good, fewer, common=True)
    assert (c.n, c.left_out_a, c.left_out_b) == (30, 10, 0)
    assert any("Left out: 10 that only good was measured on" in note for note in c.notes)
    assert compare(good, replace(fewer, split_hash="s")).n == 30
    with pytest.raises(DatasetError, match="same pictures"):
        compare(good, replace(bad, paths=[f"x{i}" for i in range(40)]), common=True)


def test_the_same_files_from_other_folders_are_found():
    good, bad = pair()
    near = replace(good, root="/data/shop")
    far = replace(bad, root="/data", paths=[f"shop/{path}" for path in bad.paths])
    assert compare(near, far).n == 40


def test_other_labels_are_refused():
    good, bad = pair()
    targets = bad.targets.copy()
    targets[:3] = (targets[:3] + 1) % 3
    with pytest.raises(DatasetError, match="two labels") as told:
        compare(good, replace(bad, targets=targets))
    assert "0.jpg" in str(told.value)
    assert "2 more pictures" in str(told.value)


def test_the_result_is_plain_json():
    values = json.loads(json.dumps(compare(*pair()).to_dict(), allow_nan=False))
    assert values["better"] == "good"
    assert values["per_class"][0]["difference"]["low"] <= values["per_class"][0]["difference"]["value"]
