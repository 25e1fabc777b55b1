"""Whether the stated probabilities can be believed, and the temperature that makes them so.

ECE has 15 bins of equal mass (Nixon et al. 2019) over the confidence of the answer; equal confidences share
a bin, so the order of pictures changes nothing. ECE is above zero even for a perfectly calibrated model,
because of chance: ``ece_floor`` says by how much. Temperature scaling is Guo et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.metrics.classify import right
from assay.metrics.interval import Estimate, Floats, wilson_bounds
from assay.metrics.metric import Metric, Probs, Targets

LEAST_PROBABILITY = 1e-12
"""NLL counts smaller probabilities as this one: at most 27.6 nats a picture."""
BINS = 15
TEMPERATURES = (0.05, 20.0)
PRIOR_SPREAD = 0.5
"""Spread of log T about 0 before the pictures are seen: matters for dozens of pictures, not for hundreds."""


def losses(probs: Probs, targets: Targets) -> Floats:
    """(N,) negative log-probability of the target, in nats, clipped at ``LEAST_PROBABILITY``."""
    own = np.take_along_axis(probs, targets[:, None], 1)[:, 0].astype(np.float64)
    return np.asarray(-np.log(np.clip(own, LEAST_PROBABILITY, 1.0)))


def nll(probs: Probs, targets: Targets) -> float:
    """Mean negative log-likelihood in nats."""
    return float(losses(probs, targets).mean()) if len(targets) else math.nan


def squared_errors(probs: Probs, targets: Targets) -> Floats:
    """(N,) squared distance of the probabilities from the truth, summed over classes: 0 to 2."""
    wide = probs.astype(np.float64)
    own = np.take_along_axis(wide, targets[:, None], 1)[:, 0]
    return np.asarray((wide**2).sum(1) - 2 * own + 1)


def brier(probs: Probs, targets: Targets) -> float:
    """Brier's score as he defined it in 1950, summed over classes: 0 is best, 2 worst."""
    return float(squared_errors(probs, targets).mean()) if len(targets) else math.nan


def equal_mass_bins(confidence: Floats, bins: int = BINS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(order (N,), starts (B,)): pictures by rising confidence, and where each of up to ``bins`` bins begins.

    A bin begins with the first of equal confidences, so bins are as equal as ties allow.
    """
    order = np.argsort(confidence, kind="stable")
    ordered = confidence[order]
    cuts = np.unique(np.arange(bins) * len(ordered) // bins)
    return order, np.unique(np.searchsorted(ordered, ordered[cuts], "left")).astype(np.int64)


def ece(probs: Probs, targets: Targets) -> float:
    """Expected calibration error of the answer's confidence, 15 bins of equal mass."""
    if len(targets) == 0:
        return math.nan
    return float(_ece_draws(probs, targets)(np.ones((1, len(targets))))[0])


def _ece_draws(probs: Probs, targets: Targets) -> Callable[[Floats], Floats]:
    confidence = probs.max(1).astype(np.float64)
    order, starts = equal_mass_bins(confidence)
    gap = (right(probs, targets) - confidence)[order]

    def draw(weights: Floats) -> Floats:
        # sum over bins of |right - confident| needs no division by the size of the bin
        sums = np.add.reduceat(weights[:, order] * gap, starts, axis=1)
        return np.asarray(np.abs(sums).sum(1) / weights.sum(1))

    return draw


def floor_estimate(probs: Probs, _targets: Any, seed: int = 0, draws: int = 200) -> Estimate:
    """The ECE of a perfectly calibrated model with these confidences: mean and range of simulated ones.

    An ``ece`` above ``high`` is more than chance.
    """
    if len(probs) == 0:
        return Estimate(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    order, starts = equal_mass_bins(confidence := probs.max(1).astype(np.float64))
    ordered = confidence[order]
    values = np.empty(draws)
    for i in range(draws):
        gap = (rng.random(len(ordered)) < ordered) - ordered
        values[i] = np.abs(np.add.reduceat(gap, starts)).sum() / len(ordered)
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(float(values.mean()), float(low), float(high))


def ece_floor(probs: Probs, targets: Targets) -> float:
    """The mean ECE that a perfectly calibrated model would show with these confidences."""
    return floor_estimate(probs, targets).value


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bin of the reliability diagram: mean confidence, share right with Wilson's bounds, pictures."""

    confidence: float
    right: float
    low: float
    high: float
    n: int


def reliability_bins(probs: Probs, targets: Targets, bins: int = BINS) -> list[ReliabilityBin]:
    """The bins of the reliability diagram, by rising confidence; at least 10 pictures in each."""
    if len(targets) == 0:
        return []
    confidence = probs.max(1).astype(np.float64)
    order, starts = equal_mass_bins(confidence, max(1, min(bins, len(targets) // 10)))
    sizes = np.diff(np.append(starts, len(order)))
    hits = np.add.reduceat(right(probs, targets)[order], starts)
    mean = np.add.reduceat(confidence[order], starts) / sizes
    low, high = wilson_bounds(hits, sizes)
    return [
        ReliabilityBin(float(m), float(h / s), float(lo), float(hi), int(s))
        for m, h, s, lo, hi in zip(mean, hits, sizes, low, high, strict=True)
    ]


def fit_temperature(logits: NDArray[Any], targets: Targets) -> float:
    """The temperature T that minimises the NLL of softmax(logits / T), between 0.05 and 20.

    ``logits`` (N, K), ``targets`` (N,). log T has a normal prior about 0 (spread ``PRIOR_SPREAD``): with a
    handful of pictures, or a validation part without a single mistake (where the NLL alone would ask for
    T = 0), T stays sane; with no picture it is 1.

    Raises
    ------
    ConfigError : shapes do not fit, or logits are not finite.
    """
    logits, targets = np.asarray(logits), np.asarray(targets)
    if logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise ConfigError(
            "temperature takes logits (N, K) and targets (N,)", got=f"{logits.shape} and {targets.shape}"
        )
    if not np.isfinite(logits).all():
        raise ConfigError("logits are not finite", fix="look for NaN in the network's answers")
    low, high = (math.log(t) for t in TEMPERATURES)
    u = 0.0
    for _ in range(60):  # Newton on the slope in u = log T; a bisection where a step leaves the bracket
        slope, curve = _slope(logits, targets, u)
        if slope == 0:
            break
        low, high = (u, high) if slope < 0 else (low, u)
        step = u - slope / curve if curve > 0 else math.inf
        following = step if low < step < high else (low + high) / 2
        if abs(following - u) < 1e-7:
            break
        u = following
    return math.exp(u)


def _slope(logits: NDArray[Any], targets: Targets, u: float) -> tuple[float, float]:
    """First and second derivative in u = log T of the summed NLL with the prior, in constant memory."""
    beta, first, second = math.exp(-u), 0.0, 0.0
    for start in range(0, len(targets), 8192):
        z = logits[start : start + 8192].astype(np.float64)
        z -= z.max(1, keepdims=True)
        p = np.exp(beta * z)
        p /= p.sum(1, keepdims=True)
        mean = (p * z).sum(1)
        own = np.take_along_axis(z, targets[start : start + 8192, None], 1)[:, 0]
        first += float((mean - own).sum())
        second += float(((p * z * z).sum(1) - mean**2).sum())
    prior = 1 / PRIOR_SPREAD**2
    return -beta * first + u * prior, beta * beta * second + beta * first + prior


NLL = Metric(nll, "NLL", better="lower", bounds=(0.0, math.inf), each=losses)
BRIER = Metric(brier, "Brier score", better="lower", bounds=(0.0, 2.0), each=squared_errors)
ECE = Metric(ece, "ECE", better="lower", draws=_ece_draws)
ECE_FLOOR = Metric(ece_floor, "ECE floor", better="lower", estimate=floor_estimate)
