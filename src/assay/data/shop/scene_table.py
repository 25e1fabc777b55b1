"""Everything that is known of the rendered pictures in one table: kind, seller, boxes with masks, classes of pixels.

``scenes/scenes.parquet`` with one mask picture a photo beside it. Pixels show the kinds of products; a brand mark lies
on its product and has a box and a mask of its own, but no class of pixels. About a kilobyte a picture is held until
the end.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from assay.data.shop.labels import CATEGORIES, COLUMNS, Row
from assay.labels import ClassNames
from assay.masks import from_coco
from assay.pixel_masks import encode_pixels

BACKGROUND = "background"
PIXEL_CLASSES = (BACKGROUND, *(name for name in CATEGORIES if name != "mark"))
_FOLDER, _MASKS, _TABLE = "scenes", "masks", "scenes.parquet"


class SceneTable:
    """A table that grows picture by picture and is written at the end, where nothing went wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / _FOLDER
        self._rows: dict[str, list[Any]] = {
            name: [] for name in (*COLUMNS, "objects", "pixels", "height_px", "width_px")
        }

    def __enter__(self) -> Self:
        (self._folder / _MASKS).mkdir(parents=True)
        return self

    def add(self, row: Row) -> None:
        """Take one picture in, and write its pixels down."""
        width, height = row.size_wh
        pixels, things = np.zeros((height, width), np.uint8), []
        for annotation in row.annotations:
            category = CATEGORIES[annotation["category_id"] - 1]
            mask = from_coco(annotation["segmentation"], (height, width))
            box = [float(v) for v in annotation["box_xyxy"]]
            things.append({"label": category, "box": box, "mask": mask.counts, "crowd": False})
            if category in PIXEL_CLASSES:
                pixels[mask.to_array()] = PIXEL_CLASSES.index(category)
        name = f"{_MASKS}/{Path(row.name).stem}.png"
        (self._folder / name).write_bytes(encode_pixels(pixels))
        values = (f"../pictures/{row.name}", *row.values, things, name, height, width)
        for column, value in zip(self._rows.values(), values, strict=True):
            column.append(value)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - only at the very end

        from assay.data.write import write_dataset  # noqa: PLC0415
        from assay.objects import objects_type  # noqa: PLC0415
        from assay.types import Dataset  # noqa: PLC0415

        types = {"objects": objects_type(), "height_px": pa.int32(), "width_px": pa.int32()}
        table = pa.table(
            {name: pa.array(values, types.get(name, pa.string())) for name, values in self._rows.items()}
        )
        labels = sorted(set(self._rows["label"]))
        dataset = Dataset(
            table,
            ClassNames(labels),
            self._folder,
            "scenes",
            object_classes=ClassNames(CATEGORIES),
            pixel_classes=ClassNames(PIXEL_CLASSES),
        )
        write_dataset(dataset, self._folder / _TABLE)
