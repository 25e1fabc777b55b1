"""Boxes in JSON: COCO, lists by picture (``boxes_xyxy_pixels``), or a list of records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.configs import ReadConfig
from assay.data.box_rows import BoxedPicture, BoxFile, add_box, take_records, text_of
from assay.data.names import nfc, part_named, some
from assay.data.picture_index import PictureIndex
from assay.errors import DatasetError


def read_json(place: Path, read: ReadConfig, found: BoxFile) -> None:
    """Add the boxes of a JSON file to ``found``. Raises DatasetError where it has no known form."""
    try:
        told = json.loads(place.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{place.name} cannot be read as JSON", got=str(error)[:200]) from error
    if isinstance(told, dict) and "annotations" in told and "images" in told:
        _read_coco(told, place, found)
    elif isinstance(told, dict) and isinstance(told.get("boxes_xyxy_pixels"), dict):
        _read_by_picture(told["boxes_xyxy_pixels"], place, found)
    elif isinstance(told, list) and told and all(isinstance(row, dict) for row in told):
        names = list(dict.fromkeys(str(name) for row in told for name in row))
        rows = ((f"{place.name} record {n}", row) for n, row in enumerate(told, 1))
        take_records(names, rows, place, read, found)
    else:
        raise DatasetError(
            f"{place.name} holds no boxes in a known form",
            got=f"keys: {some(map(str, told), 8)}" if isinstance(told, dict) else type(told).__name__,
            fix="give COCO (images, annotations), boxes_xyxy_pixels, or a list of records with path,x1,y1,x2,y2",
        )


def _read_coco(told: Mapping[str, Any], place: Path, found: BoxFile) -> None:
    """https://cocodataset.org/#format-data: bbox is x, y, width, height, from the upper left corner."""
    names = {row.get("id"): text_of(row.get("name")) for row in _dicts(told.get("categories"))}
    images: dict[Any, BoxedPicture] = {}
    for number, row in enumerate(_dicts(told["images"]), 1):
        path = text_of(row.get("file_name"))
        if path is None:
            found.fault(f"{place.name} image {number}", "no file_name", "fill in its path")
            continue
        picture = found.picture(nfc(path.replace("\\", "/")), f"{place.name} image {row.get('id', number)}")
        picture.part = part_named(text_of(row.get("part") or row.get("split")) or "")
        picture.group = text_of(row.get("group"))
        images[row.get("id")] = picture
    for number, row in enumerate(_dicts(told["annotations"]), 1):
        where = f"{place.name} annotation {row.get('id', number)}"
        owner, values = images.get(row.get("image_id")), row.get("bbox")
        if owner is None:
            found.fault(where, f"no image has the id {row.get('image_id')}", "correct image_id")
        elif not isinstance(values, list) or len(values) != 4:
            found.fault(where, "bbox is not x, y, width, height", "fill in four numbers")
        else:
            label = names.get(row.get("category_id"))
            crowd = bool(row.get("iscrowd"))
            add_box(found, owner, values, label, where, is_size=True, is_crowd=crowd)


def _read_by_picture(told: Mapping[str, Any], place: Path, found: BoxFile) -> None:
    """Picture -> list of [label, x1, y1, x2, y2, ...] or [x1, y1, x2, y2]; a picture may be named by its stem."""
    index = PictureIndex(found.root)
    for name, rows in told.items():
        where = f"{place.name} {name!r}"
        path, fault = index.find(str(name))
        if path is None:
            found.fault(where, fault, "correct the name, or name the pictures' folder with --root")
            continue
        picture = found.picture(path, where)
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
            values = row if isinstance(row, list) else []
            label = values[0] if values and isinstance(values[0], str) else None
            corners = values[1:5] if label is not None else values[:4]
            if len(corners) == 4:
                add_box(found, picture, corners, label, f"{where} box {number}", is_size=False)
            else:
                found.fault(
                    f"{where} box {number}", "it is not [label, x1, y1, x2, y2]", "fill in four numbers"
                )


def _dicts(rows: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
