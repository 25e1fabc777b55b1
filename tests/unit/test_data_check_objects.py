"""What `assay check` says of boxes, from the rows alone."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from assay.data.checks import check_dataset
from assay.labels import ClassNames
from assay.masks import encode
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
    assert told["same-box-twice"].where == ("0.jpg cup (1, 1, 9, 9)",)


def test_classes_without_a_box_or_missing_in_a_part(data):
    rows = [[thing("cup", 1, 1, 9, 9)], [thing("dog", 1, 1, 9, 9)], [thing("dog", 1, 1, 9, 9)]]
    told = found(data(rows, ("cup", "dog", "owl"), part=["train", "train", "test"]))
    assert told["empty-object-class"].where == ("owl",)
    assert told["object-class-missing"].where == ("cup (test)",)


def test_nobody_looked_is_not_the_same_as_nothing_there(data):
    assert set(found(data([None, None]))) == {"no-boxes-known"}
    assert "no-boxes" in found(data([[], None]))


def test_pictures_that_say_nothing_at_all_are_told_beside_others(data):
    rows = [[thing("cup", 1, 1, 9, 9), thing("dog", 1, 1, 9, 9)], None, None]
    assert found(data(rows))["not-looked-at"].what == (
        "2 of 3 pictures have no label of any kind, and teach nothing"
    )
    assert found(data(rows), for_training=True, heads=("masks",))["not-looked-at"].where == ("1.jpg", "2.jpg")
    masks = pa.array([None, "1.png", None], pa.string())
    assert found(data(rows, pixels=masks))["not-looked-at"].count == 1, "a mask of classes is a label"
    assert "not-looked-at" not in found(data(rows), for_training=True, heads=("pixels",))


def test_what_the_reader_kept_out_is_told(data):
    fault = {"place": "a.json annotation 7", "what": "the box has no area", "fix": "draw it again"}
    told = found(data([[thing("cup", 1, 1, 9, 9)]], ("cup",), {"faults": [fault] * 3, "fault_count": 3}))
    assert told["no-area"].count == 3
    assert told["no-area"].fix == "draw it again"
    assert "a.json annotation 7: the box has no area" in str(told["no-area"])


def test_every_kind_of_fault_has_a_line_of_its_own(data):
    faults = [
        {"place": f"a.json annotation {i}", "what": what, "fix": ""}
        for i, what in enumerate(
            (
                "the box (nan, 1, 4, 4) is not four numbers",
                "box width is 12; YOLO boxes are fractions of the picture, 0 to 1",
                "the box (1, 1, 1, 4) has no area",
                "no image has the id 9",
                "no category has the id 8",
                "it is listed twice",
                "a polygon has 2 points (1, 1, 2, 2); its box is kept",
                "a mask has another size than its picture (mask [3, 4], picture [4, 3])",
                "it rained",
                "class 'cup' is no number",
                "'half' is no number",
            )
        )
    ]
    told = found(data([[thing("cup", 1, 1, 9, 9)]], ("cup",), {"faults": faults, "fault_count": 14}))
    assert list(told) == [
        *("no-number", "pixels-for-fractions", "no-area", "no-picture", "unknown-class", "listed-twice"),
        *("size-differs", "broken-mask", "kept-out"),
    ]
    assert told["no-number"].count == 2
    assert told["unknown-class"].count == 2, "a class that is no number is no box that is none"
    assert told["kept-out"].count == 4, "the one of no other kind, and those whose words were not kept"
    assert "divide them by the picture's width" in told["pixels-for-fractions"].fix


def test_a_frame_of_another_turn_is_told_from_a_box_that_is_outside(data):
    upright = [thing("cup", 5, 5, 12, 38), thing("dog", 1, 30, 29, 39)]
    told = found(data([upright, [thing("cup", 5, 5, 45, 50), thing("dog", 1, 1, 9, 9)]]))
    assert told["turned-frame"].where == ("0.jpg",)
    assert "EXIF" in told["turned-frame"].fix
    assert told["box-outside"].where == ("1.jpg cup (5, 5, 45, 50)",)


def masked(label, box, *inside):
    values = np.zeros((30, 40), np.uint8)
    values[inside[1] : inside[3], inside[0] : inside[2]] = 1
    return {**thing(label, *box), "mask": encode(values).counts}


def test_a_mask_that_disagrees_with_its_box(data):
    near = masked("cup", (2, 2, 12, 12), 3, 3, 13, 10)
    off = masked("dog", (2, 2, 12, 12), 2, 8, 12, 12)
    large = masked("dog", (0, 0, 40, 30), 3, 0, 40, 30)
    crowd = {**off, "crowd": True}
    told = found(data([[near, off, large, crowd], [masked("cup", (2, 2, 12, 12), 30, 2, 40, 12)]]))
    assert told["mask-disagrees"].where == ("1.jpg cup off by 28 px", "0.jpg dog off by 6 px"), "worst first"


def test_things_that_vanish_at_the_size_of_training(data):
    things = [thing("cup", 0, 0, 2, 2)] * 2 + [thing("dog", 2 * i, 0, 2 * i + 20, 20) for i in range(8)]
    assert "tiny-things" not in found(data([things]))
    told = found(data([things]), size=80)["tiny-things"]
    assert told.what == (
        "at 80 px 20.0% of the things are smaller than 8 px, 0.0% than 4 px, and cannot be found there"
    )
    assert told.fix.startswith("--size 160 keeps 95 %")
    assert "tiny-things" not in found(data([things]), size=160)


def test_a_picture_with_ten_thousand_boxes(data):
    many = [
        thing("cup", i % 30, i // 30 % 20, i % 30 + 5, i // 30 % 20 + 5 + i / 1000) for i in range(10_000)
    ]
    told = found(data([[thing("cup", 1, 1, 9, 9), thing("dog", 1, 1, 9, 9)], many]))
    assert told["many-things"].where == ("1.jpg (10,000)",)
    assert "many-things" not in found(data([many, many])), "where all are so, it is their nature"


def test_a_training_names_what_left_nothing(data):
    faults = [{"place": "a.json annotation 7", "what": "the box has no area", "fix": "draw it again"}]
    told = found(data([None, None], notes={"faults": faults}), for_training=True)
    assert "no-classes" not in told
    assert (
        str(told["no-labels"])
        == "no picture has a label that can be used: a.json annotation 7: the box has no area"
    )


def test_what_is_to_be_learned_must_be_there(data):
    boxes = data([[thing("cup", 1, 1, 9, 9)], [thing("dog", 1, 1, 9, 9)]])
    assert not [p for p in found(boxes, for_training=True, heads=("boxes",)).values() if p.level == "error"]
    for heads, code in ((("masks",), "no-masks"), (("boxes", "pixels"), "no-pixels")):
        assert found(boxes, for_training=True, heads=heads)[code].level == "error"
    assert found(data([None, None]), for_training=True, heads=("boxes",))["no-boxes-known"].level == "error"
    assert found(data([[], None]), for_training=True, heads=("boxes",))["no-boxes"].level == "error"
    torn = data([None, [thing("cup", 1, 1, 9, 9)]], ("cup",), part=["train", "test"])
    assert found(torn, for_training=True, heads=("boxes",))["no-boxes-in-train"].level == "error"
    with_class = found(boxes, for_training=True, heads=("class", "boxes"))["no-classes"]
    assert "--heads boxes" in with_class.fix


def test_the_table_of_a_classifier_has_no_boxes_to_learn(tmp_path):
    table = pa.table({"path": ["a.jpg"], "label": ["cup"]})
    plain = Dataset(table, ClassNames(["cup"]), tmp_path)
    assert found(plain, for_training=True, heads=("boxes",))["no-boxes-known"].level == "error"
