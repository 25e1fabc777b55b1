"""What kind of mistake a detector makes: missed, wrong place, wrong class, both, duplicate, background.

The kinds are those of TIDE (Bolya, Foley, Hays and Hoffman 2020, "TIDE: a general toolbox for identifying object
detection errors", section 2.2). A false detection is, in this order: *place* where it overlaps a thing of its class
by 0.1 or more but too little; *class* where it lies on a thing of another class; *duplicate* where it lies on a thing
that a better one has found; *background* where it overlaps nothing by more than 0.1; *both* what is left. A thing
that nobody found is *missed* unless a wrong place or a wrong class lies on it: then that one mistake stands for both.

TIDE weighs kinds by the AP that mending them would bring. Here they are counted, picture by picture, at the score
from which detections are given: that is what a user meets, and what can be shown. Crowds take part in no mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.metrics.interval import Estimate, Floats
from assay.metrics.matches import Matches
from assay.metrics.paired import mean_differences
from assay.metrics.pool import Ints, overlapping

OUTCOMES = ("right", "place", "class", "duplicate", "background", "both", "missed")
_RIGHT, _PLACE, _CLASS, _DUPLICATE, _BACKGROUND, _BOTH, _MISSED = range(7)
_CROWD = -1


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Detections from ``score`` on, each of one kind, and the things that nobody found.

    ``counts`` (N, 7) follow ``OUTCOMES``. ``chosen`` (M,) are positions in ``matches.order`` and ``kinds`` (M,) their
    kinds, -1 for a detection on a crowd; ``missed`` (U,) are positions in ``pool.truth``.
    """

    matches: Matches
    score: float
    counts: Ints
    chosen: Ints
    kinds: Ints
    missed: Ints

    @property
    def worst(self) -> Ints:
        """(N,) pictures, those with the most mistakes first; of equals the one that stands first."""
        return np.asarray(np.argsort(-self.counts[:, 1:].sum(1), kind="stable"))

    @property
    def totals(self) -> dict[str, int]:
        """Kind -> how many in all pictures."""
        return {name: int(n) for name, n in zip(OUTCOMES, self.counts.sum(0), strict=True)}

    def per_picture(
        self, *, draws: int = 1000, seed: int = 0, groups: NDArray[np.int64] | None = None
    ) -> dict[str, Estimate]:
        """Kind -> how many a picture has on average, with a bootstrap interval over pictures or groups."""
        columns = self.counts.astype(np.float64)
        means = mean_differences(columns, draws=draws, seed=seed, groups=groups)
        return dict(zip(OUTCOMES, means, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"score": self.score, "pictures": self.matches.n, "totals": self.totals}


def find_mistakes(matches: Matches, score: float, *, iou: float = 0.5, background: float = 0.1) -> Mistakes:
    """Sort the detections with ``score`` or more, and what they left, into kinds.

    Raises
    ------
    ConfigError : ``background`` does not lie between 0 and the overlap that makes a detection right.
    """
    if not 0 < background < iou:
        raise ConfigError(
            "the background's overlap lies between 0 and that of a right detection", got=str(background)
        )
    t, pool = matches.column(iou), matches.pool
    chosen = np.flatnonzero(matches.scores >= score)
    partner = matches.partner[chosen, t]
    taken = np.zeros(len(pool.truth), bool)
    taken[partner[partner >= 0]] = True
    kinds, covered = _kinds(matches, chosen, iou, background)
    kinds[partner >= 0] = _RIGHT
    kinds[(partner >= 0) & matches.on_crowd[chosen, t]] = _CROWD
    missed = np.flatnonzero(~taken & ~covered & ~pool.crowd)
    counts = np.zeros((matches.n, len(OUTCOMES)), np.int64)
    counted = kinds != _CROWD
    np.add.at(counts, (matches.picture[chosen[counted]], kinds[counted]), 1)
    np.add.at(counts[:, _MISSED], pool.truth.picture[missed], 1)
    return Mistakes(matches, score, counts, chosen, kinds, missed)


def _kinds(matches: Matches, chosen: Ints, iou: float, background: float) -> tuple[Ints, NDArray[np.bool_]]:
    """Kinds (M,) as if every detection were false, and (G,) which things a wrong place or class lies on."""
    pool, n = matches.pool, len(chosen)
    places = np.full(len(pool.found), -1, np.int64)
    places[matches.order[chosen]] = np.arange(n)
    pairs = overlapping(pool, np.sort(matches.order[chosen]), background, same_class=False)
    single = ~pool.crowd[pairs.truth]
    found, truth, overlap = pairs.found[single], pairs.truth[single], pairs.iou[single]
    own = pool.found.label[found] == pool.truth.label[truth]
    same, same_at = _greatest(places[found], np.where(own, overlap, 0.0), truth, n)
    other, other_at = _greatest(places[found], np.where(own, 0.0, overlap), truth, n)
    tests = [
        (_PLACE, (same >= background) & (same < iou)),
        (_CLASS, other >= iou),
        (_DUPLICATE, same >= iou),  # were the thing free, the detection would be right
        (_BACKGROUND, np.maximum(same, other) <= background),
    ]
    kinds = np.select([test for _, test in tests], [kind for kind, _ in tests], _BOTH).astype(np.int64)
    false, covered = matches.partner[chosen, matches.column(iou)] < 0, np.zeros(len(pool.truth), bool)
    covered[same_at[false & (kinds == _PLACE)]] = True
    covered[other_at[false & (kinds == _CLASS)]] = True
    return kinds, covered


def _greatest(rows: Ints, values: Floats, truth: Ints, n: int) -> tuple[Floats, Ints]:
    """(n,) the greatest value of each row, 0 where there is none, and the truth that it is of."""
    order = np.lexsort((values, rows))
    greatest, at = np.zeros(n), np.zeros(n, np.int64)
    greatest[rows[order]] = values[order]  # of several the last one stays, which is the greatest
    at[rows[order]] = truth[order]
    return greatest, at
