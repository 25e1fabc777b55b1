"""What stands below a picture of several answers: its tags and things in a line each, and a legend of pixel classes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from assay.answer_fields import pixel_shares
from assay.answer_words import tag_words, thing_words
from assay.drawing import background_of, pixel_colour
from assay.lettering import fit

if TYPE_CHECKING:
    from assay.types import Prediction

BAR, TEXT, MUTED = "#1b1f24", "#ffffff", "#aeb6c0"
LEAST_SHARE = 0.001
"""Of the picture, for a class of pixels to be in the legend."""


def write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, *, size: int, room: int, colour: str
) -> None:
    """One line, shortened to ``room`` px, on the same baseline in every font."""
    line, font = fit(text, size, room)
    draw.text((at[0], at[1] + size * 5 // 6), line, fill=colour, font=font, anchor="ls")


def captions(prediction: Prediction, width: int, size: int) -> list[Image.Image]:
    """Strips of ``width`` px with letters of ``size`` px, to be put below each other; none for a class alone."""
    lines = [] if prediction.boxes is None else [thing_words(prediction)]
    lines += [] if prediction.tags is None else [tag_words(prediction)]
    strips = [_line(line, width, size) for line in lines]
    return strips + _legend(prediction, width, size)


def _line(text: str, width: int, size: int) -> Image.Image:
    strip = Image.new("RGB", (width, size * 5 // 3), BAR)
    margin = size * 2 // 3
    write(ImageDraw.Draw(strip), (margin, size // 3), text, size=size, room=width - 2 * margin, colour=TEXT)
    return strip


def _legend(prediction: Prediction, width: int, size: int) -> list[Image.Image]:
    """Each class that is coloured with its name and share, as many in a row as fit."""
    if prediction.pixels is None:
        return []
    background, classes = background_of(prediction.pixel_classes), prediction.pixel_classes
    margin, gap, room = size * 2 // 3, size, width - 2 * (size * 2 // 3)
    entries = []
    for i, share in pixel_shares(prediction):
        if i != background and share >= LEAST_SHARE:
            line, font = fit(f"{classes[i]} {100 * share:.0f} %", size, max(1, room - 2 * size))
            entries.append((i, line, font, math.ceil(font.getlength(line)) + size * 3 // 2))
    strips: list[Image.Image] = []
    left = width
    for i, line, font, wide in entries:
        if left + wide > width - margin or not strips:
            strips.append(Image.new("RGB", (width, size * 5 // 3), BAR))
            left = margin
        draw, top = ImageDraw.Draw(strips[-1]), size // 3
        draw.rectangle((left, top, left + size - 1, top + size - 1), fill=pixel_colour(i, background))
        draw.text((left + size * 3 // 2, top + size * 5 // 6), line, fill=MUTED, font=font, anchor="ls")
        left += wide + gap
    return strips
