"""A Dataset -> Pascal VOC: copied pictures, an XML file for each that somebody looked at, lists of the parts.

    Annotations/7.xml   JPEGImages/7.jpg   ImageSets/Main/{train,val,test,trainval}.txt   labelmap.txt

Pixels count from 1, and each file says so (``voc_objects``). Fractions of a pixel are written as they are; tools
that want whole numbers may stumble there. ``labelmap.txt`` holds the order of the classes, as CVAT and Datumaro
write it. A column ``difficult`` (a list of bool, one an object) is written where there is one. Without parts
there are no lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from xml.sax.saxutils import escape

from assay.data.faults import Faults
from assay.data.formats.voc_objects import CORNERS, EXACT, OURS
from assay.data.names import some
from assay.data.object_copy import require_room, sizes_of, stem_places
from assay.data.picture_copy import copy_pictures
from assay.data.whole_folder import require_free, whole_folder
from assay.errors import DatasetError
from assay.types import Dataset

HOLDS = frozenset(("part", "boxes", "empty", "unlabelled", "difficult"))
"""What is kept, of ``formats.HOLDABLE``."""

LABEL_MAP = "labelmap.txt"
LABEL_MAP_HEAD = "# label:color_rgb:parts:actions"

_LISTS = {"train": ("train", "trainval"), "validation": ("val", "trainval"), "test": ("test",)}
_NO_XML = re.compile("[^\t\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_folder(dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None) -> None:
    """Write the folder; ``progress`` is called with (pictures done, of how many).

    Raises
    ------
    ConfigError : the folder is not empty.
    DatasetError : VOC has no place for something; names cannot stand in XML; pictures are missing.
    AssayError : the disk is full.
    """
    require_free(path)
    require_room(dataset, "VOC", HOLDS)
    folders = dict.fromkeys((None, *_LISTS), "JPEGImages")
    places = stem_places(dataset, folders, apart=False)
    _require_text("class names", list(dataset.object_classes))
    _require_text("picture names", [place.stem for place in places])
    texts = _xml_texts(dataset, places)
    with whole_folder(path) as folder:
        for name in ("Annotations", "JPEGImages"):
            (folder / name).mkdir()
        copy_pictures(dataset, [str(place) for place in places], folder, progress)
        for place, text in zip(places, texts, strict=True):
            if text is not None:
                (folder / "Annotations" / f"{place.stem}.xml").write_text(text, "utf-8")
        rows = "".join(f"{name}:::\n" for name in dataset.object_classes)
        (folder / LABEL_MAP).write_text(f"{LABEL_MAP_HEAD}\n{rows}", "utf-8")
        _write_lists(dataset, places, folder / "ImageSets" / "Main")


def _require_text(what: str, names: Sequence[str]) -> None:
    bad = [name for name in names if name != name.strip() or _NO_XML.search(name)]
    if bad:
        raise DatasetError(f"{what} cannot be written in VOC", got=some(map(repr, bad), 3), fix="rename them")


def _write_lists(dataset: Dataset, places: Sequence[PurePosixPath], folder: Path) -> None:
    if not dataset.parts:
        return
    lists: dict[str, list[str]] = {}
    for place, part in zip(places, dataset.table["part"].to_pylist(), strict=True):
        for name in _LISTS[part]:
            lists.setdefault(name, []).append(place.stem)
    if not {"train", "val"} <= set(lists):
        lists.pop("trainval", None)
    folder.mkdir(parents=True)
    for name, stems in lists.items():
        (folder / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems), "utf-8")


def _xml_texts(dataset: Dataset, places: Sequence[PurePosixPath]) -> list[str | None]:
    """(N,) the content of every file; None for a picture that nobody looked at."""
    cells = dataset.table["objects"].to_pylist()
    _require_boxes(dataset, places, cells)
    texts: list[str | None] = []
    for place, things, size, said in zip(places, cells, sizes_of(dataset), _difficult(dataset), strict=True):
        if things is None:
            texts.append(None)
            continue
        flags = said or [False] * len(things)
        if len(flags) != len(things):
            what = f"{place.name} has {len(things)} objects and {len(flags)} values of difficult"
            raise DatasetError(what, fix="let them agree, or leave out the column")
        objects = "".join(_object(*pair) for pair in zip(things, flags, strict=True))
        texts.append(_head(place.name, size) + objects + "</annotation>\n")
    return texts


def _require_boxes(
    dataset: Dataset, places: Sequence[PurePosixPath], cells: Sequence[list[dict[str, Any]] | None]
) -> None:
    faults = Faults()
    for place, things in zip(places, cells, strict=True):
        for number, thing in enumerate(things or (), 1):
            x1, y1, x2, y2 = thing["box"]
            if not (-math.inf < x1 < x2 < math.inf and -math.inf < y1 < y2 < math.inf):
                what = f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) has no area"
                faults.refuse(f"{place.name} object {number} ({thing['label']})", what, "leave it out")
    faults.raise_refused(dataset.name, "cannot be written as VOC")


def _difficult(dataset: Dataset) -> list[list[bool] | None]:
    if "difficult" not in dataset.table.column_names:
        return [None] * len(dataset)
    values: list[list[bool] | None] = dataset.table["difficult"].to_pylist()
    return values


def _head(name: str, size_hw: tuple[int, int]) -> str:
    height, width = size_hw
    return (
        f"<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{escape(name)}</filename>\n"
        f"  <source><annotation>{OURS}</annotation></source>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        "  <segmented>0</segmented>\n"
    )


def _object(thing: dict[str, Any], is_difficult: bool) -> str:
    x1, y1, x2, y2 = (Decimal(repr(value)) for value in thing["box"])
    numbers = (EXACT.add(x1, Decimal(1)), EXACT.add(y1, Decimal(1)), x2, y2)
    box = "".join(f"<{name}>{_text(n)}</{name}>" for name, n in zip(CORNERS, numbers, strict=True))
    return (
        f"  <object>\n    <name>{escape(thing['label'])}</name>\n"
        f"    <difficult>{int(is_difficult)}</difficult>\n    <bndbox>{box}</bndbox>\n  </object>\n"
    )


def _text(number: Decimal) -> str:
    """Plain digits, whole numbers without a point."""
    return f"{number:f}".removesuffix(".0")
