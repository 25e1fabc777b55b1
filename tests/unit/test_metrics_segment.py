"""Pixel scores: torchmetrics is the oracle, small pictures can be counted by hand, SciPy measures the distances."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.boundary import boundary_counts, f1
from assay.metrics.segment import (
    confusion_of,
    count_pixels,
    dice_of,
    iou_of,
    measure_pixels,
    pixel_class_rows,
    pixel_differences,
)
from assay.models.torchvision_ops import declare_missing_ops

declare_missing_ops()  # torchmetrics imports torchvision

THREE = ClassNames(["background", "shirt", "hat"])


def maps(seed, pictures=6, classes=3, size_hw=(24, 31), right=0.7):
    """Blocks of classes with a void strip, and answers that are right in a share of the blocks."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(pictures):
        height, width = size_hw
        blocks, guess = rng.integers(classes, size=(2, height // 4 + 1, width // 4 + 1))
        answer = np.where(rng.random(blocks.shape) < right, blocks, guess)
        truth, answer = (np.kron(one, np.ones((4, 4), np.uint8))[:height, :width] for one in (blocks, answer))
        truth = truth.astype(np.uint8)
        truth[:, :2] = 255
        found.append((truth, answer.astype(np.uint8)))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_iou_and_dice_are_those_of_torchmetrics(seed):
    import torch
    from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

    pairs = maps(seed, classes=4)
    names = ClassNames("abcde")  # class e occurs nowhere
    counts = count_pixels(pairs, names)
    target, answer = (torch.as_tensor(np.stack([pair[i] for pair in pairs]).astype(np.int64)) for i in (0, 1))
    sums = [part.sum(0) for part in (counts.hits, counts.truth, counts.predicted)]
    for mine, of in (
        (iou_of(*sums), MulticlassJaccardIndex(5, average=None, ignore_index=255)),
        (dice_of(*sums), MulticlassF1Score(5, average=None, ignore_index=255)),
    ):
        assert mine[:4] == pytest.approx(of(answer, target).numpy()[:4], abs=1e-6)
        assert np.isnan(mine[4])
    told = measure_pixels(counts, draws=10)
    macro = MulticlassJaccardIndex(5, average="macro", ignore_index=255)(answer, target)
    assert told["miou"].value == pytest.approx(float(macro), abs=1e-6)


def test_scores_by_hand():
    truth = np.array([[0, 0, 1], [0, 0, 255]], np.uint8)
    answer = np.array([[0, 0, 0], [1, 0, 2]], np.uint8)
    assert confusion_of(truth, answer, 3).tolist() == [[3, 1, 0], [1, 0, 0], [0, 0, 0]]
    counts = count_pixels([(truth, answer)], THREE)
    told = measure_pixels(counts, background="background", draws=10)
    assert told["miou"].value == pytest.approx(
        (3 / 5 + 0) / 2
    )  # hat is neither there nor, outside void, predicted
    assert told["miou_no_background"].value == 0
    assert told["dice"].value == pytest.approx(6 / 8 / 2)
    assert told["pixel_accuracy"].value == pytest.approx(3 / 5)
    assert told["majority"].value == pytest.approx(4 / 5)
    assert told["fw_iou"].value == pytest.approx(4 / 5 * 3 / 5)
    rows = pixel_class_rows(counts, draws=10)
    assert [one["pixels"] for one in rows] == [4, 1, 0]
    assert rows[2]["iou"]["value"] is None
    assert "miou_no_background" not in measure_pixels(counts, draws=1)


def test_nobody_looked_is_left_out():
    truth = np.zeros((4, 4), np.uint8)
    counts = count_pixels([(None, truth), (truth, truth)], THREE)
    assert counts.rows.tolist() == [1]
    assert counts.n == 1


def test_empty_input_and_pictures_that_are_all_void():
    for pairs in ([], [(np.full((3, 3), 255, np.uint8), np.zeros((3, 3), np.uint8))]):
        told = measure_pixels(count_pixels(pairs, THREE), draws=3)
        assert all(np.isnan(one.value) for one in told.values())


def test_order_changes_nothing_and_values_lie_in_bounds():
    pairs = maps(1)
    told, turned = (measure_pixels(count_pixels(of, THREE), draws=20) for of in (pairs, pairs[::-1]))
    for name, estimate in told.items():
        assert estimate.value == pytest.approx(turned[name].value)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_differences_are_paired():
    pairs = maps(2, pictures=20)
    better = [(truth, np.where((truth != 255) & (truth == 1), truth, answer)) for truth, answer in pairs]
    a, b = count_pixels(better, THREE), count_pixels(pairs, THREE)
    gain = pixel_differences(a, b, background="background", draws=200)
    assert 0 < gain["miou"].low < gain["miou"].value < gain["miou"].high
    assert "majority" not in gain
    alone = measure_pixels(b, draws=200)["miou"]
    assert gain["miou"].high - gain["miou"].low < 2 * (alone.high - alone.low)
    same = pixel_differences(b, b, draws=20)["dice"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    with pytest.raises(DatasetError, match="on the same pictures"):
        pixel_differences(a, count_pixels(pairs[1:], THREE))


def test_groups_widen_the_interval():
    pairs = maps(3, pictures=5)
    counts = count_pixels(pairs * 6, THREE)
    alone = measure_pixels(counts, draws=200)["miou"]
    groups = measure_pixels(counts, draws=200, groups=np.tile(np.arange(5), 6))["miou"]
    assert groups.high - groups.low > 1.5 * (alone.high - alone.low)


def test_what_is_wrong_is_said():
    truth = np.zeros((4, 4), np.uint8)
    with pytest.raises(ConfigError, match="another size"):
        count_pixels([(truth, truth[:3])], THREE)
    with pytest.raises(ConfigError, match="an answer has a value that is no class"):
        count_pixels([(truth, truth + 3)], THREE)
    with pytest.raises(DatasetError, match="the truth has a value that is no class"):
        count_pixels([(truth + 7, truth)], THREE)


def halves(at, size=40):
    """Class 0 left of a column, class 1 from it on."""
    return (np.arange(size)[None, :] >= at).repeat(size, axis=0).astype(np.uint8)


def test_a_boundary_that_is_off_by_more_than_the_tolerance():
    # the boundary of class 0 at 20 is column 19, of class 1 column 20: one in 40 rows each
    tolerance = 3 / math.hypot(40, 40)
    for off, met in ((0, 40), (3, 40), (4, 0)):
        counts = boundary_counts(halves(20), halves(20 + off), 2, tolerance)
        assert counts.tolist() == [[met, met], [40, 40], [met, met], [40, 40]]
        assert f1(counts).tolist() == [met / 40, met / 40]


def test_border_and_void_make_no_boundary():
    plain = np.zeros((8, 8), np.uint8)
    assert not boundary_counts(plain, plain, 2).any()
    truth = halves(4, 8)
    truth[:, 4] = 255
    assert not boundary_counts(truth, plain, 2)[3].any()
    assert np.isnan(f1(boundary_counts(plain, plain, 2))).all()
    one_sided = f1(boundary_counts(halves(4, 8), plain, 2))
    assert one_sided.tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [0.0, 0.03, 0.1])
def test_reach_is_that_of_scipy_distances(seed, tolerance):
    from scipy.ndimage import distance_transform_edt

    (truth, answer), *_ = maps(seed, pictures=1, right=0.5)
    counts = boundary_counts(truth, answer, 3, tolerance)
    known, reach = truth != 255, tolerance * math.hypot(*truth.shape)

    def edge(of, k):
        found = np.zeros(of.shape, bool)
        for y, x in np.argwhere((of == k) & known):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                j, i = y + dy, x + dx
                if 0 <= j < of.shape[0] and 0 <= i < of.shape[1] and known[j, i] and of[j, i] != k:
                    found[y, x] = True
        return found

    for k in range(3):
        mine, theirs = edge(answer, k), edge(truth, k)
        for row, (of, to) in ((0, (mine, theirs)), (2, (theirs, mine))):
            near = distance_transform_edt(~to)[of] <= reach + 1e-9 if to.any() else np.zeros(of.sum(), bool)
            assert counts[row, k] == near.sum()
            assert counts[row + 1, k] == of.sum()
