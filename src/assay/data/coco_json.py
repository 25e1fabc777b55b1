"""COCO's JSON as records (https://cocodataset.org/#format-data): ids resolved, nothing drawn or measured yet.

Shared by the data format ``coco`` and by the boxes of ``assay crops``. Beside COCO's own keys an image may say its
``part`` (or ``split``) and ``group``, which other tools pass over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.data.names import nfc, part_named, text_of

Fault = Callable[[str, str, str], object]
"""Takes (place, what, fix) of something that cannot be used."""

Told = Mapping[str, Any]

COCO_LISTS = ("images", "annotations")
"""The keys by which COCO is recognised; ``categories`` may be absent."""


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One entry of ``images``; ``size_hw`` as it stands there (anything), or None."""

    id: Any
    place: str
    file_name: str
    size_hw: tuple[Any, Any] | None = None
    part: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One entry of ``annotations`` whose image is there; ``label`` is None where its category is not."""

    image: CocoImage
    place: str
    label: str | None
    row: Told


def is_coco(told: Any) -> bool:
    """Whether parsed JSON has COCO's two lists."""
    return isinstance(told, dict) and all(key in told for key in COCO_LISTS)


def coco_images(told: Told, name: str, fault: Fault) -> Iterator[CocoImage]:
    """The images of the file called ``name``; one without an id or a file name is passed over and told."""
    strange: Counter[str] = Counter()
    for number, row in enumerate(_objects(told, "images", name, fault), 1):
        key, file_name = key_of(row.get("id")), text_of(row.get("file_name"))
        place = f"{name} image {number if key is None else key}"
        if key is None or file_name is None:
            missing = "id" if key is None else "file_name"
            fault(place, f"no {missing}", f"fill in its {missing}")
            continue
        height, width = row.get("height"), row.get("width")
        size_hw = None if height is None or width is None else (height, width)
        wished = text_of(row.get("part") or row.get("split"))
        part = None if wished is None else part_named(wished)
        if wished is not None and part is None:
            strange[wished] += 1
        yield CocoImage(key, place, file_name.replace("\\", "/"), size_hw, part, text_of(row.get("group")))
    for wished, n in strange.items():
        what = f"{n:,} images are of the part {wished!r}, which is none"
        fault(name, what, "name train, validation or test; they have no part now")


def coco_names(told: Told) -> dict[Any, str]:
    """Category id -> name in NFC, for those that have both."""
    rows = ((key_of(row.get("id")), text_of(row.get("name"))) for row in dicts(told.get("categories")))
    return {key: nfc(name) for key, name in rows if key is not None and name is not None}


def coco_annotations(
    told: Told, name: str, images: Mapping[Any, CocoImage], names: Mapping[Any, str], fault: Fault
) -> Iterator[CocoAnnotation]:
    """The annotations of the file called ``name``; one whose image is not there is passed over and told."""
    for number, row in enumerate(_objects(told, "annotations", name, fault), 1):
        place = f"{name} annotation {row.get('id', number)}"
        image = images.get(key_of(row.get("image_id")))
        if image is None:
            fault(place, f"no image has the id {row.get('image_id')}", "correct image_id")
            continue
        yield CocoAnnotation(image, place, names.get(key_of(row.get("category_id"))), row)


def _objects(told: Told, key: str, name: str, fault: Fault) -> list[Told]:
    """The entries of a list; what is no entry is told."""
    rows = told[key]
    found = dicts(rows)
    if not isinstance(rows, list):
        fault(name, f"{key} is no list", f"write {key} as a list of objects")
    elif len(found) < len(rows):
        fault(name, f"{len(rows) - len(found):,} entries of {key} are no objects", "remove or correct them")
    return found


def dicts(rows: Any) -> list[Told]:
    """The objects of a JSON list; nothing of anything else."""
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def key_of(value: Any) -> Any:
    """An id as a key of a table: lists and objects are none."""
    return None if isinstance(value, list | dict) else value


def is_crowd(row: Told) -> bool:
    """Whether an annotation is a region of many things."""
    return row.get("iscrowd") in (1, "1")
