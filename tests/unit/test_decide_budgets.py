"""Thresholds of a policy: the promise holds, and where it cannot be given, that is said."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from tests.shop_policy import SHOP

from assay.decide.budgets import Budgets, fit_budgets, is_right, possible_kinds, read_budgets
from assay.decide.decision import decide, propose
from assay.decide.evidence import Evidence
from assay.decide.policy_read import parse_policy
from assay.decide.threshold import least_labels
from assay.errors import PolicyError

ONE = {
    "format": 1,
    "name": "one",
    "version": 1,
    "questions": {
        "product": {
            "model": "x.bundle",
            "answers": {"yes": "pass", "no": {"verdict": "reject", "clause": "no-product"}},
        }
    },
    "automatic": {"accept": {"risk": 0.05, "confidence": 0.9}, "reject": {"risk": 0.05, "confidence": 0.9}},
    "clauses": SHOP["clauses"],
}
POLICY = parse_policy(ONE, "one")


def draw(rng, n):
    """Photos whose probability of "yes" is honest: (evidence, truths)."""
    p = rng.beta(0.1, 0.1, n)
    truth = rng.random(n) < p
    photos = [Evidence(str(i), "0", (9, 9), {"product": {"yes": q, "no": 1 - q}}) for i, q in enumerate(p)]
    return photos, [{"product": "yes" if t else "no"} for t in truth]


def test_least_labels():
    assert least_labels(0, 0.01, 0.05) == 299
    assert least_labels(5, 0.01, 0.05) == 1049


def test_the_promise_holds_in_most_calibrations():
    rng = np.random.default_rng(0)
    fresh, truths = draw(rng, 5_000)
    right = {
        verdict: np.array(
            [is_right(POLICY, propose(POLICY, one), t) for one, t in zip(fresh, truths, strict=True)]
        )
        for verdict in ("accept", "reject")
    }
    broken = given = 0
    for _ in range(40):
        budgets = fit_budgets(POLICY, *draw(rng, 600))
        verdicts = np.array([decide(POLICY, budgets, one).verdict for one in fresh])
        for verdict in ("accept", "reject"):
            chosen = verdicts == verdict
            if chosen.any():
                given += 1
                broken += (~right[verdict][chosen]).mean() > 0.05
    assert given > 60
    assert broken <= 0.1 * given + 4  # at most 1 in 10 by promise, and the noise of 80 draws


def test_too_few_labels_mean_no_threshold_and_say_how_many():
    budgets = fit_budgets(POLICY, *draw(np.random.default_rng(1), 30))
    assert budgets.threshold("accept", "all") is None
    kind = next(one for one in budgets.kinds if one.verdict == "accept")
    assert kind.missing > 0
    assert kind.found is None


def test_each_class_has_a_promise_of_its_own():
    policy = parse_policy(SHOP, "shop")
    assert possible_kinds(policy, {"kind": ("bag", "shoe")}) == [
        ("accept", "bag"),
        ("accept", "shoe"),
        ("reject", "no-product"),
    ]


def test_right_and_wrong_by_the_labels():
    policy = parse_policy(SHOP, "shop")
    answers = {"product": {"product": 1.0}, "kind": {"bag": 1.0}, "genuine": {"genuine": 1.0}}
    accept = propose(policy, Evidence("a", "0", (9, 9), answers))
    fine = {"product": "product", "kind": "bag", "genuine": "genuine"}
    assert is_right(policy, accept, fine) is True
    assert is_right(policy, accept, {**fine, "kind": "shoe"}) is False
    assert is_right(policy, accept, {**fine, "genuine": "suspect"}) is False
    assert is_right(policy, accept, {**fine, "genuine": None}) is None
    assert is_right(policy, accept, {**fine, "genuine": None, "product": "other"}) is False
    reject = propose(policy, Evidence("a", "0", (9, 9), {**answers, "product": {"other": 1.0}}))
    assert is_right(policy, reject, fine) is False
    assert is_right(policy, reject, {**fine, "product": "other", "kind": None}) is True
    assert is_right(policy, reject, {"product": None}) is None


def test_whole_groups_count_once():
    rng = np.random.default_rng(2)
    photos, truths = draw(rng, 400)
    by_photo = fit_budgets(POLICY, photos, truths)
    by_group = fit_budgets(POLICY, photos, truths, [str(i // 40) for i in range(400)])
    assert by_group.unit == "group"
    assert by_photo.threshold("accept", "all") is not None
    assert by_group.threshold("accept", "all") is None  # ten senders promise nothing
    assert all(one.missing is None for one in by_group.kinds)


def test_they_are_kept_and_held_to_their_policy(tmp_path):
    budgets = fit_budgets(POLICY, *draw(np.random.default_rng(3), 500), models={"product": "abc"})
    budgets.save(tmp_path / "one.thresholds.json")
    again = read_budgets(tmp_path / "one.thresholds.json")
    assert again == budgets
    assert again.digest == budgets.digest
    again.require_for(POLICY, {"product": "abc"})
    with pytest.raises(PolicyError, match="in another precision, answers product"):
        again.require_for(POLICY, {"product": "abd"})
    told = copy.deepcopy(ONE)
    told["automatic"]["accept"]["risk"] = 0.04
    with pytest.raises(PolicyError, match="rules or risks have changed"):
        again.require_for(parse_policy(told, "one"), {"product": "abc"})


@pytest.mark.parametrize("text", ["", "{}", '{"format": 9}', '{"format": 1, "kinds": [{}]}', "[1]"])
def test_files_that_hold_no_thresholds(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(PolicyError):
        read_budgets(tmp_path / "t.json")


def test_photos_without_labels_promise_nothing():
    photos, _ = draw(np.random.default_rng(0), 5)
    with pytest.raises(PolicyError, match="no photo counts"):
        fit_budgets(POLICY, photos, [{}] * 5)
    broken = [replace(one, error="x") for one in photos]
    with pytest.raises(PolicyError, match="no photo counts"):
        fit_budgets(POLICY, broken, [{"product": "yes"}] * 5)
    assert Budgets("", {}, (), 0, 0).threshold("accept", "all") is None
