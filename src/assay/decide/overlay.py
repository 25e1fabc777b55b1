"""One picture laid over another: how it has to be moved, turned and stretched, and how far apart the two are then.

Least squares over the six numbers of an affine map, from coarse to fine, by Gauss-Newton steps in which the reference's
own slopes are used (Baker and Matthews, *Lucas-Kanade 20 Years On*, 2004, section 3.2: the inverse compositional form).
Pictures are compared by what stands out from its neighbourhood, so light, contrast and colour grading count for little.

Outlines of two shirts can be laid over each other, their creases cannot. So what is measured at last is a correlation
of fine detail alone, and the prints, now that one picture lies over the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from assay.decide.prints import frequencies, packed

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

MOST_APART = 1.2
"""``Overlay.apart`` up to which two pictures may be one photo (``policy.Matching.near``: from where on they are)."""
LEAST_COVERED = 0.4
"""The share of the reference that must be seen in the other picture."""
_AFTER, _BEFORE, _UNSEEN = 0.75 / 64, 0.4 / 64, 0.5
"""What one differing bit counts after pictures were laid over each other, and before; and what is not covered.

By logistic regressions of edited copies against the nearest other photos, rounded; chosen on validation shops and
photos (``benchmarks.matching``).
"""
_LEVELS = ((32, 8), (64, 6), (128, 3))
"""Side of the pictures, most steps."""
_NEAR, _FAINT = {32: 3, 64: 5, 128: 8}, 4.0
"""Reach of the neighbourhood in px; greys below which nothing stands out."""
_FINE = 2
"""Reach in px for what is compared at last."""
_HOPE = 0.3
"""How much nearer pictures may come at the finest level; where that is not enough, it is spared."""
_STILL = 0.02
"""Steps end where no corner moves by so many px."""


@dataclass(frozen=True)
class Overlay:
    """``detail`` is a correlation, -1 to 1; ``covered`` the share of the reference that the other picture shows.

    ``before`` and ``after`` are bits of 256 in which the prints differ, before and after. ``matrix`` (2, 3) takes a
    place of the reference, (row, column) from its centre in shares of its side, to one of the other picture.
    """

    detail: float
    covered: float
    before: int
    after: int
    matrix: Matrix

    @property
    def apart(self) -> float:
        """How far apart the pictures are, all in all: 0 for the same one, about 3 for two without relation."""
        return 1 - self.detail + _AFTER * self.after + _BEFORE * self.before + _UNSEEN * (1 - self.covered)


@dataclass(frozen=True, eq=False)
class Layer:
    """A grey picture (S, S) at one size; what is made of it is made once."""

    plain: Floats

    @cached_property
    def coarse(self) -> Floats:
        """(S, S) what stands out from a wide neighbourhood: for finding the map."""
        return outstanding(self.plain, _NEAR[len(self.plain)])

    @cached_property
    def fine(self) -> Floats:
        """(S, S) what stands out from the nearest places: for comparing."""
        return outstanding(self.plain, _FINE)

    @cached_property
    def slopes(self) -> Floats:
        """(7, P) how ``coarse`` changes as each number of the map does, and 1."""
        down, across = np.gradient(self.coarse * np.float32(len(self.plain)))
        places = _places(len(self.plain))
        parts = [slope.ravel() * place for slope in (down, across) for place in places]
        return np.stack([*parts, places[2]])


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A grey picture at three sizes, by their sides; and its print."""

    layers: dict[int, Layer]
    bits: NDArray[np.uint64]


def pyramid(frame: NDArray[np.uint8]) -> Pyramid:
    """(128, 128) uint8, prepared to be laid over others."""
    plane: Floats = frame.astype(np.float32)
    layers = {128: Layer(plane)}
    for side in (64, 32):
        rows = plane[::2] + plane[1::2]
        plane = np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, np.float32)
        layers[side] = Layer(plane)
    return Pyramid(layers, packed(frequencies(layers[64].plain)[None]))


def lay_over(reference: Pyramid, other: Pyramid, start: Matrix, before: int = 0) -> Overlay | None:
    """Find the map near ``start`` (as ``Overlay.matrix``) and compare.

    Parameters
    ----------
    before : bits in which the prints differ that brought the two together.

    Returns
    -------
    None where too little of the reference is covered.
    """
    found, matrix = None, start
    for side, steps in _LEVELS:
        better = _fit(reference.layers[side], other.layers[side].coarse, matrix, steps)
        if better is None:
            return None
        matrix = better
        if side > 32:
            found = _compared(reference, other, matrix, side, before)
            if found.apart > MOST_APART + _HOPE:
                return found
    return found


def outstanding(plane: Floats, reach: int) -> Floats:
    """(S, S) what stands out from its neighbourhood, in units of the contrast there."""
    near = _neighbours(len(plane), reach)
    apart = plane - near @ plane @ near.T
    spread = np.sqrt(np.maximum(near @ (near @ (apart * apart) @ near.T) @ near.T, 0))
    return np.asarray(apart / (spread + _FAINT), np.float32)


def _compared(reference: Pyramid, other: Pyramid, matrix: Matrix, side: int, before: int) -> Overlay:
    detail, covered = _correlation(reference.layers[side].fine, other.layers[side].fine, matrix)
    seen, inside = _seen(other.layers[64].plain, matrix, _places(64))
    own = reference.layers[64].plain.ravel()
    filled = np.where(inside, _in_the_light_of(own, seen, inside), own).reshape(64, 64)
    after = int(np.bitwise_count(packed(frequencies(filled)[None]) ^ reference.bits).sum())
    return Overlay(detail, covered, before, after, matrix)


def _fit(reference: Layer, other: Floats, matrix: Matrix, steps: int) -> Matrix | None:
    """A better map; None where the pictures hardly meet."""
    side, want = len(other), reference.coarse.ravel()
    slopes = reference.slopes  # 7 P
    for _ in range(steps):
        have, inside = _seen(other, matrix, _places(side))
        count = int(np.count_nonzero(inside))
        if count < LEAST_COVERED * inside.size:
            return None
        weights = inside.astype(np.float32) / count
        seen, wanted = have * weights, want * weights
        mean = float(wanted.sum())
        gain = float(seen @ want) - float(seen.sum()) * mean
        gain /= max(float(wanted @ want) - mean * mean, 1e-6)
        error = seen / min(max(gain, 0.3), 3.0) - wanted
        square = ((slopes * weights) @ slopes.T).astype(np.float64)
        square[np.diag_indices(6)] = square.diagonal()[:6] * 1.001 + 1e-6
        step = np.asarray(np.linalg.solve(square, (slopes @ error).astype(np.float64)))[:6].reshape(2, 3)
        matrix = _compose(matrix, _inverse(step))
        if np.abs(step).sum() * side < _STILL:
            break
    return matrix


def _correlation(reference: Floats, other: Floats, matrix: Matrix) -> tuple[float, float]:
    seen, inside = _seen(other, matrix, _places(len(reference)))
    covered = float(inside.mean())
    if covered < LEAST_COVERED:
        return 0.0, covered
    have, want = (seen, reference.ravel()) if covered == 1 else (seen[inside], reference.ravel()[inside])
    have, want = have - have.mean(), want - want.mean()
    return float(have @ want / np.sqrt((have @ have) * (want @ want) + 1e-6)), covered


def _in_the_light_of(own: Floats, seen: Floats, inside: NDArray[np.bool_]) -> Floats:
    """``seen`` made as bright and as rich in contrast as ``own`` is, so that both can be put into one picture."""
    have, want = seen[inside], own[inside]
    middle, wanted = float(have.mean()), float(want.mean())
    gain = float((have - middle) @ (want - wanted)) / max(float(np.square(have - middle).sum()), 1e-6)
    return np.asarray((seen - middle) * gain + wanted, np.float32)


def _seen(other: Floats, matrix: Matrix, places: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(P,) the other picture at the reference's places, linearly interpolated; and whether it has them."""
    side = len(other)
    row, column = matrix.astype(np.float32) @ places * side + (side - 1) / 2
    inside = (row > -0.5) & (row < side - 0.5) & (column > -0.5) & (column < side - 0.5)
    row, column = row.clip(0, side - 1.001), column.clip(0, side - 1.001)
    top, left = np.floor(row), np.floor(column)
    down, across = row - top, column - left
    flat, at = other.ravel(), (top * side + left).astype(np.int32)
    upper = flat[at] * (1 - across) + flat[at + 1] * across
    lower = flat[at + side] * (1 - across) + flat[at + side + 1] * across
    return upper * (1 - down) + lower * down, inside


@lru_cache(maxsize=4)
def _places(side: int) -> Floats:
    """(3, P) row and column from the centre, in shares of the side, and 1."""
    at = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
    rows, columns = np.repeat(at, side), np.tile(at, side)
    return np.stack([rows, columns, np.ones_like(rows)]).astype(np.float32)


@lru_cache(maxsize=8)
def _neighbours(side: int, reach: int) -> Floats:
    """(S, S) takes rows to the means of their neighbourhoods, the rim repeated outside."""
    found = np.zeros((side, side), np.float32)
    for offset in range(-reach, reach + 1):
        found[np.arange(side), np.clip(np.arange(side) + offset, 0, side - 1)] += 1
    return np.asarray(found / (2 * reach + 1), np.float32)


def _compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The map that does ``inner`` first; both (2, 3)."""
    return np.asarray(outer @ np.vstack([inner, [0.0, 0.0, 1.0]]))


def _inverse(step: Matrix) -> Matrix:
    """The inverse of the map that adds a small ``step`` to the places."""
    whole = np.eye(3)
    whole[:2] += step
    return np.asarray(np.linalg.inv(whole)[:2])
