"""Which heads a run learns: all that the data has labels for, or those that were asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from assay.configs import HEADS
from assay.errors import DatasetError
from assay.models.multitask import Heads

if TYPE_CHECKING:
    import pyarrow as pa

    from assay.card import Card
    from assay.types import Dataset

_WHERE = {
    "class": "two classes at least, as folders or in a label column",
    "tags": "a column with several labels a picture",
    "boxes": "boxes: COCO, YOLO, VOC or a table with them",
    "masks": "masks of single things, beside their boxes",
    "pixels": "mask pictures with the class of every pixel",
}


def labelled_heads(dataset: Dataset) -> tuple[str, ...]:
    """Those of HEADS that the data has labels for."""
    table = dataset.table
    columns = set(table.column_names)
    found = set()
    if "labels" in columns and table["labels"].null_count < len(table) and len(dataset.classes):
        found.add("tags")
    if "label" in columns and pc.count_distinct(table["label"].cast("string"), mode="only_valid").as_py() > 1:
        found.add("class")
    if "tags" in found and _only_tags(table):
        found.discard("class")
    if "objects" in columns and table["objects"].null_count < len(table) and len(dataset.object_classes):
        found.add("boxes")
        masks = pc.struct_field(pc.list_flatten(table["objects"]), "mask")
        if masks.null_count < len(masks):
            found.add("masks")
    if "pixels" in columns and table["pixels"].null_count < len(table) and len(dataset.pixel_classes) > 1:
        found.add("pixels")
    return tuple(name for name in HEADS if name in found)


def _only_tags(table: pa.Table) -> bool:
    """Whether a label stands only where it is the one tag of its picture, and others have several: a reader of a table
    of tags puts it there, and nobody said that it is what the picture shows.
    """
    lengths = pc.fill_null(pc.list_value_length(table["labels"]), 0)
    labelled = pc.is_valid(table["label"])
    if (
        not pc.any(pc.greater(lengths, 1)).as_py()
        or pc.any(pc.and_(labelled, pc.not_equal(lengths, 1))).as_py()
    ):
        return False
    alone = table.filter(labelled)
    return alone["label"].cast("string").to_pylist() == [one[0] for one in alone["labels"].to_pylist()]


def choose_heads(dataset: Dataset, asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """The heads that are learned, in the order of HEADS.

    Raises
    ------
    DatasetError : the data has no labels for one that was asked for, or none at all.
    """
    there = labelled_heads(dataset)
    if asked is None:
        return there or ("class",)  # what is wrong with the labels is then told in a classifier's words
    for name in asked:
        if name not in there:
            raise DatasetError(
                f"{dataset.name} has no labels for {name}",
                got=f"labels for {', '.join(there) or 'nothing'}",
                fix=f"add {_WHERE[name]}; or leave it out of --heads",
            )
    if "masks" in asked and "boxes" not in asked:
        raise DatasetError("masks belong to boxes", fix="--heads boxes,masks")
    return tuple(name for name in HEADS if name in asked)


def count_heads(dataset: Dataset | Card, names: tuple[str, ...]) -> Heads:
    """The heads with the numbers of classes that a data set or a card has for them."""
    return Heads(
        classes=len(dataset.classes) if "class" in names else 0,
        tags=len(dataset.classes) if "tags" in names else 0,
        boxes=len(dataset.object_classes) if "boxes" in names else 0,
        masks="masks" in names,
        pixels=len(dataset.pixel_classes) if "pixels" in names else 0,
    )
