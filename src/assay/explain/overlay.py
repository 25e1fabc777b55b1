"""A map laid over its picture, for people: warm where the answer rests, dim and grey elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from assay.lettering import fit

SIDE = 320
"""Pixels a side of what is drawn."""
_RAMP = np.array(
    [(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)],
    dtype=np.float64,
)
"""From nothing to the most: dark to bright all the way, so that it reads in grey and for colour-blind eyes."""
GAP, CAPTION = 10, 24

Pixels = NDArray[np.uint8]


def lay_over(pixels: Pixels, map_: NDArray[np.floating]) -> Pixels:
    """Pixels (H, W, 3 or 1) uint8 and a map (h, w) in [0, 1] -> (H, W, 3) uint8."""
    height, width = pixels.shape[:2]
    warm = resized(map_, (height, width))[..., None]
    picture = np.broadcast_to(pixels, (height, width, 3)).astype(np.float64)
    grey = picture @ np.array((0.299, 0.587, 0.114))
    calm = 0.6 * grey[..., None] + 0.4 * picture  # less colour where nothing is marked
    share = 0.12 + 0.5 * warm
    mixed = (1 - share) * (warm * picture + (1 - warm) * calm) + share * coloured(warm[..., 0])
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)


def coloured(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(...,) in [0, 1] -> (..., 3) colours of the ramp."""
    at = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(values, at, _RAMP[:, i]) for i in range(3)], axis=-1)


def resized(map_: NDArray[np.floating], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """(h, w) -> (H, W), smooth, still in [0, 1]."""
    picture = Image.fromarray(np.asarray(map_, dtype=np.float32))
    return np.asarray(
        picture.resize((size_hw[1], size_hw[0]), Image.Resampling.BICUBIC), dtype=np.float64
    ).clip(0, 1)


def sheet(
    rows: Sequence[tuple[str, Sequence[Pixels]]], titles: Sequence[str], side: int = 150
) -> Image.Image:
    """A page of small pictures: (caption, pictures) a row, titles above the columns."""
    columns = max([len(titles), *(len(pictures) for _, pictures in rows)])
    left = 150 if any(caption for caption, _ in rows) else GAP
    top = CAPTION + GAP if titles else GAP
    page = Image.new("RGB", (left + columns * (side + GAP), top + len(rows) * (side + GAP)), "#ffffff")
    draw = ImageDraw.Draw(page)
    for i, title in enumerate(titles):
        _write(draw, (left + i * (side + GAP), 4), title, side)
    for k, (caption, pictures) in enumerate(rows):
        y = top + k * (side + GAP)
        for n, line in enumerate(caption.split("\n")):
            _write(draw, (GAP, y + 18 * n), line, left - 2 * GAP)
        for i, pixels in enumerate(pictures):
            page.paste(_square(pixels, side), (left + i * (side + GAP), y))
    return page


def _square(pixels: Pixels, side: int) -> Image.Image:
    """Enlarged with hard pixels where it is much smaller, else smooth; kept in proportion on white."""
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    scale = side / max(picture.size)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    how = Image.Resampling.NEAREST if scale >= 4 else Image.Resampling.LANCZOS
    square = Image.new("RGB", (side, side), "#f1efeb")
    square.paste(picture.resize(size, how), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, room: int) -> None:
    if text:
        line, font = fit(text, 13, room)
        draw.text((at[0], at[1] + 13), line, fill="#1d2126", font=font, anchor="ls")
