"""What peers need of COCO files: the pictures of a part with their boxes, and a list of results.

Runs in the peers' environment: the standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Picture:
    """One picture: its number in the file, where it lies, and its things as (x, y, width, height) and class numbers."""

    id: int
    path: Path
    boxes_xywh: list[list[float]]
    categories: list[int]


@dataclass(frozen=True)
class CocoFile:
    """A COCO file whose pictures say their ``part``, as Assay writes it."""

    pictures: dict[str, list[Picture]]
    names: dict[int, str]
    """Class number -> name."""


def read_coco(path: Path) -> CocoFile:
    """The file; pictures are named relative to its folder."""
    told = json.loads(path.read_text("utf-8"))
    boxes: dict[int, list[list[float]]] = {}
    categories: dict[int, list[int]] = {}
    for thing in told["annotations"]:
        boxes.setdefault(thing["image_id"], []).append(thing["bbox"])
        categories.setdefault(thing["image_id"], []).append(thing["category_id"])
    pictures: dict[str, list[Picture]] = {"train": [], "validation": [], "test": []}
    for image in told["images"]:
        key, where = image["id"], path.parent / image["file_name"]
        pictures[image["part"]].append(Picture(key, where, boxes.get(key, []), categories.get(key, [])))
    return CocoFile(pictures, {row["id"]: row["name"] for row in told["categories"]})


def result_rows(
    picture: int,
    boxes_xyxy: Iterable[Sequence[float]],
    categories: Iterable[int],
    scores: Iterable[float],
) -> list[dict[str, Any]]:
    """COCO's results of one picture; ``categories`` are class numbers of the file."""
    return [
        {
            "image_id": picture,
            "category_id": int(category),
            "bbox": [round(float(v), 3) for v in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(float(score), 6),
        }
        for (x1, y1, x2, y2), category, score in zip(boxes_xyxy, categories, scores, strict=True)
    ]


def write_results(out: Path, rows: list[dict[str, Any]], name: str = "predictions.json") -> None:
    """Write a list of results into the run's folder."""
    out.mkdir(parents=True, exist_ok=True)
    part = out / f"{name}.part"
    part.write_text(json.dumps(rows), "utf-8")
    part.replace(out / name)
