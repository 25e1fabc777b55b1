"""Every entry of METRICS: bounds, order of pictures, empty input, one class, its interval, its fast bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.metrics.evaluate import load_metrics
from assay.metrics.metric import Metric, measure
from assay.tables import METRICS

NAMES = list(METRICS)


def answers(n=60, k=4, seed=0, strength=2.0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), targets] += strength
    probs = np.exp(logits)
    return (probs / probs.sum(1, keepdims=True)).astype(np.float32), targets


@pytest.fixture(params=NAMES)
def metric(request) -> Metric:
    return METRICS.load(request.param)


def test_says_what_it_is(metric):
    assert metric.title
    assert metric.better in ("higher", "lower")
    assert metric.value.__doc__


def test_value_is_within_its_bounds(metric):
    for seed in range(5):
        value = metric.value(*answers(seed=seed))
        assert metric.bounds[0] <= value <= metric.bounds[1]


def test_order_of_pictures_changes_nothing(metric):
    probs, targets = answers()
    probs = np.round(probs, 1)  # many ties
    order = np.random.default_rng(1).permutation(len(targets))
    assert metric.value(probs[order], targets[order]) == pytest.approx(metric.value(probs, targets), abs=0.01)
    if metric.estimate is None:  # the simulated floor may move by chance, the others not at all
        assert metric.value(probs[order], targets[order]) == pytest.approx(
            metric.value(probs, targets), abs=1e-12
        )


def test_no_picture_is_nan_and_no_warning(metric):
    assert math.isnan(metric.value(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)))


def test_one_picture_and_one_class_do_not_fail(metric):
    one = measure({"m": metric}, np.array([[0.2, 0.8]], np.float32), np.array([1]))["m"]
    assert math.isnan(one.value) or one.low <= one.value <= one.high
    only = measure({"m": metric}, np.ones((5, 1), np.float32), np.zeros(5, np.int64))["m"]
    assert math.isnan(only.value) or only.low <= only.value <= only.high


def test_better_answers_score_better(metric):
    if metric.estimate is not None or metric.title == "ECE":
        pytest.skip("not a measure of how often the answer is right")
    weak, strong = (metric.value(*answers(n=400, k=8, strength=s)) for s in (0.5, 3.0))
    assert (strong > weak) if metric.better == "higher" else (strong < weak)


def test_interval_holds_the_value_and_shrinks_with_pictures(metric):
    few, many = (measure({"m": metric}, *answers(n=n), draws=200)["m"] for n in (50, 2000))
    assert few.low <= few.value <= few.high
    assert many.high - many.low < few.high - few.low


def test_observed_weights_give_the_value(metric):
    if metric.estimate is not None:
        pytest.skip("has no bootstrap")
    probs, targets = answers()
    observed = metric.resampler(probs, targets)(np.ones((1, len(targets))))[0]
    assert observed == pytest.approx(metric.value(probs, targets), abs=1e-9)


def test_fast_bootstrap_agrees_with_resampling_the_pictures(metric):
    """The spread of the fast draws is that of calling the function on resampled pictures."""
    if metric.estimate is not None or metric.title == "ECE":  # ECE keeps its bins, see the module
        pytest.skip("has no such bootstrap")
    probs, targets = answers(n=150)
    weights = np.random.default_rng(0).multinomial(150, np.full(150, 1 / 150), size=300).astype(float)
    fast = metric.resampler(probs, targets)(weights)
    slow = Metric(metric.value, metric.title).resampler(probs, targets)(weights)
    assert fast.std() == pytest.approx(slow.std(), rel=0.2, abs=1e-9)
    if metric.title != "AUROC":  # linearised there
        np.testing.assert_allclose(fast, slow, atol=1e-9)


def test_table_holds_the_promised_names():
    promised = {"accuracy", "top5", "macro_f1", "auroc", "nll", "brier", "ece", "ece_floor"}
    assert promised <= set(load_metrics())
