"""Two models on the same pictures: is one really better, or was it luck? And who is right where?

The difference is taken picture by picture, which sees much smaller differences than two separate intervals
do (McNemar 1947; Dietterich 1998). Classes are compared one by one with Newcombe's intervals and Holm's correction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate, group_numbers, mcnemar, proportion
from assay.metrics.paired import flip_test, holm, mean_differences, newcombe_difference
from assay.metrics.reliability import losses, squared_errors

DOUBT = 0.05
"""A verdict needs a p below this beside an interval off zero: with a few pictures the bootstrap is too sure."""


@dataclass(frozen=True)
class ClassDifference:
    """One class: pictures of it, share found by A and by B, A minus B with Newcombe's interval, p and Holm's p."""

    name: str
    n: int
    recall_a: float
    recall_b: float
    difference: Estimate
    p: float
    p_holm: float = 1.0

    @property
    def is_shown(self) -> bool:
        """Whether these pictures show a difference, all classes having been looked at."""
        return self.p_holm < DOUBT and not self.difference.low <= 0 <= self.difference.high

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Comparison:
    """Model A beside model B on the same N pictures.

    ``difference`` is accuracy of A minus accuracy of B with its paired interval; ``p`` is McNemar's exact test, and
    ``p_groups`` its like for whole groups (None where pictures stand alone). ``both``, ``only_a``, ``only_b`` and
    ``neither`` count who is right where; ``same_answer`` is the share of pictures that get one answer from both.
    ``nll`` and ``brier`` are A minus B, below 0 where A is better; None where the models know different classes.
    ``left_out_a`` and ``left_out_b`` count pictures that only one of the two was measured on.
    """

    a: str
    b: str
    n: int
    accuracy_a: Estimate
    accuracy_b: Estimate
    difference: Estimate
    p: float
    only_a: int
    only_b: int
    both: int = 0
    neither: int = 0
    same_answer: float = 0.0
    p_groups: float | None = None
    groups: int | None = None
    nll: Estimate | None = None
    brier: Estimate | None = None
    per_class: tuple[ClassDifference, ...] = ()
    part: str = ""
    left_out_a: int = 0
    left_out_b: int = 0
    notes: tuple[str, ...] = ()

    @property
    def better(self) -> str | None:
        """The name of the model that these pictures show to be better; None where they do not show it."""
        p = self.p if self.p_groups is None else max(self.p, self.p_groups)
        if p >= DOUBT or self.difference.low <= 0 <= self.difference.high:
            return None
        return self.a if self.difference.value > 0 else self.b

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        points = f"{100 * abs(self.difference.value):.1f} points"
        if self.better is None:
            pictures = "One picture does" if self.n == 1 else f"{self.n:,} pictures do"
            return f"{pictures} not show which of {self.a} and {self.b} is better"
        worse = self.b if self.better == self.a else self.a
        return f"{self.better} is better than {worse} by {points}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        values |= {"per_class": [row.to_dict() for row in self.per_class], "notes": list(self.notes)}
        return {**values, "better": self.better, "verdict": self.verdict}


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Estimate) else value


def compare(
    a: Evaluation,
    b: Evaluation,
    *,
    common: bool = False,
    names: tuple[str, str] | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare two evaluations of the same pictures; rows are matched by path, classes by name.

    Parameters
    ----------
    common : compare on the pictures that both have, where they do not have the same. That is honest only when
        neither model learned from a picture that the other one was tested on. Evaluations of one split and part
        (some pictures could not be read, say) are compared so without being asked.
    names : what to call the two; their models' names when not given.

    Raises
    ------
    DatasetError : the parts, pictures or labels differ, or none are left.
    """
    _same_part(a, b)
    rows_a, rows_b = matching_rows(a, b, common=common)
    _same_labels(a, b, rows_a, rows_b)
    name_a, name_b = names or (a.model, b.model if b.model != a.model else f"{b.model} (second)")
    right_a, right_b = a.right[rows_a], b.right[rows_b]
    names_of_groups = None if a.groups is None else [a.groups[int(i)] for i in rows_a]
    groups = group_numbers(names_of_groups, len(rows_a))
    columns, same_classes = _columns(a, b, rows_a, rows_b)
    difference, *scores = mean_differences(columns, draws=draws, seed=seed, groups=groups)
    return Comparison(
        a=name_a,
        b=name_b,
        n=len(rows_a),
        accuracy_a=proportion(right_a, groups),
        accuracy_b=proportion(right_b, groups),
        difference=difference,
        p=mcnemar(right_a, right_b),
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((right_b & ~right_a).sum()),
        both=int((right_a & right_b).sum()),
        neither=int((~right_a & ~right_b).sum()),
        same_answer=_same_answer(a, b, rows_a, rows_b),
        p_groups=None if groups is None else flip_test(columns[:, 0], groups),
        groups=None if groups is None else int(groups.max()) + 1,
        nll=scores[0] if same_classes else None,
        brier=scores[1] if same_classes else None,
        per_class=_per_class(a, rows_a, right_a, right_b, groups),
        part=a.part,
        left_out_a=a.n - len(rows_a),
        left_out_b=b.n - len(rows_b),
        notes=_notes(a, b, rows_a),
    )


def _same_part(a: Evaluation, b: Evaluation) -> None:
    if a.part != b.part:
        raise DatasetError(
            "two models are compared on the same part of the data",
            got=f"{a.model} was measured on {a.part}, {b.model} on {b.part}",
            fix="measure both on one part: `assay evaluate RUN --part test`",
        )


def matching_rows(
    a: Evaluation, b: Evaluation, *, common: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows of A, rows of B) of the pictures that both have, in A's order.

    Raises
    ------
    DatasetError : they do not have the same pictures, and common ones were not asked for; or none are common.
    """
    keys_a, keys_b = a.paths, b.paths
    if not set(keys_a) & set(keys_b):  # the same files, written from other folders
        keys_a, keys_b = _whole_paths(a), _whole_paths(b)
    places = {path: i for i, path in enumerate(keys_b)}
    pairs = [(i, places[path]) for i, path in enumerate(keys_a) if path in places]
    one_split = bool(a.split_hash) and a.split_hash == b.split_hash
    if not pairs or (len(pairs) < max(a.n, b.n) and not (common or one_split)):
        raise DatasetError(
            "two models are compared on the same pictures",
            got=f"{a.n - len(pairs):,} pictures only in {a.model}'s evaluation, "
            f"{b.n - len(pairs):,} only in {b.model}'s, {len(pairs):,} in both",
            fix="evaluate both on the same part of the same split",
        )
    found = np.array(pairs, dtype=np.int64)
    return found[:, 0], found[:, 1]


def _whole_paths(e: Evaluation) -> list[str]:
    return [(Path(e.root) / path).as_posix() for path in e.paths]


def _same_labels(a: Evaluation, b: Evaluation, rows_a: NDArray[np.int64], rows_b: NDArray[np.int64]) -> None:
    place = _places(a.classes, b.classes)
    other = np.flatnonzero(place[a.targets[rows_a]] != b.targets[rows_b])
    if len(other):
        i, j = int(rows_a[other[0]]), int(rows_b[other[0]])
        raise DatasetError(
            f"{a.paths[i]} has two labels in the two evaluations"
            + (f", and so have {len(other) - 1:,} more pictures" if len(other) > 1 else ""),
            got=f"{a.classes[int(a.targets[i])]!r} and {b.classes[int(b.targets[j])]!r}",
            fix="evaluate both models on the same data",
        )


def _places(mine: ClassNames, theirs: ClassNames) -> NDArray[np.int64]:
    """(K,) where each of my classes is among theirs; -1 where it is not."""
    return np.array([theirs.position(name) if name in theirs else -1 for name in mine], dtype=np.int64)


def _columns(
    a: Evaluation, b: Evaluation, rows_a: NDArray[np.int64], rows_b: NDArray[np.int64]
) -> tuple[NDArray[np.float64], bool]:
    """(N, 1 or 3) differences of right, log-loss and Brier score, A minus B; whether the classes are the same."""
    right = a.right[rows_a].astype(np.float64) - b.right[rows_b]
    if set(a.classes) != set(b.classes):
        return right[:, None], False
    of_a, of_b = (a.probs[rows_a], a.targets[rows_a]), (b.probs[rows_b], b.targets[rows_b])
    scores = [score(*of_a) - score(*of_b) for score in (losses, squared_errors)]
    return np.stack([right, *scores], axis=1), True


def _same_answer(a: Evaluation, b: Evaluation, rows_a: NDArray[np.int64], rows_b: NDArray[np.int64]) -> float:
    place = _places(a.classes, b.classes)
    return float((place[a.predicted[rows_a]] == b.predicted[rows_b]).mean())


def _per_class(
    a: Evaluation,
    rows: NDArray[np.int64],
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    groups: NDArray[np.int64] | None,
) -> tuple[ClassDifference, ...]:
    """The classes that occur, those with the greatest loss of A first."""
    targets, found = a.targets[rows], []
    for k in np.unique(targets):
        of = targets == k
        mine, theirs = right_a[of], right_b[of]
        own = None if groups is None else groups[of]
        difference = newcombe_difference(mine, theirs, own)
        p = mcnemar(mine, theirs)
        if own is not None:
            p = max(p, flip_test(mine.astype(np.float64) - theirs, own))
        name = a.classes[int(k)]
        found.append(
            ClassDifference(name, int(of.sum()), float(mine.mean()), float(theirs.mean()), difference, p)
        )
    corrected = holm([row.p for row in found])
    rows_ = [replace(row, p_holm=p) for row, p in zip(found, corrected, strict=True)]
    return tuple(sorted(rows_, key=lambda row: row.difference.value))


def _notes(a: Evaluation, b: Evaluation, rows: NDArray[np.int64]) -> tuple[str, ...]:
    """What a reader must know beside the numbers."""
    notes = []
    lonely = [f"{e.n - len(rows):,} that only {e.model} was measured on" for e in (a, b) if e.n > len(rows)]
    if lonely:
        notes.append(
            f"Compared on the {len(rows):,} pictures that both have. Left out: {' and '.join(lonely)}."
        )
    for one, other in ((a, b), (b, a)):
        more = [name for name in one.classes if name not in other.classes]
        if more:
            named = ", ".join(f"“{name}”" for name in more[:4]) + (" and others" if len(more) > 4 else "")
            notes.append(f"{one.model} also knows {len(more)} classes that {other.model} does not: {named}.")
    if a.part == "validation":
        notes.append("These pictures also chose the weights of both, so the test part has the last word.")
    if a.part == "train":
        notes.append("These are pictures that the models learned from: they show nothing about new ones.")
    if a.split_hash and b.split_hash and a.split_hash != b.split_hash:
        notes.append(
            "The two come from different splits of the data, so they learned from different pictures."
        )
    return tuple(notes)
