"""How well the outlines of pixel classes are met: the boundary's F1 (Csurka, Larlus and Perronnin 2013, "What is a
good evaluation measure for semantic segmentation?", BMVC, section 3).

A pixel belongs to the boundary of its class where one of its four neighbours has another class; the picture's border
and void make no boundary. Precision is the share of predicted boundary pixels that have a true one of their class
within the tolerance, recall the share of true ones that have a predicted one; F1 is their harmonic mean. The
tolerance is 0.75 % of the picture's diagonal, as in the paper, measured from centre to centre: 5.4 pixels at 512 x
512.

The paper averages F1 over pictures. Here the counts of a class are summed over pictures first, as for IoU, so a
picture with three boundary pixels weighs no more than they do. Distances are not computed: it is enough to ask, row
by row, whether a sorted list of boundary pixels has one in reach. That needs no SciPy, which the answering wing has
not.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.interval import Floats
from assay.metrics.pool import Ints
from assay.pixel_masks import IGNORE

TOLERANCE = 0.0075


def boundary_counts(
    truth: NDArray[Any], answer: NDArray[Any], classes: int, tolerance: float = TOLERANCE
) -> Ints:
    """(4, K) boundary pixels of one picture: predicted and met, predicted, true and met, true."""
    known = truth != IGNORE
    predicted, true = _boundary(answer, known), _boundary(truth, known)
    reach = tolerance * math.hypot(*truth.shape)
    rows = [
        (answer, predicted, _in_reach(answer, predicted, truth, true, reach)),
        (truth, true, _in_reach(truth, true, answer, predicted, reach)),
    ]
    counts = [
        np.bincount(of[at][chosen].astype(np.int64), minlength=classes)
        for of, at, met in rows
        for chosen in (met, slice(None))
    ]
    return np.stack(counts).astype(np.int64)


def _boundary(classes: NDArray[Any], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W) pixels with a neighbour, left, right, above or below, of another class; void has none and makes none."""
    found = np.zeros(classes.shape, bool)
    across = (classes[:, 1:] != classes[:, :-1]) & known[:, 1:] & known[:, :-1]
    down = (classes[1:] != classes[:-1]) & known[1:] & known[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def _in_reach(
    mine: NDArray[Any], at: NDArray[np.bool_], theirs: NDArray[Any], there: NDArray[np.bool_], reach: float
) -> NDArray[np.bool_]:
    """(B,) whether each pixel ``at`` has a pixel ``there`` of its class within ``reach``."""
    height, width = mine.shape
    rows = int(reach)
    tall = height + 2 * rows  # room above and below, so that no row of one class runs into the next class

    def code(label: Ints, y: Ints, x: Ints) -> Ints:
        return np.asarray((label * tall + y + rows) * width + x)

    y, x = np.nonzero(at)
    label = mine[at].astype(np.int64)
    other_y, other_x = np.nonzero(there)
    targets = np.sort(code(theirs[there].astype(np.int64), other_y, other_x))
    met = np.zeros(len(y), bool)
    if not len(targets):
        return met
    for dy in sorted(range(-rows, rows + 1), key=abs):  # most are met in their own row
        side = int(math.sqrt(reach * reach - dy * dy))
        left = np.flatnonzero(~met)
        first = code(label[left], y[left] + dy, np.maximum(x[left] - side, 0))
        last = code(label[left], y[left] + dy, np.minimum(x[left] + side, width - 1))
        next_one = np.searchsorted(targets, first)
        met[left] = targets[np.minimum(next_one, len(targets) - 1)] <= last
        met[left[next_one == len(targets)]] = False
    return met


def f1(counts: NDArray[Any]) -> Floats:
    """(..., K) from counts (..., 4, K); NaN where a class has no boundary in the truth and none was predicted."""
    met, predicted, reached, true = (np.asarray(counts[..., i, :], np.float64) for i in range(4))
    precision = np.divide(met, predicted, out=np.zeros_like(met), where=predicted > 0)
    recall = np.divide(reached, true, out=np.zeros_like(met), where=true > 0)
    both = precision + recall
    value = np.divide(2 * precision * recall, both, out=np.zeros_like(met), where=both > 0)
    return np.where(predicted + true > 0, value, np.nan)
