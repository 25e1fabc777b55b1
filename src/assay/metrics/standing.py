"""May a new network take the place of the live one? Class by class, on the same pictures, in pairs.

A class is *worse* where the whole interval of a difference, new minus live, lies below 0: its recall (how many pictures
of the class are found; Newcombe's paired interval) or its precision (how many answers of the class are right; a paired
bootstrap, and for few answers Newcombe's interval for two shares, since a bootstrap of few is too sure). One worse
class refuses the network, however much better it is over all: it is somebody's goods. Where an interval reaches far
below 0 it is said that these pictures cannot tell. Each interval has 95 %, so among many classes one is called worse by
chance now and then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.labels import ClassNames
from assay.metrics.compare import Comparison, compare, matching_rows
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate, Floats, effective_number, group_numbers, wilson_bounds
from assay.metrics.resample import Scores, difference, estimates, share

FAR = 0.10
"""A fall of more than this cannot be excluded: the pictures are too few to tell."""
FEW = 30
"""Up to so many independent answers of a class, its precision gets the interval for two shares."""
NOTHING = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class ClassStanding:
    """One class. ``n`` pictures are of it; ``answers`` of the new network and of the live one name it.

    ``recall`` and ``precision`` are the new network's minus the live one's, NaN where there is nothing to measure.
    """

    name: str
    n: int
    recall_new: float
    recall_live: float
    recall: Estimate
    answers_new: int
    answers_live: int
    precision_new: float
    precision_live: float
    precision: Estimate

    @property
    def worse(self) -> tuple[str, ...]:
        """Which of "recall" and "precision" have fallen beyond their interval."""
        return tuple(name for name in ("recall", "precision") if getattr(self, name).high < 0)

    @property
    def is_unclear(self) -> bool:
        """Whether these pictures cannot exclude a large fall."""
        known = [one for one in (self.recall, self.precision) if not math.isnan(one.low)]
        return not known or any(one.low < -FAR for one in known)

    @property
    def verdict(self) -> str:
        """One of "worse", "cannot say", "better" and "as good"."""
        if self.worse:
            return "worse"
        if self.is_unclear:
            return "cannot say"
        return "better" if any(one.low > 0 for one in (self.recall, self.precision)) else "as good"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}
        return {**values, "verdict": self.verdict, "worse": list(self.worse)}


@dataclass(frozen=True)
class Standing:
    """The new network beside the live one. ``comparison`` has their shares of right answers, new minus live.

    ``traffic`` is the same difference among everything that came in, by the weights of reviewed pictures (``weighted``
    of them); None where there are none. ``lost`` are classes that the new network no longer knows, ``gained`` those
    that only it knows.
    """

    comparison: Comparison
    classes: tuple[ClassStanding, ...]
    traffic: Estimate | None = None
    weighted: int = 0
    lost: tuple[str, ...] = ()
    gained: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the new network is refused, in words; nothing where it may take the place."""
        found = [f"it no longer knows “{name}”" for name in self.lost]
        for one in self.classes:
            for what in one.worse:
                found.append(f"“{one.name}” gets worse: {what} {_points(getattr(one, what))}")
        if self.comparison.better == self.comparison.b and self.comparison.difference.high < 0:
            found.append(f"it is right less often over all: {_points(self.comparison.difference)}")
        return tuple(found)

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    @property
    def unclear(self) -> tuple[str, ...]:
        """Classes of which the pictures are too few to tell."""
        return tuple(one.name for one in self.classes if one.verdict == "cannot say")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "passed": self.passed,
            "reasons": list(self.reasons),
            "unclear": list(self.unclear),
            "n": self.comparison.n,
            "part": self.comparison.part,
            "accuracy": {
                "new": self.comparison.accuracy_a.to_dict(),
                "live": self.comparison.accuracy_b.to_dict(),
                "difference": self.comparison.difference.to_dict(),
                "p": self.comparison.p,
            },
            "traffic": None if self.traffic is None else self.traffic.to_dict(),
            "weighted": self.weighted,
            "classes": [one.to_dict() for one in self.classes],
            "lost": list(self.lost),
            "gained": list(self.gained),
            "notes": list(self.comparison.notes),
        }


def stand(
    new: Evaluation,
    live: Evaluation,
    weights: Mapping[str, float] | None = None,
    *,
    names: tuple[str, str] = ("candidate", "live"),
    draws: int = 2000,
    seed: int = 0,
) -> Standing:
    """Hold a new network against the live one.

    ``weights``: path -> how many photos of the traffic a reviewed picture stands for.

    Raises
    ------
    DatasetError : the two were not measured on the same pictures, or labels differ.
    """
    told = compare(new, live, names=names, draws=draws, seed=seed)
    rows_new, rows_live = matching_rows(new, live)
    numbers = None if new.groups is None else [new.groups[int(i)] for i in rows_new]
    groups = group_numbers(numbers, len(rows_new))
    names_of = ClassNames(dict.fromkeys([*new.classes, *live.classes]))
    truth = _codes(new, new.targets[rows_new], names_of)
    said_new, said_live = (
        _codes(e, e.predicted[rows], names_of) for e, rows in ((new, rows_new), (live, rows_live))
    )
    paths = [new.paths[int(i)] for i in rows_new]
    traffic, weighted = _traffic(said_new == truth, said_live == truth, paths, weights or {}, groups, draws)
    recalls = {row.name: row for row in told.per_class}
    occurring = np.unique(np.concatenate([truth, said_new, said_live])).tolist()
    precisions = _precisions(truth, said_new, said_live, occurring, groups, draws, seed)
    found = [
        _class(
            names_of[k], recalls.get(names_of[k]), precisions[k], said_new == k, said_live == k, truth == k
        )
        for k in occurring
    ]
    return Standing(
        told,
        tuple(found),
        traffic,
        weighted,
        tuple(name for name in live.classes if name not in new.classes),
        tuple(name for name in new.classes if name not in live.classes),
    )


def _class(
    name: str,
    recall: Any,
    precision: Estimate,
    by_new: NDArray[np.bool_],
    by_live: NDArray[np.bool_],
    right: NDArray[np.bool_],
) -> ClassStanding:
    return ClassStanding(
        name=name,
        n=0 if recall is None else recall.n,
        recall_new=math.nan if recall is None else recall.recall_a,
        recall_live=math.nan if recall is None else recall.recall_b,
        recall=NOTHING if recall is None else recall.difference,
        answers_new=int(by_new.sum()),
        answers_live=int(by_live.sum()),
        precision_new=float(right[by_new].mean()) if by_new.any() else math.nan,
        precision_live=float(right[by_live].mean()) if by_live.any() else math.nan,
        precision=precision,
    )


def _precisions(
    truth: NDArray[np.int64],
    said_new: NDArray[np.int64],
    said_live: NDArray[np.int64],
    classes: list[int],
    groups: NDArray[np.int64] | None,
    draws: int,
    seed: int,
) -> dict[int, Estimate]:
    """Class -> its precision with the new network minus that with the live one, all from one set of resamples."""

    def scores(said: NDArray[np.int64]) -> Scores:
        named = np.stack([said == k for k in classes], axis=1).astype(np.float64)  # N K
        right = named * (said == truth)[:, None]

        def of(weights: Floats) -> dict[str, Floats]:
            values = share(weights @ right, weights @ named)  # D K
            return {str(k): values[:, j] for j, k in enumerate(classes)}

        return of

    both = difference(scores(said_new), scores(said_live))
    drawn = estimates(both, len(truth), draws=draws, seed=seed, groups=groups, bounds=(-1.0, 1.0))
    found: dict[int, Estimate] = {}
    for k in classes:
        by_new, by_live = said_new == k, said_live == k
        if not by_new.any() or not by_live.any():
            found[k] = NOTHING
            continue
        sides = [_side((truth == k)[by], None if groups is None else groups[by]) for by in (by_new, by_live)]
        found[k] = _of_few(*sides) if min(worth for _, worth in sides) <= FEW else drawn[str(k)]
    return found


def _codes(e: Evaluation, classes: NDArray[np.int64], names: ClassNames) -> NDArray[np.int64]:
    places = np.array([names.position(name) for name in e.classes], np.int64)
    return np.asarray(places[classes])


def _side(right: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> tuple[float, float]:
    """(share of right answers, how many independent answers they are worth)."""
    own = None if groups is None else np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return float(right.mean()), effective_number(right.astype(np.float64), own)


def _of_few(new: tuple[float, float], live: tuple[float, float]) -> Estimate:
    """Newcombe's interval (1998, method 10) for two shares; wider than a paired one, as they share most pictures."""
    p, q = new[0], live[0]
    (p_low, p_high), (q_low, q_high) = (
        (float(low), float(high)) for low, high in (wilson_bounds(share_ * n, n) for share_, n in (new, live))
    )
    below = math.hypot(p - p_low, q_high - q)
    above = math.hypot(p_high - p, q - q_low)
    return Estimate(p - q, max(-1.0, p - q - below), min(1.0, p - q + above))


def _traffic(
    right_new: NDArray[np.bool_],
    right_live: NDArray[np.bool_],
    paths: list[str],
    weights: Mapping[str, float],
    groups: NDArray[np.int64] | None,
    draws: int,
) -> tuple[Estimate | None, int]:
    """Right answers of the new network minus those of the live one, as the traffic would have it."""
    worth = np.array([weights.get(path, 0.0) for path in paths], np.float64)
    held = worth > 0
    if held.sum() < 2:
        return None, int(held.sum())
    change = (right_new[held].astype(np.float64) - right_live[held]) * worth[held]
    own = None if groups is None else np.unique(groups[held], return_inverse=True)[1].astype(np.int64)

    def scores(drawn: Floats) -> dict[str, Floats]:
        return {"traffic": share(drawn @ change, drawn @ worth[held])}

    found = estimates(scores, int(held.sum()), draws=draws, groups=own, bounds=(-1.0, 1.0))
    return found["traffic"], int(held.sum())


def _points(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} points, {100 * e.low:+.1f} to {100 * e.high:+.1f}"


def _plain(value: Any) -> Any:
    if isinstance(value, Estimate):
        return value.to_dict()
    return None if isinstance(value, float) and math.isnan(value) else value
