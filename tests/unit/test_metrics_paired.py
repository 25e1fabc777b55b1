"""Paired statistics: known answers, limits, and that groups and seeds widen what they must widen."""

from __future__ import annotations

import numpy as np
import pytest

from assay.errors import ConfigError
from assay.metrics.interval import mcnemar
from assay.metrics.paired import (
    difference_over_seeds,
    flip_test,
    holm,
    mean_differences,
    newcombe_difference,
)


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 1), (9, 3), (2, 2)])
def test_one_seed_and_single_pictures_is_mcnemar(only_a, only_b):
    a = np.array([True] * only_a + [False] * only_b + [True] * 7)
    b = np.array([False] * only_a + [True] * only_b + [True] * 7)
    assert flip_test(a.astype(float) - b) == pytest.approx(mcnemar(a, b))


def test_random_flips_come_near_the_exact_test():
    a = np.array([True] * 30 + [False] * 12)
    assert flip_test(a.astype(float) - ~a) == pytest.approx(mcnemar(a, ~a), abs=0.004)


def test_whole_groups_are_weaker_evidence_than_pictures():
    difference = np.ones(40)
    groups = np.repeat(np.arange(4), 10)
    assert flip_test(difference) < 1e-3
    assert flip_test(difference, groups) == pytest.approx(2 / 16)


def test_many_units_take_the_normal_limit():
    rng = np.random.default_rng(0)
    difference = rng.choice([-1.0, 0.0, 1.0], size=60_000)
    assert 0 < flip_test(difference) <= 1
    assert flip_test(np.ones(30_000)) < 1e-12


def test_a_column_each_has_its_mean_and_interval():
    columns = np.stack([np.tile([0.0, 1.0], 50), np.zeros(100)], axis=1)
    first, second = mean_differences(columns, draws=500)
    assert first.value == 0.5
    assert first.low < 0.5 < first.high
    assert (second.value, second.low, second.high) == (0, 0, 0)
    assert np.isnan(mean_differences(np.empty((0, 1)))[0].value)


def test_seeds_that_scatter_widen_the_interval():
    rng = np.random.default_rng(0)
    base = (rng.random(200) < 0.7).astype(float)
    steady = np.stack([base] * 3)
    jumpy = np.stack([base, np.clip(base + (rng.random(200) < 0.2), 0, 1), base * (rng.random(200) < 0.8)])
    over_pictures = mean_differences((jumpy.mean(0) - base)[:, None])[0]
    over_both = difference_over_seeds(jumpy, steady)
    assert over_both.value == pytest.approx(over_pictures.value)
    assert over_both.high - over_both.low > 1.5 * (over_pictures.high - over_pictures.low)


def test_one_seed_is_the_interval_over_pictures():
    rng = np.random.default_rng(1)
    a, b = (rng.random((2, 1, 150)) < [[[0.8]], [[0.6]]]).astype(float)
    over_seeds = difference_over_seeds(a, b, draws=3000)
    over_pictures = mean_differences((a - b).T, draws=3000)[0]
    assert over_seeds.low == pytest.approx(over_pictures.low, abs=1e-9)
    assert over_seeds.value == pytest.approx(over_pictures.value)


def test_seeds_are_rows():
    with pytest.raises(ConfigError, match="seeds are rows"):
        difference_over_seeds(np.zeros((2, 3)), np.zeros((2, 4)))


def test_newcombe_1998_table_iii():
    # Newcombe (1998), method 10, his example of 36, 12, 2, 0 of 50: 0.2 with 0.0569 to 0.3404
    a = np.array([True] * 36 + [True] * 12 + [False] * 2)
    b = np.array([True] * 36 + [False] * 12 + [True] * 2)
    found = newcombe_difference(a, b)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=0.0006)


def test_few_pictures_are_never_certain():
    found = newcombe_difference(np.array([True, True]), np.array([False, False]))
    assert found.value == 1
    assert found.low < 0.3
    assert np.isnan(newcombe_difference(np.zeros(0, bool), np.zeros(0, bool)).value)


def test_groups_widen_newcombes_interval():
    a = np.tile(np.repeat([True, False], 10), 4)
    b = np.zeros(80, bool)
    alone = newcombe_difference(a, b)
    grouped = newcombe_difference(a, b, np.repeat(np.arange(8), 10))
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
