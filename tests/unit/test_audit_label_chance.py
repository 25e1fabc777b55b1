"""Whether contradictions are told from what a good judge of right labels brings by chance."""

from __future__ import annotations

import numpy as np
import pytest

from assay.audit.label_chance import contradictions

CLASSES = 6


def judge(n: int, seed: int, sharpness: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities of easy and hard pictures, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, CLASSES)) * rng.gamma(2.0, sharpness / 2, size=(n, 1))
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    given = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return probs, np.minimum(given, CLASSES - 1)


def falsify(given: np.ndarray, share: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wrong = rng.choice(len(given), round(share * len(given)), replace=False)
    given = given.copy()
    given[wrong] = (given[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
    return given


def test_right_labels_hardly_ever_stand_out():
    shown = [contradictions(*judge(1000, seed)).shown for seed in range(60)]
    assert sum(shown) <= 3


@pytest.mark.parametrize("share", [0.05, 0.1])
def test_falsified_labels_stand_out(share):
    found = []
    for seed in range(20):
        probs, given = judge(1000, seed)
        found.append(contradictions(probs, falsify(given, share, seed)))
    assert sum(c.shown for c in found) >= 19
    assert all(c.found > c.expected for c in found if c.stand_out)


def test_a_judge_that_took_the_wrong_labels_in():
    """All pictures are easy; calibrated on falsified labels, no probability exceeds what they leave."""
    rng = np.random.default_rng(0)
    right = rng.integers(0, CLASSES, 600)
    sure = 0.95 + rng.uniform(-0.01, 0.01, 600)
    probs = np.repeat(((1 - sure) / (CLASSES - 1))[:, None], CLASSES, axis=1)
    probs[np.arange(600), right] = sure
    found = contradictions(probs, falsify(right, 0.05, 1))
    assert not found.stand_out
    assert found.as_sure
    assert found.shown
    assert not contradictions(probs, right).shown


def test_few_pictures_show_nothing():
    probs, given = judge(25, 1)
    found = contradictions(probs, given)
    assert found.pictures >= 20
    assert not found.stand_out
    assert set(found.to_dict()) == {"surest", "contradicted", "expected", "p", "shown"}


def test_a_group_that_is_misjudged_as_a_whole_counts_once():
    """Ten alike pictures of one patient, all taken for another class, are one contradiction and not ten."""
    groups = np.arange(40).repeat(10)
    probs = np.full((400, CLASSES), 0.02 / (CLASSES - 1))
    given = np.arange(40).repeat(10) % CLASSES
    probs[np.arange(400), given] = 0.98
    probs[:10] = np.roll(probs[:10], 1, axis=1)  # the first patient is misjudged
    alone, together = contradictions(probs, given), contradictions(probs, given, groups)
    assert alone.found == 10
    assert together.found == 1
    assert not together.stand_out
