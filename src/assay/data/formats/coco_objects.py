"""One annotation of COCO -> one row of the column ``objects``; and the size of its picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.data.box_values import corners_of
from assay.data.coco_json import CocoAnnotation, CocoImage, Told, is_crowd
from assay.data.faults import Faults
from assay.errors import DatasetError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.masks import Mask, from_coco

_FAR = 16
"""Points of a polygon may lie so many picture sizes outside: the rasteriser walks along every edge."""

_LEAST_VALUES = 6
"""x and y of three points: fewer have no area."""


def size_of(
    image: CocoImage, upright: tuple[int, int] | ImageError, faults: Faults
) -> tuple[int, int] | None:
    """(height, width) of the upright picture, as its header says it; as the file does where the picture cannot be read
    (the checks tell of that); None where neither tells. Where the two differ, ``faults`` is told.
    """
    own = None if isinstance(upright, ImageError) else upright
    if image.size_hw is None:
        return own
    height, width = (_whole(value) for value in image.size_hw)
    if not (height and width and height * width <= DEFAULT_LIMITS.max_pixels):
        told = " x ".join(str(value)[:20] for value in image.size_hw)
        faults.add(
            image.place, f"its height and width are {told}", "correct them; the picture's own are taken"
        )
    elif own is None:
        return height, width
    elif own != (height, width):
        what = f"it says {width} x {height} (width x height), and the upright picture is {own[1]} x {own[0]}"
        fix = "correct them, and look whether the boxes fit"
        if own == (width, height):
            fix = "if they were drawn on the stored picture, draw them on the upright one, or remove its EXIF turn"
        faults.add(image.place, f"{what}; boxes are kept as they are", fix)
    return own


def _whole(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if is_number and value > 0 and value == value // 1 else None


def object_of(
    annotation: CocoAnnotation, size_hw: tuple[int, int] | None, faults: Faults
) -> dict[str, Any] | None:
    """label, box, mask and crowd; None where it is kept out. A mask that cannot be used costs the mask alone."""
    row = annotation.row
    mask = _mask(annotation, size_hw, faults)
    try:
        if annotation.label is None:
            category = row.get("category_id")
            raise DatasetError(
                f"no category has the id {category}", fix="correct it, or add it to categories"
            )
        try:
            box = _box(row, mask)
        except DatasetError as error:
            if mask is None:
                raise
            box = _hull(mask)
            faults.add(annotation.place, f"{error.what}; that of its mask is taken", error.fix or "")
    except DatasetError as error:
        faults.add(annotation.place, error.what, error.fix or "")
        return None
    counts = None if mask is None else mask.counts
    return {"label": annotation.label, "box": list(box), "mask": counts, "crowd": is_crowd(row)}


def _box(row: Told, mask: Mask | None) -> tuple[float, float, float, float]:
    values = row.get("bbox")
    if mask is not None and not values:
        return _hull(mask)
    if not isinstance(values, list) or len(values) != 4:
        raise DatasetError("bbox is not x, y, width, height", fix="fill in four numbers")
    return corners_of(values, is_size=True)


def _hull(mask: Mask) -> tuple[float, float, float, float]:
    return corners_of(mask.box_xyxy.tolist(), is_size=False)


def _mask(annotation: CocoAnnotation, size_hw: tuple[int, int] | None, faults: Faults) -> Mask | None:
    told = annotation.row.get("segmentation")
    if not told:
        return None
    try:
        mask = _drawn(told, size_hw, annotation.place, faults)
        if not mask.area:
            raise DatasetError("its mask holds no pixel of the picture", fix="draw it again, or remove it")
        return mask
    except DatasetError as error:
        got = f" ({error.got[:80]})" if error.got else ""
        kept = "; its box is kept" if annotation.row.get("bbox") else ""
        faults.add(annotation.place, f"{error.what}{got}{kept}", error.fix or "draw it again")
        return None


def _drawn(told: Any, size_hw: tuple[int, int] | None, place: str, faults: Faults) -> Mask:
    if size_hw is None:
        fix = "give the image height and width, or put the picture where it is looked for"
        raise DatasetError("its picture has no size, so its mask cannot be drawn", fix=fix)
    if isinstance(told, list):
        _check_polygons(told, size_hw)
        told = _with_area(told, place, faults)
    elif not isinstance(told, Mapping):
        raise _no_mask(told)
    try:
        return from_coco(told, size_hw)
    except (TypeError, ValueError, OverflowError):  # text among the numbers
        raise _no_mask(told) from None


def _check_polygons(polygons: list[Any], size_hw: tuple[int, int]) -> None:
    most = _FAR * max(size_hw)
    for polygon in polygons:
        if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float}:
            raise _no_mask(polygons)
        if polygon and (max(polygon) > most or min(polygon) < -most):
            got, fix = f"{max(polygon, key=abs):g}", "draw it in pixels of the picture"
            raise DatasetError("a polygon lies far outside its picture", got=got, fix=fix)


def _with_area(polygons: list[list[float]], place: str, faults: Faults) -> list[list[float]]:
    """Without points and lines, which cover nothing, where something else is left; ``faults`` is told of them.

    Tools leave them where somebody clicked once or twice beside a thing. A polygon that is broken in another way
    costs the whole mask: what it covered would be missing there.
    """
    kept = [polygon for polygon in polygons if len(polygon) % 2 or len(polygon) >= _LEAST_VALUES]
    if not kept:
        return polygons
    for number, polygon in enumerate(polygons, 1):
        if polygon not in kept:
            shown = ", ".join(f"{value:g}" for value in polygon)
            what = (
                f"polygon {number} of {len(polygons)} of its mask has no area: ({shown}); the others are kept"
            )
            faults.add(place, what, "remove it, or draw at least three points")
    return kept


def _no_mask(told: Any) -> DatasetError:
    return DatasetError(
        "segmentation is neither polygons nor run lengths",
        got=str(told)[:60],
        fix='give [[x1, y1, x2, y2, x3, y3]] or {"size": [height, width], "counts": ...}',
    )
