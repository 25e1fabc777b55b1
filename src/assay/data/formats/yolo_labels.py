"""The lines of YOLO's label files: ``class cx cy w h``, a box, or ``class x1 y1 x2 y2 x3 y3 ...``, a polygon.

All are fractions of the upright picture. A fraction may lie a hundredth outside 0 to 1, as tools that round leave it;
more is a fault. The box of a polygon is what its points span; its mask is drawn by COCO's rule. Boxes that stand at
an angle (four corners, "OBB") cannot be told from polygons and are read as such.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.boxes import as_boxes, from_centres
from assay.data.faults import Faults
from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.masks import from_polygons

SLACK = 0.01
"""So far a fraction may lie outside 0 to 1."""

_BOX = ("centre x", "centre y", "width", "height")


@dataclass(frozen=True, slots=True)
class _Line:
    """One thing: its class, and 4 fractions of a box or 6 and more of a polygon."""

    label: str
    values: list[float]
    place: str

    @property
    def is_box(self) -> bool:
        return len(self.values) == 4


def read_lines(
    text: str, place: str, size_hw: tuple[int, int], names: ClassNames, faults: Faults
) -> list[dict[str, Any]]:
    """The cell ``objects`` of one label file; lines that cannot be used are told to ``faults``."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.split():
            try:
                label = _label(words[0], names)
                lines.append(_Line(label, _values(words[1:]), f"{place} line {number}"))
            except DatasetError as error:
                faults.add(f"{place} line {number}", error.what, error.fix or "")
    boxes = iter(from_centres(as_boxes([line.values for line in lines if line.is_box]), size_hw).tolist())
    things = (
        _thing(line, next(boxes), None) if line.is_box else _polygon(line, size_hw, faults) for line in lines
    )
    return [thing for thing in things if thing is not None]


def _label(word: str, names: ClassNames) -> str:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise DatasetError(
            f"class {word[:20]!r} is no number", fix="write the class's number, counted from 0"
        )
    if not 0 <= number < len(names):
        what = f"class {word[:20]} is none of the {len(names)} names, 0 to {len(names) - 1}"
        raise DatasetError(what, fix="correct the number, or add the name in data.yaml")
    return names[int(number)]


def _values(words: Sequence[str]) -> list[float]:
    """The fractions behind the class. Raises DatasetError where they are no box and no polygon."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        bad = next(word for word in words if not _is_number(word))
        raise DatasetError(f"{bad[:20]!r} is no number", fix="write class cx cy w h") from None
    if len(values) == 5:
        what = "a box has a fifth number behind it"
        raise DatasetError(what, fix="remove it: predictions have a confidence there, labels do not")
    if len(values) < 4:
        what = f"a line has {len(values)} number{'s' * (len(values) != 1)} behind the class"
        raise DatasetError(what, fix="write class cx cy w h, or a polygon of at least three points")
    if len(values) % 2:
        what = f"a polygon has an odd number of values ({len(values)})"
        raise DatasetError(what, fix="write x and y of every point")
    _require_fractions(values)
    return values


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _require_fractions(values: list[float]) -> None:
    at = next((i for i, v in enumerate(values) if not -SLACK <= v <= 1 + SLACK), None)
    if at is not None:
        of = f"box {_BOX[at]}" if len(values) == 4 else f"{'xy'[at % 2]} of polygon point {at // 2 + 1}"
        kind = "boxes" if len(values) == 4 else "polygons"
        raise DatasetError(
            f"{of} is {values[at]:g}; YOLO {kind} are fractions of the picture, 0 to 1",
            fix="if these are pixels, divide them by the picture's width and height",
        )
    if len(values) == 4 and (values[2] <= 0 or values[3] <= 0):
        what = f"the box has no area: width {values[2]:g}, height {values[3]:g}"
        raise DatasetError(what, fix="draw it again, or remove it")


def _thing(line: _Line, box: list[float], mask: str | None) -> dict[str, Any]:
    """An entry of the column ``objects``."""
    return {"label": line.label, "box": box, "mask": mask, "crowd": False}


def _polygon(line: _Line, size_hw: tuple[int, int], faults: Faults) -> dict[str, Any] | None:
    """The entry of a polygon; None where it has no area."""
    points = np.array(line.values).reshape(-1, 2) * (size_hw[1], size_hw[0])
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    if (box[2:] <= box[:2]).any():
        faults.add(line.place, "the polygon has no area", "draw it again, or remove it")
        return None
    mask = from_polygons([points.reshape(-1).tolist()], size_hw)
    if not mask.area:
        what = "the polygon covers the middle of no pixel; its box is kept, without a mask"
        faults.add(line.place, what, "draw it larger, or as a box")
    return _thing(line, box.tolist(), mask.counts if mask.area else None)
