"""Pixel masks: a folder of pictures, and beside it a folder of PNG masks of the same names.

    images/0001.jpg        or photos, JPEGImages
    masks/0001.png         or labels, annotations, SegmentationClass: each value is a class, 255 is not known
    instances/0001.png     or SegmentationObject; not needed: each value but 0 is one thing
    classes.txt            names of the values from 0 up; other files that are taken: ``mask_names``

Folders and parts: ``mask_layout``. Values in files: ``assay.pixel_masks``. A picture without a mask is unlabelled,
which is no fault. Things take their class from most of their pixels in the mask of classes; their box is the hull of
their pixels. What differs from the field: an error tells that masks of 0 and 255 are no masks of classes, as 255
means *not known* here and such a mask would teach nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.configs import ReadConfig
from assay.data.faults import Faults
from assay.data.fitting import Fitted
from assay.data.formats.mask_fit import fit_masks
from assay.data.formats.mask_layout import Entry, Pair, find_entries, find_pairs
from assay.data.formats.mask_look import Seen, SeenThing, look_at_all
from assay.data.formats.mask_write import HOLDS, write_masks
from assay.data.mask_names import numbered, read_class_names, read_thing_names
from assay.data.names import some
from assay.data.object_rows import refuse_options, told_place
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.objects import objects_type
from assay.pixel_masks import BACKGROUND_NAMES
from assay.types import Dataset

_ASK = "put pictures into images/ and PNG masks of the same names into masks/"


class MaskPng:
    """The data format ``mask-png``."""

    suffixes = ("",)

    def holds(self, path: Path) -> frozenset[str]:  # noqa: ARG002 - one answer for every folder
        """Parts, classes of pixels, and things that have a mask."""
        return HOLDS

    def detect(self, path: Path) -> bool:
        """A folder with pictures and, beside them, PNG masks of the same names."""
        return path.is_dir() and any(True for _ in find_pairs(path))

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """Rows in natural order of their paths. Every mask is decoded once, to see which values are in it.

        Raises
        ------
        ConfigError : an option for tables is given, or the path is no folder.
        DatasetError : there are no masks, none of them can be used, or a picture is in two parts.
        """
        _require_folder(path, config)
        pairs = list(find_pairs(path))
        if not pairs:
            is_empty = not any(path.iterdir())
            what = f"{path} is empty" if is_empty else f"{path} has no pictures with masks beside them"
            raise DatasetError(what, fix=_ASK)
        faults = Faults()
        seen = look_at_all(_entries(pairs, path, faults), path)
        for one in seen:
            for fault in one.faults:
                faults.add(fault.place, fault.what, fault.fix)
        names, things = _names(path, pairs, seen, faults)
        _refuse_binary(seen, names, faults)
        objects = [_objects(one, names, things, path, faults) for one in seen]
        _require_masks(seen, faults)
        faults.raise_refused(path.name)
        return _dataset(path, seen, objects, names, things, faults)

    def fit(self, dataset: Dataset) -> Fitted:
        """Masks that share no pixel; pictures that cannot be held are left out; see ``mask_fit``."""
        return fit_masks(dataset)

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """Pictures, palette masks, masks of things of 16 bits and the names of classes, into a new folder."""
        write_masks(dataset, path, progress)


def _require_folder(path: Path, config: ReadConfig) -> None:
    what = "a folder of pictures and masks"
    if not path.is_dir():
        raise ConfigError(f"{path} is not {what}", fix="name the folder that holds images/ and masks/")
    refuse_options(path, config, what)
    if config.root is not None:
        raise ConfigError(f"{path} is {what}: --root is for tables", fix="leave it out")


def _entries(pairs: Iterable[Pair], root: Path, faults: Faults) -> list[Entry]:
    entries = [entry for pair in pairs for entry in find_entries(pair, faults)]
    for entry in entries:
        if any("\ud800" <= letter <= "\udfff" for letter in str(entry.picture)):
            faults.refuse(told_place(entry.picture, root), "the name is not UTF-8", "rename it, and its mask")
    faults.raise_refused(root.name)
    return entries


def _refuse_binary(seen: list[Seen], names: ClassNames, faults: Faults) -> None:
    """Refuse masks of a thing and its background that say 255 where this format says 1."""
    kinds = {kind for one in seen for kind in one.kinds or ()}
    if kinds == {0} and len(names) <= 2 and any(one.has_unknown for one in seen):
        what = "they hold 0 and 255 alone, and 255 says that nobody knows the class of a pixel"
        faults.refuse("the masks", what, "write 1 in place of 255 where that is the thing")


def _names(
    root: Path, pairs: list[Pair], seen: list[Seen], faults: Faults
) -> tuple[ClassNames, ClassNames | None]:
    """(names of the values, names of the classes of things where a file tells them). A mask with a value that has no
    name is kept out.
    """
    folders = [*dict.fromkeys(p.parent for p in pairs), root, *(p.masks for p in pairs)]
    told = read_class_names(folders)
    most = max((kind for one in seen for kind in one.kinds or ()), default=-1)
    names, source = (numbered(most + 1), "") if told is None else told
    for one in seen:
        beyond = [kind for kind in one.kinds or () if kind >= len(names)]
        if beyond and one.entry.mask is not None:
            what = f"the value {some(map(str, beyond))}; {source} names {len(names)} classes, 0 to {len(names) - 1}"
            place = told_place(one.entry.mask, root)
            faults.add(place, what, f"correct the mask, or name every value in {source}, the background too")
            one.kinds = one.things = None
    return names, read_thing_names(folders, names)


def _objects(
    one: Seen, names: ClassNames, things: ClassNames | None, root: Path, faults: Faults
) -> list[dict[str, Any]] | None:
    """The cell of the column ``objects``; things on background are kept out. None where none of them is left: something
    is there, and nobody can say what.
    """
    if one.things is None or one.entry.things is None:
        return None
    cell = []
    for thing in one.things:
        if _may_be(names[thing.kind], things):
            cell.append(_row(thing, names))
        else:
            place = told_place(one.entry.things, root)
            what = f"thing {thing.value} lies on {names[thing.kind]}, which is no class of things"
            faults.add(place, what, "correct one of the two masks")
    if cell and (one.is_partly or len(cell) < len(one.things)):
        faults.partly_read.append(one.entry.picture.relative_to(root).as_posix())
    return cell if cell or not one.things else None


def _may_be(name: str, things: ClassNames | None) -> bool:
    return name.casefold() not in BACKGROUND_NAMES if things is None else name in things


def _row(thing: SeenThing, names: ClassNames) -> dict[str, Any]:
    return {"label": names[thing.kind], "box": list(thing.box_xyxy), "mask": thing.counts, "crowd": False}


def _require_masks(seen: list[Seen], faults: Faults) -> None:
    if not any(one.kinds is not None for one in seen):
        faults.refuse("the masks", "none of them can be used", "mend those named here")


def _dataset(
    root: Path,
    seen: list[Seen],
    objects: list[list[dict[str, Any]] | None],
    names: ClassNames,
    things: ClassNames | None,
    faults: Faults,
) -> Dataset:
    """Rows that say what is known; a column that would be null throughout is left out, but for the masks' own."""
    columns: dict[str, pa.Array] = {
        "path": pa.array([_relative(one.entry.picture, root) for one in seen], pa.string()),
        "label": pa.nulls(len(seen), pa.string()),
    }
    parts = [one.entry.part for one in seen]
    if any(parts):
        columns["part"] = pa.array(parts, pa.string())
    if any(cell is not None for cell in objects):
        columns["objects"] = pa.array(objects, objects_type())
    masks = [None if one.kinds is None else _relative(one.entry.mask, root) for one in seen]
    columns["pixels"] = pa.array(masks, pa.string())
    for i, name in enumerate(("height_px", "width_px")):
        columns[name] = pa.array([None if s.size_hw is None else s.size_hw[i] for s in seen], pa.int32())
    table = pa.table(columns).replace_schema_metadata({b"assay": json.dumps(faults.notes()).encode()})
    used = {row["label"] for cell in objects for row in cell or ()}
    return Dataset(
        table,
        ClassNames([]),
        root,
        name=root.resolve().name or "dataset",
        split={"by": "source"} if any(parts) else {},
        object_classes=ClassNames(name for name in names if name in used) if things is None else things,
        pixel_classes=names,
    )


def _relative(path: Path | None, root: Path) -> str | None:
    return None if path is None else path.relative_to(root).as_posix()


FORMAT = MaskPng()
