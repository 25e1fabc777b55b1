"""What becomes of boxes and masks that YOLO cannot write as they are: fractions end at 0 and 1, and a mask has no box.

A box that reaches out of its picture is cut off at the edge; one that lies outside is left out. A box that ends inside
its mask is widened to go around it, as the polygon is all that is written (``yolo_write``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.boxes import area, as_boxes, clip, to_centres
from assay.data.fitting import Cell, Fitted, fit_cells
from assay.data.formats.yolo_labels import SLACK
from assay.data.formats.yolo_write import stand_in
from assay.data.object_copy import sizes_of
from assay.masks import Mask
from assay.types import Dataset

_INSIDE = 0.5
"""As in ``yolo_write``: a box may end so far inside its mask (in pixels)."""

_CUT = "{n} boxes that reach out of their pictures are cut off at the edge: yolo has fractions of the picture"
_OUTSIDE = (
    "{n} boxes that lie outside of their pictures are left out; what is left counts as all that is there"
)
_WIDENED = (
    "{n} boxes that end inside their masks are widened to go around them: yolo writes the outline alone"
)
_STANDS_IN = (
    "there is no part for {keys}, which other tools ask for: data.yaml names {place} there, and reading it back "
    "gives the parts as they were; `assay split` makes parts"
)
_EMPTY = "{n} empty masks are left out; their boxes are kept"


def fit_yolo(dataset: Dataset) -> Fitted:
    """Boxes that fit into fractions.

    Raises
    ------
    DatasetError : the size of a picture is not in the table and cannot be read.
    """
    fitted = Fitted(dataset)
    if lacking := stand_in(dataset):
        keys, place = " and ".join(lacking), next(iter(lacking.values()))
        fitted.notes.append(_STANDS_IN.format(keys=keys, place=place))
    if "objects" not in dataset.table.column_names:
        return fitted
    sizes = sizes_of(dataset)

    def change(row: int, path: str, cell: Cell) -> Cell:
        things = (_fit(thing, sizes[row], path, fitted) for thing in cell or ())
        return [thing for thing in things if thing is not None]

    fit_cells(fitted, change)
    return fitted


def _fit(thing: dict[str, Any], size_hw: tuple[int, int], path: str, fitted: Fitted) -> dict[str, Any] | None:
    box = as_boxes(thing["box"])
    inside = clip(box, size_hw)
    if not area(inside)[0] > 0:
        fitted.change(path, _OUTSIDE)
        return None
    if thing["mask"] is not None:
        mask = Mask(size_hw, thing["mask"])
        if not mask.area:
            fitted.change(path, _EMPTY)
            thing = {**thing, "mask": None}
        else:
            return _fit_masked(thing, mask, path, fitted)
    values = to_centres(box, size_hw)[0]
    if ((values >= -SLACK) & (values <= 1 + SLACK)).all():
        return thing
    fitted.change(path, _CUT)
    return {**thing, "box": inside[0].tolist()}


def _fit_masked(thing: dict[str, Any], mask: Mask, path: str, fitted: Fitted) -> dict[str, Any]:
    box, hull = np.asarray(thing["box"], np.float64), mask.box_xyxy
    scale = np.array([mask.size_hw[1], mask.size_hw[0]] * 2, np.float64)
    fractions = box / scale
    if not ((fractions >= -SLACK) & (fractions <= 1 + SLACK)).all():
        fitted.change(path, _CUT)
        box = clip(as_boxes(box), mask.size_hw)[0]
    deep = np.concatenate([box[:2] - hull[:2], hull[2:] - box[2:]])
    if (deep > _INSIDE).any():
        fitted.change(path, _WIDENED)
        box = np.concatenate([np.minimum(box[:2], hull[:2]), np.maximum(box[2:], hull[2:])])
    return thing if box.tolist() == thing["box"] else {**thing, "box": box.tolist()}
