"""The parts of a photo, and the slight rotations, that are printed beside the whole when it is enrolled.

A print of 16 waves across bears a crop of 5 % or a turn by 4 degrees. So that every crop down to four fifths, off any
side, and every turn up to 10 degrees lies so near to one of them, parts lie as a grid. The set was chosen among 177 on
a validation set: those that find what the others miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_NINTH, _FIFTH = (0.0, 0.05, 0.1), (0.0, 0.05, 0.1, 0.15, 0.2)
_TURNS = ((-8.0, 1.05), (-4.0, 1.05), (4.0, 1.05), (8.0, 1.05), (-6.0, 0.95), (6.0, 0.95))
"""Degrees, and how much of the photo's width is seen: more than all shows its rim again."""


def _windows() -> Iterator[tuple[float, float, float, float]]:
    """(height, top, width, left) as shares."""
    yield 1.0, 0.0, 1.0, 0.0
    yield from ((0.9, top, 0.9, left) for top in _NINTH for left in _NINTH)
    yield from ((0.8, top, 0.8, left) for top in _FIFTH for left in _FIFTH)
    for share, places in ((0.8, _FIFTH[::2]), (0.9, _NINTH[::2])):
        yield from ((share, top, 1.0, 0.0) for top in places)
        yield from ((1.0, 0.0, share, left) for left in places)


def _window(height: float, top: float, width: float, left: float) -> Matrix:
    return np.array([[height, 0, top + height / 2 - 0.5], [0, width, left + width / 2 - 0.5]])


def _turned(degrees: float, share: float) -> Matrix:
    angle = np.radians(degrees)
    sin, cos = np.sin(angle) * share, np.cos(angle) * share
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0]])


VIEWS: tuple[Matrix, ...] = (
    *(_window(*window) for window in _windows()),
    *(_turned(*turn) for turn in _TURNS),
)
"""(2, 3) maps from a place of the view, (row, column) from its centre in shares, to one of the whole.

The first view is the whole itself.
"""


def seen(low: Floats) -> Floats:
    """(S, S) -> (V, S, S) all views of it, linearly interpolated, the rim repeated outside."""
    flat = low.ravel()
    at, weights = _reads(len(low))
    return np.asarray((flat[at] * weights).sum(axis=0).reshape(len(VIEWS), *low.shape), np.float32)


@lru_cache(maxsize=2)
def _reads(side: int) -> tuple[NDArray[np.int32], Floats]:
    """(4, V P) places of a flat picture, and (4, V P) how much each counts."""
    at = (np.arange(side) - (side - 1) / 2) / side
    places = np.stack([np.repeat(at, side), np.tile(at, side), np.ones(side * side)])
    row, column = ((np.stack(VIEWS) @ places) * side + (side - 1) / 2).transpose(1, 0, 2).reshape(2, -1)
    row, column = row.clip(0, side - 1.001), column.clip(0, side - 1.001)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, across = row - top, column - left
    first = top * side + left
    weights = ((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across)
    return np.stack([first, first + 1, first + side, first + side + 1]), np.stack(weights).astype(np.float32)
