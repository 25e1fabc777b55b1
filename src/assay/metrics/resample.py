"""Several scores from one set of resamples: each is a function of how much every picture counts.

A score that is had from sums over pictures (an IoU, an AP) is worked out for thousands of weightings at once, and all
scores of one measurement share the draws. Two networks are compared by handing in their difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.interval import Estimate, Floats, bootstrap_weights, centred_interval

Scores = Callable[[Floats], dict[str, Floats]]
"""From weights (D, N) of N pictures to (D,) values of each score; weights of one give what was observed."""


def estimates(
    scores: Scores,
    n: int,
    *,
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Estimate]:
    """Every score with a bootstrap interval over ``n`` pictures, or whole ``groups`` (N,) (``group_numbers``)."""
    value = scores(np.ones((1, n)))
    drawn = [scores(weights) for weights in bootstrap_weights(n, draws, seed, groups)] if n else []
    return {
        name: centred_interval(
            float(value[name][0]), np.concatenate([np.empty(0), *(one[name] for one in drawn)]), bounds=bounds
        )
        for name in value
    }


def difference(a: Scores, b: Scores) -> Scores:
    """A minus B, of the scores that both have, on the same draws."""

    def minus(weights: Floats) -> dict[str, Floats]:
        mine, theirs = a(weights), b(weights)
        return {name: mine[name] - theirs[name] for name in mine if name in theirs}

    return minus


def share(part: Any, whole: Any) -> Floats:
    """``part / whole``, element by element; NaN where there is no whole."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return found


def mean_known(values: Floats) -> Floats:
    """(...,) the mean over the last axis of what is not NaN; NaN where nothing is known."""
    known = np.isfinite(values)
    return share(np.where(known, values, 0.0).sum(-1), known.sum(-1))
