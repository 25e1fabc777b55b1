"""The parts of a photo, and the slight rotations, that are printed beside the whole when it is enrolled.

A print of 16 waves across bears a crop of 5 % or a turn by 4 degrees. So that every crop down to four fifths, off any
side, and every turn up to 10 degrees lies near to one of them, parts lie as a grid. Frames are square whatever the
photo's aspect is, and a turn of the photo is a slanted one of its frame; so each is there for three aspects. The set
was chosen on a validation set, among 200: those that find what the others miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]

_NINTH, _FIFTH = (0.0, 0.05, 0.1), (0.0, 0.05, 0.1, 0.15, 0.2)
_ASPECTS = (0.75, 1.0, 4 / 3)
"""Width by height of the photos that are turned."""
_TURNS, _WITHIN = (4.0, 8.0), (6.0, 0.92)
"""Degrees by which a photo is turned, its corners in empty space; and by which it is turned, so much of it left."""


MIDDLE = 0.8
"""The share of a new photo's height and width that is looked for beside the whole of it."""


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


def _turns() -> Iterator[Matrix]:
    for aspect in _ASPECTS:
        for sign in (-1, 1):
            for degrees in _TURNS:
                yield _turned(sign * degrees, aspect, *_around(degrees, aspect))
            yield _turned(sign * _WITHIN[0], aspect, _WITHIN[1], _WITHIN[1] * aspect)


def _around(degrees: float, aspect: float) -> tuple[float, float]:
    """Height and width of the smallest upright frame around a photo of height 1 that is turned."""
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return float(cos + aspect * sin), float(aspect * cos + sin)


def _turned(degrees: float, aspect: float, height: float, width: float) -> Matrix:
    """Of a photo of height 1: what a frame of this height and width sees of it, when it is turned."""
    sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.array([[cos * height, sin * width, 0], [-sin * height / aspect, cos * width / aspect, 0]])


VIEWS: tuple[Matrix, ...] = (
    *(_window(*window) for window in _windows()),
    *_turns(),
)
"""(2, 3) maps from a place of the view, (row, column) from its centre in shares, to one of the whole.

The first view is the whole itself.
"""


def middle(low: Floats) -> Floats:
    """(S, S) -> (S, S) the middle of it: ``MIDDLE`` of its height and width."""
    rows = _within(len(low))
    return np.asarray(rows @ low @ rows.T, np.float32)


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


@lru_cache(maxsize=2)
def _within(side: int) -> Floats:
    """(S, S) takes rows to those between."""
    at = (np.arange(side) - (side - 1) / 2) * MIDDLE + (side - 1) / 2
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, None] - np.arange(side)[None])), np.float32)
