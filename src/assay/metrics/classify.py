"""How often the answer is right, in all and by class. Everything takes probs (N, K) and targets (N,).

The answer is the class of the greatest probability, the first of equals. Undefined values are NaN, never a
warning. Checked against scikit-learn and torchmetrics in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.interval import Estimate, Floats, wilson_bounds
from assay.metrics.metric import Metric, Probs, Targets

DENSE_CLASSES = 1000
"""Up to so many classes a confusion matrix is kept whole; beyond, only its largest entries are."""


def answers(probs: Probs) -> Targets:
    """(N,) the most probable class of each picture."""
    if probs.shape[0] == 0:
        return np.zeros(0, dtype=np.int64)
    return np.asarray(probs.argmax(1), dtype=np.int64)


def right(probs: Probs, targets: Targets) -> Floats:
    """(N,) 1.0 where the answer is the target."""
    return np.asarray(answers(probs) == targets, dtype=np.float64)


def accuracy(probs: Probs, targets: Targets) -> float:
    """The share of pictures whose answer is right."""
    return _mean(right(probs, targets))


def right_in_top(probs: Probs, targets: Targets, k: int = 5) -> Floats:
    """(N,) 1.0 where the target is among the ``k`` most probable classes; of equals the first ones count."""
    own = np.take_along_axis(probs, targets[:, None], 1)
    before = np.arange(probs.shape[1])[None, :] < targets[:, None]
    ahead = ((probs > own) | ((probs == own) & before)).sum(1)
    return np.asarray(ahead < k, dtype=np.float64)


def top5(probs: Probs, targets: Targets) -> float:
    """The share of pictures whose target is among the five most probable classes; 1 up to five classes."""
    return _mean(right_in_top(probs, targets))


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def class_counts(predicted: Targets, targets: Targets, classes: int) -> tuple[Floats, Floats, Floats]:
    """(K,) each: true positives, pictures of the class, answers with the class."""
    return (
        np.bincount(targets[predicted == targets], minlength=classes).astype(np.float64),
        np.bincount(targets, minlength=classes).astype(np.float64),
        np.bincount(predicted, minlength=classes).astype(np.float64),
    )


def macro_f1(probs: Probs, targets: Targets) -> float:
    """Mean F1 over the classes that occur in the targets or among the answers (as scikit-learn has it)."""
    return _mean_f1(*class_counts(answers(probs), targets, probs.shape[1]))


def _mean_f1(hits: Floats, support: Floats, predicted: Floats) -> float:
    seen = support + predicted > 0
    return float((2 * hits[seen] / (support + predicted)[seen]).mean()) if seen.any() else math.nan


def balanced_accuracy(probs: Probs, targets: Targets) -> float:
    """Mean recall over the classes that occur in the targets."""
    return _mean_recall(*class_counts(answers(probs), targets, probs.shape[1]))


def _mean_recall(hits: Floats, support: Floats, _predicted: Floats) -> float:
    seen = support > 0
    return float((hits[seen] / support[seen]).mean()) if seen.any() else math.nan


def _draws_of(
    summary: Callable[[Floats, Floats, Floats], float],
) -> Callable[[Probs, Targets], Callable[[Floats], Floats]]:
    def prepare(probs: Probs, targets: Targets) -> Callable[[Floats], Floats]:
        predicted, classes = answers(probs), probs.shape[1]
        hit = np.flatnonzero(predicted == targets)

        def one(row: Floats) -> float:
            hits, support, given = (
                np.bincount(of, weights=w, minlength=classes).astype(np.float64)
                for of, w in ((targets[hit], row[hit]), (targets, row), (predicted, row))
            )
            return summary(hits, support, given)

        return lambda weights: np.array([one(row) for row in weights])

    return prepare


def auroc(probs: Probs, targets: Targets) -> float:
    """Area under the ROC curve: of class 1 where there are two classes, else the mean one-versus-rest.

    Classes that no picture or every picture has are left out; NaN when that leaves none.
    """
    areas = [area for area, _ in _areas(probs, targets)]
    return float(np.mean(areas)) if areas else math.nan


def _areas(probs: Probs, targets: Targets) -> list[tuple[float, Floats]]:
    """By class: the area, and (N,) the influence of each picture on it (DeLong et al. 1988, components)."""
    columns = [1] if probs.shape[1] == 2 else [int(k) for k in np.unique(targets)]
    found = [_area(probs[:, k], targets == k) for k in columns]
    return [pair for pair in found if pair is not None]


def _area(scores: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[float, Floats] | None:
    ups, downs = np.sort(scores[positive]), np.sort(scores[~positive])
    if len(ups) == 0 or len(downs) == 0:
        return None
    beaten = _share_below(downs, scores[positive])  # of each positive: the negatives below it, ties half
    beating = 1 - _share_below(ups, scores[~positive])
    area = float(beaten.mean())
    influence = np.empty(len(scores))
    influence[positive] = (beaten - area) * len(scores) / len(ups)
    influence[~positive] = (beating - area) * len(scores) / len(downs)
    return area, influence


def _share_below(ordered: NDArray[Any], scores: NDArray[Any]) -> Floats:
    ranks = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return np.asarray(ranks / (2 * len(ordered)), dtype=np.float64)


def _auroc_draws(probs: Probs, targets: Targets) -> Callable[[Floats], Floats]:
    """The bootstrap of the linearised area: its influences resampled. Cheap for many classes."""
    found = _areas(probs, targets)
    if not found:
        return lambda weights: np.full(len(weights), math.nan)
    area = float(np.mean([a for a, _ in found]))
    influence = np.mean([i for _, i in found], axis=0)
    return lambda weights: area + weights @ influence / weights.sum(1)


def confusion(predicted: Targets, targets: Targets, classes: int) -> NDArray[np.int64]:
    """(K, K) number of pictures: row is the target, column the answer."""
    cells = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def confused_pairs(
    predicted: Targets, targets: Targets, classes: int, most: int = 20
) -> list[tuple[int, int, int]]:
    """(target, answer, pictures) of the commonest mistakes, commonest first; memory does not grow with K."""
    wrong = predicted != targets
    cells, counts = np.unique(targets[wrong] * classes + predicted[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return [(int(cells[i]) // classes, int(cells[i]) % classes, int(counts[i])) for i in order]


def by_class(predicted: Targets, targets: Targets, classes: int) -> dict[str, Any]:
    """Precision, recall and F1 as (value, low, high) of (K,) arrays; ``support`` and ``predicted`` as counts.

    Intervals are Wilson's. F1 is 2J / (1 + J) of the share J of pictures that are right among those that have
    the class or were given it, so its bounds are those of J, transformed.
    """
    hits, support, given = class_counts(predicted, targets, classes)
    jaccard = _ratio(hits, support + given - hits)
    return {
        "precision": _ratio(hits, given),
        "recall": _ratio(hits, support),
        "f1": tuple(2 * j / (1 + j) for j in jaccard),
        "support": support.astype(np.int64),
        "predicted": given.astype(np.int64),
    }


def _ratio(k: Floats, n: Floats) -> tuple[Floats, Floats, Floats]:
    value = np.divide(k, n, out=np.full(len(n), math.nan), where=n > 0)
    return value, *wilson_bounds(k, n)


def class_rows(names: list[str], predicted: Targets, targets: Targets) -> list[dict[str, Any]]:
    """``by_class`` as one plain mapping a class, for JSON and tables."""
    found = by_class(predicted, targets, len(names))
    return [
        {
            "class": name,
            "support": int(found["support"][k]),
            "predicted": int(found["predicted"][k]),
            **{
                key: Estimate(*(float(part[k]) for part in found[key])).to_dict()
                for key in ("precision", "recall", "f1")
            },
        }
        for k, name in enumerate(names)
    ]


ACCURACY = Metric(accuracy, "accuracy", each=right, is_proportion=True)
TOP5 = Metric(top5, "top-5 accuracy", each=right_in_top, is_proportion=True)
MACRO_F1 = Metric(macro_f1, "macro F1", draws=_draws_of(_mean_f1))
BALANCED_ACCURACY = Metric(balanced_accuracy, "balanced accuracy", draws=_draws_of(_mean_recall))
AUROC = Metric(auroc, "AUROC", draws=_auroc_draws)
