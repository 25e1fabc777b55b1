"""COCO's JSON of what was found: images, categories, and annotations with a score; masks as run lengths.

The annotations are what COCO's tools take as results, and the whole is what they and Assay read as a data set. A
picture that could not be read is left out, for nobody looked at it. File names start at the file's folder where the
picture lies below it. The list of images grows in a file of its own, and is joined at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.outputs.part_file import PartFile
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.card import Card
    from assay.types import Prediction

_BLOCK = 1 << 20


class CocoFile:
    """As ``ledger.Output``. Raises ConfigError where the network finds no things."""

    def __init__(self, path: str | Path, card: Card) -> None:
        if "boxes" not in card.heads:
            raise ConfigError(
                "--coco is for networks that find things",
                got=f"a network that tells {', '.join(card.heads)}",
                fix="use --jsonl, --csv or --parquet",
            )
        self._things, self._images = PartFile(path), PartFile(path, ".images.part")
        self.path, self._card = self._things.path, card
        self._folder = Path(os.path.realpath(Path(path).parent))
        self._counts = {"images": 0, "annotations": 0}

    @property
    def has_part(self) -> bool:
        """As ``ledger.Output``."""
        return self._things.part.exists()

    def open(self, at: Mapping[str, int] | None) -> None:
        """As ``ledger.Output``."""
        self._things.open(None if at is None else at["bytes"])
        self._images.open(None if at is None else at["image_bytes"])
        if at is not None:
            self._counts = {name: at[name] for name in self._counts}
            return
        info = {"description": f"found by {self._card.name}"}
        rows = [{"id": i, "name": name} for i, name in enumerate(self._card.object_classes, 1)]
        self._things.text(
            f'{{"info": {_json_of(info)}, "licenses": [], "categories": {_json_of(rows)}, "annotations": ['
        )

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        if prediction.error is not None:
            return
        self._counts["images"] += 1
        key = self._counts["images"]
        height, width = prediction.size_hw
        image = {"id": key, "file_name": self._name(prediction), "height": height, "width": width}
        self._images.text((",\n" if key > 1 else "\n") + _json_of(image))
        for row, mask in zip(prediction.to_coco(key), prediction.masks, strict=True):
            self._counts["annotations"] += 1
            area = row["bbox"][2] * row["bbox"][3] if mask is None else mask.area
            shape = {"area": area, "segmentation": row.get("segmentation", []), "iscrowd": 0}
            number = self._counts["annotations"]
            self._things.text((",\n" if number > 1 else "\n") + _json_of({"id": number, **row, **shape}))

    def _name(self, prediction: Prediction) -> str:
        if prediction.photo is not None:
            return prediction.path
        place = Path(os.path.realpath(prediction.path))
        return (place.relative_to(self._folder) if place.is_relative_to(self._folder) else place).as_posix()

    def position(self) -> dict[str, int]:
        """As ``ledger.Output``."""
        return {"bytes": self._things.flush(), "image_bytes": self._images.flush(), **self._counts}

    def finish(self) -> None:
        """As ``ledger.Output``."""
        self._things.text('\n], "images": [')
        with self._images.read_back() as images:
            while block := images.read(_BLOCK):
                self._things.write(block)
        self._things.text("\n]}\n")
        self._things.finish()
        self._images.discard()

    def close(self) -> None:
        """As ``ledger.Output``."""
        self._things.close()
        self._images.close()

    def discard(self) -> None:
        """As ``ledger.Output``."""
        self._things.discard()
        self._images.discard()


def _json_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
