"""Optional noise filters before resizing: Gaussian, median, bilateral. The same bytes on every machine.

- gaussian: Pillow's GaussianBlur, three extended box passes (Gwosdek et al. 2011, "Theoretical foundations
  of Gaussian convolution by extended box filtering"). ``strength`` is sigma in pixels.
- median: the exact median of a square window. ``strength``, rounded and at least 1, is the radius: 1 is 3 x 3.
- bilateral (Tomasi and Manduchi 1998, equation 4): the mean over a square window of that radius, weighted by
  nearness (sigma = radius / 2) and by likeness of colour (sigma = 25 grey levels, Euclidean over channels).
  Weights are integers of 10 bits and sums are exact: no processor's exp or order of sums can change a pixel.

Cost grows with the window's area for median and bilateral: keep the radius small on large photos.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLOUR_SIGMA = 25.0
_WEIGHT_ONE = 1024
_STRIP_PIXELS = 1 << 18


def gaussian(image: Image.Image, strength: float) -> Image.Image:
    """Pillow image of mode L or RGB, blurred with sigma ``strength`` px; borders repeat."""
    return image.filter(ImageFilter.GaussianBlur(strength))


def median(image: Image.Image, strength: float) -> Image.Image:
    """Pillow image of mode L or RGB, each channel the median of its window; borders repeat."""
    return image.filter(ImageFilter.MedianFilter(2 * _radius(strength) + 1))


def bilateral(image: Image.Image, strength: float) -> Image.Image:
    """Pillow image of mode L or RGB, smoothed within regions of like colour; borders repeat."""
    pixels = np.asarray(image)
    planes = pixels if pixels.ndim == 3 else pixels[:, :, None]
    smooth = bilateral_pixels(planes, _radius(strength))
    return Image.fromarray(smooth if pixels.ndim == 3 else smooth[:, :, 0])


def bilateral_pixels(pixels: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """(H, W, C) uint8 -> the same; strips of rows bound the memory."""
    padded = np.pad(pixels, ((radius, radius), (radius, radius), (0, 0)), mode="edge").astype(np.int32)
    tables = _weight_tables(radius)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    smooth = np.empty_like(pixels)
    for top in range(0, pixels.shape[0], rows):
        bottom = min(top + rows, pixels.shape[0])
        smooth[top:bottom] = _bilateral_strip(padded[top : bottom + 2 * radius], radius, tables)
    return smooth


def _bilateral_strip(
    padded: NDArray[np.int32], radius: int, tables: dict[int, NDArray[np.int32]]
) -> NDArray[np.uint8]:
    """Padded rows (h + 2r, W + 2r, C) -> (h, W, C)."""
    height, width = padded.shape[0] - 2 * radius, padded.shape[1] - 2 * radius
    centre = padded[radius : radius + height, radius : radius + width]
    total = np.zeros(centre.shape, np.int32)
    weights = np.zeros(centre.shape[:2], np.int32)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            shifted = padded[radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            table = tables[dy * dy + dx * dx]
            step = shifted - centre
            unlike = np.minimum((step * step).sum(axis=2), len(table) - 1)
            weight = table[unlike]
            weights += weight
            total += weight[:, :, None] * shifted
    return ((2 * total + weights[:, :, None]) // (2 * weights[:, :, None])).astype(np.uint8)


def _weight_tables(radius: int) -> dict[int, NDArray[np.int32]]:
    """Squared distance in pixels -> integer weight by squared distance in colour; the last entry is 0."""
    reach = math.ceil(2 * COLOUR_SIGMA**2 * math.log(2 * _WEIGHT_ONE)) + 1
    likeness = [math.exp(-unlike / (2 * COLOUR_SIGMA**2)) for unlike in range(reach)]
    squares = {dy * dy + dx * dx for dy in range(radius + 1) for dx in range(radius + 1)}
    tables = {}
    for square in squares:
        nearness = math.exp(-square / (2 * (radius / 2) ** 2))
        tables[square] = np.array([round(_WEIGHT_ONE * nearness * like) for like in likeness], np.int32)
    return tables


def _radius(strength: float) -> int:
    return max(1, round(strength))


SMOOTHERS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "gaussian": gaussian,
    "median": median,
    "bilateral": bilateral,
}
