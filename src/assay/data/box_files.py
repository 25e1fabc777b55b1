"""Boxes as people keep them, read to one shape: CSV or Parquet rows, COCO's JSON, or a JSON of lists by picture.

A table has a row a box: ``path`` and ``x1, y1, x2, y2`` (or ``xmin, ymin, xmax, ymax``, or ``left, top, right,
bottom``), or a corner and a size: ``x, y, w, h`` (``width, height``), the corner being the upper left one. A row
without coordinates is a picture without boxes. In JSON: COCO (``images``, ``annotations`` with ``bbox`` = x, y,
width, height), ``boxes_xyxy_pixels`` (picture -> [label, x1, y1, x2, y2]), or a list of records like the rows above.
What cannot be used is told with its place; the rest is read.
"""

from __future__ import annotations

from pathlib import Path

from assay.configs import ReadConfig
from assay.data.box_json import read_json
from assay.data.box_rows import CORNERS, SIZES, Box, BoxedPicture, BoxFile, take_records
from assay.data.faults import Fault
from assay.data.table_source import CSV, PARQUET, open_source
from assay.errors import ConfigError

__all__ = ["Box", "BoxFile", "BoxedPicture", "Fault", "read_boxes"]


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
        read_json(place, read, found)
    else:
        raise ConfigError(f"{place.name} is no file of boxes", fix="end it in .csv, .parquet or .json")
    return found


def _read_table(place: Path, read: ReadConfig, found: BoxFile) -> None:
    source = open_source(place, [read.path_column, read.label_column, *CORNERS[0], *SIZES[0]])
    rows = (row for batch in source.batches() for row in batch.to_pylist())
    named = ((f"{place.name} line {number}", row) for number, row in enumerate(rows, 2))
    take_records(list(source.names), named, place, read, found)
