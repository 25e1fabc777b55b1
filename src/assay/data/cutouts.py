"""The object alone, cut out of its photo: on nothing (transparent), on white, or before its own blurred surroundings.

How the edge is made, in words:

- *Soft edge*: the mask is blurred with a Gaussian of sigma = ``feather_px`` / 2, so it goes from 1 to 0 over about
  twice the feather, and is 1/2 on the mask's edge. Where the object is cut off by the border of the photo it stays
  cut off.
- *Colours at the rim*: a pixel there shows object and background mixed, and would carry a halo of the old background
  into the new one. Its colour is replaced, the more the less it belongs to the object, by that of the object nearby:
  a mean over the neighbourhood weighted by the fourth power of the mask. It is an estimate; it gives no back hair
  that the mask lacks.
- *Blurred surroundings*: a mean over the pixels outside the object alone, so that the object does not glow into them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from assay.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

Background = Literal["transparent", "white", "grey", "blur"]
BACKGROUNDS: tuple[Background, ...] = ("transparent", "white", "grey", "blur")
GREY = 114.0
"""As the borders of a letterboxed picture (``PreprocessConfig.pad_value``)."""

_SHRUNK_FROM = 6.0
_TINY = 1e-4


def cut_out(
    image: NDArray[np.uint8],
    mask: NDArray[np.bool_] | NDArray[np.floating],
    *,
    background: Background = "transparent",
    feather_px: float = 1.5,
    margin: float | None = 0.05,
    blur_px: float | None = None,
) -> NDArray[np.uint8]:
    """The object of ``mask`` on another background.

    Parameters
    ----------
    image : (H, W, 3) uint8, upright.
    mask : (H, W) bool, or a soft mask of 0 to 1.
    background : "transparent", "white", "grey" or "blur".
    feather_px : softness of the edge; 0 leaves the mask as it is.
    margin : room around the object as a share of its longer side, as far as the photo reaches; None keeps the whole
        photo.
    blur_px : sigma of the blurred surroundings; a 25th of the longer side of the result when not given.

    Returns
    -------
    (h, w, 4) uint8 RGBA for "transparent", else (h, w, 3).

    Raises
    ------
    ConfigError : an unknown background, or a negative feather, margin or blur.
    DatasetError : the mask has another size than the image, holds values outside 0 to 1, or is empty.
    """
    _check(background, feather_px, margin, blur_px)
    soft = _soft(image, mask)
    y1, x1, y2, x2 = _frame(soft, feather_px, margin)
    colours, soft = image[y1:y2, x1:x2].astype(np.float32), soft[y1:y2, x1:x2]
    alpha = _blurred(soft, feather_px / 2) if feather_px else soft
    front = _object_colours(colours, soft, alpha, feather_px)
    if background == "transparent":
        rgba = np.dstack([front, 255 * alpha[:, :, None]])
        rgba[255 * alpha < 0.5] = 0  # nothing of the old background stays in the file
        return _bytes(rgba)
    if background in ("white", "grey"):
        behind = np.full_like(front, 255.0 if background == "white" else GREY)
    else:
        behind = _surroundings(colours, alpha, max(colours.shape[:2]) / 25 if blur_px is None else blur_px)
    return _bytes(front * alpha[:, :, None] + behind * (1 - alpha[:, :, None]))


def _check(background: str, feather_px: float, margin: float | None, blur_px: float | None) -> None:
    if background not in BACKGROUNDS:
        raise ConfigError(f"no background is called {background!r}", fix=f"choose {', '.join(BACKGROUNDS)}")
    given = {"feather_px": feather_px, "margin": margin or 0.0, "blur_px": blur_px or 0.0}
    bad = [f"{name} is {value}" for name, value in given.items() if not (math.isfinite(value) and value >= 0)]
    if bad:
        raise ConfigError("; ".join(bad), fix="give numbers of 0 or more")


def _soft(image: NDArray[np.uint8], mask: NDArray[np.bool_] | NDArray[np.floating]) -> Floats:
    if mask.shape != image.shape[:2]:
        raise DatasetError(
            "a mask has another size than its picture",
            got=f"mask {mask.shape}, picture {image.shape[:2]} (height, width)",
            fix="draw it on the upright picture of that size",
        )
    soft = mask.astype(np.float32)
    if not soft.any():
        raise DatasetError("the mask is empty", fix="there is nothing to cut out; leave this one out")
    if not np.isfinite(soft).all() or soft.min() < 0 or soft.max() > 1:
        raise DatasetError(
            "a soft mask holds values of 0 to 1",
            got=f"{float(soft.min()):g} to {float(soft.max()):g}",
            fix="divide it by its greatest value (255 for a grey picture)",
        )
    return soft


def _frame(soft: Floats, feather_px: float, margin: float | None) -> tuple[int, int, int, int]:
    """top, left, bottom, right: the object with its margin, at least as wide as the soft edge."""
    height, width = soft.shape
    if margin is None:
        return 0, 0, height, width
    rows, columns = np.flatnonzero(soft.any(axis=1)), np.flatnonzero(soft.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    room = max(math.ceil(1.5 * feather_px), round(margin * max(bottom - top, right - left)))
    return max(0, top - room), max(0, left - room), min(height, bottom + room), min(width, right + room)


def _object_colours(colours: Floats, soft: Floats, alpha: Floats, feather_px: float) -> Floats:
    """(H, W, 3) the photo where ``alpha`` is 1; the object's colours nearby where it is 1/2, and outside the mask."""
    weight = (soft * alpha**4)[:, :, None]
    sigma = max(1.0, feather_px)
    total = _blurred(weight, sigma)
    # far away nothing of the object is near, and hardly anything is seen
    nearby = np.where(total > _TINY, _blurred(colours * weight, sigma) / (total + _TINY), colours)
    own = (soft * np.clip(2 * alpha - 1, 0, 1))[:, :, None]
    return (colours * own + nearby * (1 - own)).astype(np.float32)


def _surroundings(colours: Floats, alpha: Floats, sigma: float) -> Floats:
    """(H, W, 3) blurred, of what is not the object; a photo full of object is blurred as it is."""
    weight = (((1 - alpha) ** 2)[:, :, None] + _TINY).astype(np.float32)
    found: Floats = _blurred(colours * weight, sigma) / _blurred(weight, sigma)
    return found


def _blurred(values: Floats, sigma: float) -> Floats:
    """A Gaussian over rows and columns of (H, W) or (H, W, C); borders repeat. A wide one works on a smaller copy."""
    if sigma <= 0:
        return values
    if sigma > _SHRUNK_FROM:
        factor = int(sigma // 3)
        height, width = values.shape[:2]
        small = _resized(values, (-(-height // factor), -(-width // factor)), Image.Resampling.BOX)
        return _resized(_blurred(small, sigma / factor), (height, width), Image.Resampling.BICUBIC)
    for axis in (0, 1):
        values = _blurred_along(values, sigma, axis)
    return values


def _blurred_along(values: Floats, sigma: float, axis: int) -> Floats:
    radius = math.ceil(3 * sigma)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    pad = [(0, 0)] * values.ndim
    pad[axis] = (radius, radius)
    padded, length = np.pad(values, pad, mode="edge"), values.shape[axis]
    total = np.zeros_like(values)
    for i, weight in enumerate(weights):
        total += weight * np.take(padded, range(i, i + length), axis=axis)
    return total


def _resized(values: Floats, size_hw: tuple[int, int], how: Image.Resampling) -> Floats:
    planes = values if values.ndim == 3 else values[:, :, None]
    size = (size_hw[1], size_hw[0])
    resized = [np.asarray(Image.fromarray(planes[:, :, c]).resize(size, how)) for c in range(planes.shape[2])]
    found: Floats = np.stack(resized, axis=2)
    return found if values.ndim == 3 else found[:, :, 0]


def _bytes(values: Floats) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
