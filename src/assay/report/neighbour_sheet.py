"""A contact sheet of pictures and those most alike: one line a picture, its neighbours to the right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from assay.errors import AssayError
from assay.explain.neighbours import Likeness
from assay.image import read_image
from assay.lettering import fit

_TILE, _GAP, _MARGIN, _CAPTION, _BREAK = 144, 14, 36, 42, 34
_PAPER, _INK, _MUTED, _FAULT, _LINE = "#ffffff", "#1b1f24", "#68717c", "#fbe9e9", "#d9dde2"


def neighbour_sheet(found: Sequence[Likeness]) -> Image.Image:
    """Draw the sheet: left the picture with its answer, then its neighbours with label and similarity."""
    most = max((len(likeness.neighbours) for likeness in found), default=0)
    step = _TILE + _CAPTION + _GAP
    width = 2 * _MARGIN + _TILE + _BREAK + most * (_TILE + _GAP) - _GAP * (most > 0)
    page = Image.new("RGB", (width, 2 * _MARGIN + len(found) * step - _GAP), _PAPER)
    draw = ImageDraw.Draw(page)
    for i, likeness in enumerate(found):
        top = _MARGIN + i * step
        answer = f"answer: {likeness.prediction}", f"{100 * likeness.confidence:.0f} % sure"
        _cell(page, draw, (_MARGIN, top), likeness.file, answer)
        x = _MARGIN + _TILE + _BREAK // 2
        draw.line((x, top, x, top + _TILE), fill=_LINE, width=2)
        for k, other in enumerate(likeness.neighbours):
            left = _MARGIN + _TILE + _BREAK + k * (_TILE + _GAP)
            label = other.label or f"answer: {other.prediction}"
            _cell(page, draw, (left, top), other.file, (label, f"similarity {other.similarity:.2f}"))
    return page


def _cell(
    page: Image.Image, draw: ImageDraw.ImageDraw, at: tuple[int, int], file: Path, told: tuple[str, str]
) -> None:
    left, top = at
    try:
        picture = Image.fromarray(read_image(file))
        picture.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS, reducing_gap=2.0)
        page.paste(picture, (left + (_TILE - picture.width) // 2, top + (_TILE - picture.height) // 2))
    except (AssayError, OSError):
        draw.rectangle((left, top, left + _TILE, top + _TILE), fill=_FAULT)
        line, font = fit("not where it was", 13, _TILE)
        draw.text((left + _TILE / 2, top + _TILE / 2), line, fill="#a33a3a", font=font, anchor="mm")
    for i, (text, colour) in enumerate(zip(told, (_INK, _MUTED), strict=True)):
        line, font = fit(text, 14 - i, _TILE)
        draw.text((left, top + _TILE + 5 + 18 * i), line, fill=colour, font=font)
