"""JPEG pictures decoded smaller than they are, as far as the network's size permits.

A JPEG holds blocks of 8 x 8 frequencies. A decoder that leaves the high ones out gives a picture of half, a quarter or
an eighth of the size (libjpeg-turbo's README, "IDCT scaling extensions"), for less work than decoding all and
resizing. The pixels are not those of the exact way, so this is a setting of the preprocessing (``decode``), whose
effect on the answers is measured before a Bundle is written with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageFile

Need = Callable[[tuple[int, int]], tuple[float, float]]
"""(width, height) of the upright picture in px -> the least (width, height) that must remain of it."""

Part = tuple[float, float, float, float]
"""left, top, right, bottom in px of the decoded picture: where the whole photo is in it."""

SHRINKABLE = ("JPEG", "MPO")
"""By Pillow's names."""

# EXIF orientation -> axes are swapped, then x and y are turned round (as ``image.turn_upright`` does)
_AXES = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def shrink(image: ImageFile.ImageFile, orientation: int, need: Need) -> Part | None:
    """Have a picture of a ``SHRINKABLE`` format, not loaded yet, decoded smaller; None where it may not be.

    Returns
    -------
    Where the photo lies in the *upright* small picture: its last row and column may hold a fraction of a pixel of it.
    """
    swapped = _AXES[orientation][0]
    width, height = image.size
    least_width, least_height = need((height, width) if swapped else (width, height))
    wanted = (least_height, least_width) if swapped else (least_width, least_height)
    drafted = image.draft(None, (max(1, math.ceil(wanted[0])), max(1, math.ceil(wanted[1]))))
    if drafted is None or image.size == (width, height):
        return None
    return _turned(drafted[1][2:], image.size, orientation)


def _turned(inner: tuple[float, float], size: tuple[int, int], orientation: int) -> Part:
    """The part (0, 0, *inner*) of a picture of ``size``, after it was turned upright."""
    swapped, flipped_x, flipped_y = _AXES[orientation]
    (width, height), (full_width, full_height) = inner, size
    if swapped:
        width, height, full_width, full_height = height, width, full_height, full_width
    left = full_width - width if flipped_x else 0.0
    top = full_height - height if flipped_y else 0.0
    return (left, top, left + width, top + height)
