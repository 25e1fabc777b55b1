"""Tags, several of which may apply to one picture: average precision and F1 of each, and their means.

Average precision of a tag is the mean precision at its pictures, ranked by score, ties taken together; as
scikit-learn's ``average_precision_score``, to which tests hold it. Where no picture has the tag, or all have it, there
is nothing to rank, and no value. A picture where nobody looked for a tag does not count for that tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import ClassNames
from assay.metrics.interval import Floats
from assay.metrics.pool import Ints
from assay.metrics.resample import Scores, estimates, mean_known, share
from assay.metrics.scene_section import Section

TAG_SCORE = 0.5
"""A tag is told from this score on, unless the card has another."""


@dataclass(frozen=True)
class TagSection(Section):
    """``map`` is the mean AP over tags that have one, ``f1`` the mean F1 at ``score`` over tags that occur, ``f1_all``
    that of all answers together. ``per_class`` has a row a tag: class, pictures, tagged, ap, precision, recall, f1.
    """

    pictures: int
    score: float
    per_class: list[dict[str, Any]]


@dataclass(frozen=True, eq=False)
class TagAnswers:
    """``truth`` (N, T) int8: 1, 0, or -1 where nobody looked; ``scores`` (N, T) from 0 to 1; ``told_from`` is the score
    from which a tag counts as told.
    """

    truth: NDArray[np.int8]
    scores: NDArray[np.float32]
    told_from: float = TAG_SCORE

    def counts(self) -> tuple[Floats, Floats, Floats]:
        """(N, T) each: right, told, true; all 0 where nobody looked."""
        known, told = self.truth >= 0, self.scores >= self.told_from
        rows = (known & told & (self.truth == 1), known & told, self.truth == 1)
        right, given, true = (row.astype(np.float64) for row in rows)
        return right, given, true


def average_precisions(answers: TagAnswers) -> Scores:
    """From weights (D, N) of the pictures to ``"0"``, ``"1"``, ...: AP (D,) of each tag."""
    ranked = [_ranked(answers.truth[:, t], answers.scores[:, t]) for t in range(answers.truth.shape[1])]

    def of(weights: Floats) -> dict[str, Floats]:
        return {str(t): _weighed(weights, *one) for t, one in enumerate(ranked)}

    return of


def _ranked(truth: NDArray[np.int8], scores: NDArray[np.float32]) -> tuple[Ints, Floats, Ints]:
    """The pictures by falling score, whether each has the tag, and where runs of equal scores end."""
    known = np.flatnonzero(truth >= 0)
    order = known[np.argsort(-scores[known], kind="stable")]
    ranked = scores[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True][: len(ranked)])
    return order, (truth[order] == 1).astype(np.float64), ends


def _weighed(weights: Floats, order: Ints, has: Floats, ends: Ints) -> Floats:
    own = weights[:, order]
    right = np.cumsum(own * has, axis=1)[:, ends]
    precision = share(right, np.cumsum(own, axis=1)[:, ends])
    gained = np.diff(right, axis=1, prepend=0.0)
    total = right[:, -1] if len(ends) and not has.all() else np.zeros(len(weights))
    return share((np.where(gained > 0, precision, 0.0) * gained).sum(1), total)


def tag_scores(answers: TagAnswers) -> Scores:
    """From weights (D, N) to ``map``, ``f1``, ``f1_all`` and, by tag, ``"ap 0"``, ``"precision 0"``, ... (D,) each."""
    ranking, counts = average_precisions(answers), answers.counts()

    def of(weights: Floats) -> dict[str, Floats]:
        right, told, true = (weights @ one for one in counts)  # D T
        aps = np.stack([*ranking(weights).values()], axis=1)
        columns = {
            "ap": aps,
            "precision": share(right, told),
            "recall": share(right, true),
            "f1": np.where(true > 0, share(2 * right, told + true), np.nan),
        }
        return {
            "map": mean_known(aps),
            "f1": mean_known(columns["f1"]),
            "f1_all": share(2 * right.sum(1), (told + true).sum(1)),
            **{f"{name} {t}": values[:, t] for name, values in columns.items() for t in range(aps.shape[1])},
        }

    return of


def measure_tags(
    answers: TagAnswers, classes: ClassNames, *, draws: int = 1000, seed: int = 0, groups: Ints | None = None
) -> TagSection:
    """Scores with bootstrap intervals over pictures, or over whole groups (N,) (``group_numbers``)."""
    n = len(answers.truth)
    found = estimates(tag_scores(answers), n, draws=draws, seed=seed, groups=groups)
    rows = [
        {
            "class": name,
            "pictures": int((answers.truth[:, t] >= 0).sum()),
            "tagged": int((answers.truth[:, t] == 1).sum()),
            **{column: found[f"{column} {t}"].to_dict() for column in ("ap", "precision", "recall", "f1")},
        }
        for t, name in enumerate(classes)
        if (answers.truth[:, t] >= 0).any()
    ]
    return TagSection(
        {name: found[name] for name in ("map", "f1", "f1_all")}, n, float(answers.told_from), rows
    )
