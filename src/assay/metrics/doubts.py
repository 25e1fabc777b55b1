"""Held-back answers, measured: how many are given, how many of those are wrong, whether the sets hold the truth.

The promise (``assay.decide``) was made on other pictures; here stands what was found, with intervals, to be read
beside it. Over groups the share of wrong answers is found twice: over answers, and with every group counting alike,
as the promise counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import ClassNames
from assay.metrics.interval import Estimate, bootstrap, proportion
from assay.types import Doubt

_PREFIX = "doubt_"


@dataclass(frozen=True, eq=False)
class Doubts:
    """What was said of N answers: whether held back and why, and the sets of possible classes.

    ``unsure``, ``unknown`` and ``holds`` (N,) bool: below the threshold, unlike known pictures, the set has the true
    class. ``known`` (N,) is the share of known pictures that look as strange, NaN where not measured; ``sizes`` (N,)
    are classes a set. ``thresholds`` tells those that were applied from others (``Abstention.digest``).
    """

    unsure: NDArray[np.bool_]
    unknown: NDArray[np.bool_]
    holds: NDArray[np.bool_]
    known: NDArray[np.float64]
    sizes: NDArray[np.int64]
    thresholds: str = ""

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N,) whether an answer was given."""
        return np.asarray(~(self.unsure | self.unknown))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """For an npz file, under names of their own."""
        return {_PREFIX + name: np.asarray(getattr(self, name)) for name in self.__dataclass_fields__}


def gather_doubts(
    doubts: Sequence[Doubt], targets: NDArray[np.int64], classes: ClassNames, thresholds: str = ""
) -> Doubts:
    """The arrays of N answers; ``targets`` (N,) in the order of ``classes``."""
    return Doubts(
        np.array(["unsure" in d.reasons for d in doubts], dtype=bool),
        np.array(["unknown" in d.reasons for d in doubts], dtype=bool),
        np.array([classes[int(t)] in d.labels for d, t in zip(doubts, targets, strict=True)], dtype=bool),
        np.array([d.known for d in doubts], dtype=np.float64),
        np.array([len(d.labels) for d in doubts], dtype=np.int64),
        thresholds,
    )


def read_doubts(arrays: Mapping[str, NDArray[Any]], n: int) -> Doubts | None:
    """What ``Doubts.arrays`` gave; None where an evaluation has none. Raises ValueError when they do not fit."""
    names = {name: _PREFIX + name for name in Doubts.__dataclass_fields__}
    if names["unsure"] not in arrays:
        return None
    found = {name: arrays[key] for name, key in names.items()}
    thresholds = str(found.pop("thresholds"))
    if any(value.shape != (n,) for value in found.values()):
        raise ValueError("doubts are not one a picture")
    return Doubts(**found, thresholds=thresholds)


def measure_doubts(
    doubts: Doubts,
    right: NDArray[np.bool_],
    groups: NDArray[np.int64] | None = None,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """By name: coverage, risk, risk_by_group (with groups), set_coverage, set_size, called_unknown.

    ``right`` (N,) whether answers are right; ``groups`` (N,) from ``group_numbers``. NaN where no answer was given.
    """
    given = doubts.answered
    inside = None if groups is None else _numbered(groups[given])
    found = {
        "coverage": proportion(given, groups),
        "risk": proportion(~right[given], inside),
    }
    if groups is not None:
        found["risk_by_group"] = _risk_by_group(given, right, groups, draws, seed)
    sizes = doubts.sizes.astype(np.float64)

    def mean_size(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weights @ sizes / weights.sum(1))

    found["set_coverage"] = proportion(doubts.holds, groups)
    found["set_size"] = bootstrap(mean_size, len(sizes), draws=draws, seed=seed, groups=groups)
    found["called_unknown"] = proportion(doubts.unknown, groups)
    return found


def _risk_by_group(
    given: NDArray[np.bool_], right: NDArray[np.bool_], groups: NDArray[np.int64], draws: int, seed: int
) -> Estimate:
    """Mean share wrongly answered over mean share answered, every group counting alike."""
    weight = 1 / np.bincount(groups)[groups]
    wrong, answered = weight * (given & ~right), weight * given

    def ratio(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((drawn @ wrong) / (drawn @ answered))

    return bootstrap(ratio, len(given), draws=draws, seed=seed, groups=groups)


def _numbered(groups: NDArray[np.int64]) -> NDArray[np.int64] | None:
    return np.unique(groups, return_inverse=True)[1].astype(np.int64) if len(groups) else None
