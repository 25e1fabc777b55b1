"""Four numbers of a user's file as a box, checked: corners, or a corner and a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from assay.errors import DatasetError

Corners = tuple[float, float, float, float]


def corners_of(values: Sequence[Any], *, is_size: bool) -> Corners:
    """x1, y1, x2, y2 of four cells; ``is_size``: the last two are width and height.

    Raises
    ------
    DatasetError : they are not four numbers, or the box has no area; told as "the box (...) ...".
    """
    numbers = [_number(value) for value in values]
    if len(numbers) != 4 or any(number is None for number in numbers):
        shown = ", ".join(str(value)[:20] for value in values[:6])
        raise DatasetError(f"the box ({shown}) is not four numbers", fix="fill in four numbers")
    x1, y1, x2, y2 = (float(number or 0.0) for number in numbers)
    if is_size:
        x2, y2 = x1 + x2, y1 + y2
    if x2 <= x1 or y2 <= y1:
        raise _without_area((x1, y1, x2, y2), is_size=is_size)
    return x1, y1, x2, y2


def _without_area(box: Corners, *, is_size: bool) -> DatasetError:
    x1, y1, x2, y2 = box
    shown = f"({x1:g}, {y1:g}, {x2 - x1:g}, {y2 - y1:g})" if is_size else f"({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if is_size or (x2 == x1 or y2 == y1):
        return DatasetError(f"the box {shown} has no area", fix="draw it again, or remove it")
    fix = "swap the corners; if the last two are width and height, name the columns x,y,w,h"
    return DatasetError(f"the box {shown} ends before it begins", fix=fix)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
