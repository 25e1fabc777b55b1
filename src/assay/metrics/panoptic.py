"""Panoptic quality: every pixel belongs to one segment, and a segment is found or it is not (Kirillov, He, Girshick,
Rother and Dollár 2019, "Panoptic Segmentation").

A found and a true segment of one class match where they overlap by more than a half, which at most one can. PQ of a
class is the summed overlap of matches over (matches + half of what is false + half of what is missed); it is SQ, the
mean overlap of matches, times RQ, the F1 of finding. As in the authors' panopticapi, void pixels do not count against
a match, and a false segment that lies by more than half in void or in a crowd of its class is forgiven. Sums are over
pictures; a class that is neither there nor found has no score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.masks import Mask
from assay.metrics.interval import Estimate, Floats
from assay.metrics.pool import Ints
from assay.metrics.resample import Scores, estimates, mean_known


@dataclass(frozen=True, eq=False)
class Segments:
    """A picture cut into S segments: ``numbers`` (H, W) holds 0 for void and i + 1 for segment i.

    ``labels`` (S,) are positions in the classes, ``crowd`` (S,) marks regions of many things.
    """

    numbers: NDArray[np.int32]
    labels: Ints
    crowd: NDArray[np.bool_]


def paint(
    masks: Sequence[Mask],
    labels: Sequence[int],
    size_hw: tuple[int, int],
    *,
    pixels: NDArray[np.integer] | None = None,
    stuff: Sequence[int] = (),
    crowd: Sequence[bool] = (),
    least_share: float = 0.0,
) -> Segments:
    """Segments of things, the first on top, and under them of stuff.

    A thing of which less than ``least_share`` remains in sight is left out; 0.5 is usual for detections, best first
    (Kirillov et al., section 5). ``pixels`` (H, W) are pixel classes, and ``stuff[c]`` is the class of these segments
    that pixel class c is, or -1 where it is a thing's or void. Values beyond ``stuff`` are void.

    Raises
    ------
    ConfigError : a mask or the pixels have another size.
    """
    numbers, kept = np.zeros(size_hw, np.int32), []
    for i, mask in enumerate(masks):
        shape = mask.to_array()
        _require_size(shape.shape, size_hw)
        free = shape & (numbers == 0)
        if free.any() and free.sum() >= least_share * shape.sum():
            kept.append(i)
            numbers[free] = len(kept)
    found = [int(labels[i]) for i in kept]
    if pixels is not None:
        _require_size(pixels.shape, size_hw)
        for c, label in enumerate(stuff):
            free = (pixels == c) & (numbers == 0)
            if label >= 0 and free.any():
                found.append(label)
                numbers[free] = len(found)
    many = [bool(crowd[i]) for i in kept] if crowd else [False] * len(kept)
    marks = np.array(many + [False] * (len(found) - len(kept)), bool)
    return Segments(numbers, np.array(found, np.int64), marks)


def _require_size(got: tuple[int, ...], wanted: tuple[int, int]) -> None:
    if tuple(got) != tuple(wanted):
        raise ConfigError("segments are of one size", got=f"{got} and {wanted} (height, width)")


def count_segments(truth: Segments, found: Segments, classes: int) -> Floats:
    """(4, K) of one picture: summed overlap of matches, matches, false segments, missed ones.

    Raises
    ------
    ConfigError : the two have different sizes.
    """
    _require_size(found.numbers.shape, (truth.numbers.shape[0], truth.numbers.shape[1]))
    n, m = len(truth.labels), len(found.labels)
    cells = truth.numbers.astype(np.int64) * (m + 1) + found.numbers
    shared = np.bincount(cells.ravel(), minlength=(n + 1) * (m + 1)).reshape(n + 1, m + 1)
    own, given = shared[1:].sum(1), shared[:, 1:].sum(0)
    void, both = shared[0, 1:], shared[1:, 1:]
    iou = both / np.maximum(own[:, None] + given[None, :] - both - void[None, :], 1)
    same = truth.labels[:, None] == found.labels[None, :]
    match = (iou > 0.5) & same & ~truth.crowd[:, None]
    forgiven = void + (both * (same & truth.crowd[:, None])).sum(0) > 0.5 * given
    false = ~match.any(0) & ~forgiven & (given > 0)
    missed = ~match.any(1) & ~truth.crowd & (own > 0)
    at = truth.labels[np.nonzero(match)[0]]
    rows = [
        np.bincount(at, weights=iou[match], minlength=classes),
        np.bincount(at, minlength=classes),
        np.bincount(found.labels[false], minlength=classes),
        np.bincount(truth.labels[missed], minlength=classes),
    ]
    return np.stack(rows).astype(np.float64)


def qualities(counts: Floats) -> tuple[Floats, Floats, Floats]:
    """PQ, SQ and RQ (..., K) each, from counts (..., 4, K); NaN where a class is neither there nor found."""
    overlap, matched, false, missed = (counts[..., i, :] for i in range(4))
    cases = matched + false / 2 + missed / 2

    def over(part: Floats, whole: Floats) -> Floats:
        ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        return np.where(cases > 0, ratio, np.nan)

    return over(overlap, cases), over(overlap, matched), over(matched, cases)


@dataclass(frozen=True, eq=False)
class PanopticCounts:
    """``sums`` (N, 4, K) of N pictures, as ``count_segments`` gives them; ``rows`` (N,) says where each one stood."""

    sums: Floats
    rows: Ints
    classes: ClassNames

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.rows)


def count_panoptic(pairs: Iterable[tuple[Segments | None, Segments]], classes: ClassNames) -> PanopticCounts:
    """Count pictures, one (truth, found) after another; where the truth is None nobody looked: it is left out.

    Raises
    ------
    ConfigError : truth and found have different sizes.
    """
    rows, sums = [], []
    for i, (truth, found) in enumerate(pairs):
        if truth is not None:
            rows.append(i)
            sums.append(count_segments(truth, found, len(classes)))
    shaped = np.array(sums, np.float64).reshape(-1, 4, len(classes))
    return PanopticCounts(shaped, np.array(rows, np.int64), classes)


def scores(counts: PanopticCounts, things: Sequence[str] = ()) -> Scores:
    """From weights (D, N) of the pictures to (D,) values of each score."""
    is_thing = np.zeros(len(counts.classes), bool)
    is_thing[[counts.classes.position(name) for name in things]] = True

    def of(weights: Floats) -> dict[str, Floats]:
        pq, sq, rq = qualities(np.tensordot(weights, counts.sums, axes=1))
        found = {"pq": mean_known(pq), "sq": mean_known(sq), "rq": mean_known(rq)}
        if is_thing.any():
            found |= {"pq_things": mean_known(pq[:, is_thing]), "pq_stuff": mean_known(pq[:, ~is_thing])}
        return found

    return of


def measure_panoptic(
    counts: PanopticCounts,
    *,
    things: Sequence[str] = (),
    draws: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Estimate]:
    """``pq``, ``sq``, ``rq``, means over classes, with bootstrap intervals over pictures, or whole groups (N,).

    With ``things`` named, ``pq_things`` and ``pq_stuff`` are the means over these classes and over the others.
    """
    return estimates(scores(counts, things), counts.n, draws=draws, seed=seed, groups=groups)
