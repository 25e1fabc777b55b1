"""The threshold with a promise: known small answers, and promises held against simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.decide.threshold import (
    GRID,
    GROUP_STARTS,
    STARTS,
    betting_p,
    binomial_tail,
    fit_threshold,
    risk_curve,
)
from assay.errors import ConfigError


def calibrated(rng, n, spread=2.0, mean=1.8):
    """(confidence, right) of a network whose probabilities are true."""
    confidence = 1 / (1 + np.exp(-(mean + spread * rng.standard_normal(n))))
    return confidence, rng.random(n) < confidence


def in_groups(rng, groups, sizes=(1, 40)):
    """(confidence, right, group): in a third of the groups the network is far surer than it is right."""
    parts = []
    for g in range(groups):
        n = int(rng.integers(*sizes))
        confidence = 1 / (1 + np.exp(-(2.5 + 1.5 * rng.standard_normal(n))))
        bad = rng.random() < 0.3
        right = rng.random(n) < (0.75 if bad else 0.995)
        parts.append((confidence, right, np.full(n, g)))
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def true_risk(threshold, confidence, right):
    kept = confidence >= threshold
    return (~right[kept]).mean()


def test_the_grid_falls_and_ends_with_every_picture():
    assert np.all(np.diff(GRID) < 0)
    assert GRID[0] == pytest.approx(0.9999, abs=1e-4)
    assert GRID[-1] == 0
    assert {STARTS[-1], GROUP_STARTS[-1]} == {0.0}


@pytest.mark.parametrize(("k", "n", "p"), [(0, 45, 0.05), (3, 20, 0.3), (19, 20, 0.9), (120, 5000, 0.02)])
def test_binomial_tail_is_scipys(k, n, p):
    from scipy.stats import binom

    assert binomial_tail(k, n, p) == pytest.approx(binom.cdf(k, n, p), rel=1e-9)


def test_binomial_tail_at_its_ends():
    assert binomial_tail(5, 5, 0.1) == 1
    assert binomial_tail(0, 0, 0.1) == 1
    assert binomial_tail(-1, 5, 0.1) == 0


def test_all_right_is_promised_where_there_are_enough_pictures():
    """P(no mistake in n at risk 5 %) = 0.95 ** n; the last start brings 0.1 / 6, earlier ones nothing here."""
    for n, can in ((79, False), (80, True)):
        found = fit_threshold(np.full(n, 0.4), np.ones(n, bool), risk=0.05, level=0.9)
        assert (found.threshold is not None) is can
        assert found.coverage == (1.0 if can else 0.0)
    assert found.found == 0
    assert found.threshold == 0


def test_errors_carried_down_make_small_samples_enough():
    """At 0.995 every start is passed, and what was brought adds up to the whole error: 0.95 ** 60 < 0.1."""
    found = fit_threshold(np.full(100, 0.999), np.ones(100, bool), risk=0.05, level=0.9)
    assert found.threshold == 0


def test_all_wrong_promises_nothing_and_accepts_nothing():
    found = fit_threshold(np.full(500, 0.97), np.zeros(500, bool), risk=0.05, level=0.9)
    assert found.threshold is None
    assert found.least_risk is None
    assert math.isnan(found.found)
    assert not found.accepts([0.97, 1.0]).any()


def test_three_pictures_are_too_few_and_it_says_what_they_are_enough_for():
    found = fit_threshold([0.9, 0.95, 0.99], [True] * 3, risk=0.05, level=0.9)
    assert found.threshold is None
    assert found.least_risk == 0.8  # 0.2 ** 3 < 0.1 / 6 < 0.3 ** 3


def test_no_picture_at_all():
    found = fit_threshold([], [], risk=0.05, level=0.9)
    assert (found.threshold, found.least_risk, found.coverage) == (None, None, 0.0)


def test_one_group_is_one_observation():
    rng = np.random.default_rng(0)
    confidence, right = calibrated(rng, 400, mean=6.0)
    alone = fit_threshold(confidence, right, risk=0.05, level=0.9, groups=np.zeros(400, np.int64))
    assert alone.threshold is None
    assert fit_threshold(confidence, right, risk=0.05, level=0.9).threshold is not None


def test_the_least_risk_can_be_promised():
    rng = np.random.default_rng(1)
    for groups in (None, np.arange(300) // 3):
        confidence, right = calibrated(rng, 300)
        asked = fit_threshold(confidence, right, risk=0.01, level=0.9, groups=groups)
        least = fit_threshold(confidence, right, risk=asked.least_risk, level=0.9, groups=groups)
        assert asked.threshold is None
        assert least.threshold is not None
        assert least.found <= asked.least_risk


def test_order_changes_nothing():
    rng = np.random.default_rng(2)
    confidence, right = calibrated(rng, 500)
    order = rng.permutation(500)
    first = fit_threshold(confidence, right, risk=0.1, level=0.9)
    assert first == fit_threshold(confidence[order], right[order], risk=0.1, level=0.9)
    assert first.threshold is not None


def test_pictures_turned_away_for_another_reason_do_not_count():
    confidence, right = np.full(300, 0.9), np.arange(300) >= 60
    assert fit_threshold(confidence, right, risk=0.05, level=0.9).threshold is None
    found = fit_threshold(confidence, right, risk=0.05, level=0.9, known=right)
    assert found.coverage == pytest.approx(0.8)
    assert found.found == 0


@pytest.mark.parametrize("risk", [0.05, 0.1])
def test_the_promise_holds_for_pictures(risk):
    """Of 300 calibrations at 90 % confidence at most 10 % and some noise give a threshold with a higher risk."""
    rng = np.random.default_rng(3)
    world = calibrated(rng, 400_000, mean=3.0)
    broken = given = 0
    for _ in range(300):
        found = fit_threshold(*calibrated(rng, 400, mean=3.0), risk=risk, level=0.9)
        given += found.threshold is not None
        broken += found.threshold is not None and true_risk(found.threshold, *world) > risk
    assert broken <= 300 * 0.1 + 3 * math.sqrt(300 * 0.1 * 0.9)
    assert given > 200


def test_the_promise_holds_just_above_the_risk():
    """The hardest truth: every threshold is a little worse than promised, so every threshold given is a failure."""
    rng = np.random.default_rng(4)
    broken = 0
    for _ in range(400):
        confidence = rng.random(300)
        found = fit_threshold(confidence, rng.random(300) < 0.949, risk=0.05, level=0.9)
        broken += found.threshold is not None
    assert broken <= 400 * 0.1 + 3 * math.sqrt(400 * 0.1 * 0.9)


def test_groups_break_the_promise_that_is_made_for_pictures():
    """Five groups, in truth 7.8 % wrong: counted by pictures 7 % is promised far more often than one time in ten."""
    rng, reps = np.random.default_rng(5), 100
    broken = {"picture": 0, "group": 0}
    for _ in range(reps):
        confidence, right, group = in_groups(rng, 5, sizes=(80, 120))
        for unit, numbers in (("picture", None), ("group", group)):
            found = fit_threshold(confidence, right, risk=0.07, level=0.9, groups=numbers)
            broken[unit] += found.threshold is not None
    assert broken["picture"] > 2 * reps * 0.1
    assert broken["group"] <= reps * 0.1


def test_the_promise_holds_for_groups_of_any_size():
    """Every threshold is worse than the risk, by a little; that one is given all the same happens one time in ten."""
    rng, reps = np.random.default_rng(6), 100
    broken = 0
    for _ in range(reps):
        confidence, right, group = in_groups(rng, 120, sizes=(1, 12))
        broken += fit_threshold(confidence, right, risk=0.075, level=0.9, groups=group).threshold is not None
    assert broken <= reps * 0.1 + 3 * math.sqrt(reps * 0.09)


def test_enough_groups_get_a_promise():
    rng = np.random.default_rng(7)
    confidence, right, group = in_groups(rng, 300, sizes=(1, 12))
    found = fit_threshold(confidence, right, risk=0.15, level=0.9, groups=group)
    assert found.threshold is not None
    assert found.coverage > 0.9


def test_betting_p_is_a_p_value_and_has_power():
    rng = np.random.default_rng(6)
    null = [betting_p(np.ones(80), rng.random(80) < 0.1, 0.1) for _ in range(300)]
    assert np.mean(np.array(null) <= 0.1) <= 0.1 + 3 * math.sqrt(0.09 / 300)
    assert betting_p(np.ones(80), np.zeros(80), 0.1) < 0.01
    assert betting_p(np.ones(80), np.ones(80), 0.1) == 1
    assert betting_p([], [], 0.1) == 1


def test_betting_p_falls_as_the_risk_rises():
    rng = np.random.default_rng(7)
    accepted = rng.random(60)
    wrong = accepted * (rng.random(60) < 0.1)
    p = [betting_p(accepted, wrong, risk) for risk in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)]
    assert p == sorted(p, reverse=True)


def test_risk_curve_by_hand():
    curve = risk_curve([0.9, 0.8, 0.8, 0.5], [True, False, True, False])
    np.testing.assert_allclose(curve.threshold, [0.9, 0.8, 0.5])
    np.testing.assert_allclose(curve.coverage, [0.25, 0.75, 1.0])
    np.testing.assert_allclose(curve.risk, [0, 1 / 3, 0.5])
    assert curve.aurc == pytest.approx((0 + 1 / 3 + 1 / 3 + 0.5) / 4)
    assert math.isnan(risk_curve([], []).aurc)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"confidence": [0.5], "right": [True, False], "risk": 0.1, "level": 0.9}, "one confidence"),
        ({"confidence": [np.nan], "right": [True], "risk": 0.1, "level": 0.9}, "not finite"),
        ({"confidence": [0.5], "right": [True], "risk": 0.0, "level": 0.9}, "between 0 and 1"),
        (
            {"confidence": [0.5], "right": [True], "risk": 0.1, "level": 0.9, "groups": np.zeros(3, int)},
            "one group",
        ),
    ],
)
def test_wrong_input_has_words(words, told):
    with pytest.raises(ConfigError, match=told):
        fit_threshold(**words)
