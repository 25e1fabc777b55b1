"""From answers at points to boxes and masks of the picture: against slow references and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.mask_arrays import to_arrays

from assay.boxes import iou
from assay.configs import PreprocessConfig
from assay.errors import ConfigError
from assay.masks import encode
from assay.models.torchvision_fallbacks import nms
from assay.postprocess_boxes import Frame, box_points, corners, find_boxes, suppress
from assay.postprocess_masks import MaskCrop, cut_masks, label_pixels, to_masks
from assay.preprocess import Preprocess

SIDE = 64
WHOLE = Frame((SIDE, SIDE))


def random_boxes(n: int, seed: int, size: float = 100.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, size, (n, 2))
    return np.concatenate([low, low + rng.uniform(1, size / 2, (n, 2))], 1)


def slow_suppress(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float) -> list[int]:
    """Box by box, best first: kept if it overlaps no kept box of its class by more than the threshold."""
    kept: list[int] = []
    overlaps = iou(boxes, boxes)
    for i in np.argsort(-scores, kind="stable"):
        if all(labels[i] != labels[k] or overlaps[i, k] <= threshold for k in kept):
            kept.append(int(i))
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_the_greedy_one(threshold, seed):
    rng = np.random.default_rng(seed)
    boxes, labels = random_boxes(120, seed), rng.integers(0, 3, 120)
    scores = rng.integers(0, 20, 120).astype(np.float32)  # many equal ones
    assert suppress(boxes, scores, labels, threshold).tolist() == slow_suppress(
        boxes, scores, labels, threshold
    )


def test_suppression_is_that_of_other_peoples_detectors():
    """Class by class, against the one that stands in for torchvision's operator."""
    boxes, rng = random_boxes(300, 7), np.random.default_rng(7)
    scores, labels = rng.random(300).astype(np.float32), rng.integers(0, 4, 300)
    apart = torch.from_numpy(boxes + 10_000.0 * labels[:, None])  # boxes of two classes never touch
    wanted = nms(apart, torch.from_numpy(scores).double(), 0.5)
    assert suppress(boxes, scores, labels, 0.5).tolist() == wanted.tolist()


def test_suppressing_nothing():
    none = np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.int64)
    assert suppress(*none).tolist() == []


def test_distances_to_corners_by_hand():
    points, strides = np.array([[4.0, 12.0], [16, 16]], np.float32), np.array([8.0, 32.0], np.float32)
    distances = np.array([[0.5, 1, 0.25, 0.5], [-0.5, 0, 1, 1]], np.float32)
    np.testing.assert_allclose(corners(points, strides, distances), [[0, 4, 6, 16], [32, 16, 48, 48]])


def answers(
    things: list[tuple[int, int, float, list[float]]], classes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and distances that say (point, class, logit, box) and nothing else."""
    points, strides = box_points((SIDE, SIDE))
    logits = np.full((len(points), classes), -9.0, np.float32)
    distances = np.ones((len(points), 4), np.float32)
    for point, label, logit, box in things:
        logits[point, label] = logit
        x, y = points[point]
        distances[point] = np.array([x - box[0], y - box[1], box[2] - x, box[3] - y]) / strides[point]
    return logits, distances


def test_boxes_come_best_first_duplicates_gone_and_inside_the_picture():
    things = [
        (0, 1, 1.0, [0, 0, 20, 20]),
        (1, 1, 2.0, [0, 0, 20, 21]),  # the same thing, surer
        (2, 2, 0.5, [0, 0, 20, 20]),  # another class
        (60, 0, 3.0, [30, 50, 90, 90]),  # reaches outside
        (70, 0, -5.0, [1, 1, 5, 5]),  # unlikely
    ]
    found = find_boxes(*answers(things), (SIDE, SIDE), WHOLE)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.points.tolist() == [60, 1, 2]
    np.testing.assert_allclose(
        found.boxes_xyxy, [[30, 50, 64, 64], [0, 0, 20, 21], [0, 0, 20, 20]], atol=1e-4
    )
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-3.0, -2.0, -0.5])), rtol=1e-6)
    both = find_boxes(*answers(things), (SIDE, SIDE), WHOLE, iou_threshold=None)
    assert both.points.tolist() == [60, 1, 0, 2]
    assert len(find_boxes(*answers(things), (SIDE, SIDE), WHOLE, most=2).labels) == 2
    assert len(find_boxes(*answers(things), (SIDE, SIDE), WHOLE, iou_threshold=None, most=1).labels) == 1


def test_a_point_may_be_of_two_classes_and_crossed_sides_are_no_box():
    logits, distances = answers([(9, 0, 2.0, [5, 5, 20, 20]), (20, 0, 4.0, [30, 30, 20, 40])])
    logits[9, 2] = 1.0
    found = find_boxes(logits, distances, (SIDE, SIDE), WHOLE)
    assert found.labels.tolist() == [0, 2]
    assert found.points.tolist() == [9, 9]


def test_nothing_found_is_empty_arrays():
    found = find_boxes(*answers([]), (SIDE, SIDE), WHOLE)
    assert found.boxes_xyxy.shape == (0, 4)
    assert (
        cut_masks(found.boxes_xyxy, np.zeros((0, 2), np.float32), np.zeros((2, 16, 16), np.float32), WHOLE)
        == []
    )
    assert to_arrays([], (3, 4)).shape == (0, 3, 4)
    assert to_masks([], (3, 4)) == []


def test_the_likeliest_thousand_are_looked_at():
    rng = np.random.default_rng(0)
    points, _ = box_points((128, 128))
    logits = rng.normal(2, 1, (len(points), 8)).astype(np.float32)
    distances = rng.uniform(0.1, 0.6, (len(points), 4)).astype(np.float32)
    found = find_boxes(logits, distances, (128, 128), Frame((128, 128)), iou_threshold=None, most=50)
    np.testing.assert_array_equal(found.scores.argsort(kind="stable"), np.arange(50)[::-1])
    at = np.sort(logits.ravel())[::-1][:50]
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-at)), rtol=1e-5)


@pytest.mark.parametrize("score", [-0.1, 1.0, float("nan")])
def test_a_least_score_that_is_no_probability_is_told(score):
    with pytest.raises(ConfigError, match="least score is from 0 up to"):
        find_boxes(*answers([]), (SIDE, SIDE), WHOLE, least_score=score)


def test_another_number_of_points_is_told():
    logits, distances = answers([])
    with pytest.raises(ConfigError, match=r"\(32, 64\).*has 42 points\n  got: 84"):
        find_boxes(logits, distances, (32, 64), WHOLE)


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("size_hw", [(48, 80), (100, 37), (64, 64)])
def test_a_frame_is_where_preprocessing_puts_the_picture(resize, size_hw):
    config = PreprocessConfig(size=SIDE, resize=resize, interpolation="box", crop_share=0.9)
    frame = Frame.of(config, size_hw)
    picture = np.zeros((*size_hw, 3), np.uint8)
    top, left = size_hw[0] // 2 - 4, size_hw[1] // 2 - 6
    picture[top : top + 9, left : left + 12] = 255
    seen = Preprocess(config).pixels(picture)[..., 0].astype(float) / 255
    expected = frame.to_input(np.array([[left, top, left + 12, top + 9]], np.float64))[0]
    held = seen if resize != "letterbox" else np.where(seen == 114 / 255, 0, seen)
    y, x = np.nonzero(held > 0.5)
    np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], expected, atol=1.01)
    boxes = random_boxes(5, 0)
    np.testing.assert_allclose(frame.to_picture(frame.to_input(boxes)), boxes)


def slow_masks(boxes, coefficients, prototypes, size_hw) -> np.ndarray:
    """All of the picture at once, by torch, then cut to the boxes; for a picture that is its own input."""
    logits = torch.einsum("nm,mhw->nhw", torch.from_numpy(coefficients), torch.from_numpy(prototypes))
    whole = torch.nn.functional.interpolate(logits[None], scale_factor=4, mode="bilinear")[0].numpy()
    masks = whole[:, : size_hw[0], : size_hw[1]] > 0
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        inside = np.zeros(size_hw, bool)
        inside[int(np.floor(top)) : int(np.ceil(bottom)), int(np.floor(left)) : int(np.ceil(right))] = True
        mask[~inside] = False
    return masks


@pytest.mark.parametrize("size_hw", [(64, 96), (61, 93)])
def test_masks_cut_first_are_those_of_the_whole_picture(size_hw):
    rng = np.random.default_rng(0)
    boxes = np.minimum(random_boxes(12, 1, 60), [size_hw[1], size_hw[0]] * 2)
    boxes[0] = [0, 0, size_hw[1], size_hw[0]]
    coefficients = rng.normal(size=(12, 5)).astype(np.float32)
    prototypes = rng.normal(size=(5, 16, 24)).astype(np.float32)
    crops = cut_masks(boxes, coefficients, prototypes, Frame(size_hw))
    got, wanted = to_arrays(crops, size_hw), slow_masks(boxes, coefficients, prototypes, size_hw)
    assert (got != wanted).mean() < 1e-4  # rounding, where a logit is almost 0


def test_masks_are_as_fine_as_the_picture_not_as_the_input():
    prototypes = np.zeros((1, 16, 16), np.float32)
    prototypes[0] = 31.5 - 4 * np.arange(16)[None]  # 0 in the middle of the input
    frame = Frame((640, 640), (0.1, 0.1))
    (crop,) = cut_masks(np.array([[100.0, 10, 500, 630]]), np.ones((1, 1), np.float32), prototypes, frame)
    assert crop.pixels.shape == (620, 400)
    edge = crop.left + crop.pixels.sum(1)
    assert (edge == edge[0]).all()
    assert edge[0] == pytest.approx((31.5 / 4 + 0.5) * 4 / 0.1, abs=1)


def test_a_thing_thinner_than_a_cell_has_a_mask_where_it_is_likeliest():
    truth = np.zeros((64, 64), bool)
    truth[8:56, 29:31] = True  # half a cell wide
    shares = truth.reshape(16, 4, 16, 4).mean((1, 3)).clip(0.01, 0.49)
    prototypes = np.log(shares / (1 - shares)).astype(np.float32)[None]
    box = np.array([[28.0, 8, 34, 56]])
    (crop,) = cut_masks(box, np.ones((1, 1), np.float32), prototypes, Frame((64, 64)))
    (mask,) = to_arrays([crop], (64, 64))
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    (sure,) = cut_masks(box, np.full((1, 1), -1000.0, np.float32), -prototypes, Frame((64, 64)))
    assert sure.pixels.any()


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (7, 5)])
def test_run_lengths_without_drawing_are_those_of_the_drawing(shape):
    rng = np.random.default_rng(1)
    size_hw = (7, 9)
    for top, left in itertools.product(range(size_hw[0] - shape[0] + 1), range(size_hw[1] - shape[1] + 1)):
        for share in (0.0, 0.3, 0.7, 1.0):
            crop = MaskCrop(top, left, rng.random(shape) < share)
            (mask,) = to_masks([crop], size_hw)
            assert mask == encode(to_arrays([crop], size_hw)[0])


def test_pixels_of_a_large_photo_get_their_classes():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 16, 16)).astype(np.float32)
    got = label_pixels(logits, WHOLE)
    whole = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], scale_factor=4, mode="bilinear")[
        0
    ]
    assert (got != whole.argmax(0).numpy()).mean() < 1e-3
    assert got.dtype == np.uint8
    letterboxed = Frame.of(PreprocessConfig(size=SIDE, resize="letterbox"), (200, 100))
    assert label_pixels(logits, letterboxed).shape == (200, 100)


def test_no_torch_is_needed():
    import subprocess
    import sys

    code = "import sys, assay.postprocess_boxes, assay.postprocess_masks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_thing_whose_score_is_the_least_one_is_told(seed):
    """A score that was picked is that of a thing, and its way back through the logit rounds."""
    logit = 16.4 if not seed else float(np.random.default_rng(seed).normal(scale=3))
    given = answers([(9, 0, logit, [5, 5, 20, 20])])
    (score,) = find_boxes(*given, (SIDE, SIDE), WHOLE, least_score=0.0, iou_threshold=None).scores[:1]
    assert find_boxes(*given, (SIDE, SIDE), WHOLE, least_score=float(score)).points.tolist()[:1] == [9]
    above = float(np.nextafter(score, np.float32(1)))
    if above == 1:  # no least score: nothing is above it
        return
    assert find_boxes(*given, (SIDE, SIDE), WHOLE, least_score=above).points.tolist() == []
