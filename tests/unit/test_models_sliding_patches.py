"""Sliding patches: the network reads a picture as it reads its patches; what it learns; what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.detect import score_detections
from assay.models.sliding_patches import SIDE, STRIDE, PatchNet, SlidingPatches, resized, to_input
from assay.objects import objects_type
from assay.train.patches import pyramid, train_patches
from assay.types import Dataset

NAMES = ClassNames(["disc", "square"])
COLOURS = ((220, 80, 60), (60, 90, 220))


def draw(seed: int) -> tuple[np.ndarray, list[dict]]:
    """A noisy picture of 96 x 120 with discs and squares of 20 to 40 px that do not touch."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 160, (96, 120, 3)).astype(np.uint8)
    rows = []
    for left in (4, 64):
        kind, side = int(rng.integers(2)), int(rng.integers(20, 41))
        x, y = left + int(rng.integers(0, 52 - side)), int(rng.integers(4, 92 - side))
        v, u = np.mgrid[:side, :side] - (side - 1) / 2
        inside = (u**2 + v**2 <= (side / 2) ** 2) if kind == 0 else np.ones((side, side), bool)
        image[y : y + side, x : x + side][inside] = COLOURS[kind]
        box = [float(x), float(y), float(x + side), float(y + side)]
        rows.append({"label": NAMES[kind], "box": box, "mask": None, "crowd": False})
    return image, rows


def dataset(folder: Path, pictures: int, *, unlabelled: int = 0) -> Dataset:
    cells = []
    for i in range(pictures):
        image, rows = draw(i)
        Image.fromarray(image).save(folder / f"{i}.png")
        cells.append(rows if i >= unlabelled else None)
    table = pa.table(
        {
            "path": [f"{i}.png" for i in range(pictures)],
            "label": pa.nulls(pictures, pa.string()),
            "part": ["train"] * pictures,
            "objects": pa.array(cells, objects_type()),
        }
    )
    return Dataset(table, ClassNames([]), folder, object_classes=NAMES)


def test_sliding_gives_what_each_patch_alone_gives():
    torch.manual_seed(0)
    net = PatchNet(2).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (60, 77, 3)).astype(np.uint8)
    with torch.no_grad():
        slid = net(to_input(pixels[None]))[0]
        rows, columns = 1 + (60 - SIDE) // STRIDE, 1 + (77 - SIDE) // STRIDE
        assert slid.shape == (3, rows, columns)
        for i, j in ((0, 0), (3, 5), (rows - 1, columns - 1)):
            y, x = i * STRIDE, j * STRIDE
            alone = net(to_input(pixels[None, y : y + SIDE, x : x + SIDE]))[0, :, 0, 0]
            torch.testing.assert_close(slid[:, i, j], alone, rtol=1e-4, atol=1e-5)


def test_it_learns_to_find(tmp_path):
    data = dataset(tmp_path, 16, unlabelled=2)
    detector = train_patches(data, steps=60, seed=1)
    answers = list(detector.predict([tmp_path / f"{i}.png" for i in range(16)], least_score=0.01))
    truth = [sample.objects for sample in data]
    found = [answer.boxes for answer in answers]
    scores = score_detections(truth, found, NAMES)
    assert scores.pictures == 14
    assert scores.ap50 > 0.6
    assert answers[0].object_classes == NAMES
    assert answers[0].size_hw == (96, 120)


def test_the_same_seed_gives_the_same_detector(tmp_path):
    data = dataset(tmp_path, 3)
    first, again, other = (train_patches(data, steps=4, seed=seed) for seed in (0, 0, 1))
    torch.testing.assert_close(first.net.state_dict(), again.net.state_dict(), rtol=0, atol=0)
    assert not torch.equal(first.net.head.weight, other.net.head.weight)


def test_minutes_end_it(tmp_path):
    detector = train_patches(dataset(tmp_path, 2), minutes=0.01)
    assert not detector.net.training


def test_boxes_are_of_the_sizes_looked_for_and_inside():
    torch.manual_seed(0)
    detector = SlidingPatches(PatchNet(1), ClassNames(["thing"]), (20.0, 80.0))
    image = np.random.default_rng(0).integers(0, 256, (50, 90, 3)).astype(np.uint8)
    found = detector.find(image, least_score=0.0, iou_threshold=1.0)
    assert len(found) == 100
    assert (found.boxes_xyxy >= 0).all()
    assert (found.boxes_xyxy <= [90, 50, 90, 50]).all()
    widths = np.unique(np.round(found.boxes_xyxy[:, 2] - found.boxes_xyxy[:, 0]))
    assert set(widths) <= {*range(15, 21), *range(70, 82)}
    assert len(detector.find(image, least_score=1.0)) == 0
    with pytest.raises(ConfigError, match="least score is from 0 to 1"):
        detector.find(image, least_score=1.5)


def test_a_picture_that_cannot_be_read_is_one_line(tmp_path):
    detector = SlidingPatches(PatchNet(1), ClassNames(["thing"]), (20.0,))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (answer,) = detector.predict([tmp_path / "broken.png"])
    assert answer.error
    assert answer.boxes is None


def test_the_pyramid_covers_the_sizes():
    assert pyramid([30.0] * 5) == (pytest.approx(30.0),)
    sides = pyramid(list(np.geomspace(10, 100, 500)))
    assert sides[0] < 11 < 95 < sides[-1]
    steps = np.array(sides[1:]) / np.array(sides[:-1])
    assert (steps <= 2 ** (1 / 3) + 1e-9).all()


def test_resizing_leaves_the_right_size_alone():
    image, _ = draw(0)
    assert resized(image, (96, 120)) is image
    assert resized(image, (31, 40)).shape == (31, 40, 3)


def test_what_it_cannot_learn_from_is_told(tmp_path):
    data = dataset(tmp_path, 2, unlabelled=2)
    with pytest.raises(
        DatasetError, match=r"no picture of dataset has a box.*\n  got: 0 pictures in which somebody"
    ):
        train_patches(data, steps=1)
    with pytest.raises(ConfigError, match="for steps or for minutes"):
        train_patches(data)
    with pytest.raises(ConfigError, match="for steps or for minutes"):
        train_patches(data, steps=1, minutes=1.0)
    with pytest.raises(ConfigError, match="has no part 'test'"):
        train_patches(data, steps=1, part="test")
    with pytest.raises(ConfigError, match="one class at least"):
        PatchNet(0)
