"""COCO's average precision from matches, for many weightings of the pictures: intervals without matching again.

AP is the mean over 101 recalls of the best precision at that recall or beyond, then over classes that have things
(Lin et al. 2014; https://cocodataset.org/#detection-eval). A resample draws some pictures twice and some not at all,
which is a weight a picture. Matches lie sorted by class and score, so a weighted AP is running sums over them.
Precision falls where a detection is wrong, so its best values lie at right ones, and only these are looked at.

With all weights one the values are COCOeval's. Detections of equal score come in the order of their pictures, as
there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from assay.errors import DatasetError
from assay.metrics.interval import Estimate, Floats
from assay.metrics.matches import Matches
from assay.metrics.resample import Scores, difference, estimates, mean_known

RECALLS: Floats = np.linspace(0.0, 1.0, 101)
MOST = 100
"""So many detections of one class in one picture count, the best ones."""


def precisions(matches: Matches) -> Callable[[Floats], Floats]:
    """From weights (D, N) of the pictures to AP (D, T, K); NaN where a class has no things."""
    ranking = _Ranking(matches)

    def weigh(weights: Floats) -> Floats:
        things = weights @ matches.pool.positives  # D K
        return np.stack([ranking.weigh(row, own) for row, own in zip(weights, things, strict=True)])

    return weigh


class _Ranking:
    """Matches made ready for weights: where each right detection stands among all of its class."""

    def __init__(self, matches: Matches) -> None:
        kept = matches.rank < MOST
        self.picture, label = matches.picture[kept], matches.label[kept]
        self.shape = (len(matches.thresholds), len(matches.pool.classes))
        level, self.position = np.nonzero(matches.right[kept].T)  # R: by threshold, class, falling score
        self.label = label[self.position]
        self.segment = level * self.shape[1] + self.label
        self.begins = np.r_[True, self.segment[1:] != self.segment[:-1]][: len(self.segment)]
        self.first = np.searchsorted(label, self.label, "left")
        # detections on crowds do not count: how many stand before each right one, at its threshold
        crowd_level, self.ignored = np.nonzero(matches.on_crowd[kept].T)
        places = crowd_level * (len(self.picture) + 1) + self.ignored
        self.ignored_until, self.ignored_from = (
            np.searchsorted(places, level * (len(self.picture) + 1) + to)
            for to in (self.position, self.first)
        )

    def weigh(self, weights: Floats, things: Floats) -> Floats:
        """(T, K) AP of pictures with ``weights`` (N,), of which ``things`` (K,) are the weighted things."""
        counted = np.append(0.0, np.cumsum(weights[self.picture]))
        seen = counted[self.position + 1] - counted[self.first]
        if len(self.ignored):
            apart = np.append(0.0, np.cumsum(weights[self.picture[self.ignored]]))
            seen -= apart[self.ignored_until] - apart[self.ignored_from]
        right = _sums_within(weights[self.picture[self.position]], self.begins)
        of = things[self.label]
        precision = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
        recall = np.divide(right, of, out=np.zeros_like(right), where=of > 0)
        return self._averaged(precision, recall, things)

    def _averaged(self, precision: Floats, recall: Floats, things: Floats) -> Floats:
        best = _best_from_here(precision, self.segment)
        reached = np.searchsorted(RECALLS, recall, "right")  # how many of the 101 recalls lie up to here
        new = np.diff(reached, prepend=0)
        new[self.begins] = reached[self.begins]
        levels, classes = self.shape
        sums = np.bincount(self.segment, weights=best * new, minlength=levels * classes)
        return np.where(things > 0, sums.reshape(levels, classes) / len(RECALLS), np.nan)


def _sums_within(values: Floats, begins: NDArray[np.bool_]) -> Floats:
    """(R,) running sums that start anew at each begin."""
    sums = np.cumsum(values)
    starts = np.flatnonzero(begins)
    before = (sums - values)[starts]
    return sums - np.repeat(before, np.diff(np.append(starts, len(values))))


def _best_from_here(precision: Floats, segment: NDArray[np.int64]) -> Floats:
    """(R,) the greatest precision at each place or behind it, within its segment."""
    # earlier segments are lifted above later ones, so one running maximum from the end serves all
    lift = -2.0 * segment
    return np.asarray(np.maximum.accumulate((precision + lift)[::-1])[::-1] - lift)


def scores(matches: Matches) -> Scores:
    """From weights (D, N) to ``ap50_95`` and, where their overlaps were matched, ``ap50`` and ``ap75``: (D,) each."""
    weigh = precisions(matches)
    columns = {
        name: t
        for name, iou in (("ap50", 0.5), ("ap75", 0.75))
        for t, threshold in enumerate(matches.thresholds)
        if abs(threshold - iou) < 1e-9
    }

    def of(weights: Floats) -> dict[str, Floats]:
        values = weigh(weights)
        whole = mean_known(values.reshape(len(values), -1))
        return {"ap50_95": whole} | {name: mean_known(values[:, t]) for name, t in columns.items()}

    return of


def measure_ap(
    matches: Matches, *, draws: int = 1000, seed: int = 0, groups: NDArray[np.int64] | None = None
) -> dict[str, Estimate]:
    """AP50-95, AP50 and AP75 with bootstrap intervals over pictures, or over whole groups (N,)
    (``group_numbers``).
    """
    return estimates(scores(matches), matches.n, draws=draws, seed=seed, groups=groups)


def ap_differences(
    a: Matches, b: Matches, *, draws: int = 1000, seed: int = 0, groups: NDArray[np.int64] | None = None
) -> dict[str, Estimate]:
    """AP of A minus AP of B on the same pictures, with paired bootstrap intervals: both are drawn alike.

    Raises
    ------
    DatasetError : the two were not measured against the same truth.
    """
    _require_same_truth(a, b)
    apart = difference(scores(a), scores(b))
    return estimates(apart, a.n, draws=draws, seed=seed, groups=groups, bounds=(-1.0, 1.0))


def _require_same_truth(a: Matches, b: Matches) -> None:
    mine, theirs = a.pool, b.pool
    same = (
        mine.classes == theirs.classes
        and np.array_equal(mine.rows, theirs.rows)
        and np.array_equal(mine.positives, theirs.positives)
    )
    if not same:
        raise DatasetError(
            "two detectors are compared on the same pictures and classes",
            got=f"{mine.n:,} pictures with {len(mine.truth):,} things, {theirs.n:,} with {len(theirs.truth):,}",
            fix="measure both on the same part of the same split",
        )
