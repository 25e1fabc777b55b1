"""What one metric is, and how a set of them is measured with intervals.

A newcomer writes a function ``(probs (N, K), targets (N,)) -> float`` in ``classify.py`` or
``reliability.py``, wraps it in a ``Metric``, and adds one line to ``METRICS`` in ``assay.tables``. ``each``
(a metric that is a mean over pictures) or ``draws`` (a metric that can be had from weights) make its
bootstrap fast; without either, every resample calls the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.metrics.interval import Estimate, Floats, bootstrap_weights, centred_interval, proportion

Probs = NDArray[np.floating[Any]]
Targets = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """One number from probabilities and targets.

    ``value`` computes it; NaN where it is undefined (no picture, say). ``each`` gives (N,) values whose mean
    it is; ``draws`` takes a function of the pictures once and gives one from weights (D, N) to (D,).
    ``estimate`` replaces the interval altogether. ``bounds`` are the least and greatest value it can take.
    """

    value: Callable[[Probs, Targets], float]
    title: str
    better: str = "higher"
    bounds: tuple[float, float] = (0.0, 1.0)
    each: Callable[[Probs, Targets], Floats] | None = None
    draws: Callable[[Probs, Targets], Callable[[Floats], Floats]] | None = None
    estimate: Callable[[Probs, Targets, int], Estimate] | None = None
    is_proportion: bool = False

    def resampler(self, probs: Probs, targets: Targets) -> Callable[[Floats], Floats]:
        """From weights (D, N) to (D,) values, by the fastest way that the metric has."""
        if self.draws is not None:
            return self.draws(probs, targets)
        if self.each is not None:
            each = self.each(probs, targets)
            return lambda weights: weights @ each / weights.sum(1)
        return lambda weights: np.array([self._resampled(probs, targets, row) for row in weights])

    def _resampled(self, probs: Probs, targets: Targets, row: Floats) -> float:
        rows = np.repeat(np.arange(len(row)), row.astype(np.int64))
        return self.value(probs[rows], targets[rows])


def check_shapes(probs: Probs, targets: Targets) -> None:
    """Raise ConfigError unless ``probs`` is (N, K), ``targets`` (N,) and every target one of 0 to K - 1."""
    if probs.ndim != 2 or targets.shape != probs.shape[:1]:
        raise ConfigError(
            "metrics take probs (N, K) and targets (N,)", got=f"{probs.shape} and {targets.shape}"
        )
    if len(targets) and not (targets.min() >= 0 and targets.max() < probs.shape[1]):
        raise ConfigError(
            "a target is no class index",
            got=f"targets {targets.min()} to {targets.max()}, {probs.shape[1]} classes",
            fix="leave unlabelled pictures (-1) out before measuring",
        )
    if not np.isfinite(probs).all():
        raise ConfigError("probabilities are not finite", fix="look for NaN in the network's answers")


def measure(
    metrics: Mapping[str, Metric],
    probs: Probs,
    targets: Targets,
    *,
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Estimate]:
    """Every metric with its interval; all bootstrap intervals come from one set of resamples.

    Raises
    ------
    ConfigError : shapes do not fit, or a target is no class index.
    """
    check_shapes(probs, targets)
    done: dict[str, Estimate] = {}
    if len(targets) == 0:
        return dict.fromkeys(metrics, Estimate(math.nan, math.nan, math.nan))
    for name, metric in metrics.items():
        if metric.is_proportion and metric.each is not None:
            done[name] = proportion(metric.each(probs, targets), groups)
        elif metric.estimate is not None:
            done[name] = metric.estimate(probs, targets, seed)
    rest = {name: metric for name, metric in metrics.items() if name not in done}
    done |= _bootstrapped(rest, probs, targets, draws=draws, seed=seed, groups=groups)
    return {name: done[name] for name in metrics}


def _bootstrapped(
    metrics: Mapping[str, Metric],
    probs: Probs,
    targets: Targets,
    *,
    draws: int,
    seed: int,
    groups: NDArray[np.int64] | None,
) -> dict[str, Estimate]:
    resamplers = {name: metric.resampler(probs, targets) for name, metric in metrics.items()}
    values: dict[str, list[Floats]] = {name: [np.empty(0)] for name in metrics}
    for weights in bootstrap_weights(len(targets), draws, seed, groups):
        for name, resample in resamplers.items():
            values[name].append(resample(weights))
    return {
        name: centred_interval(
            metric.value(probs, targets), np.concatenate(values[name]), bounds=metric.bounds
        )
        for name, metric in metrics.items()
    }
