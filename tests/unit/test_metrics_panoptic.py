"""Panoptic quality: an example by hand, hotcoco's panopticapi as the oracle on chance, and bounds."""

from __future__ import annotations

import numpy as np
import pytest

from assay.detections import Detections
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.masks import encode
from assay.metrics.panoptic import (
    Segments,
    count_panoptic,
    count_segments,
    measure_panoptic,
    paint,
    qualities,
)
from assay.metrics.scene_panoptic import PanopticTally
from assay.objects import Objects

TWO = ClassNames(["sky", "dog"])


def segments(numbers, labels, crowd=None):
    marks = np.zeros(len(labels), bool) if crowd is None else np.array(crowd, bool)
    return Segments(np.array(numbers, np.int32), np.array(labels, np.int64), marks)


def test_an_example_by_hand():
    # sky 6 pixels, two dogs of 2 and 4 pixels; the answer finds sky (6 of 7), the first dog (2 of 2), 3 of the second
    truth = segments([[1, 1, 1, 1], [1, 1, 2, 2], [3, 3, 3, 3]], [0, 1, 1])
    found = segments([[1, 1, 1, 1], [1, 1, 2, 2], [3, 3, 3, 1]], [0, 1, 1])
    counts = count_segments(truth, found, 2)
    assert counts.tolist() == [pytest.approx([6 / 7, 1 + 3 / 4]), [1, 2], [0, 0], [0, 0]]
    worse = segments([[1, 1, 1, 1], [1, 1, 2, 2], [3, 3, 1, 1]], [0, 1, 1])
    counts = count_segments(truth, worse, 2)
    # the second dog overlaps by exactly a half: neither found nor true, one false and one missed
    assert counts.tolist() == [pytest.approx([6 / 8, 1.0]), [1, 1], [0, 1], [0, 1]]
    pq, sq, rq = qualities(counts)
    assert pq == pytest.approx([6 / 8, 1 / 2])
    assert sq == pytest.approx([6 / 8, 1])
    assert rq == pytest.approx([1, 1 / 2])
    told = measure_panoptic(count_panoptic([(truth, worse)], TWO), things=["dog"], draws=5)
    assert told["pq"].value == pytest.approx((6 / 8 + 1 / 2) / 2)
    assert (told["pq_things"].value, told["pq_stuff"].value) == (pytest.approx(0.5), pytest.approx(0.75))


def test_another_class_is_false_and_missed():
    truth, found = segments([[1, 1]], [0]), segments([[1, 1]], [1])
    assert count_segments(truth, found, 2).tolist() == [[0, 0], [0, 0], [0, 1], [1, 0]]


def test_void_and_crowds_forgive():
    truth = segments([[0, 0, 0, 1]], [0])
    # three of four pixels lie in void: the match counts without them, and another class there is no false one
    assert count_segments(truth, segments([[1, 1, 1, 1]], [0]), 2)[:, 0].tolist() == [1, 1, 0, 0]
    assert count_segments(truth, segments([[1, 1, 1, 0]], [1]), 2)[:, 1].tolist() == [0, 0, 0, 0]
    crowd = segments([[1, 1, 1, 1]], [0], [True])
    assert count_segments(crowd, segments([[1, 1, 0, 0]], [0]), 2)[:, 0].tolist() == [0, 0, 0, 0]
    assert count_segments(crowd, segments([[1, 1, 0, 0]], [1]), 2)[:, 1].tolist() == [0, 0, 1, 0]


def test_what_is_absent_has_no_score():
    told = measure_panoptic(count_panoptic([], TWO))
    assert all(np.isnan(one.value) for one in told.values())
    empty = segments([[0, 0]], [])
    counts = count_panoptic([(empty, empty), (None, empty)], TWO)
    assert counts.rows.tolist() == [0]
    assert np.isnan(qualities(counts.sums[0])[0]).all()


def chance(seed, classes=3, size_hw=(20, 24)):
    rng = np.random.default_rng(seed)

    def cut():
        blocks = rng.integers(0, 5, size=(size_hw[0] // 4, size_hw[1] // 4))
        return np.kron(blocks, np.ones((4, 4), np.int32)).astype(np.int32)

    numbers = cut()
    answer = np.where(rng.random(size_hw) < 0.2, cut(), numbers)
    labels = rng.integers(classes, size=4)
    given = np.where(rng.random(4) < 0.8, labels, rng.integers(classes, size=4))
    return segments(numbers, labels, [False, False, False, bool(seed % 2)]), segments(answer, given)


def as_coco(pictures, classes, crowd):
    """A detection-style file with one annotation a segment."""
    annotations = [
        {
            "id": 10 * i + s + 1,
            "image_id": i + 1,
            "category_id": int(label) + 1,
            "bbox": [0, 0, 1, 1],
            "area": int((one.numbers == s + 1).sum()),
            "iscrowd": int(one.crowd[s]) if crowd else 0,
            "segmentation": encode(one.numbers == s + 1).to_coco(),
        }
        for i, one in enumerate(pictures)
        for s, label in enumerate(one.labels)
        if (one.numbers == s + 1).any()
    ]
    height, width = pictures[0].numbers.shape
    return {
        "images": [{"id": i + 1, "height": height, "width": width} for i in range(len(pictures))],
        "categories": [{"id": k + 1, "name": str(k), "isthing": k % 2} for k in range(classes)],
        "annotations": annotations,
    }


@pytest.mark.parametrize("seed", range(5))
def test_quality_is_that_of_another_implementation(seed):
    from hotcoco.panoptic import PanopticEval

    pairs = [chance(10 * seed + i) for i in range(6)]
    run = PanopticEval(as_coco([t for t, _ in pairs], 3, True), as_coco([f for _, f in pairs], 3, False))
    run.evaluate()
    theirs = run.results()
    counts = count_panoptic(pairs, ClassNames("012"))
    told = measure_panoptic(counts, things=["1"], draws=3)
    assert told["pq"].value == pytest.approx(theirs["All"]["pq"], abs=1e-6)
    assert told["sq"].value == pytest.approx(theirs["All"]["sq"], abs=1e-6)
    assert told["rq"].value == pytest.approx(theirs["All"]["rq"], abs=1e-6)
    turned = measure_panoptic(count_panoptic(pairs[::-1], ClassNames("012")), draws=3)
    assert turned["pq"].value == pytest.approx(told["pq"].value)
    assert 0 <= told["pq"].low <= told["pq"].value <= told["pq"].high <= 1


def test_painting_things_over_stuff():
    left, most = np.zeros((2, 2, 4), bool)
    left[:, :2], most[:, :3] = True, True
    pixels = np.array([[0, 0, 0, 0], [0, 0, 1, 255]])
    found = paint([encode(left), encode(most)], [1, 1], (2, 4), pixels=pixels, stuff=[0, -1])
    assert found.numbers.tolist() == [[1, 1, 2, 3], [1, 1, 2, 0]]
    assert found.labels.tolist() == [1, 1, 0]
    strict = paint([encode(left), encode(most)], [1, 1], (2, 4), least_share=0.5)
    assert strict.numbers.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    marked = paint([encode(left)], [1], (2, 4), crowd=[True])
    assert marked.crowd.tolist() == [True]
    with pytest.raises(ConfigError, match="of one size"):
        paint([encode(left)], [1], (3, 4))
    with pytest.raises(ConfigError, match="of one size"):
        count_segments(found, segments([[0]], []), 2)


def test_of_true_things_that_overlap_the_smaller_lies_on_top():
    plane = np.zeros((6, 6), np.uint8)
    table, plate, many = np.ones((6, 6), bool), np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    plate[1:3, 1:3] = True
    many[4:6, 4:6] = True
    truth = Objects(
        np.array([[0.0, 0, 6, 6], [0, 0, 6, 6], [1, 1, 3, 3]]),
        np.array([2, 0, 1]),
        (encode(table), encode(table), encode(plate)),
        np.array([True, False, False]),
    )
    names = ClassNames(["table", "plate", "crowd"])
    tally = PanopticTally(names, ClassNames(["void"]), 0.5)
    boxes, scores = np.array([[1.0, 1, 3, 3], [0, 0, 6, 6]]), np.array([0.9, 0.8], np.float32)
    answer = Detections(boxes, np.array([1, 0]), scores, (encode(plate), encode(table)))
    tally.add(0, truth, plane, answer, plane)
    assert tally.sums[0][:, :2].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
