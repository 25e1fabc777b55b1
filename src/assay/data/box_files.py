"""Boxes as people keep them, read to one shape: CSV or Parquet rows, COCO's JSON, or a JSON of lists by picture.

A table has a row a box: ``path`` and ``x1, y1, x2, y2`` (or ``xmin, ymin, xmax, ymax``, or ``left, top, right,
bottom``), or a corner and a size: ``x, y, w, h`` (``width, height``), the corner being the upper left one. A row
without coordinates is a picture without boxes. In JSON: COCO (``images``, ``annotations`` with ``bbox`` = x, y,
width, height), ``boxes_xyxy_pixels`` (picture -> [label, x1, y1, x2, y2]), or a list of records like the rows above.
What cannot be used is told with its place; the rest is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.configs import ReadConfig
from assay.data.columns import column_named
from assay.data.names import nfc, part_named, some
from assay.data.picture_index import PictureIndex
from assay.data.table_source import CSV, PARQUET, open_source
from assay.errors import ConfigError, DatasetError
from assay.tables import suggest

_CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
    ("x0", "y0", "x1", "y1"),
)
_SIZES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """One box, xyxy as the file counts (pixels, or fractions); ``place`` is where it stands ("boxes.csv line 7")."""

    xyxy: tuple[float, float, float, float]
    label: str | None
    place: str
    is_crowd: bool = False


@dataclass
class BoxedPicture:
    """One picture with its boxes. ``path`` is relative to the root, or absolute; ``place`` where it is first named."""

    path: str
    place: str
    boxes: list[Box] = field(default_factory=list)
    part: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A box or picture that could not be used: where, what and how to mend it."""

    place: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass
class BoxFile:
    """Everything a file of boxes holds: pictures in the order of the file, and what could not be used."""

    root: Path
    pictures: dict[str, BoxedPicture] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def picture(self, path: str, place: str) -> BoxedPicture:
        """The picture of this path, made on first sight."""
        return self.pictures.setdefault(path, BoxedPicture(path, place))

    def fault(self, place: str, what: str, fix: str) -> None:
        """Note what cannot be used."""
        self.faults.append(Fault(place, what, fix))


def read_boxes(path: str | Path, read: ReadConfig | None = None) -> BoxFile:
    """Read a file of boxes; ``read`` names columns and the folder that picture paths start from.

    Raises
    ------
    ConfigError : no such file, another ending, or an option names a missing column.
    DatasetError : the file is broken, or holds no boxes that are named as such.
    """
    place, read = Path(path).expanduser(), read or ReadConfig()
    if not place.is_file():
        got = "a folder" if place.is_dir() else None
        raise ConfigError(
            f"{path} is not a file of boxes", got=got, fix="name a .csv, .parquet or .json file"
        )
    root = Path(read.root).expanduser() if read.root is not None else place.parent
    if not root.is_dir():
        raise ConfigError(f"root {root} is not a folder", fix="name the folder that the paths start from")
    found = BoxFile(root)
    if place.suffix.lower() in (*CSV, *PARQUET):
        _read_table(place, read, found)
    elif place.suffix.lower() == ".json":
        _read_json(place, read, found)
    else:
        raise ConfigError(f"{place.name} is no file of boxes", fix="end it in .csv, .parquet or .json")
    return found


def _read_table(place: Path, read: ReadConfig, found: BoxFile) -> None:
    source = open_source(place, [read.path_column, read.label_column, *_CORNERS[0], *_SIZES[0]])
    rows = (row for batch in source.batches() for row in batch.to_pylist())
    named = ((f"{place.name} line {number}", row) for number, row in enumerate(rows, 2))
    _take_records(list(source.names), named, place, read, found)


def _take_records(
    names: list[str],
    rows: Iterator[tuple[str, Mapping[str, Any]]],
    place: Path,
    read: ReadConfig,
    found: BoxFile,
) -> None:
    columns = {ours: _column(ours, names, read, place) for ours in ("path", "label", "part", "group")}
    corners, is_size = _coordinates(names, place)
    if columns["path"] is None:
        raise DatasetError(
            f"{place.name} has no column with picture paths", got=f"columns: {some(names, 20)}",
            fix="name it: --path-column NAME",
        )  # fmt: skip
    for where, row in rows:
        path = _text(row.get(columns["path"] or ""))
        if path is None:
            found.fault(where, "no picture is named", "fill in its path")
            continue
        picture = found.picture(nfc(path.replace("\\", "/")), where)
        picture.part = picture.part or part_named(_text(row.get(columns["part"] or "")) or "")
        picture.group = picture.group or _text(row.get(columns["group"] or ""))
        _add_box(
            found, picture, [row.get(c) for c in corners], _text(row.get(columns["label"] or "")), where,
            is_size=is_size,
        )  # fmt: skip


def _column(ours: str, names: list[str], read: ReadConfig, place: Path) -> str | None:
    asked: str | None = getattr(read, f"{ours}_column")
    if asked is not None and asked not in names:
        raise ConfigError(
            f"{place.name} has no column {asked!r}", got=f"columns: {some(names, 20)}",
            fix=f"--{ours}-column: {suggest(asked, names)}",
        )  # fmt: skip
    return asked or next((name for name in names if column_named(name) == ours), None)


def _coordinates(names: list[str], place: Path) -> tuple[list[str], bool]:
    """(the four columns, whether the last two are width and height)."""
    known = {name.strip().casefold(): name for name in names}
    for is_size, ways in ((False, _CORNERS), (True, _SIZES)):
        for way in ways:
            if all(name in known for name in way):
                return [known[name] for name in way], is_size
    raise DatasetError(
        f"{place.name} has no four columns with boxes",
        got=f"columns: {some(names, 20)}",
        fix="name them x1,y1,x2,y2 (corners) or x,y,w,h (upper left corner and size)",
    )


def _add_box(
    found: BoxFile,
    picture: BoxedPicture,
    values: Sequence[Any],
    label: str | None,
    where: str,
    *,
    is_size: bool,
    is_crowd: bool = False,
) -> None:
    """Check four values and add the box; a row whose four cells are all empty is a picture without boxes."""
    if all(_text(value) is None for value in values):
        return
    numbers = [_number(value) for value in values]
    if any(number is None for number in numbers):
        shown = ", ".join(str(value) for value in values)
        found.fault(where, f"the box ({shown}) is not four numbers", "fill in four numbers")
        return
    x1, y1, x2, y2 = (float(number or 0.0) for number in numbers)
    if is_size:
        x2, y2 = x1 + x2, y1 + y2
    if x2 <= x1 or y2 <= y1:
        _refuse_empty(found, where, (x1, y1, x2, y2), is_size=is_size)
        return
    picture.boxes.append(Box((x1, y1, x2, y2), label, where, is_crowd))


def _refuse_empty(found: BoxFile, where: str, box: tuple[float, ...], *, is_size: bool) -> None:
    x1, y1, x2, y2 = box
    shown = f"({x1:g}, {y1:g}, {x2 - x1:g}, {y2 - y1:g})" if is_size else f"({x1:g}, {y1:g}, {x2:g}, {y2:g})"
    if is_size or (x2 == x1 or y2 == y1):
        found.fault(where, f"the box {shown} has no area", "draw it again, or remove it")
    else:
        fix = "swap the corners; if the last two are width and height, name the columns x,y,w,h"
        found.fault(where, f"the box {shown} ends before it begins", fix)


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text or None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _read_json(place: Path, read: ReadConfig, found: BoxFile) -> None:
    try:
        told = json.loads(place.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{place.name} cannot be read as JSON", got=str(error)[:200]) from error
    if isinstance(told, dict) and "annotations" in told and "images" in told:
        _read_coco(told, place, found)
    elif isinstance(told, dict) and isinstance(told.get("boxes_xyxy_pixels"), dict):
        _read_by_picture(told["boxes_xyxy_pixels"], place, found)
    elif isinstance(told, list) and told and all(isinstance(row, dict) for row in told):
        names = list(dict.fromkeys(str(name) for row in told for name in row))
        rows = ((f"{place.name} record {n}", row) for n, row in enumerate(told, 1))
        _take_records(names, rows, place, read, found)
    else:
        raise DatasetError(
            f"{place.name} holds no boxes in a known form",
            got=f"keys: {some(map(str, told), 8)}" if isinstance(told, dict) else type(told).__name__,
            fix="give COCO (images, annotations), boxes_xyxy_pixels, or a list of records with path,x1,y1,x2,y2",
        )


def _read_coco(told: Mapping[str, Any], place: Path, found: BoxFile) -> None:
    """https://cocodataset.org/#format-data: bbox is x, y, width, height, from the upper left corner."""
    names = {row.get("id"): _text(row.get("name")) for row in _dicts(told.get("categories"))}
    images: dict[Any, BoxedPicture] = {}
    for number, row in enumerate(_dicts(told["images"]), 1):
        path = _text(row.get("file_name"))
        if path is None:
            found.fault(f"{place.name} image {number}", "no file_name", "fill in its path")
            continue
        picture = found.picture(nfc(path.replace("\\", "/")), f"{place.name} image {row.get('id', number)}")
        picture.part = part_named(_text(row.get("part") or row.get("split")) or "")
        picture.group = _text(row.get("group"))
        images[row.get("id")] = picture
    for number, row in enumerate(_dicts(told["annotations"]), 1):
        where = f"{place.name} annotation {row.get('id', number)}"
        owner, values = images.get(row.get("image_id")), row.get("bbox")
        if owner is None:
            found.fault(where, f"no image has the id {row.get('image_id')}", "correct image_id")
        elif not isinstance(values, list) or len(values) != 4:
            found.fault(where, "bbox is not x, y, width, height", "fill in four numbers")
        else:
            label = names.get(row.get("category_id"))
            crowd = bool(row.get("iscrowd"))
            _add_box(found, owner, values, label, where, is_size=True, is_crowd=crowd)


def _read_by_picture(told: Mapping[str, Any], place: Path, found: BoxFile) -> None:
    """Picture -> list of [label, x1, y1, x2, y2, ...] or [x1, y1, x2, y2]; a picture may be named by its stem."""
    index = PictureIndex(found.root)
    for name, rows in told.items():
        where = f"{place.name} {name!r}"
        path, fault = index.find(str(name))
        if path is None:
            found.fault(where, fault, "correct the name, or name the pictures' folder with --root")
            continue
        picture = found.picture(path, where)
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
            values = row if isinstance(row, list) else []
            label = values[0] if values and isinstance(values[0], str) else None
            corners = values[1:5] if label is not None else values[:4]
            if len(corners) == 4:
                _add_box(found, picture, corners, label, f"{where} box {number}", is_size=False)
            else:
                found.fault(
                    f"{where} box {number}", "it is not [label, x1, y1, x2, y2]", "fill in four numbers"
                )


def _dicts(rows: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
