"""Finished boxes with masks in them: read into the picture, against plain loops."""

from __future__ import annotations

import numpy as np
from tests.mask_arrays import to_arrays

from assay.postprocess_boxes import Frame
from assay.postprocess_found import paste_masks, read_found
from assay.postprocess_scene import read_scene

PICTURE = (40, 60)


def plain_paste(box, grid, size_hw):
    cells = len(grid)
    padded = np.pad(grid, 1)
    out = np.zeros(size_hw, bool)
    for y, x in np.ndindex(*size_hw):
        v = (y + 0.5 - box[1]) / (box[3] - box[1]) * cells + 0.5
        u = (x + 0.5 - box[0]) / (box[2] - box[0]) * cells + 0.5
        if not (0 < v < cells + 1 and 0 < u < cells + 1):
            continue
        i, j = int(v), int(u)
        upper = padded[i, j] * (1 - u + j) + padded[i, j + 1] * (u - j)
        lower = padded[i + 1, j] * (1 - u + j) + padded[i + 1, j + 1] * (u - j)
        out[y, x] = upper * (1 - v + i) + lower * (v - i) >= 0.5
    return out


def some(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-8, 30, (n, 2))
    return {
        "found_boxes": np.concatenate([low, low + rng.uniform(1, 40, (n, 2))], 1).astype(np.float32),
        "found_scores": np.sort(rng.uniform(0.1, 1, n))[::-1].astype(np.float32),
        "found_labels": rng.integers(0, 3, n),
        "found_masks": rng.uniform(0, 1, (n, 7, 7)).astype(np.float32),
    }


def test_masks_are_pasted_as_by_plain_loops():
    given = some(8)
    boxes = given["found_boxes"].astype(np.float64)
    inside = to_arrays(paste_masks(boxes, given["found_masks"], PICTURE), PICTURE)
    for box, grid, mask in zip(boxes, given["found_masks"], inside, strict=True):
        np.testing.assert_array_equal(mask, plain_paste(box, grid.astype(np.float64), PICTURE))
    assert inside.any()


def test_a_full_grid_fills_its_box():
    (mask,) = to_arrays(paste_masks(np.array([[10.0, 5, 30, 25]]), np.ones((1, 28, 28)), PICTURE), PICTURE)
    wanted = np.zeros(PICTURE, bool)
    wanted[5:25, 10:30] = True
    np.testing.assert_array_equal(mask, wanted)


def test_filling_weak_and_outer_rows_are_left_out():
    given = some(4)
    given["found_scores"] = np.array([0.9, 0.3, 0.02, 0.0], np.float32)
    given["found_boxes"] = np.array([[70, 5, 90, 20], [2, 2, 12, 12], [5, 5, 9, 9], [0, 0, 9, 9]], np.float32)
    frame = Frame(PICTURE)
    assert read_found(given, frame, 0.01).scores.tolist() == np.float32([0.3, 0.02]).tolist()
    assert len(read_found(given, frame, 0.0)) == 2
    assert read_found(given, frame, 0.1).boxes_xyxy.tolist() == [[2, 2, 12, 12]]
    assert read_found(given, frame, 0.1, masks=False).masks == (None,)


def test_boxes_and_masks_return_to_the_picture_before_it_was_resized():
    given = some(1)
    given["found_boxes"] = np.array([[20.0, 30, 40, 50]], np.float32)
    given["found_masks"] = np.ones((1, 28, 28), np.float32)
    frame = Frame(PICTURE, (2.0, 2.0), (0.0, 20.0))
    found = read_scene(given, frame, 120).boxes
    assert found is not None
    assert found.boxes_xyxy.tolist() == [[10, 5, 20, 15]]
    assert found.masks[0] is not None
    assert found.masks[0].size_hw == PICTURE
    assert found.masks[0].box_xyxy.tolist() == [10, 5, 20, 15]
    bare = {name: value for name, value in given.items() if name != "found_masks"}
    assert read_scene(bare, frame, 120).boxes.masks == (None,)
