"""Prediction sets: the classes that remain possible, holding the true one with a wished probability.

Split conformal prediction (Vovk et al. 2005). Scores of a class y: ``lac`` is 1 - p(y) (Sadinle, Lei and Wasserman
2019): the smallest sets on average, and nothing to tune, so it is the default. ``raps`` adds up the probabilities down
to y with a penalty for long lists (Romano et al. 2020; Angelopoulos et al. 2021; without their randomisation, so that
the same picture always gets the same set, at the price of somewhat larger sets): sets that vary more with how hard a
picture is.

The limit is the quantile of the calibration scores in which a new picture would have weight 1 / (units + 1) and the
score infinity. Over groups it is the hierarchical one (Lee, Barber and Willett 2023, arXiv:2306.06342; cf. Dunn,
Wasserman and Ramdas 2022): each group has weight 1 / (groups + 1), shared by its pictures. P(a picture of a new group
has its class in the set) >= coverage, where groups are exchangeable. No set is empty: the answer itself is always in
it, which can only add to the coverage.

Where pictures are exchangeable and every class has at least ``_ENOUGH / (1 - coverage)`` of them, limits are by class
(Vovk 2012), and the promise holds for each class on its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError

Floats = NDArray[np.float64]

KINDS = ("lac", "raps")
PENALTY, FREE = 0.01, 5
"""RAPS: added for each class beyond the first so many, as its authors chose for ImageNet."""

_ENOUGH = 5


@dataclass(frozen=True)
class PredictionSets:
    """Limits of the score, one for all classes or one a class; ``inf`` keeps every class.

    ``found`` and ``mean_size`` are of the calibration pictures: share of sets with the true class, classes a set.
    """

    kind: str
    coverage: float
    limits: tuple[float, ...]
    found: float
    mean_size: float

    @property
    def by_class(self) -> bool:
        """Whether the promise holds for each class on its own."""
        return len(self.limits) > 1

    @property
    def is_empty_promise(self) -> bool:
        """Whether there were too few pictures: every set holds every class."""
        return any(math.isinf(limit) for limit in self.limits)

    def sets(self, probs: Any) -> NDArray[np.bool_]:
        """(N, K) which classes remain possible; never none."""
        values = np.asarray(probs, dtype=np.float64)
        return _sets(values, class_scores(values, self.kind), np.array(self.limits))


def fit_sets(
    probs: Any,
    targets: Any,
    *,
    coverage: float,
    groups: NDArray[np.int64] | None = None,
    kind: str = "lac",
    by_class: bool | None = None,
) -> PredictionSets:
    """Limits under which the set holds the true class with at least this probability.

    Parameters
    ----------
    probs, targets : (N, K) and (N,) of pictures that the network was not trained on.
    groups : (N,) number of each picture's group where groups are exchangeable; None where pictures are.
    by_class : a limit for each class; where every class has enough pictures, when not given.

    Raises
    ------
    ConfigError : an unknown kind, shapes that do not fit, coverage not between 0 and 1.
    """
    values, truth = np.asarray(probs, dtype=np.float64), np.asarray(targets)
    if values.ndim != 2 or truth.shape != values.shape[:1] or not len(truth):
        raise ConfigError("sets need probs (N, K) and targets (N,)", got=f"{values.shape} and {truth.shape}")
    if not 0 < coverage < 1:
        raise ConfigError(f"coverage is {coverage}", fix="give a number between 0 and 1, e.g. 0.9")
    scores = class_scores(values, kind)
    own = scores[np.arange(len(truth)), truth]
    counts = np.bincount(truth, minlength=values.shape[1])
    if by_class is None:
        by_class = groups is None and len(counts) > 1 and bool(counts.min() * (1 - coverage) >= _ENOUGH)
    if by_class:
        limits = tuple(upper_quantile(own[truth == k], coverage) for k in range(values.shape[1]))
    else:
        limits = (upper_quantile(own, coverage, groups),)
    held = _sets(values, scores, np.array(limits))
    found = float(held[np.arange(len(truth)), truth].mean())
    return PredictionSets(kind, coverage, limits, found, float(held.sum(1).mean()))


def class_scores(probs: Floats, kind: str) -> Floats:
    """(N, K) how badly each class fits; the set holds those up to the limit.

    Raises
    ------
    ConfigError : the kind is unknown.
    """
    if kind == "lac":
        return 1 - probs
    if kind != "raps":
        raise ConfigError(f"unknown kind of sets {kind!r}", fix=f"choose from {', '.join(KINDS)}")
    order = np.argsort(-probs, axis=1, kind="stable")
    down = np.cumsum(np.take_along_axis(probs, order, 1), axis=1)
    down += PENALTY * np.maximum(0, np.arange(1, probs.shape[1] + 1) - FREE)
    scores = np.empty_like(down)
    np.put_along_axis(scores, order, down, 1)
    return scores


def upper_quantile(scores: Any, share: float, groups: NDArray[np.int64] | None = None) -> float:
    """The least score s with P(new score <= s) >= ``share``: infinity where there are too few units for one."""
    values = np.asarray(scores, dtype=np.float64)
    weight = unit_weights(len(values), groups)
    units = round(float(weight.sum()))
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weight[order])
    place = int(np.searchsorted(mass, share * (units + 1) - 1e-9))
    return float(values[order][place]) if place < len(values) else math.inf


def unit_weights(n: int, groups: NDArray[np.int64] | None) -> Floats:
    """(N,) weights that add up to the number of units: one a picture, or one a group shared by its pictures."""
    if groups is None:
        return np.ones(n)
    return np.asarray(1 / np.bincount(groups)[groups])


def _sets(probs: Floats, scores: Floats, limits: Floats) -> NDArray[np.bool_]:
    held = scores <= limits
    held[np.arange(len(probs)), probs.argmax(1)] = True
    return np.asarray(held)
