"""What a JPEG's header tells of how it was made: the encoder's quality setting and its colour subsampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LUMINANCE = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)
"""The luminance table of ITU-T T.81, annex K.1, which the Independent JPEG Group's encoder scales."""

_SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


def estimate_quality(table: Sequence[int] | None) -> float:
    """The setting 1 to 100 of the Independent JPEG Group's encoder with the nearest luminance table; NaN: no table."""
    if table is None or len(table) != 64:
        return float("nan")
    return _nearest_quality(tuple(table))


@lru_cache(maxsize=4096)
def _nearest_quality(table: tuple[int, ...]) -> float:
    apart = np.abs(_tables() - np.asarray(table)).sum(axis=1)
    return float(1 + np.flatnonzero(apart == apart.min()).mean())


@lru_cache(maxsize=1)
def _tables() -> NDArray[np.int64]:
    """(100, 64) the luminance table at each quality."""
    base = np.array(_LUMINANCE.split(), np.int64)
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return np.clip((base * scale[:, None] + 50) // 100, 1, 255)


def subsampling_of(image: Any) -> str | None:
    """Of an opened JPEG: "4:4:4", "4:2:2", "4:2:0", "other"; None for grey."""
    from PIL.JpegImagePlugin import get_sampling  # noqa: PLC0415 - Pillow loads it when a JPEG is met

    if getattr(image, "layers", 3) == 1:
        return None
    return _SAMPLINGS.get(get_sampling(image), "other")
