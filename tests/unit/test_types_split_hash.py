"""What a data set's hash stands for: every label that rows have, and nothing of how they are stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from assay.labels import ClassNames
from assay.objects import objects_type
from assay.types import Dataset


def thing(label="cup", box=(1, 2, 3, 4), mask=None):
    return {"label": label, "box": [float(v) for v in box], "mask": mask, "crowd": False}


CELLS = ([{"label": "cup", "box": [1.0, 2.0, 3.0, 4.0], "mask": None, "crowd": False}], [])


def scene(cells=CELLS, pixels=("a.png", None), **columns):
    table = pa.table(
        {
            "path": ["a.jpg", "b.jpg"],
            "label": pa.nulls(2, pa.string()),
            "objects": pa.array(list(cells), objects_type()),
            "pixels": pa.array(list(pixels), pa.string()),
            **columns,
        }
    )
    names = {"object_classes": ClassNames(["cup", "dog"]), "pixel_classes": ClassNames(["floor", "cup"])}
    return Dataset(table, ClassNames([]), Path(), **names)


def test_a_plain_set_of_classes_has_the_hash_that_it_always_had():
    table = pa.table(
        {
            "path": ["a.jpg", "b.jpg"],
            "label": ["cup", None],
            "part": ["train", "test"],
            "labels": pa.array([["cup", "dog"], None], pa.list_(pa.string())),
        }
    )
    assert Dataset(table, ClassNames(["cup", "dog"]), Path()).split_hash == "3e0910a3c15360d2"


@pytest.mark.parametrize(
    "other",
    [
        scene(([thing(box=(1, 2, 3, 4.5))], [])),
        scene(([thing("dog")], [])),
        scene(([thing(mask="01")], [])),
        scene(([thing()], None)),
        scene(([thing(), thing()], [])),
        scene(pixels=("b.png", None)),
        scene(labels=pa.array([["x"], None], pa.list_(pa.string()))),
        replace(scene(), object_classes=ClassNames(["dog", "cup"])),
        replace(scene(), pixel_classes=ClassNames(["cup", "floor"])),
    ],
)
def test_every_label_of_a_scene_counts(other):
    assert other.split_hash != scene().split_hash


def test_storage_and_the_order_of_rows_do_not_count():
    data = scene()
    assert data.take([1, 0]).split_hash == data.split_hash
    chunks = pa.concat_tables([data.table.slice(0, 1), data.table.slice(1)])
    assert replace(data, table=chunks).split_hash == data.split_hash
    wider = data.table.append_column("width_px", pa.array([4, 5], pa.int32()))
    assert replace(data, table=wider).split_hash == data.split_hash
