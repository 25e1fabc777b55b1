"""A perceptual hash of a picture: 64 bits that survive re-encoding, resizing and a change of brightness.

The "pHash" of Zauner (Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1): the
grey picture at 32 x 32, its cosine transform, and for each of the 8 x 8 lowest frequencies whether it is above their
median. Two things differ: the constant term says nothing of the content and counts as 0, and a picture of one
colour has the print 0 rather than that of its rounding errors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
"""Height and width of what is hashed."""

_LOW = 8
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_NOISE = 1e-2


def to_grey(thumbs: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 32, 32, 3) RGB -> (N, 32, 32) luma, 0 to 255 (ITU-R BT.601)."""
    grey: NDArray[np.float32] = thumbs.astype(np.float32) @ _GREY
    return grey


class Cut(NamedTuple):
    """What is left of a picture when its borders are cut off: from, to; as shares of height and width."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0

    @classmethod
    def centre(cls, share: float) -> Cut:
        """Without ``share`` of both sides, half of it at either end."""
        return cls(share / 2, 1 - share / 2, share / 2, 1 - share / 2)

    @property
    def windows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Two (32, 32) matrices that resample rows and columns of a thumb to what is left."""
        return _window(self.top, self.bottom), _window(self.left, self.right)


WHOLE = Cut()


def prints(grey: NDArray[np.float32], cut: Cut = WHOLE) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(N, 32, 32) grey -> (N,) prints of what ``cut`` leaves, and (N,) prints of its mirror images."""
    rows, columns = cut.windows
    low = (_cosines() @ rows) @ grey @ (_cosines() @ columns).T  # N 8 8
    low[:, 0, 0] = 0.0
    signs = np.where(np.arange(_LOW) % 2, -1.0, 1.0).astype(np.float32)
    return _bits(low), _bits(
        low * signs
    )  # mirrored left to right, the odd horizontal waves change their sign


def _bits(low: NDArray[np.float32]) -> NDArray[np.uint64]:
    flat = low.reshape(len(low), _LOW * _LOW)
    above = flat > np.median(flat, axis=1, keepdims=True) + _NOISE
    packed = np.packbits(above, axis=1, bitorder="little")
    return packed.view("<u8").reshape(len(low)).astype(np.uint64)


@lru_cache(maxsize=64)
def _window(start: float, end: float) -> NDArray[np.float32]:
    """(32, 32) linear interpolation of the stretch from ``start`` to ``end`` at 32 places."""
    if (start, end) == (0.0, 1.0):
        return np.eye(SIDE, dtype=np.float32)
    at = np.clip(SIDE * start + (np.arange(SIDE) + 0.5) * (end - start) - 0.5, 0, SIDE - 1)
    below = np.floor(at).astype(np.int64)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    np.add.at(matrix, (np.arange(SIDE), below), 1 - (at - below))
    np.add.at(matrix, (np.arange(SIDE), np.minimum(below + 1, SIDE - 1)), at - below)
    return matrix


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float32]:
    """(8, 32) the lowest rows of the orthonormal DCT-II."""
    k, x = np.arange(_LOW)[:, None], np.arange(SIDE)[None, :]
    basis = np.cos(np.pi * (2 * x + 1) * k / (2 * SIDE)) * np.sqrt(2 / SIDE)
    basis[0] /= np.sqrt(2)
    return np.asarray(basis, np.float32)
