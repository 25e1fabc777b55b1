"""What readers of one label file a picture share (YOLO, Pascal VOC): a row a picture, and the data set made of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from assay.configs import ReadConfig
from assay.cores import usable_cores
from assay.data.faults import PARTLY_READ
from assay.data.names import some
from assay.errors import ConfigError, DatasetError, ImageError
from assay.image import read_size
from assay.labels import ClassNames
from assay.objects import objects_type
from assay.types import NO_CLASSES, PARTS, Dataset

A = TypeVar("A")
B = TypeVar("B")

_CHUNK = 64

MISSING_FILES = "missing_files"
"""Note of a table: the number of pictures that are unlabelled because no label file of theirs is there."""


@dataclass(frozen=True)
class ObjectRow:
    """One picture.

    ``size_hw`` is that of the upright picture, None where it cannot be read; ``objects`` is a cell of the column of
    this name, None where nobody looked; ``pixels`` a mask of classes; ``flags`` has one value an object for each
    further column; ``has_file`` says whether there is a file of labels at all, ``is_partly``
    whether some of its things are kept out.
    """

    picture: Path
    part: str | None
    size_hw: tuple[int, int] | None = None
    objects: list[dict[str, Any]] | None = None
    flags: Mapping[str, list[bool]] = field(default_factory=dict)
    pixels: Path | None = None
    has_file: bool = True
    is_partly: bool = False


def in_threads(look: Callable[[A], B], things: Sequence[A]) -> Iterator[B]:
    """``look`` at every thing, in order, several at a time: files are waited for longer than headers take to read."""
    chunks = [things[first : first + _CHUNK] for first in range(0, len(things), _CHUNK)]
    with ThreadPoolExecutor(min(32, 2 * usable_cores() + 2)) as pool:
        for seen in pool.map(lambda chunk: [look(thing) for thing in chunk], chunks):
            yield from seen


def picture_size(path: Path) -> tuple[int, int] | ImageError:
    """Height and width of the upright picture, or why they cannot be read."""
    try:
        return read_size(path)
    except ImageError as error:
        return error


def dataset_of(
    rows: Sequence[ObjectRow],
    classes: ClassNames,
    root: Path,
    name: str,
    notes: Mapping[str, Any],
    pixel_classes: ClassNames = NO_CLASSES,
) -> Dataset:
    """The data set of ``rows``; paths are relative to ``root`` where the pictures lie below it, else absolute.

    A column of flags is there where one of them is set, that of masks where there is one. ``notes`` go into the
    metadata of the table, and with them the number of ``MISSING_FILES`` and the paths of ``PARTLY_READ``.

    Raises
    ------
    DatasetError : a file's name is not UTF-8.
    """
    columns: dict[str, Any] = {
        "path": _paths([row.picture for row in rows], root),
        "label": pa.nulls(len(rows), pa.string()),
        "objects": pa.array([row.objects for row in rows], objects_type()),
        "height_px": pa.array([None if row.size_hw is None else row.size_hw[0] for row in rows], pa.int32()),
        "width_px": pa.array([None if row.size_hw is None else row.size_hw[1] for row in rows], pa.int32()),
    }
    has_parts = any(row.part for row in rows)
    if has_parts:
        codes = [None if row.part is None else PARTS.index(row.part) for row in rows]
        columns["part"] = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), pa.array(PARTS))
    for flag in sorted({flag for row in rows for flag, values in row.flags.items() if any(values)}):
        columns[flag] = pa.array([row.flags.get(flag) for row in rows], pa.list_(pa.bool_()))
    if any(row.pixels for row in rows):
        columns["pixels"] = _paths([row.pixels for row in rows], root)
    own: dict[str, Any] = {
        MISSING_FILES: sum(row.objects is None and not row.has_file for row in rows),
        PARTLY_READ: [
            columns["path"][i].as_py() for i, row in enumerate(rows) if row.is_partly and row.objects
        ],
    }
    notes = {**notes, **{name: value for name, value in own.items() if value}}
    table = pa.table(columns).replace_schema_metadata({b"assay": json.dumps(notes).encode()})
    split = {"by": "source"} if has_parts else {}
    return Dataset(
        table, ClassNames([]), root, name, split, object_classes=classes, pixel_classes=pixel_classes
    )


def _paths(places: Sequence[Path | None], root: Path) -> pa.Array:
    start = _start(root)
    paths = [None if place is None else _below(place, start) for place in places]
    try:
        return pa.array(paths, pa.string())
    except UnicodeEncodeError:
        bad = [path for path in paths if path and any("\ud800" <= letter <= "\udfff" for letter in path)]
        shown = [os.fsencode(path).decode("utf-8", "backslashreplace") for path in bad]
        raise DatasetError("file names are not UTF-8", got=some(shown, 3), fix="rename these files") from None


def _below(picture: Path, start: str) -> str:
    """A path below the root from there on, any other one absolute: it would be looked for below the root."""
    path = picture.as_posix()
    return path.removeprefix(start) if path.startswith(start) else picture.absolute().as_posix()


def _start(root: Path) -> str:
    """What a path below ``root`` begins with."""
    return f"{root.as_posix().rstrip('/')}/" if root != Path() else ""


def told_place(path: Path, root: Path) -> str:
    """How a message names a file: below ``root`` where it lies there; letters that are no text are escaped."""
    shown = path.as_posix().removeprefix(_start(root))
    return shown if shown.isascii() else os.fsencode(shown).decode("utf-8", "backslashreplace")


def refuse_options(path: Path, config: ReadConfig, what: str) -> None:
    """Raise ConfigError for options that are for tables or for folders of classes; ``what`` says what ``path`` is."""
    given = [
        n for n in ("path", "label", "labels", "part", "group") if getattr(config, f"{n}_column") is not None
    ]
    if given:
        raise ConfigError(
            f"{path} is {what}, which has no columns",
            got=some(f"--{name}-column" for name in given),
            fix="leave it out; `assay split --groups TABLE` adds groups",
        )
    if config.class_depth is not None:
        raise ConfigError(f"{path} is {what}: --class-depth is for folders of classes", fix="leave it out")
