"""The page of a contact sheet: a heading, a bar for each class, and tiles with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from assay.image import to_pillow
from assay.lettering import fit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TILE, GAP, MARGIN, CAPTION = 144, 14, 36, 22
MOST_COUNTS = 48
_BAR = TILE + GAP
PAPER, INK, MUTED, TRACK, FILL, FAULT = "#ffffff", "#1b1f24", "#68717c", "#e9ecf0", "#5b8def", "#fbe9e9"


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture (H, W, C) with a caption; no pixels where it cannot be read. One that is no square keeps its shape."""

    pixels: NDArray[np.uint8] | None
    caption: str


@dataclass(frozen=True, slots=True)
class Count:
    """A bar of the heading: its length is ``value`` of the greatest; ``told`` stands behind it."""

    name: str
    value: float
    told: str
    colour: str | tuple[int, int, int] = FILL


def sheet_page(
    title: str, summary: str, counts: Sequence[Count], cells: Sequence[Cell], columns: int, side: int = TILE
) -> Image.Image:
    """The page. At most ``MOST_COUNTS`` bars are drawn; tiles are ``side`` px wide and high."""
    head = _heading(title, summary, counts[:MOST_COUNTS], columns, side)
    rows = -(-len(cells) // columns)
    step = side + CAPTION + GAP
    page = Image.new("RGB", (head.width, head.height + rows * step + MARGIN - GAP), PAPER)
    page.paste(head, (0, 0))
    draw = ImageDraw.Draw(page)
    for i, cell in enumerate(cells):
        left, top = MARGIN + i % columns * (side + GAP), head.height + i // columns * step
        page.paste(_tile(cell, side), (left, top), _rounded(side))
        draw.rounded_rectangle((left, top, left + side - 1, top + side - 1), radius=8, outline=TRACK)
        line, font = fit(cell.caption, 13, side)
        draw.text((left + 1, top + side + 4), line, fill=MUTED, font=font)
    return page


def _tile(cell: Cell, side: int) -> Image.Image:
    if cell.pixels is None:
        tile = Image.new("RGB", (side, side), FAULT)
        line, font = fit("cannot be read", 13, side)
        ImageDraw.Draw(tile).text((side / 2, side / 2), line, fill="#a33a3a", font=font, anchor="mm")
        return tile
    picture = to_pillow(cell.pixels).convert("RGB")
    scale = side / max(picture.size)
    wide, high = (max(1, round(length * scale)) for length in picture.size)
    if (wide, high) != picture.size:
        picture = picture.resize((wide, high), Image.Resampling.LANCZOS)
    if (wide, high) == (side, side):
        return picture
    tile = Image.new("RGB", (side, side), PAPER)
    tile.paste(picture, ((side - wide) // 2, (side - high) // 2))
    return tile


def _rounded(side: int) -> Image.Image:
    """A mask with soft corners, drawn four times as large for smooth edges."""
    mask = Image.new("L", (4 * side, 4 * side), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), radius=32, fill=255)
    return mask.resize((side, side), Image.Resampling.BOX)


def _heading(title: str, summary: str, counts: Sequence[Count], columns: int, side: int) -> Image.Image:
    """Name, facts, and the classes as bars."""
    width = 2 * MARGIN + columns * side + (columns - 1) * GAP
    across = max(1, (width - 2 * MARGIN + GAP) // (2 * _BAR))
    lines = -(-len(counts) // across)
    head = Image.new("RGB", (width, MARGIN + 70 + 22 * lines + 28), PAPER)
    draw = ImageDraw.Draw(head)
    for text, size, top, colour in ((title, 28, MARGIN - 8, INK), (summary, 14, MARGIN + 32, MUTED)):
        line, font = fit(text, size, width - 2 * MARGIN)
        draw.text((MARGIN, top), line, fill=colour, font=font)
    most = max((count.value for count in counts), default=1)
    for i, count in enumerate(counts):
        at = (MARGIN + i // lines * 2 * _BAR, MARGIN + 66 + i % lines * 22)
        _count_bar(draw, at, count, most)
    return head


def _count_bar(draw: ImageDraw.ImageDraw, at: tuple[int, int], count: Count, most: float) -> None:
    left, top = at
    line, font = fit(count.name, 13, TILE - 20)
    draw.text((left, top), line, fill=INK, font=font)
    start, room = left + TILE - 12, TILE - 40
    draw.rounded_rectangle((start, top + 4, start + room, top + 12), radius=4, fill=TRACK)
    if count.value:
        length = max(8, round(room * count.value / most))
        draw.rounded_rectangle((start, top + 4, start + length, top + 12), radius=4, fill=count.colour)
    number, font = fit(count.told, 13, TILE)
    draw.text((start + room + 8, top), number, fill=MUTED, font=font)
