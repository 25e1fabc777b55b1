"""What `assay check` says of boxes, from the rows alone."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from assay.data.checks import check_dataset
from assay.labels import ClassNames
from assay.objects import objects_type
from assay.types import Dataset


def thing(label, *box):
    return {"label": label, "box": [float(v) for v in box], "mask": None, "crowd": False}


@pytest.fixture
def data(tmp_path):
    """``data(objects, ...)``: a data set of pictures of 40 x 30 px that need not exist."""

    def make(objects, classes=("cup", "dog"), notes=None, **columns):
        n = len(objects)
        table = pa.table(
            {
                "path": [f"{i}.jpg" for i in range(n)],
                "label": pa.nulls(n, pa.string()),
                "objects": pa.array(objects, objects_type()),
                "height_px": pa.array([30] * n, pa.int32()),
                "width_px": pa.array([40] * n, pa.int32()),
                **columns,
            }
        )
        if notes:
            table = table.replace_schema_metadata({b"assay": json.dumps(notes).encode()})
        return Dataset(table, ClassNames([]), tmp_path, object_classes=ClassNames(classes))

    return make


def found(dataset, **options):
    return {p.code: p for p in check_dataset(dataset, pictures=False, **options)}


def test_boxes_in_order_and_pictures_without_a_label_are_no_fault(data):
    assert (
        found(data([[thing("cup", 0, 0, 40, 30), thing("dog", 1, 1, 5, 5)], [thing("cup", 2, 2, 9, 9)]]))
        == {}
    )


def test_a_classifier_still_wants_labels(data):
    told = found(data([[thing("cup", 0, 0, 4, 3), thing("dog", 1, 1, 5, 5)]]), for_training=True)
    assert told["no-classes"].level == "error"
    assert "assay crops" in told["no-classes"].fix


def test_a_box_outside_is_named_and_a_rounded_one_is_not(data):
    told = found(data([[thing("cup", 5, 5, 41, 30.5), thing("dog", 5, 5, 30, 40)]]))
    assert told["box-outside"].where == ("0.jpg dog (5, 5, 30, 40)",)


def test_the_same_box_twice(data):
    told = found(data([[thing("cup", 1, 1, 9, 9), thing("cup", 1, 1, 9, 9), thing("dog", 1, 1, 9, 9)]]))
    assert told["same-box-twice"].where == ("0.jpg cup",)


def test_classes_without_a_box_or_missing_in_a_part(data):
    rows = [[thing("cup", 1, 1, 9, 9)], [thing("dog", 1, 1, 9, 9)], [thing("dog", 1, 1, 9, 9)]]
    told = found(data(rows, ("cup", "dog", "owl"), part=["train", "train", "test"]))
    assert told["empty-object-class"].where == ("owl",)
    assert told["object-class-missing"].where == ("cup (test)",)


def test_nobody_looked_is_not_the_same_as_nothing_there(data):
    assert set(found(data([None, None]))) == {"no-boxes-known"}
    assert "no-boxes" in found(data([[], None]))


def test_what_the_reader_kept_out_is_told(data):
    fault = {"place": "a.json annotation 7", "what": "the box has no area", "fix": "draw it again"}
    told = found(data([[thing("cup", 1, 1, 9, 9)]], ("cup",), {"faults": [fault] * 3, "fault_count": 3}))
    assert told["kept-out"].count == 3
    assert told["kept-out"].fix == "draw it again"
    assert "a.json annotation 7: the box has no area" in str(told["kept-out"])
