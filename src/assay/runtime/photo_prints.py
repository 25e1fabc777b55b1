"""The prints of a photo, from its bytes.

No policy, no network and no references are needed, so that it may run alone in a process that decodes and knows nothing
else; ``References.match`` takes the prints wherever they come from.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from assay.decide.frames import LONGEST
from assay.decide.prints import Prints, prints_of
from assay.errors import ImageError
from assay.image import DEFAULT_LIMITS, ImageLimits, Known, open_upright
from assay.photos import Photo
from assay.shrunken import Part


def photo_prints(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, *, name: str | None = None, known: Known | None = None
) -> Prints:
    """The prints of a photo.

    Parameters
    ----------
    data : the bytes of a picture file, of any kind that ``assay.image`` reads; a JPEG is decoded as small as suffices.
    name : what the photo is called in messages.
    known : as ``assay.image.open_upright``, where it was decoded for something else before.

    Raises
    ------
    ImageError : the photo cannot be read within the limits.
    """
    upright = open_upright(data, limits, _need, name=name, known=known)
    return picture_prints(upright.picture, upright.part)


def picture_prints(picture: Image.Image, part: Part | None = None) -> Prints:
    """The prints of a decoded picture, upright, mode RGB or L; ``part`` of it is the photo, as in ``Upright``."""
    grey = picture if picture.mode == "L" else picture.convert("L")
    share = min(1.0, LONGEST / max(grey.size))
    if share < 1 or part is not None:
        width, height = (max(1, round(side * share)) for side in grey.size)
        grey = grey.resize((width, height), Image.Resampling.BOX, box=part)
    return prints_of(np.asarray(grey))


def source_prints(photo: Photo) -> Prints | None:
    """The prints of what is walked through; None where it cannot be read."""
    try:
        data = photo.read()
        return photo_prints(data) if isinstance(data, bytes) else picture_prints(Image.fromarray(data))
    except ImageError:
        return None


def _need(size: tuple[int, int]) -> tuple[float, float]:
    """The least size at which no pixel has to be made up."""
    share = min(1.0, LONGEST / max(size))
    return size[0] * share, size[1] * share
