"""TrivialAugment Wide: one random operation at one random strength, nothing to tune (Mueller and Hutter 2021).

The fourteen operations and wide ranges are those of the paper's table; strength is one of 31 equal steps. Two
things differ. Translation goes by a share of the side, 32 px of 224, so that it means the same at every size.
What is moved in from outside is neutral grey instead of black, and geometry is resampled bilinearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter, ImageOps

if TYPE_CHECKING:
    from numpy.random import Generator

STEPS = 31
OUTSIDE = 114
MOST_SHEAR, MOST_SHIFT, MOST_DEGREES, MOST_ENHANCE = 0.99, 32 / 224, 135.0, 0.99

Operation = Callable[[Image.Image, float, float], Image.Image]
"""(picture of mode L or RGB, strength 0..1, sign -1 or 1) -> picture of the same mode and size."""


def trivial_augment(picture: Image.Image, rng: Generator) -> Image.Image:
    """Apply one of OPERATIONS at a random strength. Mode L or RGB; size and mode stay."""
    names = tuple(OPERATIONS)
    operation = OPERATIONS[names[int(rng.integers(len(names)))]]
    strength = int(rng.integers(STEPS)) / (STEPS - 1)
    sign = -1.0 if rng.random() < 0.5 else 1.0
    return operation(picture, strength, sign)


def _affine(picture: Image.Image, *matrix: float) -> Image.Image:
    fill = OUTSIDE if picture.mode == "L" else (OUTSIDE,) * 3
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=fill
    )


def _shear_x(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    slope = sign * strength * MOST_SHEAR
    return _affine(picture, 1, slope, -slope * picture.height / 2, 0, 1, 0)


def _shear_y(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    slope = sign * strength * MOST_SHEAR
    return _affine(picture, 1, 0, 0, slope, 1, -slope * picture.width / 2)


def _shift_x(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _affine(picture, 1, 0, sign * strength * MOST_SHIFT * picture.width, 0, 1, 0)


def _shift_y(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _affine(picture, 1, 0, 0, 0, 1, sign * strength * MOST_SHIFT * picture.height)


def _rotate(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    angle = math.radians(sign * strength * MOST_DEGREES)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = picture.width / 2, picture.height / 2
    return _affine(picture, cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y)


def _factor(strength: float, sign: float) -> float:
    return 1 + sign * strength * MOST_ENHANCE


def _levels(picture: Image.Image, slope: float, offset: float) -> Image.Image:
    """Each grey level v becomes slope * v + offset, in one table."""
    table = np.clip(np.rint(slope * np.arange(256) + offset), 0, 255).astype(int).tolist()
    return picture.point(table * len(picture.getbands()))


def _brightness(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return _levels(picture, _factor(strength, sign), 0.0)


def _contrast(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    factor = _factor(strength, sign)
    mean = float(np.asarray(picture.resize((1, 1), Image.Resampling.BOX).convert("L"))[0, 0])
    return _levels(picture, factor, mean * (1 - factor))


def _colour(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    if picture.mode == "L":
        return picture
    return Image.blend(picture.convert("L").convert("RGB"), picture, _factor(strength, sign))


def _sharpness(picture: Image.Image, strength: float, sign: float) -> Image.Image:
    return Image.blend(picture.filter(ImageFilter.SMOOTH), picture, _factor(strength, sign))


def _posterize(picture: Image.Image, strength: float, _sign: float) -> Image.Image:
    """Keep 8 down to 2 of the bits."""
    mask = 256 - 2 ** round(strength * 6)
    return picture.point([v & mask for v in range(256)] * len(picture.getbands()))


def _solarize(picture: Image.Image, strength: float, _sign: float) -> Image.Image:
    """Invert the levels above a threshold that goes from 256 (none) down to 0 (all)."""
    threshold = round(256 * (1 - strength))
    return picture.point([v if v < threshold else 255 - v for v in range(256)] * len(picture.getbands()))


def _autocontrast(picture: Image.Image, _strength: float, _sign: float) -> Image.Image:
    return ImageOps.autocontrast(picture)


def _equalize(picture: Image.Image, _strength: float, _sign: float) -> Image.Image:
    return ImageOps.equalize(picture)


def _identity(picture: Image.Image, _strength: float, _sign: float) -> Image.Image:
    return picture


OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "shear-x": _shear_x,
    "shear-y": _shear_y,
    "shift-x": _shift_x,
    "shift-y": _shift_y,
    "rotate": _rotate,
    "brightness": _brightness,
    "colour": _colour,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
