"""A Dataset -> COCO: one JSON that names pictures where they are, or a folder with a JSON a part and copied pictures.

    annotations/instances_train.json    instances_val.json    instances_test.json    instances.json (without a part)
    images/train/0001.jpg               images/val/           images/test/           images/

Lists are streamed, an entry a line, so a large set needs little memory and a broken line can be found. Masks are
written as compressed run lengths. Width and height are the shortest numbers that give the very same corners again.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.data.formats.coco_classes import category_rows
from assay.data.object_copy import sizes_of
from assay.data.picture_copy import copy_pictures, picture_places
from assay.data.whole_folder import require_free, whole_folder
from assay.errors import DatasetError
from assay.files import WholeFile
from assay.masks import Mask
from assay.types import Dataset

_BATCH_ROWS = 4096
_NAMES = {"train": "train", "validation": "val", "test": "test"}
"""Our parts -> what COCO calls them."""

Row = dict[str, Any]


@dataclass(frozen=True)
class _Pictures:
    """What the table does not say of each row: (N,) file names, sizes and ids."""

    names: Sequence[str]
    sizes_hw: Sequence[tuple[int, int]]
    ids: Sequence[int]


def write_json(dataset: Dataset, path: Path) -> None:
    """One file. Pictures below its folder are named relative to it, others by their whole path; parts and groups are
    written beside the names.

    Raises
    ------
    DatasetError : COCO has no place for something, or a size is not known. AssayError : the disk is full.
    """
    _require_room(dataset)
    names = _names_from(dataset, path.parent)
    pictures = _Pictures(names, sizes_of(dataset), _ids(dataset))
    with WholeFile(path) as file:
        _write(file, dataset, pictures, with_parts=True)


def write_folder(dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None) -> None:
    """A new folder with annotations and copied pictures.

    Raises
    ------
    DatasetError : as ``write_json``, or pictures are missing. ConfigError : the folder is not empty.
    """
    require_free(path)
    _require_room(dataset)
    folders = {None: "images"} | {part: f"images/{name}" for part, name in _NAMES.items()}
    places = picture_places(dataset, folders)
    with whole_folder(path) as folder:
        copy_pictures(dataset, places, folder, progress)
        for part, rows in _by_part(dataset).items():
            suffix = "" if part is None else f"_{_NAMES[part]}"
            owned = dataset.take(rows)
            names = [places[row].removeprefix(f"{folders[part]}/") for row in rows]
            pictures = _Pictures(names, sizes_of(owned), _ids(owned))
            with WholeFile(folder / "annotations" / f"instances{suffix}.json") as file:
                _write(file, owned, pictures, with_parts=False)


def _require_room(dataset: Dataset) -> None:
    """Refuse what COCO has no place for."""
    table, told = dataset.table, []
    if "objects" not in table.column_names or (len(table) and table["objects"].null_count == len(table)):
        told.append("no picture has boxes or masks")
    elif bare := table["objects"].null_count:
        told.append(f"{bare:,} pictures are not labelled, and COCO would take them for empty ones")
    for column, what in (("label", "classes"), ("labels", "tags"), ("pixels", "pixel masks")):
        if column in table.column_names and (n := len(table) - table[column].null_count):
            told.append(f"{n:,} pictures have {what}")
    if told:
        raise DatasetError(
            f"COCO cannot hold what is in {dataset.name}",
            got="; ".join(told),
            fix="`assay convert` leaves out what has no place; a .parquet table holds everything",
        )


def _by_part(dataset: Dataset) -> dict[str | None, list[int]]:
    """Part -> row numbers; one file where there are no rows at all."""
    if "part" not in dataset.table.column_names:
        return {None: list(range(len(dataset)))}
    found: dict[str | None, list[int]] = {}
    for row, part in enumerate(dataset.table["part"].to_pylist()):
        found.setdefault(part, []).append(row)
    return found or {None: []}


def _names_from(dataset: Dataset, folder: Path) -> list[str]:
    """(N,) paths from ``folder``, POSIX."""
    start, root = Path(os.path.realpath(folder)), Path(os.path.realpath(dataset.root))
    paths = [root / path for path in dataset.table["path"].to_pylist()]
    return [(p.relative_to(start) if p.is_relative_to(start) else p).as_posix() for p in paths]


def _ids(dataset: Dataset) -> list[int]:
    """(N,) the source's own ids where it has one for each, else 1, 2, 3, ..."""
    if "image_id" in dataset.table.column_names:
        ids: list[int] = dataset.table["image_id"].to_pylist()
        if all(isinstance(key, int) for key in ids) and len(set(ids)) == len(ids):
            return ids
    return list(range(1, len(dataset) + 1))


def _write(file: WholeFile, dataset: Dataset, pictures: _Pictures, *, with_parts: bool) -> None:
    notes = json.loads((dataset.table.schema.metadata or {}).get(b"assay", b"{}"))
    categories = category_rows(list(dataset.object_classes), notes.get("categories", []))
    ids = {row["name"]: row["id"] for row in categories}
    head = {"description": dataset.name}
    file.write(_json(head, '{"info": ', ', "licenses": []'))
    lists = (
        ("images", _image_rows(dataset, pictures, with_parts=with_parts)),
        ("annotations", _annotation_rows(dataset, pictures, ids)),
        ("categories", categories),
    )
    for name, rows in lists:
        file.write(f', "{name}": ['.encode())
        _write_rows(file, rows)
        file.write(b"]")
    file.write(b"}\n")


def _json(values: Row, before: str, after: str = "") -> bytes:
    text = f"{before}{json.dumps(values, ensure_ascii=False)}{after}"
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        bad = ascii(values.get("file_name", values.get("description", "")))
        raise DatasetError(
            "a name is not UTF-8, which JSON holds alone", got=bad, fix="rename the file or folder"
        ) from error


def _write_rows(file: WholeFile, rows: Iterable[Row]) -> None:
    before = "\n"
    for row in rows:
        file.write(_json(row, before))
        before = ",\n"


def _image_rows(dataset: Dataset, pictures: _Pictures, *, with_parts: bool) -> Iterator[Row]:
    wanted = [c for c in (("part",) if with_parts else ()) + ("group",) if c in dataset.table.column_names]
    told = dataset.table.select(wanted).to_pylist() if wanted else [{}] * len(dataset)
    for key, name, (height, width), extra in zip(
        pictures.ids, pictures.names, pictures.sizes_hw, told, strict=True
    ):
        more = {column: value for column, value in extra.items() if value is not None}
        yield {"id": key, "file_name": name, "height": height, "width": width, **more}


def _annotation_rows(dataset: Dataset, pictures: _Pictures, ids: dict[str, Any]) -> Iterator[Row]:
    number, row = 0, 0
    for batch in dataset.table.select(["objects"]).to_batches(max_chunksize=_BATCH_ROWS):
        for things in batch["objects"].to_pylist():
            for thing in things or ():
                number += 1
                yield {
                    "id": number,
                    "image_id": pictures.ids[row],
                    "category_id": ids[thing["label"]],
                    **_shape(thing, pictures.sizes_hw[row]),
                }
            row += 1


def _shape(thing: Row, size_hw: tuple[int, int]) -> Row:
    """bbox, area, segmentation and iscrowd."""
    x1, y1, x2, y2 = thing["box"]
    if not all(map(math.isfinite, thing["box"])):
        raise DatasetError(f"a box of {thing['label']} is {thing['box']}", fix="remove it")
    mask = None if thing["mask"] is None else Mask(size_hw, thing["mask"])
    width, height = _extent(x1, x2), _extent(y1, y2)
    return {
        "bbox": [x1, y1, width, height],
        "area": width * height if mask is None else mask.area,
        "segmentation": [] if mask is None else mask.to_coco(),
        "iscrowd": int(thing["crowd"]),
    }


def _extent(start: float, end: float) -> float:
    """The shortest number that leads from ``start`` to ``end`` exactly.

    ``end - start`` is rounded, and may lead beside ``end``; the files that we read have two decimals. A box that begins
    far outside the picture and ends near 0 may have no such number: then the end moves by one part in 10^16.
    """
    plain = end - start
    for digits in range(13):
        short = round(plain, digits)
        if start + short == end:
            return short
    near = (plain, math.nextafter(plain, math.inf), math.nextafter(plain, -math.inf))
    return next((value for value in near if start + value == end), plain)
