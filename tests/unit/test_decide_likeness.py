"""p-values that hold for any network, and the claims that are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from assay.decide.likeness import likeness_of, on_sphere

RNG = np.random.default_rng


def test_p_is_a_rank_among_the_references():
    genuine = np.eye(4)[[0, 0, 0]] + 0.01 * RNG(0).normal(0, 1, (3, 4))
    likeness = likeness_of(genuine, np.empty((0, 4)))
    far = likeness.unlike(np.eye(4)[1])
    assert (far.p, far.among) == (0.25, 3)
    assert far.distance == pytest.approx(1.0, abs=0.1)
    assert likeness.unlike(genuine[1]).p == 1.0
    assert likeness.unlike(genuine[1]).nearest == 1
    assert likeness.like_fake(np.eye(4)[1]) is None


def test_too_few_references_say_nothing():
    assert likeness_of(np.eye(3)[:1], np.eye(3)[1:]).unlike(np.eye(3)[0]) is None
    assert likeness_of(np.eye(3)[:1], np.eye(3)[1:]).like_fake(np.eye(3)[0]) is None
    assert likeness_of(np.empty((0, 0)), np.empty((0, 0))).unlike(np.ones(3)) is None


def test_one_more_is_the_same_as_all_at_once():
    rng = RNG(1)
    genuine, fakes = rng.normal(0, 1, (9, 5)), rng.normal(0, 1, (4, 5))
    grown = likeness_of(genuine[:2], fakes[:1])
    for point in genuine[2:]:
        grown = grown.with_genuine(point)
    for point in fakes[1:]:
        grown = grown.with_fake(point)
    whole = likeness_of(genuine, fakes)
    assert np.allclose(grown.apart, whole.apart, atol=1e-6)
    assert np.allclose(grown.from_fakes, whole.from_fakes, atol=1e-6)
    point = rng.normal(0, 1, 5)
    assert grown.unlike(point) == whole.unlike(point)
    assert grown.like_fake(point) == whole.like_fake(point)


def test_false_alarms_are_as_rare_as_promised():
    """Exchangeable photos: P(p <= a) is at most a, for both claims, at every size."""
    rng = RNG(3)
    for n in (5, 19, 60):
        alarms = np.zeros((2, 400))
        for draw in range(400):
            points = rng.normal(0, 1, (n + 1, 6)) + 2
            likeness = likeness_of(points[:n], rng.normal(0, 1, (3, 6)))
            alarms[:, draw] = likeness.unlike(points[n]).p, likeness.like_fake(points[n]).p
        for share in (0.1, 0.2, 0.5):
            found = (alarms <= share).mean(axis=1)
            assert (found <= share + 3 * np.sqrt(share * (1 - share) / 400)).all(), (n, share, found)
        assert alarms.min() >= 1 / (n + 1) - 1e-6


def test_photos_near_to_a_fake_are_told():
    rng = RNG(3)
    genuine = np.array([1.0, 0, 0, 0]) + 0.1 * rng.normal(0, 1, (30, 4))
    fake = np.array([0.0, 1, 0, 0])
    found = likeness_of(genuine, fake[None]).like_fake(fake + 0.05)
    assert (found.p, found.nearest) == (pytest.approx(1 / 31, abs=1e-6), 0)


def test_points_without_a_direction_are_at_the_centre():
    assert on_sphere([0.0, 0.0]).tolist() == [0.0, 0.0]
    assert on_sphere([np.nan, 1.0]).tolist() == [0.0, 1.0]
    assert on_sphere([3.0, 4.0]).tolist() == pytest.approx([0.6, 0.8])
