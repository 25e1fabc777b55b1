"""Boxes in JSON: COCO, lists by picture (``boxes_xyxy_pixels``), or a list of records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.configs import ReadConfig
from assay.data.box_rows import BoxFile, add_box, take_records
from assay.data.coco_json import CocoImage, coco_annotations, coco_images, coco_names, is_coco, is_crowd
from assay.data.json_file import read_json_file
from assay.data.names import nfc, some
from assay.data.picture_index import PictureIndex
from assay.errors import DatasetError


def read_json(place: Path, read: ReadConfig, found: BoxFile) -> None:
    """Add the boxes of a JSON file to ``found``. Raises DatasetError where it has no known form."""
    told = read_json_file(place)
    if is_coco(told):
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
    """As boxes: ``bbox`` is x, y, width, height, from the upper left corner."""
    images: dict[Any, CocoImage] = {}
    for image in coco_images(told, place.name, found.fault):
        picture = found.picture(nfc(image.file_name), image.place)
        picture.part, picture.group = image.part, image.group
        images[image.id] = image
    for annotation in coco_annotations(told, place.name, images, coco_names(told), found.fault):
        values = annotation.row.get("bbox")
        if not isinstance(values, list) or len(values) != 4:
            found.fault(annotation.place, "bbox is not x, y, width, height", "fill in four numbers")
            found.pictures[nfc(annotation.image.file_name)].is_known = False
        else:
            owner = found.pictures[nfc(annotation.image.file_name)]
            crowd = is_crowd(annotation.row)
            add_box(found, owner, values, annotation.label, annotation.place, is_size=True, is_crowd=crowd)


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
                picture.is_known = False
