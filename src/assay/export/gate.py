"""Does a faster way of answering cost accuracy? Measured on labelled pictures, in pairs, before it may be used.

A lower precision or another decoding gives other numbers by design, so there is no tolerance to hold them to: what
counts is whether the answers are as right as before. Both ways answer the run's validation pictures, and the main
score of each head is compared picture by picture, with the interval of its difference.

- A way that was asked for is refused when a score falls by more than is allowed. Few pictures show little, so with
  fewer than ``FEW_PICTURES`` the interval is told as a warning.
- A way that nobody asked for must be shown to be harmless: the low end of the interval has a bound too. What the
  pictures do not show is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.card import Card
from assay.errors import AssayError, ExportError
from assay.metrics.compare import compare
from assay.metrics.evaluate import Progress
from assay.metrics.evaluate_any import evaluate
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate, wilson
from assay.metrics.scene_compare import compare_scenes
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.runtime.engines.engine import Engine
from assay.runtime.predictor import BundlePredictor
from assay.runtime.scene_predictor import BundleScenePredictor
from assay.types import Dataset

MOST_PICTURES = 2000
"""More are not answered for one gate; those that are come from all over the part."""
LEAST_PICTURES = 20
"""Fewer labelled pictures show nothing."""
FEW_PICTURES = 100
"""With fewer, four points may be lost unseen: where a way that is asked for is let in, a warning says so."""
MOST_LOSS = 1.0
"""Points that a score may fall, when nothing else is asked for."""
DRAWS = 100
"""Of intervals that nobody reads: those of single scores. The differences have more."""

AnyEvaluation = Evaluation | SceneEvaluation


@dataclass(frozen=True)
class Score:
    """One score both ways, from 0 to 1: ``difference`` is the new one minus the old one, with its paired interval,
    which is never narrower than the number of pictures allows (``paired_scores``).
    """

    name: str
    before: float
    after: float
    difference: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "difference": self.difference.to_dict(),
        }


@dataclass(frozen=True)
class Gate:
    """What ``way`` costs on ``pictures`` labelled pictures of ``source``; scores may fall by ``most_loss`` points.

    ``most_doubt`` is for a way that nobody asked for: so many points below 0 may the interval of a score reach.
    ``facts`` are what else belongs on the card: of int8 the engine, the number of calibration pictures and the layers
    that stayed in float.
    """

    way: str
    pictures: int
    source: str
    scores: tuple[Score, ...]
    most_loss: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    most_doubt: float | None = None

    @property
    def worst(self) -> Score:
        """The score that falls most."""
        return min(self.scores, key=lambda score: score.difference.value)

    @property
    def unsure(self) -> Score:
        """The score that may have fallen most."""
        return min(self.scores, key=lambda score: score.difference.low)

    @property
    def fault(self) -> str | None:
        """Why the way is not let in; None where it is."""
        if not all(100 * score.difference.value >= -self.most_loss for score in self.scores):
            return f"{self.worst.name} falls by more than {self.most_loss:g} points"
        if self.most_doubt is None or all(
            100 * score.difference.low >= -self.most_doubt for score in self.scores
        ):
            return None
        return (
            f"{self.pictures} pictures do not rule out that {self.unsure.name} falls by more than "
            f"{self.most_doubt:g} points"
        )

    @property
    def passed(self) -> bool:
        """Whether the way is let in."""
        return self.fault is None

    @property
    def warning(self) -> str | None:
        """What to know of a way that is let in because it was asked for, and was hardly measured; else None."""
        if self.most_doubt is not None or self.pictures >= FEW_PICTURES or not self.passed:
            return None
        apart = self.unsure.difference
        return (
            f"{self.way}: {self.pictures} pictures show little; {self.unsure.name} may change by anything from "
            f"{100 * apart.low:+.1f} to {100 * apart.high:+.1f} points"
        )

    @property
    def sentence(self) -> str:
        """What a person is told."""
        told = ", ".join(
            f"{score.name} {100 * score.difference.value:+.1f} points "
            f"[{100 * score.difference.low:+.1f}, {100 * score.difference.high:+.1f}]"
            for score in self.scores
        )
        return f"{self.way}: {told} on {self.pictures} pictures ({self.source})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the card."""
        return {
            "passed": self.passed,
            "pictures": self.pictures,
            "source": self.source,
            "most_loss_points": self.most_loss,
            "most_doubt_points": self.most_doubt,
            "fault": self.fault,
            "warning": self.warning,
            "scores": [score.to_dict() for score in self.scores],
            **self.facts,
        }


@dataclass(frozen=True)
class Judge:
    """The labelled pictures of a run, and what the float network answers there in the exact way.

    Build it with ``judge_of``.
    """

    dataset: Dataset
    part: str
    before: AnyEvaluation

    def measure(
        self,
        way: str,
        card: Card,
        engine: Engine,
        *,
        most_loss: float,
        most_doubt: float | None = None,
        on_progress: Progress | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Gate:
        """Answer the pictures by another engine, or by a card with other preprocessing, and compare."""
        after = evaluate(
            predictor_of(card, engine), self.dataset, self.part, draws=DRAWS, on_progress=on_progress
        )
        if after.n < self.before.n:
            raise ExportError(
                f"{way}: some pictures get no answer, so nothing was written",
                got=f"{self.before.n - after.n} of {self.before.n} ({self.part} part)",
                fix="export without it",
            )
        scores = tuple(one for one in paired_scores(self.before, after) if np.isfinite(one.difference.value))
        if not scores:
            raise ExportError(f"{way}: what it costs cannot be measured", got="no score is defined here")
        return Gate(way, self.before.n, f"{self.part} part", scores, most_loss, facts or {}, most_doubt)


def judge_of(dataset: Dataset, card: Card, engine: Engine, *, on_progress: Progress | None = None) -> Judge:
    """Choose the pictures and answer them in the exact way.

    Raises
    ------
    ExportError : there is no held-out labelled picture, or there are too few of them.
    """
    for part in ("validation", "test"):
        if part not in dataset.parts:
            continue
        chosen = _spread(dataset.part(part))
        try:
            before = evaluate(predictor_of(card, engine), chosen, part, draws=DRAWS, on_progress=on_progress)
        except AssayError:  # nothing in this part is labelled, or can be read
            continue
        if before.n >= LEAST_PICTURES:
            return Judge(chosen, part, before)
    raise ExportError(
        "what a faster way costs cannot be measured",
        got=f"fewer than {LEAST_PICTURES} labelled pictures that the network did not learn from",
        fix="put the run's pictures back where they were, or export it in fp32 with exact decoding",
    )


def require_gate(gate: Gate) -> None:
    """Refuse an export whose answers get worse. Raises ExportError with the numbers."""
    if gate.passed:
        return
    worst = gate.worst
    raise ExportError(
        f"{gate.way} costs too much accuracy, so nothing was written",
        got=f"{worst.name} falls from {worst.before:.3f} to {worst.after:.3f} on {gate.pictures} pictures "
        f"({gate.source}); {gate.most_loss:g} points are allowed",
        fix="export without it, or allow more with --most-loss where that is worth the speed",
    )


def predictor_of(card: Card, engine: Engine) -> BundlePredictor | BundleScenePredictor:
    """A predictor from parts, as ``load`` makes it from a Bundle."""
    return BundleScenePredictor(card, engine) if card.task == "scene" else BundlePredictor(card, engine)


def _spread(dataset: Dataset) -> Dataset:
    """At most ``MOST_PICTURES`` rows, from all over the part."""
    if len(dataset) <= MOST_PICTURES:
        return dataset
    return dataset.take(np.linspace(0, len(dataset) - 1, MOST_PICTURES).astype(np.int64))


def paired_scores(before: AnyEvaluation, after: AnyEvaluation) -> tuple[Score, ...]:
    """The main score of each head both ways on the same pictures, with the interval of its difference.

    That is a paired bootstrap, widened to what so many pictures, or groups of them, can show.
    """
    if isinstance(before, Evaluation) and isinstance(after, Evaluation):
        found = compare(after, before, draws=1000)
        apart = _widened(found.difference, found.groups or found.n)
        return (Score("accuracy", found.accuracy_b.value, found.accuracy_a.value, apart),)
    assert isinstance(before, SceneEvaluation)
    assert isinstance(after, SceneEvaluation)
    groups = before.material.groups_of(np.arange(before.n))
    most = before.n if groups is None else int(groups.max()) + 1
    heads: Sequence[Any] = list(compare_scenes(after, before, draws=1000).values())
    return tuple(Score(one.metric, one.b, one.a, _widened(one.difference, min(one.n, most))) for one in heads)


def _widened(difference: Estimate, n: int) -> Estimate:
    """An interval that also knows of pictures like none of the ``n``.

    A bootstrap draws what was seen. Where both ways answer all pictures alike its interval is a point, with 20 pictures
    as with 2000. So it reaches at least as far as Wilson's for none of ``n``: the share of pictures that may be lost
    although not one was.
    """
    unseen = wilson(0, n).high
    return Estimate(difference.value, min(difference.low, -unseen), max(difference.high, unseen))
