"""One picture laid over another: how it has to be moved, turned and stretched, and how alike they are then.

Least squares over the six numbers of an affine map, from coarse to fine, by Gauss-Newton steps in which the reference's
own slopes are used (Baker and Matthews, *Lucas-Kanade 20 Years On*, 2004, section 3.2: the inverse compositional form).
Pictures are compared by what stands out from its neighbourhood, so light, contrast and colour grading count for little.
The likeness is a correlation of fine detail alone: outlines of two shirts can be laid over each other, their creases
cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAST_COVERED = 0.4
"""The share of the reference that must be seen in the other picture."""
_LEVELS = ((32, 8), (64, 6), (128, 3))
"""Side of the pictures, most steps."""
_NEAR, _FAINT = {32: 3, 64: 5, 128: 8}, 4.0
"""Reach of the neighbourhood in px; greys below which nothing stands out."""
_FINE = 2
"""The same for what is compared at last, at the finest level."""
_HOPELESS = 0.3
"""Correlation at 64 x 64 below which the finest level is spared."""
_STILL = 0.02
"""Steps end where no corner moves by so many px."""


@dataclass(frozen=True)
class Overlay:
    """``likeness`` is a correlation, -1 to 1; ``covered`` the share of the reference that the other picture shows.

    ``matrix`` (2, 3) takes a place of the reference, (row, column) from its centre in shares of its side, to one of the
    other picture.
    """

    likeness: float
    covered: float
    matrix: NDArray[np.float64]


NOTHING = Overlay(0.0, 0.0, np.eye(2, 3))


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A grey picture at three sizes, by what stands out; ``plain`` as it is at the finest."""

    levels: dict[int, Floats]
    plain: Floats


def pyramid(frame: NDArray[np.uint8]) -> Pyramid:
    """(128, 128) uint8, prepared to be laid over others."""
    planes: dict[int, Floats] = {128: frame.astype(np.float32)}
    for side in (64, 32):
        wide = planes[2 * side]
        rows = wide[::2] + wide[1::2]
        planes[side] = np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, np.float32)
    return Pyramid({side: outstanding(plane, _NEAR[side]) for side, plane in planes.items()}, planes[128])


def lay_over(reference: Pyramid, other: Pyramid, start: NDArray[np.float64]) -> Overlay:
    """Find the map near ``start`` (as ``Overlay.matrix``) and compare.

    Returns
    -------
    ``NOTHING`` where too little of the reference is covered.
    """
    matrix = start
    for side, steps in _LEVELS:
        found = _fit(reference.levels[side], other.levels[side], matrix, steps)
        if found is None:
            return NOTHING
        matrix = found
        if side == 64 and _correlation(reference.levels[64], other.levels[64], matrix)[0] < _HOPELESS:
            return Overlay(0.0, 0.0, matrix)
    own, its = (outstanding(plane, _FINE) for plane in (reference.plain, other.plain))
    likeness, covered = _correlation(own, its, matrix)
    return Overlay(likeness, covered, matrix)


def outstanding(plane: Floats, reach: int) -> Floats:
    """(S, S) what stands out from its neighbourhood, in units of the contrast there."""
    apart = plane - _mean(plane, reach)
    spread = np.sqrt(np.maximum(_mean(_mean(apart * apart, reach), reach), 0))
    return np.asarray(apart / (spread + _FAINT), np.float32)


def _fit(
    reference: Floats, other: Floats, matrix: NDArray[np.float64], steps: int
) -> NDArray[np.float64] | None:
    """A better map; None where the pictures hardly meet."""
    side = len(reference)
    places = _places(side)  # 3 P: row, column, 1
    slopes = _slopes(reference)  # P 6
    goal = reference.ravel()
    for _ in range(steps):
        seen, inside = _seen(other, matrix, places)
        if inside.mean() < LEAST_COVERED:
            return None
        have, want, slope = seen[inside], goal[inside], slopes[inside]
        have, want, slope = have - have.mean(), want - want.mean(), slope - slope.mean(axis=0)
        gain = float(have @ want) / max(float(want @ want), 1e-6)
        error = have / min(max(gain, 0.3), 3.0) - want
        square = (slope.T @ slope).astype(np.float64)
        square[np.diag_indices(6)] = square.diagonal() * 1.001 + 1e-3
        step = np.linalg.solve(square, (slope.T @ error).astype(np.float64)).reshape(2, 3)
        matrix = _compose(matrix, _inverse(step))
        if np.abs(step).sum() * side < _STILL:
            break
    return matrix


def _correlation(reference: Floats, other: Floats, matrix: NDArray[np.float64]) -> tuple[float, float]:
    seen, inside = _seen(other, matrix, _places(len(reference)))
    covered = float(inside.mean())
    if covered < LEAST_COVERED:
        return 0.0, covered
    have, want = seen[inside], reference.ravel()[inside]
    have, want = have - have.mean(), want - want.mean()
    return float(have @ want / np.sqrt((have @ have) * (want @ want) + 1e-6)), covered


def _seen(other: Floats, matrix: NDArray[np.float64], places: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(P,) the other picture at the reference's places, linearly interpolated; and whether it has them."""
    side = len(other)
    row, column = matrix.astype(np.float32) @ places * side + (side - 1) / 2
    inside = (row > -0.5) & (row < side - 0.5) & (column > -0.5) & (column < side - 0.5)
    row, column = row.clip(0, side - 1.001), column.clip(0, side - 1.001)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, across = row - top, column - left
    flat, at = other.ravel(), top * side + left
    upper = flat[at] * (1 - across) + flat[at + 1] * across
    lower = flat[at + side] * (1 - across) + flat[at + side + 1] * across
    return upper * (1 - down) + lower * down, inside


def _slopes(plane: Floats) -> Floats:
    """(P, 6) how the picture changes as each number of the map does."""
    side = len(plane)
    down, across = np.gradient(plane * np.float32(side))
    row, column, one = _places(side)
    parts = [slope.ravel() * place for slope in (down, across) for place in (row, column, one)]
    return np.stack(parts, axis=1)


@lru_cache(maxsize=4)
def _places(side: int) -> Floats:
    """(3, P) row and column from the centre, in shares of the side, and 1."""
    at = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
    rows, columns = np.repeat(at, side), np.tile(at, side)
    return np.stack([rows, columns, np.ones_like(rows)]).astype(np.float32)


def _compose(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map that does ``inner`` first; both (2, 3)."""
    return np.asarray(outer @ np.vstack([inner, [0.0, 0.0, 1.0]]))


def _inverse(step: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of the map that adds a small ``step`` to the places."""
    whole = np.eye(3)
    whole[:2] += step
    return np.asarray(np.linalg.inv(whole)[:2])


def _mean(plane: Floats, reach: int) -> Floats:
    """(S, S) mean of the neighbourhood, the rim repeated outside."""
    wide = 2 * reach + 1
    for _ in range(2):
        sums = np.cumsum(np.pad(plane, ((reach + 1, reach), (0, 0)), mode="edge"), axis=0, dtype=np.float64)
        plane = ((sums[wide:] - sums[:-wide]) / wide).astype(np.float32).T
    return plane
