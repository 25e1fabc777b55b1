"""Every pixel mode that Pillow decodes to, brought to 8-bit RGB by one stated rule each.

- 8-bit grey, palette, 1-bit, YCbCr, HSV, CMYK (Adobe's inverted CMYK is undone by the JPEG decoder): Pillow's
  own conversion. Embedded ICC profiles are not applied, as in every common training pipeline.
- LAB: through Little CMS (D50) to sRGB.
- Transparency (alpha channel, transparent palette entry or key colour): composited on white.
- Integer grey of more than 8 bits: ``round(255 * v / full)``. ``full`` is 65535, or what a TIFF states in
  MaxSampleValue or BitsPerSample (a 12-bit scan: 4095). So 16 bits are divided by 257.
- 32-bit integer and float grey state no range: least value 0, greatest 255; NaN and infinities count as 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE = 258, 281


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded Pillow image of any mode as mode RGB, by the rules above."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode[0] in "IF":
        return Image.fromarray(_deep_grey(image)).convert("RGB")
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if image.has_transparency_data:
        return on_white(image)
    return image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """An image with transparency as it looks on white paper, mode RGB."""
    front = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    paper = Image.new("RGBA", front.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, front).convert("RGB")


def _deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W) of the modes I, F and I;16 in either byte order."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return _scale_to_8_bit(values, _full_scale(image))
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # Pillow scales these to 16 bits
        return _scale_to_8_bit(values, 65535)
    return _stretch_to_8_bit(values)


def _full_scale(image: Image.Image) -> int:
    """The sample value that means white: stated by a TIFF, else 65535."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = min(_first_integer(tags.get(_BITS_PER_SAMPLE)), 16)
    stated = (_first_integer(tags.get(_MAX_SAMPLE_VALUE)), 2**bits - 1)
    return next((full for full in stated if 255 < full < 65535), 65535)


def _first_integer(value: Any) -> int:
    first = value[0] if isinstance(value, tuple) and value else value
    return min(first, 65535) if isinstance(first, int) and first > 0 else 0


def _scale_to_8_bit(values: NDArray[Any], full: int) -> NDArray[np.uint8]:
    """``round(255 * v / full)`` in integers, so that it is the same on every machine."""
    clipped = np.clip(values, 0, full).astype(np.uint32)
    return np.asarray((clipped * 510 + full) // (2 * full), dtype=np.uint8)


def _stretch_to_8_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The range of the picture to 0..255; a picture of one value becomes black."""
    exact = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(exact.min()), float(exact.max())
    if not high > low:
        return np.zeros(exact.shape, np.uint8)
    return np.asarray(np.rint((exact - low) / (high - low) * 255.0), dtype=np.uint8)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # noqa: PLC0415 - LAB files are rare

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(lab, rgb, "LAB", "RGB")
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("Little CMS returned no picture")
    return converted
