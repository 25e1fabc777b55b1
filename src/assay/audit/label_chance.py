"""Is it the labels, or the judge? How often a judge of this quality contradicts labels that are all right.

A judge errs on hard pictures, and says so by low probabilities: where it gives 90 %, one label in ten should differ.
A wrong label is different. It does not care how hard its picture is, so it also contradicts a judge that is nearly
certain. Contradictions are therefore counted among the pictures that the judge is surest of, and held against the
number that its own probabilities expect there (a Poisson tail; three shares are looked at, and the p value is
corrected for that).

Pictures of one group are alike, so the judge may be sure and wrong of all of them at once. Where there are groups, a
whole group counts once: as contradicted where any of its pictures is.

That fails for a judge that is sure of everything: its probabilities take the wrong labels in. There, contradictions
that are as sure as its agreements tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SHARES = (0.5, 0.25, 0.1)
_LEAST, _DOUBT = 20, 0.05
_EXCELLENT, _AS_SURE = 0.9, 0.75


@dataclass(frozen=True)
class Contradictions:
    """Of the ``pictures`` that the judge is surest of, ``found`` carry another label; ``expected`` do by chance. Where
    there are groups, both are numbers of groups.

    ``p``: how likely so many are where every label is right. ``as_sure``: an excellent judge contradicts labels as
    surely as it agrees with others.
    """

    pictures: int
    found: int
    expected: float
    p: float
    as_sure: bool = False

    @property
    def stand_out(self) -> bool:
        """Whether there are more of them than chance brings."""
        return self.p < _DOUBT and self.found >= 2

    @property
    def shown(self) -> bool:
        """Whether some labels must be wrong."""
        return self.stand_out or self.as_sure

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "surest": self.pictures,
            "contradicted": self.found,
            "expected": round(self.expected, 2),
            "p": round(self.p, 6),
            "shown": self.shown,
        }


def contradictions(
    probs: Floats, given: NDArray[np.int64], groups: NDArray[np.int64] | None = None
) -> Contradictions:
    """Count them among the surest pictures, at the share where they stand out most.

    Parameters
    ----------
    probs : (R, C) out-of-fold probabilities. given : (R,) labels, positions in C.
    groups : (R,) number of each picture's group; a picture alone where it is left out.
    """
    from scipy.stats import poisson  # noqa: PLC0415 - half a second

    sure = probs.max(axis=1)
    wrong = probs.argmax(axis=1) != given
    order = np.argsort(-sure, kind="stable")
    counted = []
    for share in SHARES:
        chosen = order[: max(_LEAST, int(share * len(order)))]
        found, expected = _count(wrong[chosen], sure[chosen], None if groups is None else groups[chosen])
        p = min(1.0, len(SHARES) * float(poisson.sf(found - 1, expected)))
        counted.append(Contradictions(len(chosen), found, expected, p, _as_sure(sure, wrong)))
    return min(counted, key=lambda c: c.p)


def _count(wrong: NDArray[np.bool_], sure: Floats, groups: NDArray[np.int64] | None) -> tuple[int, float]:
    """(contradictions, how many are expected), of pictures or of groups."""
    if groups is None:
        return int(wrong.sum()), float((1 - sure).sum())
    place = np.unique(groups, return_inverse=True)[1].reshape(-1)
    all_right = np.exp(np.bincount(place, weights=np.log(np.maximum(sure, 1e-12))))
    return int((np.bincount(place, weights=wrong) > 0).sum()), float((1 - all_right).sum())


def _as_sure(sure: Floats, wrong: NDArray[np.bool_]) -> bool:
    """Whether the judge is excellent, and its contradictions are as sure as its agreements."""
    count = int(wrong.sum())
    if count < 2 or wrong.mean() > 1 - _EXCELLENT:
        return False
    from scipy.stats import rankdata  # noqa: PLC0415 - half a second

    ranks = rankdata(sure)
    below = ranks[~wrong].sum() - (len(sure) - count) * (len(sure) - count + 1) / 2
    return bool(
        below / (count * (len(sure) - count)) < _AS_SURE
    )  # Mann-Whitney: 1 where all errors are unsure
