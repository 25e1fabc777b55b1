"""One shape for boxes, whatever file they come from: pictures with boxes, and what could not be used, with its place.

Records are rows of a table, or objects of a JSON list: a path, four coordinates by name, and perhaps a label, a part
and a group. Each box is checked when it is added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.configs import ReadConfig
from assay.data.box_values import corners_of
from assay.data.columns import column_named
from assay.data.faults import Fault
from assay.data.names import nfc, part_named, some, text_of
from assay.errors import ConfigError, DatasetError
from assay.masks import Mask
from assay.tables import suggest

CORNERS = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
    ("x0", "y0", "x1", "y1"),
)
SIZES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
)


@dataclass(frozen=True, slots=True)
class Box:
    """One box, xyxy as the file counts (pixels, or fractions); ``place`` is where it stands ("boxes.csv line 7").

    ``mask`` is the thing's, where the source knows it.
    """

    xyxy: tuple[float, float, float, float]
    label: str | None
    place: str
    is_crowd: bool = False
    mask: Mask | None = None


@dataclass
class BoxedPicture:
    """One picture with its boxes. ``path`` is relative to the root, or absolute; ``place`` where it is first named.

    ``is_known``: somebody looked, and all that is there has a box. Others give no background.
    """

    path: str
    place: str
    boxes: list[Box] = field(default_factory=list)
    part: str | None = None
    group: str | None = None
    is_known: bool = True


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


def take_records(
    names: list[str],
    rows: Iterator[tuple[str, Mapping[str, Any]]],
    place: Path,
    read: ReadConfig,
    found: BoxFile,
) -> None:
    """Add the boxes of ``rows``, (place, row) each, to ``found``; ``names`` are all names of columns.

    Raises
    ------
    ConfigError : an option names a column that is not there. DatasetError : there are no paths or no boxes.
    """
    columns = {ours: _column(ours, names, read, place) for ours in ("path", "label", "part", "group")}
    corners, is_size = _coordinates(names, place)
    if columns["path"] is None:
        raise DatasetError(
            f"{place.name} has no column with picture paths", got=f"columns: {some(names, 20)}",
            fix="name it: --path-column NAME",
        )  # fmt: skip
    for where, row in rows:
        path = text_of(row.get(columns["path"] or ""))
        if path is None:
            found.fault(where, "no picture is named", "fill in its path")
            continue
        picture = found.picture(nfc(path.replace("\\", "/")), where)
        picture.part = picture.part or part_named(text_of(row.get(columns["part"] or "")) or "")
        picture.group = picture.group or text_of(row.get(columns["group"] or ""))
        add_box(
            found, picture, [row.get(c) for c in corners], text_of(row.get(columns["label"] or "")), where,
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
    for is_size, ways in ((False, CORNERS), (True, SIZES)):
        for way in ways:
            if all(name in known for name in way):
                return [known[name] for name in way], is_size
    raise DatasetError(
        f"{place.name} has no four columns with boxes",
        got=f"columns: {some(names, 20)}",
        fix="name them x1,y1,x2,y2 (corners) or x,y,w,h (upper left corner and size)",
    )


def add_box(
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
    if all(text_of(value) is None for value in values):
        return
    try:
        xyxy = corners_of(values, is_size=is_size)
    except DatasetError as error:
        found.fault(where, error.what, error.fix or "")
        picture.is_known = False
        return
    picture.boxes.append(Box(xyxy, label, where, is_crowd))
