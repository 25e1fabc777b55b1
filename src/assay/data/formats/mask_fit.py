"""What becomes of masks that do not fit into one picture of numbers: a pixel holds one thing.

Where two masks share pixels, these go to the smaller thing, which mostly lies in front. A thing that would lose more
than half of its pixels so is no fair example any more, and neither is its picture: it is left out. So is a picture
whose masks are of another size, or whose mask of classes says that a thing is something else. Boxes become the hulls
of their masks, as only masks are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.data.fitting import Cell, Fitted, fit_cells
from assay.errors import ImageError
from assay.masks import Mask, encode, union
from assay.pixel_masks import IGNORE, read_pixels
from assay.types import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Masks = list[NDArray[np.bool_]]

MOST_THINGS = 65_535
_LEAST_LEFT = 0.5
_SAME_PX = 0.01
"""A box that differs less from the hull of its mask differs by rounding."""

_SHARED = "{n} masks that overlap others give the shared pixels to the smaller thing: mask-png holds one thing a pixel"
_COVERED = (
    "{n} pictures in which a mask covers most of another one are left out: mask-png holds one thing a pixel"
)
_HULL = "{n} boxes become the hulls of their masks: mask-png keeps masks alone"
_EMPTY = "{n} empty masks are left out; what is left counts as all that is there"
_SIZE = "{n} pictures without a size, or with masks of another size, are left out"
_MANY = "{n} pictures with more than 65,535 things are left out"
_UNREADABLE = "{n} pictures whose mask of classes cannot be read are left out"
_CLASS = "{n} pictures in which the mask of classes says that a thing is something else are left out"


def fit_masks(dataset: Dataset) -> Fitted:
    """Masks that share no pixel, each of the class that the mask of classes says, where there is one."""
    fitted = Fitted(dataset)
    if "objects" not in dataset.table.column_names:
        return fitted
    names = [
        name if name in dataset.table.column_names else None for name in ("height_px", "width_px", "pixels")
    ]
    columns = [[None] * len(dataset) if n is None else dataset.table[n].to_pylist() for n in names]

    def change(row: int, path: str, cell: Cell) -> Cell:
        height, width, pixels = (column[row] for column in columns)
        kept = [thing for thing in cell or () if Mask((height or 1, width or 1), thing["mask"]).area]
        for _ in range(len(cell or ()) - len(kept)):
            fitted.change(path, _EMPTY)
        return _fit(kept, (height, width), pixels, path, fitted)

    fit_cells(fitted, change)
    return fitted


def _fit(
    things: list[dict[str, Any]],
    size_hw: tuple[int | None, int | None],
    pixels: str | None,
    path: str,
    fitted: Fitted,
) -> list[dict[str, Any]]:
    """The things of one picture as they fit; ``fitted`` is told where the picture cannot stay."""
    classes = None
    if pixels is not None:
        try:
            classes = read_pixels(fitted.dataset.root / pixels)
        except ImageError:
            fitted.leave_out(path, _UNREADABLE)
            return things
    height, width = size_hw if None not in size_hw or classes is None else classes.shape
    if height is None or width is None or (classes is not None and classes.shape != (height, width)):
        fitted.leave_out(path, _SIZE)
        return things
    if len(things) > MOST_THINGS:
        fitted.leave_out(path, _MANY)
        return things
    masks = [Mask((height, width), thing["mask"]) for thing in things]
    if sum(mask.area for mask in masks) > (union(masks).area if masks else 0):
        things = _apart(things, masks, path, fitted)
    if classes is not None and not _agree(things, classes, fitted.dataset):
        fitted.leave_out(path, _CLASS)
        return things
    return [_hulled(thing, (height, width), path, fitted) for thing in things]


def _hulled(thing: dict[str, Any], size_hw: tuple[int, int], path: str, fitted: Fitted) -> dict[str, Any]:
    """The thing with the box that a reader will make of its mask; told where that differs from its own."""
    hull = Mask(size_hw, thing["mask"]).box_xyxy
    if np.abs(hull - thing["box"]).max() <= _SAME_PX:
        return thing
    fitted.change(path, _HULL)
    return {**thing, "box": hull.tolist()}


def _apart(
    things: list[dict[str, Any]], masks: Sequence[Mask], path: str, fitted: Fitted
) -> list[dict[str, Any]]:
    """Things without a common pixel: the smaller ones lie on top."""
    arrays: Masks = [mask.to_array() for mask in masks]
    areas = [int(array.sum()) for array in arrays]
    taken = np.zeros(masks[0].size_hw, bool)
    found = list(things)
    for i in sorted(range(len(things)), key=lambda i: (areas[i], i)):
        left = arrays[i] & ~taken
        taken |= arrays[i]
        if (count := int(left.sum())) == areas[i]:
            continue
        if count < _LEAST_LEFT * areas[i]:
            fitted.leave_out(path, _COVERED)
            return things
        cut = encode(left)
        fitted.change(path, _SHARED)
        found[i] = {**things[i], "mask": cut.counts, "box": cut.box_xyxy.tolist()}
    return found


def _agree(things: Sequence[dict[str, Any]], classes: NDArray[np.uint8], dataset: Dataset) -> bool:
    """Whether most known pixels of each thing are of its class."""
    names = dataset.pixel_classes
    for thing in things:
        inside = Mask((classes.shape[0], classes.shape[1]), thing["mask"]).to_array()
        known = classes[inside & (classes != IGNORE)]
        most = int(np.bincount(known).argmax()) if known.size else -1
        if not 0 <= most < len(names) or names[most] != thing["label"]:
            return False
    return True
