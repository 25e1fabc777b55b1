"""The masks of classes in a Pascal VOC data set: ``SegmentationClass/7.png`` beside ``Annotations/7.xml``.

The names of the values come from a file beside the masks (``mask_names``), else from ``labelmap.txt`` where that lists
the background, else they are VOC's own 21 where all boxes are of those classes, else ``class 0``, ``class 1``, ...
Masks of things (``SegmentationObject``) are told and not read: boxes keep no masks here; the format ``mask-png`` reads
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from assay.data.faults import Faults
from assay.data.formats.voc_layout import Entry, Home
from assay.data.mask_names import numbered, read_class_names
from assay.data.names import nfc, some
from assay.data.object_rows import ObjectRow, in_threads, told_place
from assay.errors import ImageError
from assay.labels import ClassNames
from assay.pixel_masks import classes_used, read_pixels

_FOLDER, _OF_THINGS = "segmentationclass", "segmentationobject"
_VOC_NAMES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)
"""Value -> name in VOC 2007 to 2012, by its development kit."""


@dataclass(frozen=True)
class _Look:
    """What one mask gives: its size and the values in it, or why it cannot be used."""

    size_hw: tuple[int, int] = (0, 0)
    values: Sequence[int] = ()
    fault: str = ""
    fix: str = ""


def add_pixels(
    rows: Sequence[ObjectRow],
    entries: Sequence[Entry],
    homes: Sequence[Home],
    root: Path,
    labelled: Sequence[str],
    faults: Faults,
) -> tuple[list[ObjectRow], ClassNames]:
    """(the rows with the masks that belong to their pictures, names of the values); what cannot be used is told.

    ``labelled`` are the names in ``labelmap.txt``, the background among them where it lists it.

    Raises
    ------
    DatasetError : the file that names the values is broken.
    """
    folders = [folder for home in homes if (folder := _beside(home, _FOLDER)) is not None]
    masks = {(f, nfc(p.stem)): p for f in folders for p in sorted(f.glob("*.png"))}
    if not masks:
        return list(rows), ClassNames([])
    found = [_mask_of(entry, folders, masks) for entry in entries]
    there = [i for i, path in enumerate(found) if path is not None]
    looks = dict(zip(there, in_threads(_look, [path for path in found if path is not None]), strict=True))
    most = max((value for look in looks.values() for value in look.values), default=-1)
    boxed = {thing["label"] for row in rows for thing in row.objects or ()}
    names = _names([*(f.parent for f in folders), root, *folders], labelled, boxed, most)
    tell = partial(_is_usable, names=names, root=root, faults=faults)
    told = [
        replace(row, pixels=path) if path is not None and tell(looks[i], path, row) else row
        for i, (row, path) in enumerate(zip(rows, found, strict=True))
    ]
    return told, names


def has_masks_of_things(homes: Sequence[Home]) -> bool:
    """Whether there is a folder ``SegmentationObject``, which is not read."""
    return any(_beside(home, _OF_THINGS) is not None for home in homes)


def _beside(home: Home, name: str) -> Path | None:
    if home.labels == home.pictures:
        return None
    return next((p for p in home.labels.parent.iterdir() if p.name.casefold() == name and p.is_dir()), None)


def _mask_of(entry: Entry, folders: Sequence[Path], masks: dict[tuple[Path, str], Path]) -> Path | None:
    stem = nfc(entry.picture.stem)
    return next((masks[f, stem] for f in folders if (f, stem) in masks), None)


def _look(path: Path) -> _Look:
    try:
        pixels = read_pixels(path)
    except ImageError as error:
        told = error.what.rpartition("/")[2]
        return _Look(fault=f"{told} ({error.got})" if error.got else told, fix=error.fix or "save it again")
    return _Look((pixels.shape[0], pixels.shape[1]), classes_used(pixels))


def _names(folders: Sequence[Path], labelled: Sequence[str], boxed: set[str], most: int) -> ClassNames:
    told = read_class_names(folders)
    if told is not None:
        return told[0]
    if "background" in labelled:
        return ClassNames(labelled)
    if boxed and boxed <= set(_VOC_NAMES) and most < len(_VOC_NAMES):
        return ClassNames(_VOC_NAMES)
    return numbered(most + 1)


def _is_usable(
    look: _Look, path: Path, row: ObjectRow, names: ClassNames, root: Path, faults: Faults
) -> bool:
    place = told_place(path, root)
    if look.fault:
        faults.add(place, look.fault, look.fix)
    elif row.size_hw is not None and look.size_hw != row.size_hw:
        (height, width), (high, wide) = look.size_hw, row.size_hw
        what = f"a mask of {width} x {height} px for a picture of {wide} x {high} px ({row.picture.name})"
        faults.add(place, what, "draw it on the upright picture, pixel for pixel")
    elif beyond := [value for value in look.values if value >= len(names)]:
        what = f"the value {some(map(str, beyond))} has no name; there are {len(names)} names"
        faults.add(place, what, "name every value in classes.txt, the background first")
    else:
        return True
    return False
