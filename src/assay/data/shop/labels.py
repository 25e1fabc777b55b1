"""What is known of each picture, written down: a table of labels, and boxes and masks in COCO's JSON.

Masks are COCO's uncompressed run lengths (counts, column by column, beginning with the number of zeros), so that
``pycocotools`` reads the file as it is. Beside COCO's ``bbox`` (x, y, width, height) each annotation carries
``box_xyxy``. Both files are written row by row, so that a shop of a million pictures needs no memory.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from assay.data.shop.scene import KINDS, NON_PRODUCT, Picture
from assay.data.shop.stage import Instance

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("path", "label", "seller", "genuine", "product", "brand", "fault")
CATEGORIES = (*tuple(kind for kind in KINDS if kind != NON_PRODUCT), "mark")


@dataclass(frozen=True)
class Row:
    """One picture as it is written down; ``annotations`` are COCO's, without ids."""

    name: str
    number: int
    size_wh: tuple[int, int]
    values: tuple[str, ...]
    annotations: tuple[dict[str, Any], ...]


def describe(name: str, number: int, picture: Picture) -> Row:
    """The row of a rendered picture; ``values`` are those of COLUMNS after the path."""
    product = "no" if picture.label == NON_PRODUCT else "yes"
    values = (picture.label, picture.seller, picture.genuine, product, picture.brand, picture.fault)
    return Row(name, number, picture.size_wh, values, tuple(_annotation(x) for x in picture.instances))


def _annotation(instance: Instance) -> dict[str, Any]:
    x0, y0, x1, y1 = box_of(instance.mask)
    found: dict[str, Any] = {
        "category_id": CATEGORIES.index(instance.category) + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "box_xyxy": [x0, y0, x1, y1],
        "area": int(instance.mask.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(instance.mask.shape), "counts": run_lengths(instance.mask)},
    }
    return {**found, "genuine": instance.genuine} if instance.category == "mark" else found


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The smallest box (x0, y0, x1, y1) in pixels around a mask (H, W) that is not empty; x1 and y1 lie behind it."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def run_lengths(mask: NDArray[np.bool_]) -> list[int]:
    """COCO's uncompressed run lengths of a mask (H, W): column by column, zeros first."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(run) for run in np.diff(np.concatenate([[0], edges, [mask.size]]))]


@contextmanager
def write_rows(path: Path) -> Iterator[Callable[[Row, str], None]]:
    """A CSV with COLUMNS; yields a function that writes one row, its path behind a prefix."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        yield lambda row, prefix: table.writerow((prefix + row.name, *row.values))


class BoxesFile:
    """A COCO file that grows picture by picture: annotations go to a file beside until the images are all known."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path, self._beside, self._ids = path, path.with_suffix(".part"), 0
        self._info = {
            "description": f"Assay's rendered shop, seed {seed}",
            "licence": "CC0-1.0",
            "masks": "visible pixels of the upright picture (EXIF orientation applied)",
        }

    def __enter__(self) -> Self:
        self._images, self._annotations = (
            self._path.open("w", encoding="utf-8"),
            self._beside.open("w+", encoding="utf-8"),
        )
        categories = [{"id": k + 1, "name": name} for k, name in enumerate(CATEGORIES)]
        head = json.dumps({"info": self._info, "categories": categories})
        self._images.write(head[:-1] + ',\n"images": [')
        return self

    def add(self, row: Row) -> None:
        """Write one picture and what is on it down."""
        w, h = row.size_wh
        image = {"id": row.number + 1, "file_name": f"pictures/{row.name}", "width": w, "height": h}
        self._images.write((",\n" if row.number else "\n") + json.dumps(image))
        for annotation in row.annotations:
            self._ids += 1
            whole = {"id": self._ids, "image_id": row.number + 1, **annotation}
            self._annotations.write(
                (",\n" if self._ids > 1 else "\n") + json.dumps(whole, separators=(",", ":"))
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._images, self._annotations:
            self._images.write('\n],\n"annotations": [')
            self._annotations.seek(0)
            shutil.copyfileobj(self._annotations, self._images)
            self._images.write("\n]}\n")
        self._beside.unlink()
