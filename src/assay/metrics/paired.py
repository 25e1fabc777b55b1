"""Two models in pairs, beyond one right or wrong a picture: several seeds, whole groups, small classes, many tests.

With S seeds a model is right in a share of them, so a picture's difference lies anywhere from -1 to 1. Its test is
the sign-flip randomisation test (Fisher 1935), which for one seed and single pictures is McNemar's exact test.
Where training runs are few, their own spread belongs into the interval (Bouthillier et al. 2021): pictures and seeds
are then drawn anew together. Small classes get Newcombe's interval (1998, method 10) in place of a bootstrap, which
is too sure of a few pictures. Several tests are corrected by Holm (1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.metrics.interval import (
    LEVEL,
    Estimate,
    Floats,
    bootstrap_weights,
    centred_interval,
    wilson_bounds,
)

_EXACT = 16  # up to so many units that differ, all sign patterns are tried
_NORMAL = 20_000  # beyond so many, the sum of signs is as good as normal
_BLOCK = 4_000_000


def holm(values: Sequence[float]) -> list[float]:
    """P values corrected for their number, in the same order: the family makes a false claim in at most that share."""
    m = len(values)
    corrected, least = [0.0] * m, 0.0
    for rank, i in enumerate(sorted(range(m), key=lambda i: values[i])):
        least = max(least, min(1.0, (m - rank) * values[i]))
        corrected[i] = least
    return corrected


def flip_test(
    differences: Floats, groups: NDArray[np.int64] | None = None, *, draws: int = 10_000, seed: int = 0
) -> float:
    """Two-sided p that the mean of ``differences`` (N,) is 0: each picture's, or group's, sign was a coin's choice.

    Exact for up to 16 units with a difference; else from ``draws`` random patterns, or the normal limit for many.
    """
    sums = differences if groups is None else np.bincount(groups, weights=differences)
    units = sums[np.abs(sums) > 1e-12]
    if len(units) == 0:
        return 1.0
    reached = abs(float(units.sum())) - 1e-9
    if len(units) > _NORMAL:
        return math.erfc(reached / math.sqrt(2 * float((units**2).sum())))
    if len(units) <= _EXACT:
        patterns = (np.arange(2 ** len(units))[:, None] >> np.arange(len(units))) & 1
        return float((np.abs((2 * patterns - 1) @ units) >= reached).mean())
    rng, extreme, block = np.random.default_rng(seed), 0, max(1, _BLOCK // len(units))
    for start in range(0, draws, block):
        signs = rng.integers(0, 2, size=(min(block, draws - start), len(units)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ units) >= reached).sum())
    return (1 + extreme) / (1 + draws)


def mean_differences(
    columns: Floats, *, draws: int = 2000, seed: int = 0, groups: NDArray[np.int64] | None = None
) -> list[Estimate]:
    """The mean of each column of (N, M) with a bootstrap interval; all from one set of resamples."""
    n = len(columns)
    if n == 0:
        return [Estimate(math.nan, math.nan, math.nan)] * columns.shape[1]
    found = np.concatenate(
        [
            weights @ columns / weights.sum(1, keepdims=True)
            for weights in bootstrap_weights(n, draws, seed, groups)
        ]
    )  # D M
    means = columns.mean(0)
    return [centred_interval(float(mean), found[:, j]) for j, mean in enumerate(means)]


def difference_over_seeds(
    right_a: Floats,
    right_b: Floats,
    *,
    draws: int = 2000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> Estimate:
    """Mean accuracy of A minus that of B, with an interval for new pictures and new training runs alike.

    ``right_a`` (S, N) and ``right_b`` (T, N) are zeros and ones: a row a seed, a column a picture. In each draw
    pictures (or groups) and, for either model, seeds are resampled. A few seeds resampled spread less than new ones
    would: the missing factor sqrt(S / (S - 1)) is put back. With one seed each it is the interval over pictures.
    """
    if right_a.ndim != 2 or right_b.ndim != 2 or right_a.shape[1] != right_b.shape[1]:
        raise ConfigError("seeds are rows, pictures columns", got=f"{right_a.shape} and {right_b.shape}")
    n, rng = right_a.shape[1], np.random.default_rng([seed, 1])
    value = float(right_a.mean() - right_b.mean()) if n else math.nan
    if n == 0:
        return Estimate(value, math.nan, math.nan)
    found = []
    for weights in bootstrap_weights(n, draws, seed, groups):
        share = weights / weights.sum(1, keepdims=True)
        found.append(redrawn(share @ right_a.T, rng) - redrawn(share @ right_b.T, rng))
    return centred_interval(value, np.concatenate(found))


def redrawn(scores: Floats, rng: np.random.Generator) -> Floats:
    """(D, S) scores of S seeds -> (D,) means of S seeds drawn anew."""
    draws, seeds = scores.shape
    if seeds == 1:
        return scores[:, 0]
    middle = scores.mean(1, keepdims=True)
    wide = middle + math.sqrt(seeds / (seeds - 1)) * (scores - middle)
    return np.asarray(np.take_along_axis(wide, rng.integers(seeds, size=(draws, seeds)), 1).mean(1))


def newcombe_difference(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    groups: NDArray[np.int64] | None = None,
    level: int | float = LEVEL,
) -> Estimate:
    """Share right of A minus that of B on the same pictures, by Newcombe's score interval; sound for few pictures.

    Pictures in groups count as the effective number of independent ones (Kish's design effect of the difference).
    """
    n = len(right_a)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan)
    both, only_a = float((right_a & right_b).sum()), float((right_a & ~right_b).sum())
    only_b, neither = float((right_b & ~right_a).sum()), float((~right_a & ~right_b).sum())
    value = (only_a - only_b) / n
    shrink = _worth(right_a.astype(np.float64) - right_b, groups) / n
    both, only_a, only_b, neither = (count * shrink for count in (both, only_a, only_b, neither))
    worth = n * shrink
    p, q = (both + only_a) / worth, (both + only_b) / worth
    (p_low, q_low), (p_high, q_high) = (
        bound.tolist() for bound in wilson_bounds([p * worth, q * worth], [worth, worth], level)
    )
    phi = _phi(both, only_a, only_b, neither)
    below = math.sqrt(max(0.0, (p - p_low) ** 2 - 2 * phi * (p - p_low) * (q_high - q) + (q_high - q) ** 2))
    above = math.sqrt(max(0.0, (p_high - p) ** 2 - 2 * phi * (p_high - p) * (q - q_low) + (q - q_low) ** 2))
    return Estimate(value, max(-1.0, value - below), min(1.0, value + above))


def _phi(both: float, only_a: float, only_b: float, neither: float) -> float:
    """Correlation of the two answers, pulled towards 0 as Newcombe does."""
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if product <= 0:
        return 0.0
    excess = both * neither - only_a * only_b
    if excess > 0:
        excess = max(excess - (both + only_a + only_b + neither) / 2, 0.0)
    return excess / math.sqrt(product)


def _worth(differences: Floats, groups: NDArray[np.int64] | None) -> float:
    """How many independent pictures ``differences`` (N,) are worth; a group counts as one where none differ."""
    n = len(differences)
    if groups is None:
        return float(n)
    numbers = np.unique(groups, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    spread = float(differences.var())
    if count < 2 or spread == 0:
        return float(count)
    sums = np.bincount(numbers, weights=differences - differences.mean())
    effect = float((sums**2).sum()) * count / (count - 1) / (n * spread)
    return n / max(1.0, effect)
