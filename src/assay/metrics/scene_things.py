"""What is measured of boxes, or of masks: COCO's scores, what a user meets from the stored score on, and mistakes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from assay.metrics.average_precision import precisions
from assay.metrics.detect import DetectionScores
from assay.metrics.detect import score as score_pool
from assay.metrics.detection_reliability import detection_reliability
from assay.metrics.interval import Estimate, Floats
from assay.metrics.matches import Matches
from assay.metrics.mistakes import OUTCOMES, find_mistakes
from assay.metrics.operating_point import Counts, count, precision_recall
from assay.metrics.pool import Ints
from assay.metrics.resample import Scores, estimates, mean_known, share
from assay.metrics.scene_section import Section, plain

_COLUMNS = {"ap50_95": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
"""Which of COCO's ten overlaps each score is a mean of."""


@dataclass(frozen=True)
class ThingSection(Section):
    """Boxes or masks, by ``kind``, of ``pictures`` where somebody looked; ``unlabelled`` ones are left out.

    ``estimates``: ap50_95, ap50, ap75; precision, recall and f1 of detections with ``score`` or more, at an overlap of
    0.5; ece, the calibration error of the scores. ``coco`` are the twelve numbers. ``per_class`` has a row a class.
    ``mistakes`` counts each kind (``metrics.mistakes``) at ``score``. ``calibration`` is ``DetectionReliability`` as
    plain values.
    """

    kind: str
    pictures: int
    unlabelled: int
    objects: int
    score: float
    coco: dict[str, float | None]
    per_class: list[dict[str, Any]]
    mistakes: dict[str, int]
    mistakes_a_picture: dict[str, Any]
    calibration: dict[str, Any]


def measure_things(
    matches: Matches, score: float, *, draws: int = 1000, seed: int = 0, groups: Ints | None = None
) -> ThingSection:
    """Everything that is told of matched detections, of which those with ``score`` or more are given to users.

    With no ``draws`` there are no intervals, but those of shares.
    """
    coco, n = score_pool(matches.pool), matches.n
    options: dict[str, Any] = {"draws": draws, "seed": seed, "groups": groups}
    aps = estimates(_ap_scores(matches), n, **options)
    precision, recall = precision_recall(matches, score, groups=groups)
    f1 = estimates(f1_scores(matches, score), n, **options)
    mistakes = find_mistakes(matches, score)
    reliability = detection_reliability(matches, **{**options, "draws": max(1, draws)})
    ece = reliability.ece if draws else Estimate(reliability.ece.value, math.nan, math.nan)
    own = {name: aps[name] for name in _COLUMNS}
    rates = {"precision": precision, "recall": recall, "f1": f1["f1"], "ece": ece}
    return ThingSection(
        {**own, **rates},
        kind=matches.pool.kind,
        pictures=n,
        unlabelled=coco.unlabelled,
        objects=coco.objects,
        score=float(score),
        coco=_twelve(coco),
        per_class=_rows(matches, coco, {**aps, **f1}, score, groups),
        mistakes=mistakes.totals,
        mistakes_a_picture={name: e.to_dict() for name, e in mistakes.per_picture(**options).items()}
        if draws
        else {name: {"value": plain(mistakes.totals[name] / n if n else math.nan)} for name in OUTCOMES},
        calibration=reliability.to_dict(),
    )


def _ap_scores(matches: Matches) -> Scores:
    """As ``average_precision.scores``, and of each class beside: ``"ap50 0"``, ..."""
    weigh = precisions(matches)

    def of(weights: Floats) -> dict[str, Floats]:
        values = weigh(weights)  # D T K
        found = {}
        for name, levels in _COLUMNS.items():
            part = values[:, levels]
            found[name] = mean_known(part.reshape(len(part), -1))
            found |= {f"{name} {k}": mean_known(part[:, :, k]) for k in range(part.shape[2])}
        return found

    return of


def f1_scores(matches: Matches, score: float) -> Scores:
    """From weights (D, N) to ``f1`` of all detections with ``score`` or more, and of each class: ``"f1 0"``, ..."""
    counts = {"f1": count(matches, score)}
    counts |= {f"f1 {k}": count(matches, score, label=k) for k in range(len(matches.pool.classes))}

    def of(weights: Floats) -> dict[str, Floats]:
        return {name: _f1(one, weights) for name, one in counts.items()}

    return of


def _f1(of: Counts, weights: Floats) -> Floats:
    """(D,); NaN where there are no things."""
    right, false, missed = (weights @ part.astype(np.float64) for part in (of.right, of.false, of.missed))
    return np.where(right + missed > 0, share(2 * right, 2 * right + false + missed), np.nan)


def _twelve(scores: DetectionScores) -> dict[str, float | None]:
    names = [one.name for one in fields(scores) if one.name.startswith(("ap", "ar"))]
    return {name: plain(getattr(scores, name)) for name in names}


def _rows(
    matches: Matches,
    coco: DetectionScores,
    found: dict[str, Estimate],
    score: float,
    groups: Ints | None,
) -> list[dict[str, Any]]:
    rows = []
    for k, of in enumerate(coco.per_class):
        precision, recall = precision_recall(matches, score, label=k, groups=groups)
        known = {name: found[f"{name} {k}"] for name in (*_COLUMNS, "f1")}
        known |= {"precision": precision, "recall": recall}
        values = {name: estimate.to_dict() for name, estimate in known.items()}
        rows.append({"class": of.name, "objects": of.objects, "ar100": plain(of.ar100), **values})
    return rows
