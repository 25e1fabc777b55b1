"""COCO's JSON of what was found: images, categories, and annotations with a score; masks as run lengths.

The annotations are what COCO's tools take as results, and the whole is what they and Assay read as a data set. A
picture that could not be read is left out, for nobody looked at it. File names start at the file's folder where the
picture lies below it. The list of images grows in a file of its own, and is joined at the end.

Pictures and classes are numbered from 1, or have the numbers of a COCO file of the user's (``coco_ids``); a picture
that it does not list is left out then, and told.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.outputs.part_file import PartFile
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.card import Card
    from assay.cli.outputs.coco_ids import CocoIds
    from assay.types import Prediction

_BLOCK = 1 << 20
_TOLD = 10
"""Names of pictures that are told as left out."""


class CocoFile:
    """As ``ledger.Output``; ``ids`` are the numbers to write. Raises ConfigError where the network finds no things."""

    def __init__(self, path: str | Path, card: Card, ids: CocoIds | None = None) -> None:
        if "boxes" not in card.heads:
            raise ConfigError(
                "--coco is for networks that find things",
                got=f"a network that tells {', '.join(card.heads)}",
                fix="use --jsonl, --csv or --parquet",
            )
        self._things, self._images = PartFile(path), PartFile(path, ".images.part")
        self.path, self._card = self._things.path, card
        self._folder = Path(os.path.realpath(Path(path).parent))
        self._counts = {"images": 0, "annotations": 0, "left_out": 0}
        self._ids, self._taken, self._left_out = ids, set[int](), list[str]()

    @property
    def has_part(self) -> bool:
        """As ``ledger.Output``."""
        return self._things.part.exists()

    def open(self, at: Mapping[str, int] | None) -> None:
        """As ``ledger.Output``."""
        self._things.open(None if at is None else at["bytes"])
        self._images.open(None if at is None else at["image_bytes"])
        if at is not None:
            self._counts = {name: at.get(name, 0) for name in self._counts}
            self._taken = self._written_ids() if self._ids is not None else set()
            return
        info = {"description": f"found by {self._card.name}"}
        classes = self._card.object_classes
        numbers = range(1, len(classes) + 1) if self._ids is None else self._ids.categories
        rows = [{"id": i, "name": name} for i, name in zip(numbers, classes, strict=True)]
        self._things.text(
            f'{{"info": {_json_of(info)}, "licenses": [], "categories": {_json_of(rows)}, "annotations": ['
        )

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        if prediction.error is not None:
            return
        key = self._number(prediction)
        if key is None:
            self._counts["left_out"] += 1
            self._left_out.append(prediction.path)
            del self._left_out[_TOLD:]
            return
        self._counts["images"] += 1
        height, width = prediction.size_hw
        image = {"id": key, "file_name": self._name(prediction), "height": height, "width": width}
        self._images.text((",\n" if self._counts["images"] > 1 else "\n") + _json_of(image))
        numbers = None if self._ids is None else self._ids.categories
        for row, mask in zip(prediction.to_coco(key, numbers), prediction.masks, strict=True):
            self._counts["annotations"] += 1
            area = row["bbox"][2] * row["bbox"][3] if mask is None else mask.area
            shape = {"area": area, "segmentation": row.get("segmentation", []), "iscrowd": 0}
            number = self._counts["annotations"]
            self._things.text((",\n" if number > 1 else "\n") + _json_of({"id": number, **row, **shape}))

    def _number(self, prediction: Prediction) -> int | None:
        """The picture's number; None where the user's file lists no such picture, or it was another one's already."""
        if self._ids is None:
            return self._counts["images"] + 1
        key = self._ids.image(prediction.path, is_file=prediction.photo is None)
        if key is None or key in self._taken:
            return None
        self._taken.add(key)
        return key

    def _written_ids(self) -> set[int]:
        """The numbers of pictures that an earlier walk wrote."""
        with self._images.read_back() as images:
            rows = (line.strip().rstrip(b",") for line in images)
            return {int(json.loads(row)["id"]) for row in rows if row}

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
        if self._ids is not None and self._counts["left_out"]:
            from assay.cli.outputs.coco_ids import left_out_words  # noqa: PLC0415 - rarely
            from assay.cli.terminal import paint, printable  # noqa: PLC0415

            words = left_out_words(self._ids, self.path, self._counts["left_out"], self._left_out)
            print(f"{paint('warning:', 'yellow', sys.stderr)} {printable(words)}", file=sys.stderr)

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
