"""Prediction sets: quantiles by hand, coverage by simulation, sets that are never empty."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.decide.conformal import FREE, PENALTY, class_scores, fit_sets, unit_weights, upper_quantile
from assay.errors import ConfigError


def world(rng, n, classes=4, sharp=1.5):
    """(probs, targets): probabilities that are somewhat too sure."""
    logits = sharp * rng.standard_normal((n, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1)
    q = p**1.7
    return q / q.sum(1, keepdims=True), targets


def grouped_world(rng, groups):
    """Groups of very unequal size, each with its own difficulty."""
    parts = []
    for g in range(groups):
        n = int(rng.choice([1, 2, 60]))
        parts.append((*world(rng, n, sharp=float(rng.choice([0.3, 4.0]))), np.full(n, g)))
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def test_the_quantile_by_hand():
    scores = np.arange(1, 10) / 10  # nine: with a tenth at infinity, 80 % is the 8th, 90 % the 9th
    assert upper_quantile(scores, 0.8) == 0.8
    assert upper_quantile(scores, 0.9) == 0.9
    assert upper_quantile(scores, 0.95) == math.inf


def test_the_quantile_over_groups_gives_each_group_one_vote():
    scores = np.array([0.1] * 98 + [0.5, 0.9])
    groups = np.array([0] * 98 + [1, 2])
    assert upper_quantile(scores, 0.5, groups) == 0.5
    assert upper_quantile(scores, 0.75, groups) == 0.9
    assert upper_quantile(scores, 0.8, groups) == math.inf
    assert unit_weights(100, groups).sum() == pytest.approx(3)


def test_scores_by_hand():
    probs = np.array([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(class_scores(probs, "lac"), [[0.8, 0.5, 0.7]])
    np.testing.assert_allclose(class_scores(probs, "raps"), [[1.0, 0.5, 0.8]])
    many = np.full((1, 8), 1 / 8)
    assert class_scores(many, "raps")[0, 7] == pytest.approx(1 + (8 - FREE) * PENALTY)


@pytest.mark.parametrize("kind", ["lac", "raps"])
def test_coverage_holds_on_average_and_sets_are_not_needlessly_large(kind):
    rng = np.random.default_rng(0)
    probs, targets = world(rng, 20_000)
    held = []
    for _ in range(60):
        sets = fit_sets(*world(rng, 150), coverage=0.9, kind=kind)
        held.append(sets.sets(probs)[np.arange(len(targets)), targets].mean())
    assert 0.895 <= np.mean(held) <= 0.93
    assert sets.mean_size < 3.6


def test_coverage_holds_for_a_picture_of_a_new_group_where_pictures_alone_would_not():
    rng = np.random.default_rng(1)
    probs, targets, group = grouped_world(rng, 4000)
    weight = unit_weights(len(group), group) / 4000
    held = {"group": [], "picture": []}
    for _ in range(40):
        own, truth, numbers = grouped_world(rng, 60)
        for unit, given in (("group", numbers), ("picture", None)):
            mask = fit_sets(own, truth, coverage=0.9, groups=given, by_class=False).sets(probs)
            held[unit].append((weight * mask[np.arange(len(targets)), targets]).sum())
    assert np.mean(held["group"]) >= 0.895
    assert np.mean(held["group"]) > np.mean(held["picture"]) - 0.01


def test_a_set_is_never_empty_and_holds_the_answer():
    rng = np.random.default_rng(2)
    probs, _ = world(rng, 300)
    sure = np.eye(4)[rng.integers(0, 4, 300)] * 0.97 + 0.0075
    sets = fit_sets(sure, sure.argmax(1), coverage=0.5)
    mask = sets.sets(probs)
    assert mask.any(axis=1).all()
    assert mask[np.arange(300), probs.argmax(1)].all()


def test_by_class_where_every_class_has_enough():
    rng = np.random.default_rng(3)
    probs, targets = world(rng, 2000)
    sets = fit_sets(probs, targets, coverage=0.9)
    assert sets.by_class
    assert len(sets.limits) == 4
    fresh, truth = world(rng, 20_000)
    mask = sets.sets(fresh)
    for k in range(4):
        assert mask[truth == k, k].mean() > 0.86
    assert not fit_sets(probs[:150], targets[:150], coverage=0.9).by_class
    assert not fit_sets(probs, targets, coverage=0.9, groups=np.arange(2000) // 4).by_class


def test_too_few_pictures_keep_every_class():
    probs, targets = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 0])
    sets = fit_sets(probs, targets, coverage=0.9)
    assert sets.is_empty_promise
    assert sets.sets(probs).all()
    assert sets.mean_size == 2


def test_a_single_class():
    sets = fit_sets(np.ones((30, 1)), np.zeros(30, int), coverage=0.9)
    assert sets.sets(np.ones((2, 1))).tolist() == [[True], [True]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"probs": np.ones((2, 2)), "targets": [0], "coverage": 0.9}, "probs"),
        ({"probs": np.ones((0, 2)), "targets": [], "coverage": 0.9}, "probs"),
        ({"probs": np.ones((1, 2)), "targets": [0], "coverage": 1.0}, "coverage is 1.0"),
        ({"probs": np.ones((1, 2)), "targets": [0], "coverage": 0.9, "kind": "aps"}, "unknown kind"),
    ],
)
def test_wrong_input_has_words(words, told):
    with pytest.raises(ConfigError, match=told):
        fit_sets(**words)
