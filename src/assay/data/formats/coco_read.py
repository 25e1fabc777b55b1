"""COCO files -> a Dataset: pictures with their boxes and masks, and what had to be left out.

One file is parsed, turned into Arrow columns and let go before the next is opened. A picture without annotations is one
in which somebody looked and found nothing; one none of whose annotations can be used is unlabelled. The size is that of
the upright picture, from its header; ``width`` and ``height`` are taken where it cannot be read, and told where they
differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.data.coco_json import CocoAnnotation, CocoImage, Told, coco_annotations, coco_images, is_coco
from assay.data.faults import Faults
from assay.data.formats.coco_classes import Categories
from assay.data.formats.coco_objects import object_of, size_of
from assay.data.json_file import read_json_file
from assay.data.names import some
from assay.data.object_rows import in_threads, picture_size
from assay.data.picture_homes import PictureHomes
from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.objects import objects_type
from assay.types import Dataset


@dataclass(frozen=True)
class CocoFile:
    """One file of a data set, and the part that all its pictures belong to, where its name says so."""

    path: Path
    part: str | None


@dataclass
class _Reading:
    """What is collected over all files."""

    root: Path
    rooted: bool
    faults: Faults = field(default_factory=Faults)
    categories: Categories = field(default_factory=Categories)
    tables: list[pa.Table] = field(default_factory=list)


def read_coco(files: list[CocoFile], root: Path, name: str, *, rooted: bool) -> Dataset:
    """The data set in ``files``. Paths are relative to ``root``; ``rooted``: the user says that they start there.

    Raises
    ------
    DatasetError : a file is no COCO, ids mean two things, or there are no pictures; told of all files at once.
    """
    reading = _Reading(root, rooted)
    for file in files:
        try:
            _read_file(reading, file, _load(file.path))
        except DatasetError as error:
            reading.faults.refused.append(error)
    if not reading.faults.refused and not sum(map(len, reading.tables)):
        reading.faults.refuse(files[0].path.name, "it holds no pictures", "list at least one in `images`")
    reading.faults.raise_refused(name)
    return _dataset(reading, name)


def _load(path: Path) -> Told:
    told = read_json_file(path)
    if not is_coco(told):
        raise DatasetError(
            f"{path.name} is not COCO",
            got=f"keys: {some(map(str, told), 8)}" if isinstance(told, dict) else type(told).__name__,
            fix="it holds an object with images, annotations and categories",
        )
    found: Told = told
    return found


def _read_file(reading: _Reading, file: CocoFile, told: Told) -> None:
    name, faults = file.path.name, reading.faults
    names = reading.categories.add(told, name, faults)
    images = _images(told, name, faults)
    homes = _homes(reading, file, images)
    paths = {key: homes.find(image.file_name) for key, image in images.items()}
    headers = in_threads(picture_size, list(paths.values()))
    sizes = {
        key: size_of(image, header, faults)
        for (key, image), header in zip(images.items(), headers, strict=True)
    }
    things: dict[Any, list[dict[str, Any]] | None] = {key: [] for key in images}
    for key, found in _things(told, name, images, names, sizes, faults).items():
        kept = [thing for thing in found if thing is not None]
        things[key] = kept or None  # something was there: not the same as a picture of nothing
        if 0 < len(kept) < len(found):
            faults.partly_read.append(_below(paths[key], reading.root))
    _require_boxes(told, name, things)
    reading.tables.append(_table(reading.root, file, images, paths, sizes, things))


def _things(
    told: Told,
    name: str,
    images: Mapping[Any, CocoImage],
    names: Mapping[Any, str],
    sizes: Mapping[Any, tuple[int, int] | None],
    faults: Faults,
) -> dict[Any, list[dict[str, Any] | None]]:
    """Id of every image that has annotations -> its things, None for one that cannot be used."""
    found: dict[Any, list[dict[str, Any] | None]] = {}
    for annotation in _each_once(coco_annotations(told, name, images, names, faults.add), faults):
        held = found.setdefault(annotation.image.id, [])
        held.append(object_of(annotation, sizes[annotation.image.id], faults))
    return found


def _images(told: Told, name: str, faults: Faults) -> dict[Any, CocoImage]:
    """Id -> image. Two pictures of one id leave open whose the annotations are."""
    images: dict[Any, CocoImage] = {}
    for image in coco_images(told, name, faults.add):
        first = images.setdefault(image.id, image)
        if first is image:
            continue
        if first.file_name == image.file_name:
            faults.add(image.place, "it is listed twice", "remove one of the two entries")
        else:
            what = f"two pictures have this id: {first.file_name} and {image.file_name}"
            faults.refuse(image.place, what, "give each an id of its own")
    return images


def _each_once(annotations: Iterator[CocoAnnotation], faults: Faults) -> Iterator[CocoAnnotation]:
    """Tell ids that occur twice: the very same entry counts once, and of two different ones both are kept."""
    seen: dict[Any, Told] = {}
    for annotation in annotations:
        key = annotation.row.get("id")
        first = (
            annotation.row
            if key is None or isinstance(key, list | dict)
            else seen.setdefault(key, annotation.row)
        )
        if first is annotation.row:
            yield annotation
        elif first == annotation.row:
            faults.add(annotation.place, "it is listed twice", "remove one of the two entries")
        else:
            faults.add(annotation.place, "another one has the same id; both are kept", "give each its own id")
            yield annotation


def _homes(reading: _Reading, file: CocoFile, images: Mapping[Any, CocoImage]) -> PictureHomes:
    starts = [reading.root] if reading.rooted else list(dict.fromkeys([file.path.parent, reading.root]))
    homes = PictureHomes([image.file_name for image in images.values()], starts, file.part)
    if images and not homes.folders:
        first = next(iter(images.values())).file_name
        where = some((f"{start.name or start}/" for start in starts), 2)
        what = f"none of its pictures is found, such as {first}, in {where} and the folders below"
        reading.faults.add(file.path.name, what, "name the folder that they lie in: --root FOLDER")
    return homes


def _require_boxes(told: Told, name: str, things: Mapping[Any, list[Any] | None]) -> None:
    """Captions and key points come in the same shape; told once, not once an annotation."""
    rows = told["annotations"]
    if not isinstance(rows, list) or not rows or any(things.values()):
        return
    if not any(isinstance(row, dict) and {"bbox", "segmentation"} & set(row) for row in rows):
        keys = sorted({key for row in rows[:100] if isinstance(row, dict) for key in row})
        raise DatasetError(
            f"{name} has annotations without bbox and segmentation",
            got=f"keys: {some(keys, 8)}",
            fix="give the file with instances, not that with captions",
        )


def _table(
    root: Path,
    file: CocoFile,
    images: Mapping[Any, CocoImage],
    paths: Mapping[Any, Path],
    sizes: Mapping[Any, tuple[int, int] | None],
    things: Mapping[Any, list[dict[str, Any]] | None],
) -> pa.Table:
    """The columns of one file; ``image_id`` where ids are whole numbers."""
    parts = [image.part or file.part for image in images.values()]
    columns = {
        "path": pa.array([_below(paths[key], root) for key in images], pa.string()),
        "label": pa.nulls(len(images), pa.string()),
        "part": pa.array(parts, pa.string()),
        "group": pa.array([image.group for image in images.values()], pa.string()),
        "objects": pa.array([things[key] for key in images], objects_type()),
        "height_px": pa.array([size and size[0] for size in sizes.values()], pa.int32()),
        "width_px": pa.array([size and size[1] for size in sizes.values()], pa.int32()),
        "image_id": pa.array([key if _is_id(key) else None for key in images], pa.int64()),
    }
    return pa.table(columns)


def _is_id(key: Any) -> bool:
    return isinstance(key, int) and not isinstance(key, bool) and abs(key) < 2**63


def _below(path: Path, root: Path) -> str:
    """Relative to the root, POSIX, where the picture lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.absolute().as_posix()


def _dataset(reading: _Reading, name: str) -> Dataset:
    table = pa.concat_tables(reading.tables)
    empty = [c for c in ("part", "group", "image_id") if table[c].null_count == len(table)]
    split = {} if "part" in empty else {"by": "source"}
    notes = {**reading.faults.notes(), "categories": reading.categories.notes()}
    table = table.drop_columns(empty).replace_schema_metadata({b"assay": json.dumps(notes).encode()})
    classes = ClassNames(reading.categories.in_order())
    return Dataset(table, ClassNames([]), reading.root, name=name, split=split, object_classes=classes)
