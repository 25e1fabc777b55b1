"""What an evaluation means, in sentences and small tables that a person who trains no networks can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate, proportion, wilson
from assay.metrics.reliability import losses

THRESHOLDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
SURE = 0.9
VAGUE = 0.1
"""Where chance alone gives a larger ECE than this, a good one proves nothing."""
FEW = 10
"""A class with fewer pictures is not called weak: nobody can know."""

_BASELINE_NAMES = {"majority": "always the commonest class", "colour-histogram": "colours alone"}


def percent(share: float, digits: int = 1) -> str:
    """``83.4 %`` with a narrow no-break space, a dash for NaN."""
    return f"{100 * share:.{digits}f}\u202f%" if math.isfinite(share) else "–"


@dataclass(frozen=True, slots=True)
class Rival:
    """A row of the ladder: this model, or a baseline that it must beat."""

    name: str
    accuracy: Estimate
    is_model: bool = False


def headline(evaluation: Evaluation) -> str:
    """The verdict in one sentence."""
    part = "" if evaluation.part == "all" else f"{evaluation.part} "
    pictures = f"{part}{'pictures' if evaluation.n != 1 else 'picture'}"
    right = percent(evaluation.metrics["accuracy"].value)
    return f"On {evaluation.n:,} {pictures} it is right in {right} of cases."


def second_line(evaluation: Evaluation) -> str:
    """The interval in words, and what the commonest class alone would give."""
    a = evaluation.metrics["accuracy"]
    commonest = int(np.bincount(evaluation.targets).argmax())
    share = float((evaluation.targets == commonest).mean())
    return (
        f"With this many pictures, anything from {percent(a.low)} to {percent(a.high)} is plausible "
        f"(95\u202f% interval). Always answering “{evaluation.classes[commonest]}” would be right "
        f"in {percent(share)}."
    )


def points(evaluation: Evaluation, rivals: list[Rival]) -> list[str]:
    """What else one should know, the most important first."""
    found = [_against_rivals(evaluation, rivals), _calibration(evaluation), _sure(evaluation)]
    found += [_weakest(evaluation), *cautions(evaluation)]
    return [sentence for sentence in found if sentence]


def rivals(evaluation: Evaluation, baselines: Mapping[str, Any]) -> list[Rival]:
    """The model and what everyone must beat, best first. Without stored baselines, the commonest class."""
    rows = [Rival("this model", evaluation.metrics["accuracy"], is_model=True)]
    for name, found in baselines.items():
        measured = found.get(evaluation.part, found) if isinstance(found, Mapping) else {}
        accuracy = measured.get("accuracy") if isinstance(measured, Mapping) else None
        if isinstance(accuracy, Mapping):
            rows.append(Rival(_BASELINE_NAMES.get(name, name), Estimate.from_dict(dict(accuracy))))
    if len(rows) == 1 and evaluation.n:
        commonest = int(np.bincount(evaluation.targets).argmax())
        share = proportion(evaluation.targets == commonest)
        rows.append(Rival(f"always “{evaluation.classes[commonest]}”", share))
    return sorted(rows, key=lambda row: -row.accuracy.value)


def _against_rivals(evaluation: Evaluation, rows: list[Rival]) -> str:
    others = [row for row in rows if not row.is_model]
    if not others:
        return ""
    mine, best = evaluation.metrics["accuracy"], others[0]
    told = " and ".join(f"{row.name} gives {percent(row.accuracy.value)}" for row in others[:2])
    if mine.low > best.accuracy.high:
        return f"It is clearly better than simpler ways: {told}."
    return f"It is not clearly better than simpler ways: {told}. More or cleaner training pictures may help."


def _calibration(evaluation: Evaluation) -> str:
    ece, floor = evaluation.metrics.get("ece"), evaluation.metrics.get("ece_floor")
    if ece is None or floor is None or not math.isfinite(ece.value):
        return ""
    if ece.value <= floor.high and floor.high > VAGUE:
        return (
            f"There are too few pictures to tell whether its probabilities can be believed: their error (ECE) is "
            f"{ece.value:.3f}, but chance alone gives up to {floor.high:.3f}."
        )
    if ece.value <= floor.high:
        return (
            f"Its probabilities can be taken at their word: their error (ECE) is {ece.value:.3f}, "
            f"and chance alone gives up to {floor.high:.3f} with so many pictures."
        )
    excess = float(evaluation.confidence.mean() - evaluation.right.mean())
    way = "surer than it is right" if excess > 0 else "less sure than it could be"
    return (
        f"Its probabilities are off by more than chance (ECE {ece.value:.3f}, chance up to {floor.high:.3f}): "
        f"on average it is {way}, by {100 * abs(excess):.1f} points."
    )


def _sure(evaluation: Evaluation) -> str:
    row = risk_at(evaluation, SURE)
    if row["n"] == 0:
        return f"It is never {percent(SURE, 0)} sure."
    wrong = f"wrong in {percent(row['wrong'].value)}" if row["mistakes"] else "never wrong"
    return f"Where it is {percent(SURE, 0)} sure or more, on {percent(row['share'], 0)} of the pictures, it is {wrong}."


def _weakest(evaluation: Evaluation) -> str:
    rows = [row for row in evaluation.per_class if row["support"] >= FEW]
    if len(rows) < 2:
        return ""
    worst = min(rows, key=lambda row: float(row["recall"]["value"]))
    return (
        f"Its weakest class is “{worst['class']}”: it finds {percent(worst['recall']['value'], 0)} "
        f"of {worst['support']} pictures."
    )


def cautions(evaluation: Evaluation) -> list[str]:
    """Reasons to trust the numbers less."""
    a, found = evaluation.metrics["accuracy"], []
    if a.high - a.low > 0.1:
        found.append(
            f"The interval is {100 * (a.high - a.low):.0f} points wide. More labelled pictures would narrow it."
        )
    if evaluation.part == "validation":
        found.append("These pictures also chose the weights, so expect a little less on new ones.")
    if evaluation.part == "train":
        found.append(
            "These are the pictures that it learned from: nothing here says how it does on new ones."
        )
    few = [row["class"] for row in evaluation.per_class if 0 < row["support"] < FEW]
    if few:
        named = ", ".join(f"“{name}”" for name in few[:4]) + (" and others" if len(few) > 4 else "")
        found.append(
            f"Fewer than {FEW} pictures of {named}: too few to say anything about {'it' if len(few) == 1 else 'them'}."
        )
    if groups := evaluation.interval.get("groups"):
        found.append(f"Pictures come in {groups} groups of related ones; intervals take that into account.")
    if evaluation.unreadable:
        found.append(f"Left out: {_pictures(len(evaluation.unreadable))} that cannot be read.")
    if evaluation.unlabelled:
        found.append(f"Left out: {_pictures(evaluation.unlabelled)} without a label.")
    return found


def _pictures(n: int) -> str:
    return "one picture" if n == 1 else f"{n:,} pictures"


def risk_at(evaluation: Evaluation, threshold: float) -> dict[str, Any]:
    """If only answers of at least this probability are taken: how many remain, and how many are wrong."""
    kept = evaluation.confidence >= threshold
    n, wrong = int(kept.sum()), int((kept & ~evaluation.right).sum())
    return {
        "threshold": threshold,
        "n": n,
        "share": n / max(1, evaluation.n),
        "mistakes": wrong,
        "wrong": wrong_share(wrong, n),
    }


def wrong_share(wrong: int, n: int) -> Estimate:
    """The share of wrong answers with its interval."""
    return wilson(wrong, n)


def risk_curve(evaluation: Evaluation, most: int = 240) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(share of pictures answered, share of those wrong), the surest answers first."""
    order = np.argsort(-evaluation.confidence, kind="stable")
    counts = np.arange(1, evaluation.n + 1)
    risk = np.cumsum(~evaluation.right[order]) / counts
    # the first few answers say nothing: one mistake among three is no 33 %
    start = min(evaluation.n - 1, max(0, evaluation.n // 50))
    rows = np.unique(np.linspace(start, evaluation.n - 1, min(most, evaluation.n)).astype(int))
    return counts[rows] / evaluation.n, risk[rows]


def confident_mistakes(evaluation: Evaluation, most: int = 12) -> list[int]:
    """Rows of the wrong answers, the surest first."""
    wrong = np.flatnonzero(~evaluation.right)
    return [int(i) for i in wrong[np.argsort(-evaluation.confidence[wrong], kind="stable")][:most]]


def worst_misses(evaluation: Evaluation, most: int = 12, skip: frozenset[int] = frozenset()) -> list[int]:
    """Rows where the true class got the least probability, leaving out ``skip``."""
    loss = losses(evaluation.probs, evaluation.targets)
    order = [
        int(i) for i in np.argsort(-loss, kind="stable") if not evaluation.right[i] and int(i) not in skip
    ]
    return order[:most]


def doubtful_hits(evaluation: Evaluation, most: int = 6) -> list[int]:
    """Rows of right answers, the least sure first."""
    hits = np.flatnonzero(evaluation.right)
    return [int(i) for i in hits[np.argsort(evaluation.confidence[hits], kind="stable")][:most]]
