"""A detector in use gives what it finds from one score on: what is then right, false and missed, and which score to
take.

A detection is right where it found a thing at the overlap asked for (0.5 unless said otherwise). Precision and recall
count over all pictures and classes; detections of one picture resemble each other, so the intervals are Wilson's with
the effective number of detections (Kish), and pictures, or whole groups of them, are what counts as independent.

A threshold is picked on validation. It is a choice, so what it promises there is a little too good: measure it again
on the test part. How far another set of pictures would have moved it is told by drawing the pictures anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.metrics.interval import LEVEL, Estimate, Floats, bootstrap_weights, proportion
from assay.metrics.matches import Matches
from assay.metrics.pool import Ints

TARGETS = ("precision", "recall", "cost")


@dataclass(frozen=True, eq=False)
class Counts:
    """(N,) each: right detections, false ones, and things that were missed, in each picture."""

    right: Ints
    false: Ints
    missed: Ints

    @property
    def worst(self) -> Ints:
        """(N,) the pictures with the most false and missed first; of equals the one that stands first."""
        return np.asarray(np.argsort(-(self.false + self.missed), kind="stable"))


@dataclass(frozen=True)
class Threshold:
    """A score picked for a target on N pictures, and what stands there.

    ``score`` has as bounds where the threshold fell on 95 % of resamples. ``label`` is the class that it holds for,
    None for all together.
    """

    score: Estimate
    precision: Estimate
    recall: Estimate
    target: str
    value: float
    iou: float
    pictures: int
    label: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            name: value.to_dict() if isinstance(value := getattr(self, name), Estimate) else value
            for name in self.__dataclass_fields__
        }


def count(matches: Matches, score: float, *, iou: float = 0.5, label: int | None = None) -> Counts:
    """Right, false and missed of each picture, of the detections with ``score`` or more; crowds count as nothing."""
    given, right, wrong = _given(matches, iou, label)
    kept = given & (matches.scores >= score)
    n = matches.n
    positives = matches.pool.positives
    things = (positives.sum(1) if label is None else positives[:, label]).astype(np.int64)
    found, false = (np.bincount(matches.picture[kept & of], minlength=n) for of in (right, wrong))
    return Counts(found, false, things - found)


def _given(
    matches: Matches, iou: float, label: int | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """(M,) each: of the class (or of any), right, wrong."""
    t = matches.column(iou)
    given = np.ones(len(matches.label), bool) if label is None else matches.label == label
    right = matches.right[:, t]
    return given, right, ~right & ~matches.on_crowd[:, t]


def precision_recall(
    matches: Matches,
    score: float,
    *,
    iou: float = 0.5,
    label: int | None = None,
    groups: NDArray[np.int64] | None = None,
) -> tuple[Estimate, Estimate]:
    """Precision and recall of the detections with ``score`` or more; NaN where nothing was found, or nothing is
    there.

    ``groups`` (N,), from ``group_numbers``, says which pictures belong together.
    """
    of = count(matches, score, iou=iou, label=label)
    units = np.arange(matches.n) if groups is None else groups
    return (_share(of.right, of.false, units), _share(of.right, of.missed, units))


def _share(yes: Ints, no: Ints, units: Ints) -> Estimate:
    """The share of ``yes`` (N,) in all, of which those of one unit resemble each other."""
    cases = np.concatenate([np.repeat(1.0, yes.sum()), np.repeat(0.0, no.sum())])
    owners = np.concatenate([np.repeat(units, yes), np.repeat(units, no)])
    return proportion(
        cases, np.unique(owners, return_inverse=True)[1].astype(np.int64) if len(owners) else None
    )


def precision_recall_curve(
    matches: Matches, *, iou: float = 0.5, label: int | None = None
) -> tuple[Floats, Floats, Floats]:
    """(E,) each: falling scores, and precision and recall of all detections with that score or more.

    Recall is NaN where there is nothing to find.
    """
    curve = _Curve(matches, iou, label)
    right, false, things = curve.weigh(np.ones(matches.n))
    total = right + false
    precision = np.divide(right, total, out=np.full(len(right), np.nan), where=total > 0)
    recall = right / things if things else np.full(len(right), np.nan)
    return curve.scores, precision, recall


class _Curve:
    """Detections by falling score; a threshold cannot part equal scores, so it lies at the last of them."""

    def __init__(self, matches: Matches, iou: float, label: int | None) -> None:
        given, right, wrong = _given(matches, iou, label)
        counted = np.flatnonzero(given & (right | wrong))
        order = counted[np.argsort(-matches.scores[counted], kind="stable")]
        scores = matches.scores[order]
        self.picture, self.right = matches.picture[order], right[order].astype(np.float64)
        self.ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True][: len(scores)])
        self.scores: Floats = scores[self.ends].astype(np.float64)
        # a step of the scores' own kind: a finer one would be rounded away
        self.above = float(np.nextafter(scores[0], np.inf, dtype=scores.dtype)) if len(scores) else np.inf
        positives = matches.pool.positives
        self.things: Floats = positives.sum(1) if label is None else positives[:, label]

    def weigh(self, weights: Floats) -> tuple[Floats, Floats, float]:
        """(E,) right and false at each threshold and the number of things, pictures counting by ``weights`` (N,)."""
        own = weights[self.picture]
        right = np.cumsum(own * self.right)[self.ends]
        return right, np.cumsum(own)[self.ends] - right, float(weights @ self.things)


def pick_threshold(
    matches: Matches,
    target: str,
    value: float,
    *,
    iou: float = 0.5,
    label: int | None = None,
    draws: int = 500,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> Threshold:
    """The score from which on detections are given, for a target.

    ``"precision"``: the lowest one, thus of the greatest recall, at which a share of ``value`` or more is right.
    ``"recall"``: the highest one at which a share of ``value`` or more is found. ``"cost"``: the one of least cost,
    where a missed thing costs as much as ``value`` false ones; just above the greatest score where it is cheapest to
    give nothing.

    Raises
    ------
    ConfigError : the target is unknown or ``value`` is none of it, nothing was found, or no score reaches it.
    """
    _require_target(target, value)
    curve = _Curve(matches, iou, label)
    score = _pick(curve, np.ones(matches.n), target, value)
    if score is None:
        raise _not_reached(matches, curve, target, value)
    picked = [
        _pick(curve, row, target, value)
        for block in bootstrap_weights(matches.n, draws, seed, groups)
        for row in block
    ]
    fell = [drawn for drawn in picked if drawn is not None] or [score]
    low, high = np.quantile(fell, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    precision, recall = precision_recall(matches, score, iou=iou, label=label, groups=groups)
    name = None if label is None else matches.pool.classes[label]
    bounds = Estimate(score, min(float(low), score), max(float(high), score))
    return Threshold(bounds, precision, recall, target, value, iou, matches.n, name)


def _pick(curve: _Curve, weights: Floats, target: str, value: float) -> float | None:
    """The threshold; None where no score reaches the target."""
    right, false, things = curve.weigh(weights)
    if not len(right) or not things:
        return None
    if target == "cost":
        costs = np.append(false + value * (things - right), value * things)
        return float(np.append(curve.scores, curve.above)[np.argmin(costs)])
    slack = 1e-12  # 0.9 * 10 is no whole number
    if target == "precision":
        reached = np.flatnonzero((right >= (value - slack) * (right + false)) & (right > 0))
        return float(curve.scores[reached[-1]]) if len(reached) else None
    reached = np.flatnonzero(right >= (value - slack) * things)
    return float(curve.scores[reached[0]]) if len(reached) else None


def _require_target(target: str, value: float) -> None:
    if target not in TARGETS:
        raise ConfigError(
            "a threshold is picked for precision, recall or cost", got=target, fix='say target="precision"'
        )
    if target == "cost" and not value > 0:
        raise ConfigError("a missed thing costs more than nothing", got=str(value), fix="1 counts both alike")
    if target != "cost" and not 0 < value <= 1:
        raise ConfigError(f"{target} is a share above 0 and at most 1", got=str(value), fix="0.9, say")


def _not_reached(matches: Matches, curve: _Curve, target: str, value: float) -> ConfigError:
    right, false, things = curve.weigh(np.ones(matches.n))
    if not things:
        return ConfigError("there is nothing to find in these pictures", fix="pick on pictures with things")
    if not len(right):
        return ConfigError("the detector found nothing in these pictures", fix="train it longer")
    shares = right / (right + false) if target == "precision" else right / things
    best = int(np.argmax(shares))
    return ConfigError(
        f"no score has a {target} of {value}",
        got=f"{shares[best]:.3f} at most, from the score {curve.scores[best]:.3f} on",
        fix="ask for less, or train longer",
    )
