"""Whether a detector's scores can be believed: of the detections with a score of 0.8, four in five should be right.

A detection is right where it found a thing at an overlap of 0.5. The error is the mean gap between score and share
right over bins of equal mass, as for classes (``reliability``), which is the confidence-only case of Küppers et al.
2020, "Multivariate confidence calibration for object detection". Things that were missed have no score and no part in
it. Most detections of a network have scores near 0: from which one on they count belongs beside every figure
(``least``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.metrics.interval import Estimate, Floats, bootstrap, proportion
from assay.metrics.matches import Matches
from assay.metrics.pool import Ints
from assay.metrics.reliability import BINS, ReliabilityBin, equal_mass_bins, floor_estimate


@dataclass(frozen=True)
class DetectionReliability:
    """Of ``n`` detections with a score of ``least`` or more: the calibration error with its interval over pictures.

    ``floor`` is the error that a perfectly calibrated detector would show with these scores; ``bins`` are the bars of
    the diagram, by rising score.
    """

    ece: Estimate
    floor: Estimate
    bins: tuple[ReliabilityBin, ...]
    n: int
    least: float
    iou: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "ece": self.ece.to_dict(),
            "floor": self.floor.to_dict(),
            "bins": [{name: getattr(one, name) for name in one.__slots__} for one in self.bins],
            "n": self.n,
            "least": self.least,
            "iou": self.iou,
        }


def detection_reliability(
    matches: Matches,
    *,
    iou: float = 0.5,
    least: float = 0.05,
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> DetectionReliability:
    """Compare scores with the share that is right; detections on crowds are left out.

    Raises
    ------
    ConfigError : scores are no probabilities.
    """
    t = matches.column(iou)
    kept = np.flatnonzero((matches.scores >= least) & ~matches.on_crowd[:, t])
    kept = kept[np.lexsort((matches.right[kept, t], matches.scores[kept]))]
    scores, right = matches.scores[kept].astype(np.float64), matches.right[kept, t].astype(np.float64)
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ConfigError("scores are no probabilities", got=f"{scores.min():.3g} to {scores.max():.3g}")
    picture = matches.picture[kept]
    starts = equal_mass_bins(scores)[1] if len(scores) else np.zeros(0, np.int64)

    def error(weights: Floats) -> Floats:
        return np.array([_error(row[picture], right - scores, starts) for row in weights])

    return DetectionReliability(
        bootstrap(error, matches.n, draws=draws, seed=seed, groups=groups),
        floor_estimate(scores[:, None], None, seed),
        _bins(scores, right, picture if groups is None else groups[picture]),
        len(kept),
        least,
        iou,
    )


def _error(weights: Floats, gaps: Floats, starts: Ints) -> float:
    """The weighted sum over bins of how far score and share right lie apart; NaN where nothing has weight."""
    total = weights.sum()
    return float(np.abs(np.add.reduceat(weights * gaps, starts)).sum() / total) if total else np.nan


def _bins(scores: Floats, right: Floats, units: Ints) -> tuple[ReliabilityBin, ...]:
    """Bins of at least 10 detections; their bounds count the detections of one unit as resembling each other."""
    if not len(scores):
        return ()
    starts = equal_mass_bins(scores, max(1, min(BINS, len(scores) // 10)))[1]
    bins = []
    for start, stop in zip(starts, np.append(starts[1:], len(scores)), strict=True):
        own = np.unique(units[start:stop], return_inverse=True)[1].astype(np.int64)
        share = proportion(right[start:stop], own)
        mean = float(scores[start:stop].mean())
        bins.append(ReliabilityBin(mean, share.value, share.low, share.high, int(stop - start)))
    return tuple(bins)
