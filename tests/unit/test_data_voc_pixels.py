"""Masks of classes beside Pascal VOC's boxes: whose values they are, and what is told of those that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from assay.data.checks import check_dataset
from assay.data.faults import faults_of
from assay.data.read import load_format, read_dataset, recognise
from assay.pixel_masks import encode_pixels, read_pixels

BOX = "<object><name>{}</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"


@pytest.fixture
def devkit(tmp_path):
    """``devkit(masks)``: two pictures of 20 x 16 px with a box each, and these masks by name."""

    def make(masks, name="person", **texts):
        for folder in ("Annotations", "JPEGImages", "SegmentationClass"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for i in "12":
            Image.new("RGB", (20, 16)).save(tmp_path / "JPEGImages" / f"{i}.jpg")
            (tmp_path / "Annotations" / f"{i}.xml").write_text(f"<annotation>{BOX.format(name)}</annotation>")
        for stem, values in masks.items():
            (tmp_path / "SegmentationClass" / f"{stem}.png").write_bytes(values)
        for file, text in texts.items():
            (tmp_path / f"{file}.txt").write_text(text)
        return tmp_path

    return make


def mask(*values, size_hw=(16, 20)):
    pixels = np.zeros(size_hw, np.uint8)
    for i, value in enumerate(values):
        pixels[i] = value
    return encode_pixels(pixels)


def test_boxes_and_pixels_of_one_folder(devkit):
    data = read_dataset(devkit({"1": mask(15, 255)}))
    assert recognise(data.root) is load_format("voc")
    assert data.table["pixels"].to_pylist() == ["SegmentationClass/1.png", None]
    assert (len(data.pixel_classes), data.pixel_classes[15]) == (21, "person"), "VOC's own numbers"
    assert read_pixels(data[0].pixels)[0, 0] == 15
    assert len(data[0].objects) == 1
    assert faults_of(data) == ([], 0)
    assert not [p for p in check_dataset(data, decode=True) if "mask" in p.code]


@pytest.mark.parametrize(
    ("texts", "names"),
    [
        ({"classes": "sky\nperson\n"}, ["sky", "person"]),
        (
            {"labelmap": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nshoe:128,0,0::\n"},
            ["background", "shoe"],
        ),
        ({"labelmap": "# label:color_rgb:parts:actions\nshoe:::\n"}, ["class 0", "class 1"]),
        ({}, ["class 0", "class 1"]),
    ],
)
def test_where_the_names_of_the_values_come_from(devkit, texts, names):
    data = read_dataset(devkit({"1": mask(1)}, "shoe", **texts))
    assert list(data.pixel_classes) == names
    assert list(data.object_classes) == ["shoe"]


def test_masks_that_cannot_be_used_are_told(devkit):
    folder = devkit({"1": mask(30, size_hw=(16, 20)), "2": mask(1, size_hw=(20, 16)), "3": mask(1)})
    data = read_dataset(folder)
    told = [str(fault) for fault in faults_of(data)[0]]
    assert told == [
        "SegmentationClass/2.png: a mask of 16 x 20 px for a picture of 20 x 16 px (2.jpg)",
    ]
    folder = devkit({"1": b"no picture", "2": mask(7)}, classes="sky\nperson\n")
    told = [str(fault) for fault in faults_of(read_dataset(folder))[0]]
    assert told[0].startswith("SegmentationClass/1.png: 1.png is no mask")
    assert told[1] == "SegmentationClass/2.png: the value 7 has no name; there are 2 names"
    assert "pixels" not in read_dataset(folder).table.column_names


def test_masks_of_things_are_not_read_and_told(devkit):
    folder = devkit({"1": mask(15)})
    (folder / "SegmentationObject").mkdir()
    told = [str(p) for p in check_dataset(read_dataset(folder), pictures=False)]
    assert any("--format mask-png reads masks of things" in line for line in told)
