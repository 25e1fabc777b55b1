"""Pixel masks as files: PNG pictures whose values are numbers, not colours; the class of every pixel, or which thing
it is.

- A palette PNG holds its indices, whatever colours they are shown in. Grey PNG of 1, 2, 4 and 8 bits hold their values
  as stored (Pillow stretches 2 and 4 bits to 0..255; that is undone), of 16 bits as well.
- A colour PNG whose three channels are equal everywhere is grey. Other colours are no numbers, and are refused.
- A mask is drawn on the upright picture, so an EXIF orientation in the mask itself means nothing.

255 (``IGNORE``) says that nobody knows the class of a pixel: it is neither taught nor judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from assay.decoding import decoding
from assay.errors import ImageError
from assay.image import DEFAULT_LIMITS, ImageLimits, open_header, read_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORE = 255
MOST_CLASSES = 255
"""A mask of 8 bits numbers classes from 0 to 254."""
BACKGROUND_NAMES = frozenset(
    {"background", "_background_", "__background__", "null", "void", "unlabelled", "unlabeled"}
)
"""What people call the pixels that belong to no thing, in small letters."""

_FIX = "save it as a palette or grey PNG whose values are the numbers of classes"
_STRETCH = {2: 85, 4: 17}
_PNG = b"\x89PNG\r\n\x1a\n"


def voc_colours() -> NDArray[np.uint8]:
    """(256, 3) Pascal VOC's colour map: the bits of a number, dealt to red, green and blue from the highest down."""
    numbers = np.arange(256, dtype=np.int64)
    colours = np.zeros((256, 3), np.int64)
    for step in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> (3 * step + channel)) & 1) << (7 - step)
    return colours.astype(np.uint8)


def read_pixels(path: str | Path, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """(H, W) uint8 classes of the pixels, 255 where nobody knows.

    Raises
    ------
    ImageError : the file is missing, no PNG, damaged, beyond the limits, or in colours; or a value is above 255.
    """
    values, _ = _values(path, limits)
    if values.size and values.max() > IGNORE:
        raise ImageError(
            f"{path} holds no classes",
            got=f"the value {int(values.max()):,}; classes are 0 to {MOST_CLASSES - 1}, and {IGNORE} is left out",
            fix="numbers of things belong into a folder `instances`",
        )
    return values.astype(np.uint8)


def read_things(path: str | Path, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[NDArray[np.uint16], bool]:
    """((H, W) uint16 numbers of things, whether 255 is one: in a mask of 16 bits it is, in one of 8 VOC's border).

    Raises
    ------
    ImageError : as ``read_pixels``, but for the values.
    """
    values, bits = _values(path, limits)
    return values, bits > 8


def _values(path: str | Path, limits: ImageLimits) -> tuple[NDArray[np.uint16], int]:
    """(values, bits a value as stored)."""
    data = read_bytes(Path(path), limits)
    if data[:8] != _PNG or len(data) < 26:
        raise ImageError(f"{path} is no mask", got="a file that is no PNG", fix=_FIX)
    bits = data[24]
    with decoding(str(path), limits.max_pixels), BytesIO(data) as stream:
        image = open_header(stream, str(path), limits)
        image.load()
        values = np.asarray(image)
    if values.ndim == 3:
        return _grey_of(path, values), bits
    if image.mode == "L" and bits in _STRETCH:
        values = values // _STRETCH[bits]
    return values.astype(np.uint16), bits


def _grey_of(path: str | Path, values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """(H, W) of a colour picture that is grey; with an alpha channel it is none."""
    if values.shape[2] == 3 and (values[:, :, :1] == values[:, :, 1:]).all():
        return values[:, :, 0].astype(np.uint16)
    if values.shape[2] in (2, 4):
        raise ImageError(f"{path} is no mask", got="a picture with an alpha channel", fix=_FIX)
    colours = np.unique(values.reshape(-1, 3), axis=0)
    got = f"{len(colours):,} colours"
    known = {tuple(c) for c in voc_colours().tolist()}
    if len(colours) <= IGNORE and all(tuple(c) in known for c in colours.tolist()):
        got += ", all of them in Pascal VOC's colour map"
    raise ImageError(f"{path} is a picture in colours, not in numbers", got=got, fix=_FIX)


def encode_pixels(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a palette PNG of (H, W) uint8, shown in Pascal VOC's colours."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    image.putpalette(voc_colours().tobytes())
    return _saved(image)


def encode_things(values: NDArray[np.uint16]) -> bytes:
    """The bytes of a grey PNG of 16 bits of (H, W) uint16."""
    return _saved(Image.fromarray(np.ascontiguousarray(values, np.uint16)))


def _saved(image: Image.Image) -> bytes:
    target = BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def classes_used(values: NDArray[np.uint16] | NDArray[np.uint8]) -> Sequence[int]:
    """The different values, in order; ``IGNORE`` is no class and is left out."""
    counts = np.bincount(values.reshape(-1))
    return [int(v) for v in np.flatnonzero(counts) if v != IGNORE]
