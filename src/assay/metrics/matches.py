"""Which detection found which thing: COCO's greedy matching, at ten thresholds of overlap at once.

Class by class and picture by picture, the best detection chooses first: the free thing that it overlaps most, if by
at least the threshold; of equal overlaps the last. Only where there is none may it fall on a crowd, and then counts
neither as right nor as wrong. These are the rules of COCOeval (https://github.com/cocodataset/cocoapi,
``evaluateImg``). All first detections of all pictures and classes choose together, then all second ones, and so on, so
the number of steps is that of the most detections in one place.

COCO looks at the best 100 detections of a class in a picture. That is a rule of average precision, and is kept there:
what a detector finds among 200 cells is counted to the last one.

What is kept, one partner a detection and threshold, is enough for average precision of any resample of the pictures
(``average_precision``), for counts and thresholds (``operating_point``) and for reliability, without matching again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.detections import Detections
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.metrics.interval import Floats
from assay.metrics.pool import Ints, Pairs, Pool, overlapping, pool
from assay.objects import Objects

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.linspace(0.5, 0.95, 10))
"""COCO's thresholds of overlap: 0.50, 0.55, ... 0.95."""


@dataclass(frozen=True, eq=False)
class Matches:
    """M detections with their partners at T thresholds.

    ``order`` (M,) are positions in ``pool.found``: class by class, best score first, equal scores by picture.
    ``partner`` (M, T) int32 is the position in ``pool.truth`` of what a detection found, or -1. ``rank`` (M,) counts
    the detections of a class in a picture from the best one, 0.
    """

    pool: Pool
    thresholds: tuple[float, ...]
    order: Ints
    partner: NDArray[np.int32]
    rank: Ints

    @property
    def n(self) -> int:
        """Number of pictures."""
        return self.pool.n

    @cached_property
    def picture(self) -> Ints:
        """(M,) number of each detection's picture."""
        return np.asarray(self.pool.found.picture[self.order])

    @cached_property
    def label(self) -> Ints:
        """(M,) class of each detection; never falls."""
        return np.asarray(self.pool.found.label[self.order])

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """(M,) falls within a class."""
        return np.asarray(self.pool.scores[self.order])

    @cached_property
    def on_crowd(self) -> NDArray[np.bool_]:
        """(M, T) whether a detection fell on a crowd: neither right nor wrong."""
        crowd = np.append(self.pool.crowd, False)  # the last one is for -1
        return np.asarray(crowd[self.partner])

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(M, T) whether a detection found a thing of its own."""
        return np.asarray((self.partner >= 0) & ~self.on_crowd)

    def column(self, iou: float) -> int:
        """The position of a threshold of overlap.

        Raises
        ------
        ConfigError : nothing was matched at this threshold.
        """
        for t, threshold in enumerate(self.thresholds):
            if abs(threshold - iou) < 1e-9:
                return t
        known = ", ".join(f"{t:.2f}" for t in self.thresholds)
        raise ConfigError(f"nothing was matched at an overlap of {iou}", got=f"matched at {known}")


def match_detections(
    truth: Sequence[Objects | None], found: Sequence[Detections], classes: ClassNames, *, kind: str = "boxes"
) -> Matches:
    """Match the detections of many pictures at COCO's thresholds; pictures whose truth is None are left out.

    Raises
    ------
    ConfigError, DatasetError : as ``pool``.
    """
    return match(pool(truth, found, classes, kind=kind))


def match(of: Pool, thresholds: Sequence[float] = THRESHOLDS) -> Matches:
    """Match a pool at these thresholds of overlap.

    Raises
    ------
    ConfigError : a threshold is not above 0 and at most 1, or none is given.
    """
    levels = tuple(float(t) for t in thresholds)
    if not levels or not all(0 < t <= 1 for t in levels):
        raise ConfigError("thresholds of overlap are above 0 and at most 1", got=str(levels))
    cells = of.found.picture * len(of.classes) + of.found.label
    by_cell = np.argsort(cells, kind="stable")  # within a picture detections come best first
    rank = np.empty(len(cells), np.int64)
    rank[by_cell] = _ranks(cells[by_cell])
    pairs = overlapping(of, by_cell, min(levels) - 1e-10, same_class=True)
    partner = _greedy(of, pairs, cells, np.minimum(np.array(levels), 1 - 1e-10))
    order = np.lexsort((-of.scores, of.found.label))  # stable: equal scores by picture
    return Matches(of, levels, order, partner[order], rank[order])


def _ranks(cells: Ints) -> Ints:
    """(M,) 0, 1, 2, ... within each run of equal values."""
    begins = np.r_[True, cells[1:] != cells[:-1]][: len(cells)]
    positions = np.arange(len(cells))
    return positions - np.maximum.accumulate(np.where(begins, positions, 0))


def _greedy(of: Pool, pairs: Pairs, cells: Ints, levels: Floats) -> NDArray[np.int32]:
    """(all detections, T) the partner of each, or -1."""
    partner = np.full((len(of.found), len(levels)), -1, np.int32)
    taken = np.zeros((len(of.truth), len(levels)), bool)
    crowd = of.crowd[pairs.truth]
    begins = np.r_[True, pairs.found[1:] != pairs.found[:-1]][: len(pairs.found)]
    runs = np.cumsum(begins) - 1  # number of each pair's detection among those that overlap anything
    turns = _ranks(cells[pairs.found[begins]])[runs]
    # the order in which a detection likes its pairs does not depend on the threshold
    liked = np.lexsort((-pairs.truth, -pairs.iou, crowd, runs, turns))
    ends: list[int] = np.cumsum(np.bincount(turns)).tolist()
    start = 0
    for stop in ends:
        rows = liked[start:stop]
        _choose(partner, taken, (pairs.found[rows], pairs.truth[rows], pairs.iou[rows], crowd[rows]), levels)
        start = stop
    return partner


def _choose(
    partner: NDArray[np.int32],
    taken: NDArray[np.bool_],
    turn: tuple[Ints, Ints, Floats, NDArray[np.bool_]],
    levels: Floats,
) -> None:
    """One turn: detections of different pictures or classes each take the first thing that they may have."""
    found, truth, iou, crowd = turn
    may = (iou[:, None] >= levels) & (crowd[:, None] | ~taken[truth])  # P T
    starts = np.flatnonzero(np.r_[True, found[1:] != found[:-1]])
    none = len(found)
    first = np.minimum.reduceat(np.where(may, np.arange(none)[:, None], none), starts)  # D T
    chosen = np.append(truth, -1)[first]
    partner[found[starts]] = chosen
    detection, level = np.nonzero(first < none)
    taken[chosen[detection, level], level] = True
