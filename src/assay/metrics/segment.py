"""Scores of pixel classes, from a confusion matrix summed over pictures; void pixels (255 in the truth) do not count.

IoU of a class is hits / (truth + predicted - hits), Dice 2 hits / (truth + predicted), both over the pixels of all
pictures together, as in PASCAL VOC: a mean of per-picture values is another figure. A class that is neither in the
truth nor predicted has no score (NaN) and does not count in means. Pixel accuracy is read beside the share of the
commonest class, which an answer without a look would reach. The boundary's F1 is told in ``boundary``.

What is kept of each picture are three counts a class, so a resample of pictures is a product of matrices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.boundary import TOLERANCE, boundary_counts, f1
from assay.metrics.interval import Estimate, Floats
from assay.metrics.pool import Ints
from assay.metrics.resample import Scores, difference, estimates, mean_known, share
from assay.pixel_masks import IGNORE

Map = NDArray[Any]
"""(H, W) integers, a class a pixel."""


@dataclass(frozen=True, eq=False)
class PixelCounts:
    """Pixels of N pictures.

    ``hits``, ``truth`` and ``predicted`` (N, K): of each class those that are right, that have it and that were given
    it. ``confusion`` (K, K) is summed over pictures; row is the truth, column the answer. ``boundary`` (N, 4, K) are
    the counts of ``boundary_counts``. ``rows`` (N,) says where each picture stood among those given.
    """

    hits: Ints
    truth: Ints
    predicted: Ints
    confusion: Ints
    boundary: Ints
    rows: Ints
    classes: ClassNames

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.rows)


def count_pixels(
    pairs: Iterable[tuple[Map | None, Map]], classes: ClassNames, *, tolerance: float = TOLERANCE
) -> PixelCounts:
    """Count the pixels of pictures, one (truth, answer) after another, so all need not be in memory.

    Where the truth is None nobody looked, and the picture is left out. ``tolerance`` of boundaries is a share of the
    picture's diagonal.

    Raises
    ------
    ConfigError : an answer has another size than its truth, or a value that is no class. DatasetError : a truth has
    one.
    """
    k = len(classes)
    total, rows, sums, edges = np.zeros((k, k), np.int64), [], [], []
    for i, (truth, answer) in enumerate(pairs):
        if truth is None:
            continue
        cells = confusion_of(truth, answer, k)
        total += cells
        rows.append(i)
        sums.append(np.stack([np.diag(cells), cells.sum(1), cells.sum(0)]))
        edges.append(boundary_counts(truth, answer, k, tolerance))
    hits, own, given = np.array(sums, np.int64).reshape(-1, 3, k).transpose(1, 0, 2)
    boundary = np.array(edges, np.int64).reshape(-1, 4, k)
    return PixelCounts(hits, own, given, total, boundary, np.array(rows, np.int64), classes)


def confusion_of(truth: Map, answer: Map, classes: int) -> Ints:
    """(K, K) pixels of one picture; row is the truth, column the answer.

    Raises
    ------
    ConfigError, DatasetError : as ``count_pixels``.
    """
    if truth.shape != answer.shape or truth.ndim != 2:
        raise ConfigError(
            "an answer has another size than its picture",
            got=f"truth {truth.shape}, answer {answer.shape}",
            fix="scale the answer to the upright picture",
        )
    known = truth != IGNORE
    own, given = truth[known], answer[known]
    for name, values, error in (("the truth", own, DatasetError), ("an answer", given, ConfigError)):
        if len(values) and not (values.min() >= 0 and values.max() < classes):
            raise error(
                f"{name} has a value that is no class",
                got=f"{values.min()} to {values.max()}, {classes} classes",
                fix=f"a pixel without a class is {IGNORE} in the truth; an answer gives every pixel one",
            )
    cells = np.bincount(own.astype(np.int64) * classes + given, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def iou_of(hits: Any, truth: Any, predicted: Any) -> Floats:
    """(..., K) intersection over union of each class; NaN where it is neither in the truth nor predicted."""
    return share(hits, truth + predicted - hits)


def dice_of(hits: Any, truth: Any, predicted: Any) -> Floats:
    """(..., K) Dice of each class, which is its F1; NaN where it is neither in the truth nor predicted."""
    return share(2 * hits, truth + predicted)


def scores(counts: PixelCounts, background: str | None = None) -> Scores:
    """From weights (D, N) of the pictures to (D,) values of each score."""
    place = None if background is None else counts.classes.position(background)

    def of(weights: Floats) -> dict[str, Floats]:
        hits, truth, predicted = (
            weights @ part for part in (counts.hits, counts.truth, counts.predicted)
        )  # D K
        iou, pixels = iou_of(hits, truth, predicted), truth.sum(-1)
        found = {
            "miou": mean_known(iou),
            "dice": mean_known(dice_of(hits, truth, predicted)),
            "pixel_accuracy": share(hits.sum(-1), pixels),
            "majority": share(truth.max(-1, initial=0.0), pixels),
            "fw_iou": share((truth * np.where(truth > 0, iou, 0.0)).sum(-1), pixels),
            "boundary_f1": mean_known(f1(np.tensordot(weights, counts.boundary, axes=1))),
        }
        if place is not None:
            found["miou_no_background"] = mean_known(np.delete(iou, place, axis=-1))
        return found

    return of


def measure_pixels(
    counts: PixelCounts,
    *,
    background: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Estimate]:
    """Scores with bootstrap intervals over pictures, or over whole groups (N,) (``group_numbers``).

    ``miou`` and ``dice`` are means over classes, ``fw_iou`` is the mean IoU by frequency in the truth, ``majority``
    the share of the commonest class. ``background`` names the class that ``miou_no_background`` leaves out.
    """
    return estimates(scores(counts, background), counts.n, draws=draws, seed=seed, groups=groups)


def pixel_differences(
    a: PixelCounts,
    b: PixelCounts,
    *,
    background: str | None = None,
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Estimate]:
    """Scores of A minus those of B on the same pictures, with paired bootstrap intervals: both are drawn alike.

    Raises
    ------
    DatasetError : the two were not measured against the same truth.
    """
    if a.classes != b.classes or not np.array_equal(a.truth, b.truth):
        raise DatasetError(
            "two networks are compared on the same pictures and classes",
            got=f"{a.n:,} and {b.n:,} pictures, {a.truth.sum():,} and {b.truth.sum():,} pixels",
            fix="measure both on the same part of the same split",
        )
    apart = difference(scores(a, background), scores(b, background))
    found = estimates(apart, a.n, draws=draws, seed=seed, groups=groups, bounds=(-1.0, 1.0))
    del found["majority"]  # of the truth alone
    return found


def pixel_class_rows(
    counts: PixelCounts, *, draws: int = 1000, seed: int = 0, groups: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """One plain mapping a class, for JSON and tables: class, pixels, share, and iou, dice, boundary_f1 with
    intervals.
    """

    def by_class(weights: Floats) -> dict[str, Floats]:
        sums = [weights @ part for part in (counts.hits, counts.truth, counts.predicted)]
        edges = f1(np.tensordot(weights, counts.boundary, axes=1))
        columns = {"iou": iou_of(*sums), "dice": dice_of(*sums), "boundary_f1": edges}
        return {
            f"{name} {k}": values[:, k] for name, values in columns.items() for k in range(values.shape[1])
        }

    found = estimates(by_class, counts.n, draws=draws, seed=seed, groups=groups)
    pixels = counts.truth.sum(0)
    return [
        {
            "class": name,
            "pixels": int(pixels[k]),
            "share": float(pixels[k] / max(1, pixels.sum())),
            **{column: found[f"{column} {k}"].to_dict() for column in ("iou", "dice", "boundary_f1")},
        }
        for k, name in enumerate(counts.classes)
    ]
