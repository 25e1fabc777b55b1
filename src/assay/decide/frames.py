"""Where the photo may lie in a picture: without borders, out of a screenshot's page, off a blurred backdrop.

A photo that is sent again often has something around it. Three things give its rectangle away, and each is looked for
on rows first, and then on the columns within: a page of one exact grey; a straight seam from side to side; and sharp
rows amid blurred ones. All of the picture always comes first, as nothing may be around it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 128
"""Height and width of a frame."""
LONGEST = 256
"""The longer side, in px, of the grey picture that frames are cut from; less where the photo has less."""

_PAGE, _FULL = 3, 0.6
"""Greys that count as the page's own, to either side; the share of a row from which on it is the page's."""
_SEAM, _COLUMNS = 4.0, 0.4
"""How much a seam must exceed the steps nearby; the quantile of a row's steps that must."""
_SHARP = 2.0
"""How much sharper the inside must be."""
_LEAST_WIDE, _LEAST_HIGH = 0.25, 0.2
_ALIKE = 0.93
"""Frames that overlap so much (intersection over union) are one."""


class Box(NamedTuple):
    """A part of a picture: left, top, right, bottom as shares of its width and height."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    @property
    def area(self) -> float:
        """As a share of the picture."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def overlap(self, other: Box) -> float:
        """Intersection over union."""
        both = Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        ).area
        return both / max(1e-9, self.area + other.area - both)


def frames_of(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) grey, its longer side at most ``LONGEST`` -> (F, 128, 128): the whole, and at most three more."""
    small = _halved(grey) if max(grey.shape) > SIDE else grey
    found = [Box()]
    for seek in (_page, _seams, _sharpest):
        box = seek(small) if min(small.shape) >= 16 else Box()  # thinner than that, nothing can be told
        fits = box.right - box.left > _LEAST_WIDE and box.bottom - box.top > _LEAST_HIGH
        if fits and all(box.overlap(other) < _ALIKE for other in found):
            found.append(box)
    plane = grey.astype(np.float32)
    return np.stack([_cut(plane, box) for box in found])


def _page(small: NDArray[np.uint8]) -> Box:
    """The longest stretch of rows, and of columns in it, that are not of the picture's most frequent grey."""
    counts = np.bincount(small.ravel(), minlength=256)
    level = int(np.convolve(counts, np.ones(2 * _PAGE + 1), "same").argmax())
    page = np.abs(small.astype(np.int16) - level) <= _PAGE
    top, bottom = _longest(page.mean(axis=1) < _FULL)
    if top == bottom:
        return Box(0, 0, 0, 0)  # nothing but page
    left, right = _longest(page[top:bottom].mean(axis=0) < _FULL)
    return _box(small, left, top, right, bottom)


def _seams(small: NDArray[np.uint8]) -> Box:
    """Between the clearest seam of the first half and that of the second; the rim where there is none."""
    plane = small.astype(np.float32)
    top, bottom = _between(plane)
    left, right = _between(plane[top:bottom].T)
    return _box(small, left, top, right, bottom)


def _sharpest(small: NDArray[np.uint8]) -> Box:
    """The stretch in the middle that differs most in sharpness from what is around it, where it is the sharper one."""
    plane = small.astype(np.float32)
    inner = plane[1:-1, 1:-1]
    around = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]
    edges = np.minimum(np.abs(4 * inner - around), 12.0)  # H-2 W-2; text is no sharper than a photo
    top, bottom = _sharp_stretch(edges)
    left, right = _sharp_stretch(edges[max(0, top - 1) : bottom - 1].T)
    return _box(small, left, top, right, bottom)


def _longest(wanted: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and end of the longest run of True; (0, 0) where there is none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    best = int((ends - starts).argmax())
    return int(starts[best]), int(ends[best])


def _between(plane: Floats) -> tuple[int, int]:
    """(H, W) -> first and last row between two seams that run across most columns."""
    rows = len(plane)
    steps = np.abs(np.diff(plane, axis=0))  # H-1 W
    place = int(_COLUMNS * steps.shape[1])
    low = np.partition(steps, place, axis=1)[:, place]
    nearby = np.lib.stride_tricks.sliding_window_view(np.pad(low, 6, mode="reflect"), 13)
    clear = low / (np.partition(nearby, 6, axis=1)[:, 6] + 1)
    first, second = clear[: int(0.48 * rows)], clear[int(0.52 * rows) :]
    top, bottom = int(first.argmax()), int(second.argmax())
    return (
        top + 1 if first[top] >= _SEAM else 0,
        bottom + int(0.52 * rows) + 1 if second[bottom] >= _SEAM else rows,
    )


def _sharp_stretch(edges: Floats) -> tuple[int, int]:
    """Of (H-2, W-2) edges: the rows of the picture, from and to, by the best cut into inside and outside."""
    n = len(edges)
    middle = edges.shape[1] // 2
    told = np.log(np.partition(edges, middle, axis=1)[:, middle] + edges.mean(axis=1) + 0.3)
    sums = np.concatenate([[0.0], np.cumsum(told)])
    start, end = np.arange(int(0.45 * n))[:, None], np.arange(int(0.55 * n), n + 1)[None]
    many, rest = end - start, n - (end - start)
    total = sums[end] - sums[start]
    gap = total / many - (sums[-1] - total) / np.maximum(rest, 1)
    gain = np.where((rest >= 3) & (gap > np.log(_SHARP)), gap**2 * many * rest, 0.0)
    best = np.unravel_index(int(gain.argmax()), gain.shape)
    if gain[best] <= 0:
        return 0, n + 2
    top, bottom = int(start[best[0], 0]), int(end[0, best[1]])
    return (top + 1 if top else 0), (bottom + 1 if bottom < n else n + 2)


def _box(small: NDArray[np.uint8], left: int, top: int, right: int, bottom: int) -> Box:
    height, width = small.shape
    return Box(left / width, top / height, right / width, bottom / height)


def _halved(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) -> (H // 2, W // 2), the mean of each four."""
    height, width = grey.shape[0] // 2 * 2, grey.shape[1] // 2 * 2
    wide = grey[:height, :width].astype(np.uint16)
    total = wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)


def _cut(plane: Floats, box: Box) -> NDArray[np.uint8]:
    """(128, 128): the part of a picture, smoothly resampled whatever its aspect is."""
    rows = _weights(plane.shape[0], box.top, box.bottom)
    columns = _weights(plane.shape[1], box.left, box.right)
    return np.asarray(np.rint(rows @ plane @ columns.T).clip(0, 255), np.uint8)


@lru_cache(maxsize=256)
def _weights(length: int, start: float, end: float) -> Floats:
    """(128, length) triangles around 128 places between the shares ``start`` and ``end``, as wide as their distance."""
    step = (end - start) * length / SIDE
    at = start * length + (np.arange(SIDE)[:, None] + 0.5) * step - 0.5
    wide = max(1.0, step)
    heights = np.maximum(0.0, 1 - np.abs(np.arange(length)[None] - at.clip(0, length - 1)) / wide)
    return np.asarray(heights / heights.sum(axis=1, keepdims=True), np.float32)
