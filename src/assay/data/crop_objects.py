"""The objects of a data set as boxes to be cut: of any format that is read, with their masks, parts and groups.

A file of boxes says where things are; a data set also says where nobody looked. Such pictures give no background, and
neither do those some of whose things could not be used: a thing may be anywhere in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.configs import ReadConfig
from assay.data.box_rows import Box, BoxFile
from assay.data.faults import PARTLY_READ, faults_of, notes_of
from assay.data.names import nfc
from assay.errors import DatasetError
from assay.masks import Mask
from assay.types import Dataset

_YAML = (".yaml", ".yml")


def is_data_set(place: Path, read: ReadConfig) -> bool:
    """Whether a path is read as a data set and not as a file of boxes: a folder, a yaml, a format that was named, or a
    Parquet table that holds objects.
    """
    if read.format is not None or place.is_dir() or place.suffix.lower() in _YAML:
        return True
    if place.suffix.lower() != ".parquet" or not place.is_file():
        return False
    try:
        schema = pq.read_schema(place)
    except (OSError, pa.ArrowException):
        return False  # told by whoever reads it
    return "objects" in schema.names and pa.types.is_list(schema.field("objects").type)


def boxed_of(dataset: Dataset) -> BoxFile:
    """The pictures of a data set with their objects, and what was wrong in its files.

    Raises
    ------
    DatasetError : it has no column of objects.
    """
    table = dataset.table
    if "objects" not in table.column_names:
        raise DatasetError(
            f"{dataset.name} has no boxes",
            got="masks of classes alone" if "pixels" in table.column_names else "classes of pictures alone",
            fix="name a data set with boxes; `assay cutout` cuts along masks of classes",
        )
    found = BoxFile(dataset.root, faults=list(faults_of(dataset)[0]))
    partly = set(notes_of(dataset).get(PARTLY_READ, ()))
    columns = ("path", "objects", "height_px", "width_px", "part", "group")
    rows = table.select([name for name in columns if name in table.column_names])
    for batch in rows.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            _add(found, row, is_whole=row["path"] not in partly)
    return found


def _add(found: BoxFile, row: dict[str, Any], *, is_whole: bool) -> None:
    path, cell = nfc(row["path"]), row["objects"]
    picture = found.picture(path, path)
    picture.part, picture.group = row.get("part"), row.get("group")
    picture.is_known = cell is not None and is_whole
    height, width = row.get("height_px"), row.get("width_px")
    for number, thing in enumerate(cell or (), 1):
        x1, y1, x2, y2 = thing["box"]
        counts = thing["mask"]
        mask = None if counts is None or height is None or width is None else Mask((height, width), counts)
        place = f"{path} object {number}"
        picture.boxes.append(Box((x1, y1, x2, y2), thing["label"], place, bool(thing["crowd"]), mask))
