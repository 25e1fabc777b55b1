"""Intervals: how far a measured value may be from the truth because only so many pictures were seen.

Proportions get Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001 recommend it down to a few
pictures). Pictures of one group (one seller, one patient) resemble each other, so groups shrink the number
of pictures to Kish's effective one. Everything else gets a bootstrap over pictures or over whole groups,
done with weights for many draws at once. Two models on the same pictures are compared in pairs: McNemar's
exact test and a paired bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From weights (D, N) of N pictures in D draws to D values."""

LEVEL = 0.95
_BLOCK = 4_000_000  # weights held at one time: 32 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with the bounds of its interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain values for JSON; undefined numbers become None."""
        return {name: _finite(getattr(self, name)) for name in ("value", "low", "high")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Estimate:
        """The inverse of ``to_dict``."""
        return cls(*(math.nan if values[n] is None else float(values[n]) for n in ("value", "low", "high")))

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def wilson_bounds(k: Any, n: Any, level: int | float = LEVEL) -> tuple[Floats, Floats]:
    """Wilson's bounds for ``k`` of ``n``, element by element; 0 and 1 where ``n`` is 0."""
    z = _z(level)
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    safe = np.where(n > 0, n, 1.0)
    p = np.where(n > 0, k / safe, 0.5)
    centre = (p + z * z / (2 * safe)) / (1 + z * z / safe)
    half = z / (1 + z * z / safe) * np.sqrt(p * (1 - p) / safe + z * z / (4 * safe * safe))
    # at k = 0 and k = n the bound is exactly 0 or 1; rounding must not say otherwise
    low = np.where((n > 0) & (k > 0), np.clip(centre - half, 0, 1), 0.0)
    high = np.where((n > 0) & (k < n), np.clip(centre + half, 0, 1), 1.0)
    return low, high


def wilson(k: int | float, n: int | float, level: int | float = LEVEL) -> Estimate:
    """The proportion ``k / n`` with Wilson's score interval; NaN in [0, 1] when ``n`` is 0.

    Raises
    ------
    ConfigError : ``k`` is not between 0 and ``n``, or the level not between 0 and 1.
    """
    if not 0 <= k <= n:
        raise ConfigError("a proportion needs 0 <= k <= n", got=f"k={k}, n={n}")
    low, high = wilson_bounds(k, n, level)
    return Estimate(k / n if n else math.nan, float(low), float(high))


def _z(level: int | float) -> float:
    if not 0 < level < 1:
        raise ConfigError("the level of an interval lies between 0 and 1", got=str(level), fix="use 0.95")
    return NormalDist().inv_cdf((1 + level) / 2)


def group_numbers(groups: Any, n: int) -> NDArray[np.int64] | None:
    """(N,) number of each picture's group, or None where no group holds two pictures.

    ``groups`` is a sequence of names; None or "" is a picture on its own.
    """
    if groups is None:
        return None
    names = [f"g{name}" if name not in (None, "") else f"p{i}" for i, name in enumerate(groups)]
    if len(names) != n:
        raise ConfigError("one group name a picture is needed", got=f"{len(names)} names, {n} pictures")
    numbers = np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64) if n else None
    return None if numbers is None or int(numbers.max()) + 1 == n else numbers


def effective_number(right: Floats, groups: NDArray[np.int64] | None) -> float:
    """How many independent pictures the (N,) zeros and ones are worth (Kish 1965, design effect).

    Where all agree the spread between groups is unknown, and a group counts as one picture.
    """
    n = len(right)
    if groups is None or n == 0:
        return float(n)
    count = int(groups.max()) + 1
    p = float(right.mean())
    if count < 2 or p in (0.0, 1.0):
        return float(count)
    sums = np.bincount(groups, weights=right - p, minlength=count)
    effect = float((sums**2).sum()) * count / (count - 1) / (n * p * (1 - p))
    return n / max(1.0, effect)


def proportion(right: Any, groups: NDArray[np.int64] | None = None, level: int | float = LEVEL) -> Estimate:
    """The share of ones in ``right`` (N,), by Wilson with the effective number of pictures."""
    right = np.asarray(right, dtype=np.float64)
    if len(right) == 0:
        return wilson(0, 0, level)
    worth = effective_number(right, groups)
    p = float(right.mean())
    bounds = wilson(p * worth, worth, level)
    return Estimate(p, min(bounds.low, p), max(bounds.high, p))


def bootstrap_weights(
    n: int, draws: int, seed: int = 0, groups: NDArray[np.int64] | None = None
) -> Iterator[Floats]:
    """How often each of ``n`` pictures occurs in each resample, as blocks (D, N); the D add up to ``draws``.

    With ``groups`` whole groups are drawn. The same arguments give the same weights.
    """
    rng = np.random.default_rng(seed)
    units = n if groups is None else int(groups.max()) + 1
    block = max(1, min(draws, _BLOCK // max(1, n)))
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = rng.integers(units, size=(rows, units)) + units * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)
        yield weights if groups is None else weights[:, groups]


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
    level: int | float = LEVEL,
) -> Estimate:
    """The statistic of all pictures with a bootstrap interval.

    ``statistic`` goes from weights (D, N) to values (D,); all weights one give the observed value. With
    ``groups`` (N,), from ``group_numbers``, whole groups are drawn.
    """
    value = float(statistic(np.ones((1, n)))[0]) if n else math.nan
    if n == 0:
        return Estimate(value, math.nan, math.nan)
    values = np.concatenate([statistic(weights) for weights in bootstrap_weights(n, draws, seed, groups)])
    return centred_interval(value, values, level)


def centred_interval(
    value: float,
    draws: Floats,
    level: int | float = LEVEL,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Percentiles of the draws, shifted so that their mean is the observed value, within ``bounds``.

    The shift is the bootstrap's own estimate of bias: an ECE of resampled pictures, say, is larger than
    that of the pictures themselves, and its plain percentiles can lie above the value.
    """
    draws = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(draws) == 0:
        return Estimate(value, math.nan, math.nan)
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) - draws.mean() + value
    return Estimate(value, float(max(min(low, value), bounds[0])), float(min(max(high, value), bounds[1])))


def mcnemar(right_a: Any, right_b: Any) -> float:
    """Two-sided p of McNemar's exact test that models A and B are right equally often.

    ``right_a`` and ``right_b`` (N,) say for the same pictures, in the same order, which were right.
    """
    a, b = _pairs(right_a, right_b)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n = only_a + only_b
    terms = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2)
        for i in range(min(only_a, only_b) + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, terms)))


def paired_difference(
    right_a: Any,
    right_b: Any,
    *,
    draws: int = 2000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
    level: int | float = LEVEL,
) -> Estimate:
    """Accuracy of A minus accuracy of B on the same pictures, with a paired bootstrap interval."""
    a, b = _pairs(right_a, right_b)
    difference = a.astype(np.float64) - b.astype(np.float64)

    def mean(weights: Floats) -> Floats:
        return np.asarray(weights @ difference / weights.sum(1))

    return bootstrap(mean, len(difference), draws=draws, seed=seed, groups=groups, level=level)


def _pairs(right_a: Any, right_b: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    a, b = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a.shape != b.shape or a.ndim != 1:
        raise ConfigError("two models are compared on the same pictures", got=f"{a.shape} and {b.shape}")
    return a, b
