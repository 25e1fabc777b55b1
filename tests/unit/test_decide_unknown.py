"""Unknown-ness: distances by hand, false alarms by simulation, far things found, odd vectors survived."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from assay.decide.unknown import (
    MOST,
    TIE,
    choose_reference,
    energy,
    fit_unknown,
    neighbour_distances,
)
from assay.errors import ConfigError


def known_pictures(rng, n, shift=0.0):
    """(logits, embedding) of three clusters; ``shift`` moves them away."""
    k = rng.integers(0, 3, n)
    embedding = np.eye(6)[k] * 4 + rng.standard_normal((n, 6)) + shift * np.array([0, 0, 0, 1, 1, 1])
    return (embedding[:, :3] * 2).astype(np.float32), embedding.astype(np.float32)


def fitted(rng, n=200, groups=None, false_alarm=0.05):
    logits, embedding = known_pictures(rng, 300)
    held = known_pictures(rng, n)
    return fit_unknown(
        *held, reference=embedding, reference_logits=logits, false_alarm=false_alarm, groups=groups
    )


def test_energy_by_hand():
    np.testing.assert_allclose(energy([[0, 0], [1000, 0]]), [-math.log(2), -1000])


def test_neighbour_distances_by_hand():
    sphere = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    np.testing.assert_allclose(neighbour_distances(sphere[:1], sphere, 1), [0], atol=1e-6)
    np.testing.assert_allclose(neighbour_distances(sphere[:1], sphere, 2), [math.sqrt(2)], rtol=1e-6)
    np.testing.assert_allclose(
        neighbour_distances(sphere[:1], sphere, 1, skip_self=True), [math.sqrt(2)], rtol=1e-6
    )
    np.testing.assert_allclose(neighbour_distances(sphere[:1], sphere, 9), [2], rtol=1e-6)


def test_the_reference_is_even_over_classes():
    targets = np.array([0] * 5000 + [1] * 30 + [2] * 900)
    rows = choose_reference(targets)
    assert len(rows) == MOST
    counts = np.bincount(targets[rows])
    assert counts[1] == 30
    assert counts[2] == 900
    assert np.bincount(targets[choose_reference(targets, 90)]).tolist() == [30, 30, 30]
    assert np.array_equal(rows, choose_reference(targets))
    assert len(choose_reference(targets[:7])) == 7


def test_false_alarms_are_as_promised():
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(40):
        unknown = fitted(rng, n=100)
        rates.append((unknown.known(*known_pictures(rng, 2000)) <= 0.05).mean())
    assert 0.03 <= np.mean(rates) <= 0.055


def test_false_alarms_over_groups():
    """Groups that are strange as a whole: counted by picture the large ones would speak for all."""
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(60):
        groups = np.repeat(np.arange(50), rng.choice([1, 30], 50))
        unknown = fitted(rng, n=len(groups), groups=groups)
        assert unknown.units == 50
        rates.append((unknown.known(*known_pictures(rng, 1000)) <= 0.05).mean())
    assert np.mean(rates) <= 0.06


def test_far_pictures_are_called_unknown():
    rng = np.random.default_rng(2)
    unknown = fitted(rng)
    p = unknown.known(*known_pictures(rng, 200, shift=9.0))
    assert (p <= 0.05).mean() > 0.9
    assert (p > 0).all()


def test_known_at_the_cut():
    """``cut`` is where ``known`` passes the rate of false alarms."""
    rng = np.random.default_rng(3)
    unknown = fitted(rng, n=99)
    inside = unknown.scores < unknown.cut()
    assert inside.sum() == 94  # 5 of 99 + 1 may be alarms, and the one at the cut itself is left out
    assert unknown.can_alarm


def test_too_few_pictures_never_alarm():
    rng = np.random.default_rng(4)
    unknown = fitted(rng, n=18)
    assert not unknown.can_alarm
    assert unknown.cut() == math.inf
    assert fitted(rng, n=19).can_alarm
    assert (unknown.known(*known_pictures(rng, 50, shift=9.0)) > 0.05).all()


def test_vectors_without_direction_or_number_are_unknown():
    rng = np.random.default_rng(5)
    unknown = fitted(rng)
    embedding = np.zeros((3, 6), np.float32)
    embedding[1] = np.nan
    embedding[2, 0] = 4
    p = unknown.known(np.zeros((3, 3)), embedding)
    assert p[:2].tolist() == [0, 0]
    assert p[2] > 0


def test_equal_references_and_a_tiny_reference():
    rng = np.random.default_rng(6)
    logits, embedding = known_pictures(rng, 30)
    same = fit_unknown(
        logits, embedding, reference=np.ones((5, 6)), reference_logits=np.ones((5, 3)), false_alarm=0.05
    )
    assert np.isfinite(same.known(logits, embedding)).all()
    assert same.neighbours == 5


def test_wrong_input_has_words():
    with pytest.raises(ConfigError, match="embeddings"):
        fit_unknown(
            np.ones((3, 2)), np.ones((3, 4)), reference=np.ones((5, 6)), reference_logits=np.ones((5, 2)),
            false_alarm=0.05,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="no reference embedding"):
        fit_unknown(
            np.ones((3, 2)), np.ones((3, 6)), reference=np.zeros((5, 6)), reference_logits=np.ones((5, 2)),
            false_alarm=0.05,
        )  # fmt: skip


def test_rounding_makes_no_held_out_picture_stranger():
    """An engine whose scores are a little higher still finds each held-out picture as known as it was."""
    rng = np.random.default_rng(6)
    logits, embedding = known_pictures(rng, 60)
    more_logits, reference = known_pictures(rng, 200)
    unknown = fit_unknown(
        logits, embedding, reference=reference, reference_logits=more_logits, false_alarm=0.05
    )
    rounded = replace(unknown, scores=unknown.scores - TIE / 2)
    assert (rounded.known(logits, embedding) >= unknown.known(logits, embedding) - 1e-12).all()
