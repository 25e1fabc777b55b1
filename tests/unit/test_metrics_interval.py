from __future__ import annotations

import math

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.metrics.interval import (
    Estimate,
    bootstrap,
    bootstrap_weights,
    centred_interval,
    effective_number,
    group_numbers,
    mcnemar,
    paired_difference,
    proportion,
    wilson,
)


def test_wilson_known_answers():
    half = wilson(5, 10)  # Newcombe 1998, method 3
    assert (half.low, half.high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    sick = wilson(81, 263)  # Newcombe 1998, table I
    assert (sick.low, sick.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    none = wilson(0, 20)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(0.1611, abs=1e-4)
    assert wilson(20, 20).high == 1.0


def test_wilson_of_nothing_is_unknown():
    empty = wilson(0, 0)
    assert math.isnan(empty.value)
    assert (empty.low, empty.high) == (0.0, 1.0)
    assert empty.to_dict() == {"value": None, "low": 0.0, "high": 1.0}


def test_wilson_says_what_is_wrong():
    with pytest.raises(ConfigError, match="0 <= k <= n"):
        wilson(5, 4)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        wilson(1, 4, level=95)


def test_estimate_goes_through_json():
    estimate = Estimate(0.5, math.nan, 0.75)
    back = Estimate.from_dict(estimate.to_dict())
    assert back.value == 0.5
    assert math.isnan(back.low)


def test_bootstrap_of_a_mean_is_the_normal_interval():
    values = np.random.default_rng(0).normal(size=400)
    got = bootstrap(lambda w: w @ values / w.sum(1), 400, draws=4000)
    error = values.std() / 20
    assert got.value == pytest.approx(values.mean())
    assert got.high - got.low == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_bootstrap_weights_add_up_and_repeat():
    blocks = list(bootstrap_weights(7, 20, seed=3))
    weights = np.concatenate(blocks)
    assert weights.shape == (20, 7)
    assert (weights.sum(1) == 7).all()
    np.testing.assert_array_equal(weights, np.concatenate(list(bootstrap_weights(7, 20, seed=3))))


def test_whole_groups_are_drawn():
    groups = group_numbers(["a", "a", "b", "b", "b", None, ""], 7)
    weights = np.concatenate(list(bootstrap_weights(7, 50, groups=groups)))
    assert len(set(groups.tolist())) == 4
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert (weights[:, 5] != weights[:, 6]).any()


def test_groups_of_one_are_no_groups():
    assert group_numbers(["a", "b", "c"], 3) is None
    assert group_numbers(None, 3) is None
    with pytest.raises(ConfigError, match="one group name a picture"):
        group_numbers(["a"], 3)


def test_alike_pictures_of_one_group_are_worth_one():
    right = np.repeat([1.0, 0.0, 1.0, 1.0, 0.0], 20)
    groups = np.repeat(np.arange(5), 20)
    assert effective_number(right, groups) == pytest.approx(4, abs=0.01)
    grouped, alone = proportion(right, groups), proportion(right)
    assert grouped.value == alone.value == 0.6
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_all_right_counts_groups():
    groups = np.repeat(np.arange(5), 20)
    assert proportion(np.ones(100), groups).low == wilson(5, 5).low


def test_shift_puts_the_value_inside_the_draws():
    draws = np.random.default_rng(0).normal(0.3, 0.01, 1000)  # biased: the value is 0.2
    got = centred_interval(0.2, draws)
    assert got.low < 0.2 < got.high
    assert got.high - got.low == pytest.approx(0.04, abs=0.005)
    assert centred_interval(0.01, draws, bounds=(0.0, 1.0)).low == 0.0


def test_mcnemar_is_the_exact_binomial_test():
    a = np.array([True] * 9 + [False] * 1 + [True] * 30)
    b = np.array([False] * 9 + [True] * 1 + [True] * 30)
    assert mcnemar(a, b) == pytest.approx(2 * (1 + 10) / 2**10)
    assert mcnemar(a, a) == 1.0
    many = np.arange(100_000) % 2 == 0
    assert mcnemar(many, ~many) == 1.0


def test_paired_difference_sees_what_separate_intervals_do_not():
    rng = np.random.default_rng(0)
    b = rng.random(500) < 0.8
    a = b | (rng.random(500) < 0.15)
    got = paired_difference(a, b)
    assert got.value == pytest.approx(a.mean() - b.mean())
    assert got.low > 0
    assert wilson(int(a.sum()), 500).low < wilson(int(b.sum()), 500).high


def test_pairs_must_fit():
    with pytest.raises(ConfigError, match="same pictures"):
        mcnemar([True], [True, False])
