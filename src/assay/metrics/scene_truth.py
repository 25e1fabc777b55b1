"""What a data set knows of its pictures, in the order of a network's own classes; they are matched by name.

A network may know more classes than the data. For boxes and tags nobody looked for those, so what it says of them is
left out, neither right nor wrong. The data may not know more than the network: a name that occurs and that the network
does not have is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from assay.detections import Detections
from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.metrics.evaluate import model_targets
from assay.objects import Objects
from assay.pixel_masks import IGNORE, classes_used, read_pixels
from assay.types import Dataset, Sample

if TYPE_CHECKING:
    from assay.card import Card

UNKNOWN = -1
COLUMNS = {"class": "label", "tags": "labels", "boxes": "objects", "masks": "objects", "pixels": "pixels"}
"""Head -> the column of a data set that says what is true."""


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """The labels of ``dataset`` for the heads of a network, in that network's classes.

    ``heads`` are those that the network has and the data has labels for.
    """

    dataset: Dataset
    classes: ClassNames
    object_classes: ClassNames
    pixel_classes: ClassNames
    heads: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, card: Card) -> SceneTruth:
        """Match the classes of a data set with those of a network.

        Raises
        ------
        DatasetError : nothing that the network tells is labelled, or a name that occurs is no class of it.
        """
        heads = tuple(head for head in card.heads if _known(dataset, COLUMNS[head]).any())
        if "masks" in heads and not _has_masks(dataset):
            heads = tuple(head for head in heads if head != "masks")
        if not heads:
            raise DatasetError(
                f"no picture of {dataset.name} is labelled for what the network tells",
                got=f"the network tells {', '.join(card.heads)}; {len(dataset):,} pictures",
                fix="add labels, or use `assay predict` for pictures without labels",
            )
        truth = cls(dataset, card.classes, card.object_classes, card.pixel_classes, heads)
        truth._require_known_names()
        return truth

    def _require_known_names(self) -> None:
        table = self.dataset.table
        if "class" in self.heads:
            model_targets(self.dataset, self.classes)
        if "tags" in self.heads:
            require_names(_values(table["labels"]), self.classes, "tag", self.dataset.name)
        if "boxes" in self.heads or "masks" in self.heads:
            names = _values(table["objects"], "label")
            require_names(names, self.object_classes, "class of boxes", self.dataset.name)

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(N,) whether anything that the network tells is known of a picture."""
        known = [_known(self.dataset, COLUMNS[head]) for head in self.heads]
        return np.asarray(np.logical_or.reduce(known))

    @cached_property
    def looked_for(self) -> NDArray[np.bool_]:
        """(K,) which object classes of the network the data set has."""
        return np.array([name in self.dataset.object_classes for name in self.object_classes], bool)

    def label(self, sample: Sample) -> int:
        """The position of its class, -1 where it has none."""
        if sample.label is None or "class" not in self.heads:
            return UNKNOWN
        return self.classes.position(self.dataset.classes[sample.label])

    def tags(self, sample: Sample) -> NDArray[np.int8]:
        """(K,) 1 for a tag that applies, 0 for one that does not, -1 where nobody looked."""
        found = np.full(len(self.classes), UNKNOWN, np.int8)
        if sample.labels is not None and "tags" in self.heads:
            found[[name in self.dataset.classes for name in self.classes]] = 0
            found[[self.classes.position(self.dataset.classes[i]) for i in sample.labels]] = 1
        return found

    def objects(self, sample: Sample) -> Objects | None:
        """Its things, None where nobody looked."""
        if sample.objects is None or not {"boxes", "masks"} & set(self.heads):
            return None
        own = sample.objects
        places = [self.dataset.object_classes[int(i)] for i in own.labels]
        labels = np.array([self.object_classes.position(name) for name in places], np.int64)
        return Objects(own.boxes_xyxy, labels, own.masks, own.crowd)

    def detections(self, found: Detections | None) -> Detections:
        """What was found of the classes that the data set looked for."""
        if found is None:
            return Detections.none()
        if self.looked_for.all():
            return found
        kept = np.flatnonzero(self.looked_for[found.labels])
        masks = tuple(found.masks[i] for i in kept)
        return Detections(found.boxes_xyxy[kept], found.labels[kept], found.scores[kept], masks)

    def pixels(self, sample: Sample) -> NDArray[np.uint8] | None:
        """(H, W) classes of its pixels, 255 where nobody knows; None where there is no mask.

        Raises
        ------
        ImageError : the mask cannot be read. DatasetError : it has a class that the network does not.
        """
        if sample.pixels is None or "pixels" not in self.heads:
            return None
        values = read_pixels(sample.pixels)
        used, own = classes_used(values), self.dataset.pixel_classes
        table = np.full(256, IGNORE, np.uint8)
        names = [own[i] if i < len(own) else str(i) for i in used]
        require_names(names, self.pixel_classes, "class of pixels", str(sample.pixels))
        table[used] = [self.pixel_classes.position(name) for name in names]
        found: NDArray[np.uint8] = table[values]
        return found


def require_names(names: Sequence[str], classes: ClassNames, what: str, where: str) -> None:
    """Raise DatasetError where ``names`` that occur are none of the network's ``classes``."""
    strange = [name for name in names if name not in classes]
    if strange:
        raise DatasetError(
            f"{where} has a {what} that the network does not know: {_few(strange)}",
            got=f"the network's {len(classes)}: {_few(list(classes))}",
            fix="rename or leave out these labels, or train a network that knows them",
        )


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _known(dataset: Dataset, column: str) -> NDArray[np.bool_]:
    """(N,) where somebody looked."""
    if column == "label":
        return np.asarray(dataset.targets >= 0)
    if column not in dataset.table.column_names:
        return np.zeros(len(dataset), bool)
    return np.asarray(pc.is_valid(dataset.table[column]))


def _values(column: Any, field: str | None = None) -> list[str]:
    """The different values in a column of lists, or of one field of the structs in them, sorted."""
    flat = pc.list_flatten(column)
    if field is not None:
        flat = pc.struct_field(flat, field)
    return sorted(str(value) for value in pc.unique(flat).to_pylist() if value is not None)


def _has_masks(dataset: Dataset) -> bool:
    masks = pc.struct_field(pc.list_flatten(dataset.table["objects"]), "mask")
    return bool(len(masks) > masks.null_count)
