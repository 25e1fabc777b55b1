"""Boxes, class names, masks and pixel classes drawn on a picture, readable on a thumbnail and on a poster.

Lines and letters grow with the picture, within bounds. A class has one colour everywhere, by its position: hues a
golden angle apart, so that neighbours in the list look unlike and more classes change none of the first. Names stand
on a plate of the class's colour, in black or white, whichever reads better. A plate moves into the picture where it
would leave it, and away from plates drawn before; where there is no room at all it is left out, as its box has a
colour. Large things are drawn first, so small ones stay visible.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from assay.answer_words import crop_words
from assay.boxes import area
from assay.detections import Detections
from assay.errors import ConfigError
from assay.image import to_pillow
from assay.lettering import Font, fit
from assay.objects import Objects
from assay.pixel_masks import BACKGROUND_NAMES, IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.labels import ClassNames
    from assay.types import Prediction

    Colour = tuple[int, int, int]

_PIXELS, _PIXELS_BELOW, _MASKS = 0.5, 0.3, 0.4
"""Share of the class's colour on pixels, on pixels below boxes, and on masks."""
_GOLDEN_TURN = 0.61803398875
_PLATE_MARGIN = 0.3
"""Of the letters' size, on each side of a name."""


def class_colour(position: int) -> tuple[int, int, int]:
    """RGB of the class at this position: bright enough for dark pictures, full enough for light ones."""
    hue = (0.02 + position * _GOLDEN_TURN) % 1.0
    light, full = ((0.55, 0.85), (0.42, 0.75), (0.66, 0.95))[position // 8 % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, light, full)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_objects(
    image: NDArray[np.uint8],
    found: Objects | Detections,
    classes: ClassNames,
    *,
    names: bool = True,
    mask_strength: float = 0.45,
    texts: Sequence[str] | None = None,
) -> Image.Image:
    """The picture with its things, the truth's (Objects) or a network's (Detections, with their scores).

    Parameters
    ----------
    image : (H, W, 3) uint8, upright; it stays as it is.
    found : boxes, perhaps masks; crowds get a dashed box.
    classes : names of ``found.labels``.
    names : whether names are written; they are left out by themselves where a picture is too small for letters.
    mask_strength : how much of the class's colour lies on a mask, 0 to 1.
    texts : what is written at each thing in place of its class and score.
    """
    order = np.argsort(-area(found.boxes_xyxy), kind="stable")
    order = order[np.isfinite(found.boxes_xyxy[order]).all(axis=1)]
    picture = to_pillow(_with_masks(image, found, order, mask_strength))
    draw, line = ImageDraw.Draw(picture), line_width(image.shape[:2])
    crowd = found.crowd if isinstance(found, Objects) else None
    for i in order:
        is_crowd = crowd is not None and bool(crowd[i])
        _box(
            draw,
            _near(found.boxes_xyxy[i], picture.size),
            class_colour(int(found.labels[i])),
            line,
            dashed=is_crowd,
        )
    if names and letter_size(image.shape[:2]):
        _names(picture, found, _texts(found, classes) if texts is None else texts, order)
    return picture


def _texts(found: Objects | Detections, classes: ClassNames) -> list[str]:
    names = [classes[int(label)] for label in found.labels]
    if isinstance(found, Objects):
        return names
    numbers = [""] * len(found) if found.tracks is None else [f" {n}" if n else "" for n in found.tracks]
    return [
        f"{name}{number} {100 * score:.0f} %"
        for name, number, score in zip(names, numbers, found.scores, strict=True)
    ]


def draw_pixels(
    image: NDArray[np.uint8], pixels: NDArray[np.uint8], *, background: int | None = 0, strength: float = 0.55
) -> Image.Image:
    """The picture under the colours of its pixels' classes.

    Parameters
    ----------
    image : (H, W, 3) uint8. pixels : (H, W) uint8 classes; unknown ones (255) are hatched in grey.
    background : the class that stays uncoloured, and is not counted for the colours of those behind it, so that they
        are those of the same things in ``draw_objects``; None colours all.
    strength : how much of the class's colour lies on the picture, 0 to 1. Edges between classes are drawn full.

    Raises
    ------
    ConfigError : the two differ in size.
    """
    if pixels.shape != image.shape[:2]:
        raise ConfigError("pixels and picture differ in size", got=f"{pixels.shape}, {image.shape[:2]}")
    table = np.array([pixel_colour(i, background) for i in range(256)], np.float32)
    share = np.full(256, strength, np.float32)
    table[IGNORE], share[IGNORE] = 128, 0.0
    if background is not None:
        share[background] = 0.0
    cover = share[pixels]
    rows, columns = np.indices(pixels.shape)
    width = max(2, 2 * line_width(image.shape[:2]))
    cover[(pixels == IGNORE) & ((rows + columns) // width % 3 == 0)] = 0.8
    is_edge = _edges(pixels) & (share[pixels] > 0)
    cover[is_edge] = 1.0
    mixed = image * (1 - cover[:, :, None]) + table[pixels] * cover[:, :, None]
    return to_pillow(np.rint(mixed).astype(np.uint8))


def pixel_colour(position: int, background: int | None = 0) -> tuple[int, int, int]:
    """RGB of a class of pixels in ``draw_pixels``."""
    return class_colour(position - (background is not None and position > background))


def background_of(classes: ClassNames) -> int | None:
    """Position of the class of pixels that stands for nothing in particular; None where there is none."""
    return next((i for i, name in enumerate(classes) if name.casefold() in BACKGROUND_NAMES), None)


def draw_answer(image: NDArray[np.uint8], prediction: Prediction) -> Image.Image:
    """The picture (H, W, 3) uint8 with what a Prediction says of its parts: pixels first, then masks, boxes, names.

    Raises
    ------
    ConfigError : the prediction is of a picture of another size.
    """
    if image.shape[:2] != prediction.size_hw:
        raise ConfigError(
            "picture and prediction differ in size",
            got=f"{image.shape[:2]}, {prediction.size_hw} (height, width)",
            fix="give the upright picture that was asked about",
        )
    found, drawn = prediction.boxes, image
    if prediction.pixels is not None:
        strength = _PIXELS if found is None else _PIXELS_BELOW
        background = background_of(prediction.pixel_classes)
        drawn = np.asarray(draw_pixels(drawn, prediction.pixels, background=background, strength=strength))
    if found is None:
        return to_pillow(drawn)
    texts = [
        "; ".join([text, *crop_words(prediction, i)])
        for i, text in enumerate(_texts(found, prediction.object_classes))
    ]
    return draw_objects(drawn, found, prediction.object_classes, mask_strength=_MASKS, texts=texts)


def line_width(size_hw: tuple[int, ...]) -> int:
    """Width of lines in px on a picture of this size: 1 on a thumbnail, about a 250th of the middle side."""
    return max(1, round(math.sqrt(size_hw[0] * size_hw[1]) / 250))


def letter_size(size_hw: tuple[int, ...]) -> int:
    """Size of letters in px on a picture of this size: a 40th of the middle side, at least 10; 0 without room."""
    middle = math.sqrt(size_hw[0] * size_hw[1])
    return 0 if min(size_hw[0], size_hw[1]) < 96 else max(10, round(middle / 40))


def _with_masks(
    image: NDArray[np.uint8], found: Objects | Detections, order: NDArray[np.int64], strength: float
) -> NDArray[np.uint8]:
    """Each mask in its class's colour, with a full edge. What lies above covers what lies below."""
    drawn = image.copy()
    for i in order:
        mask = found.masks[i]
        if mask is None:
            continue
        inside = mask.to_array()
        colour = np.array(class_colour(int(found.labels[i])), np.float32)
        drawn[inside] = np.rint(drawn[inside] * (1 - strength) + colour * strength).astype(np.uint8)
        drawn[_edges(inside) & inside] = colour.astype(np.uint8)
    return drawn


def _edges(values: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels with another value beside them, above or below."""
    found = np.zeros(values.shape, bool)
    across, down = values[:, 1:] != values[:, :-1], values[1:] != values[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def _near(box: NDArray[np.float64], picture_wh: tuple[int, int]) -> NDArray[np.float64]:
    """A box that reaches far outside, cut off where it can no longer be seen."""
    reach = max(picture_wh)
    near: NDArray[np.float64] = np.clip(box, -reach, 2 * reach)
    return near


def _box(
    draw: ImageDraw.ImageDraw, box: NDArray[np.float64], colour: Colour, width: int, *, dashed: bool
) -> None:
    """An outline inside the box, on a thin dark one so that it shows on any ground."""
    x1, y1, x2, y2 = (float(v) for v in np.rint(box))
    x2, y2 = max(x1, x2 - 1), max(y1, y2 - 1)
    if not dashed:
        draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=(20, 20, 20))
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=width)
        return
    dash = 6 * width
    for start in np.arange(x1, x2 + 1, 2 * dash):
        for y in (y1, y2 - width + 1):
            draw.rectangle((start, y, min(start + dash, x2), y + width - 1), fill=colour)
    for start in np.arange(y1, y2 + 1, 2 * dash):
        for x in (x1, x2 - width + 1):
            draw.rectangle((x, start, x + width - 1, min(start + dash, y2)), fill=colour)


def _names(
    picture: Image.Image, found: Objects | Detections, texts: Sequence[str], order: NDArray[np.int64]
) -> None:
    """The plates, those of large things first, each where it covers no other; without such a place there is none."""
    draw, size = ImageDraw.Draw(picture), letter_size((picture.height, picture.width))
    taken: list[tuple[float, ...]] = []
    for i in order:
        label = int(found.labels[i])
        line, font, plates = _plates(texts[i], _near(found.boxes_xyxy[i], picture.size), size, picture.size)
        plate = next((p for p in plates if not any(_meet(p, other) for other in taken)), None)
        if plate is None:
            continue
        taken.append(plate)
        left, top, right, bottom = plate
        draw.rectangle((left, top, right - 1, bottom - 1), fill=class_colour(label))
        baseline = (left + _edge(size), bottom - _edge(size) - size // 8)
        draw.text(baseline, line, fill=_ink(class_colour(label)), font=font, anchor="ls")


def _plates(
    text: str, box: NDArray[np.float64], size: int, picture_wh: tuple[int, int]
) -> tuple[str, Font, list[tuple[float, ...]]]:
    """The text as it fits, its font, and places for it: above the box, in its upper edge, below, in its lower edge."""
    width, height = picture_wh
    line, font = fit(text, size, width - 2 * _edge(size))
    wide, high = font.getlength(line) + 2 * _edge(size), size + 2 * _edge(size) - _edge(size) // 2
    x1, y1, x2, y2 = (float(v) for v in box)
    lefts = [min(max(0.0, left), max(0.0, width - wide)) for left in (x1, x2 - wide)]
    tops = [min(max(0.0, top), max(0.0, height - high)) for top in (y1 - high, y1, y2, y2 - high)]
    return line, font, [(left, top, left + wide, top + high) for left in lefts for top in tops]


def _edge(size: int) -> int:
    return max(2, round(_PLATE_MARGIN * size))


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _ink(colour: Colour) -> str:
    """Black or white letters, by the ground's relative luminance (WCAG 2, contrast ratio)."""
    linear = [(v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
