from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from assay.errors import ConfigError
from assay.metrics.reliability import (
    LEAST_PROBABILITY,
    brier,
    ece,
    equal_mass_bins,
    fit_temperature,
    floor_estimate,
    nll,
    reliability_bins,
)


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def calibrated(n=2000, k=5, seed=0):
    """Logits whose softmax at temperature 1 is the truth that targets are drawn from."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, k))
    targets = (softmax(logits).cumsum(1) > rng.random((n, 1))).argmax(1)
    return logits, targets


def test_nll_is_that_of_scikit_learn():
    logits, targets = calibrated()
    assert nll(softmax(logits), targets) == pytest.approx(log_loss(targets, softmax(logits)))


def test_nll_is_clipped():
    assert nll(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(LEAST_PROBABILITY))


def test_brier_is_the_squared_distance():
    logits, targets = calibrated(50)
    probs = softmax(logits)
    assert brier(probs, targets) == pytest.approx(((probs - np.eye(5)[targets]) ** 2).sum(1).mean())


def test_ece_by_hand():
    """One bin a picture: |1 - 0.9|, |0 - 0.6| and their mean."""
    assert ece(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1])) == pytest.approx((0.1 + 0.6) / 2)


def test_equal_confidences_share_a_bin():
    probs = np.tile([0.7, 0.3], (100, 1))
    targets = (np.arange(100) >= 70).astype(int)
    assert ece(probs, targets) == pytest.approx(0, abs=1e-12)
    assert len(equal_mass_bins(np.full(100, 0.7))[1]) == 1
    assert len(equal_mass_bins(np.linspace(0, 1, 100))[1]) == 15


def test_calibrated_answers_lie_at_the_floor_and_sure_ones_above():
    logits, targets = calibrated()
    floor = floor_estimate(softmax(logits), targets)
    assert 0 < floor.low <= ece(softmax(logits), targets) <= floor.high
    sure = softmax(3 * logits)
    assert ece(sure, targets) > floor_estimate(sure, targets).high


def test_floor_falls_with_pictures():
    few, many = (floor_estimate(softmax(calibrated(n)[0]), None).value for n in (100, 10_000))
    assert many < few / 5


def test_reliability_bins():
    logits, targets = calibrated()
    bins = reliability_bins(softmax(logits), targets)
    assert sum(b.n for b in bins) == 2000
    assert len(bins) == 15
    assert all(b.low <= b.right <= b.high for b in bins)
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    assert len(reliability_bins(softmax(logits)[:12], targets[:12])) == 1
    assert reliability_bins(np.zeros((0, 3)), np.zeros(0, int)) == []


@pytest.mark.parametrize("truth", [0.25, 0.5, 1.0, 2.0, 7.0])
def test_temperature_is_found(truth):
    logits, targets = calibrated(5000)
    assert fit_temperature(logits * truth, targets) == pytest.approx(truth, rel=0.06)


def test_temperature_minimises_nll():
    logits, targets = calibrated(3000)
    logits = 2.5 * logits
    best = fit_temperature(logits, targets)
    at = [nll(softmax(logits / t), targets) for t in (best / 1.05, best, best * 1.05)]
    assert at[1] == min(at)


def test_temperature_of_no_picture_is_one():
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0


def test_temperature_of_a_handful_stays_near_one():
    logits = np.array([[4.0, 0, 0], [0, 3.0, 0], [5.0, 0, 0]])
    assert 0.5 < fit_temperature(logits, np.array([0, 1, 0])) < 1
    assert 1 < fit_temperature(logits, np.array([0, 1, 1])) < 3


def test_temperature_of_a_faultless_validation_part_stays_sane():
    targets = np.arange(600) % 3
    got = fit_temperature(20 * np.eye(3)[targets], targets)
    assert 0.2 < got <= 1


def test_temperature_of_huge_wrong_logits_stays_in_range():
    assert 1 < fit_temperature(np.array([[1e6, 0.0], [1e6, 0.0]] * 50), np.array([1, 0] * 50)) <= 20.0


def test_temperature_says_what_is_wrong():
    with pytest.raises(ConfigError, match="not finite"):
        fit_temperature(np.array([[np.inf, 0.0]]), np.array([0]))
    with pytest.raises(ConfigError, match=r"\(N, K\)"):
        fit_temperature(np.zeros((2, 3)), np.zeros(3, int))
