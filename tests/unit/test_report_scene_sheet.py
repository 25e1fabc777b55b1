"""The contact sheet of boxes, masks and classes of pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import assay
from assay.configs import AugmentConfig, PreprocessConfig
from assay.drawing import class_colour
from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.pixel_masks import encode_pixels
from assay.report.contact_sheet import contact_sheet
from assay.types import Dataset

GREY = (120, 124, 128)


def thing(label, box, *, mask=False, crowd=False):
    values = np.zeros((80, 120), np.uint8)
    values[box[1] : box[3], box[0] : box[2]] = 1
    return {
        "label": label,
        "box": [float(v) for v in box],
        "mask": encode(values).counts if mask else None,
        "crowd": crowd,
    }


@pytest.fixture
def scenes(tmp_path) -> Dataset:
    """Four pictures: a cup, a masked dog, nothing, and one in which nobody looked; the rest of the table is plain."""
    for i in range(4):
        Image.new("RGB", (120, 80), GREY).save(tmp_path / f"{i}.png")
    cells = [
        [thing("cup", (10, 10, 60, 60)), thing("cup", (70, 40, 119, 79), crowd=True)],
        [thing("dog", (20, 20, 100, 70), mask=True)],
        [],
        None,
    ]
    table = pa.table(
        {
            "path": [f"{i}.png" for i in range(4)],
            "label": pa.nulls(4, pa.string()),
            "objects": pa.array(cells, objects_type()),
            "height_px": pa.array([80] * 4, pa.int32()),
            "width_px": pa.array([120] * 4, pa.int32()),
        }
    )
    return Dataset(table, ClassNames([]), tmp_path, "scenes", object_classes=ClassNames(["cup", "dog"]))


def count(sheet, colour):
    """Pixels of the colour, to within rounding."""
    return int((np.abs(np.asarray(sheet, float) - np.array(colour)) <= 1.5).all(axis=2).sum())


def test_boxes_and_masks_are_drawn_in_the_colours_of_their_classes(scenes):
    sheet = contact_sheet(scenes, rows=1)
    assert sheet.width == 4 * 264 + 3 * 14 + 2 * 36, "four beside each other, where nothing is asked for"
    for k in range(2):
        assert count(sheet, class_colour(k)) > 300
    mixed = np.rint(np.array(GREY) * 0.55 + np.array(class_colour(1)) * 0.45)
    assert count(sheet, mixed) > 10_000, "the dog's mask, 80 x 50 px at 2.2 times the size"
    assert sheet.tobytes() == contact_sheet(scenes, rows=1).tobytes()


def test_every_class_is_shown_first(scenes):
    many = scenes.take([0] * 30 + [1])
    assert count(contact_sheet(many, columns=2, rows=1), class_colour(1)) > 300


def test_as_the_network_sees_them_and_as_augmentation_makes_them(scenes):
    letterboxed = contact_sheet(scenes, rows=1, preprocess=PreprocessConfig(size=64))
    assert count(letterboxed, (114, 114, 114)) > 1000, "grey above and below"
    augment = AugmentConfig(mosaic=1.0, trivial=False)
    changed = contact_sheet(scenes, rows=2, augment=augment, preprocess=PreprocessConfig(size=96))
    assert count(changed, class_colour(1)) + count(changed, class_colour(0)) > 300
    assert (
        changed.tobytes()
        == contact_sheet(scenes, rows=2, augment=augment, preprocess=PreprocessConfig(size=96)).tobytes()
    )


def test_classes_of_pixels_have_their_colours_and_shares(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / "street" / name).mkdir(parents=True)
    pixels = np.zeros((80, 120), np.uint8)
    pixels[:, 60:] = 2
    for i in range(3):
        Image.new("RGB", (120, 80), GREY).save(tmp_path / f"street/images/{i}.png")
    (tmp_path / "street/masks/1.png").write_bytes(encode_pixels(pixels))
    (tmp_path / "street/masks/2.png").write_bytes(encode_pixels(pixels.T.copy()))
    (tmp_path / "street/classes.txt").write_text("background\nshoe\nhat\n")
    data = assay.read_dataset(tmp_path / "street")
    sheet = contact_sheet(data, columns=1, rows=1)
    mixed = np.rint(np.array(GREY) * np.float32(0.45) + np.array(class_colour(1)) * np.float32(0.55))
    assert count(sheet, mixed) > 10_000, (
        "the second class behind the background, of half a tile: no mask, not shown"
    )


def test_pictures_that_cannot_be_read(scenes):
    for i in range(4):
        (scenes.root / f"{i}.png").write_bytes(b"")
    assert contact_sheet(scenes).height > 100
    with pytest.raises(DatasetError, match="none of the pictures drawn can be read"):
        contact_sheet(scenes, augment=AugmentConfig())


def test_a_class_of_the_picture_stays_in_the_caption(scenes):
    labels = pa.array(["shop", None, None, None])
    both = replace(scenes, table=scenes.table.set_column(1, "label", labels), classes=ClassNames(["shop"]))
    assert contact_sheet(both, rows=1).tobytes() != contact_sheet(scenes, rows=1).tobytes()


def test_command(cli, scenes, tmp_path):
    assay.write_dataset(scenes, tmp_path / "scenes.parquet")
    told = cli("show", tmp_path / "scenes.parquet", "--out", tmp_path / "s.png", "--rows", 1)
    assert told.code == 0, told.err
    assert "1170 x" in told.out
