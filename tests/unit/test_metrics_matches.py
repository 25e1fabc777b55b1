"""Matching, counts, thresholds and reliability of detections: answers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.metrics.average_precision import measure_ap
from assay.metrics.detection_reliability import detection_reliability
from assay.metrics.matches import match, match_detections
from assay.metrics.operating_point import count, pick_threshold, precision_recall, precision_recall_curve
from assay.metrics.pool import overlapping, pool
from assay.objects import Objects

TWO = ClassNames(["cell", "platelet"])


def row(places, side=10.0):
    """(N, 4) squares on one line, beginning at these places."""
    return as_boxes([[x, 0.0, x + side, side] for x in places])


def things(places, labels=None, crowd=None):
    labels = np.zeros(len(places), np.int64) if labels is None else np.array(labels, np.int64)
    return Objects(row(places), labels, (), None if crowd is None else np.array(crowd, bool))


def detections(places, scores, labels=None):
    labels = np.zeros(len(places), np.int64) if labels is None else np.array(labels, np.int64)
    return Detections(row(places), labels, np.array(scores, np.float32))


def partners(truth, found):
    """Place of the detection within its picture -> place of what it found at an overlap of 0.5."""
    m = match(pool([truth], [found], TWO), thresholds=(0.5,))
    return dict(zip(m.pool.found.place[m.order].tolist(), m.partner[:, 0].tolist(), strict=True))


def test_the_better_detection_chooses_first():
    # both overlap the thing; the one with the higher score takes it, though the other one lies better
    assert partners(things([0]), detections([1, 0], [0.9, 0.8])) == {0: 0, 1: -1}


def test_a_detection_takes_what_it_overlaps_most_of_what_is_free():
    assert partners(things([0, 4]), detections([3, 3], [0.9, 0.8])) == {0: 1, 1: 0}


def test_of_equal_overlaps_the_last_is_taken():
    assert partners(things([0, 2]), detections([1], [0.9])) == {0: 1}


def test_an_overlap_of_exactly_the_threshold_is_enough():
    truth = Objects(as_boxes([[0, 0, 10, 10]]), np.zeros(1, np.int64))
    found = Detections(as_boxes([[0, 0, 10, 5]]), np.zeros(1, np.int64), np.ones(1, np.float32))
    assert partners(truth, found) == {0: 0}


def test_another_class_is_not_found():
    assert partners(things([0], [1]), detections([0], [0.9], [0])) == {0: -1}


def test_crowds_are_taken_last_and_by_many():
    truth = things([0, 0], crowd=[True, False])
    m = match(pool([truth], [detections([0, 1, 2], [0.9, 0.8, 0.7])], TWO), thresholds=(0.5,))
    assert m.partner[:, 0].tolist() == [1, 0, 0]
    assert m.right[:, 0].tolist() == [True, False, False]
    assert m.on_crowd[:, 0].tolist() == [False, True, True]
    assert m.pool.positives.tolist() == [[1, 0]]
    told = count(m, 0.0)
    assert (told.right.tolist(), told.false.tolist(), told.missed.tolist()) == ([1], [0], [0])


def test_two_hundred_things_in_a_picture_are_counted_though_ap_looks_at_one_hundred():
    places = [20 * i for i in range(200)]
    m = match_detections([things(places)], [detections(places, np.linspace(0.9, 0.5, 200))], TWO)
    assert count(m, 0.5).right.tolist() == [200]
    assert m.rank.max() == 199
    assert measure_ap(m, draws=2)["ap50"].value == pytest.approx(51 / 101)


def test_overlaps_are_the_same_in_blocks(draw_scene, monkeypatch):
    of = pool(*draw_scene(0, things=20, strays=20))
    chosen = np.arange(len(of.found))
    whole = overlapping(of, chosen, 0.2, same_class=False)
    monkeypatch.setattr("assay.metrics.pool._BLOCK", 30)
    parts = overlapping(of, chosen, 0.2, same_class=False)
    assert np.array_equal(whole.found, parts.found)
    assert np.array_equal(whole.truth, parts.truth)
    assert np.array_equal(whole.iou, parts.iou)


def test_thresholds_are_checked():
    of = pool([things([0])], [detections([0], [0.9])], TWO)
    for wrong in ((), (0.0,), (1.2,)):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            match(of, wrong)
    with pytest.raises(ConfigError, match=r"matched at 0\.50, 0\.55"):
        count(match(of), 0.5, iou=0.42)
    assert match(of, (1.0,)).right.tolist() == [[True]]


def three_pictures():
    """Right at .9, .7 and .5; false at .8 and .5; one thing is missed, and the last picture was not looked at."""
    truth = [things([0, 50]), things([0, 20]), things([]), None]
    found = [
        detections([0, 51, 90], [0.9, 0.5, 0.5]),
        detections([0, 80], [0.7, 0.8]),
        Detections.none(),
        detections([0], [0.95]),
    ]
    return match_detections(truth, found, TWO)


def test_counts_of_each_picture():
    m = three_pictures()
    told = count(m, 0.5)
    assert (m.n, m.pool.rows.tolist(), m.pool.given) == (3, [0, 1, 2], 4)
    assert told.right.tolist() == [2, 1, 0]
    assert told.false.tolist() == [1, 1, 0]
    assert told.missed.tolist() == [0, 1, 0]
    assert told.worst.tolist() == [1, 0, 2]
    strict = count(m, 0.75)
    assert (strict.right.tolist(), strict.false.tolist(), strict.missed.tolist()) == (
        [1, 0, 0],
        [0, 1, 0],
        [1, 2, 0],
    )
    assert count(m, 0.5, label=1).missed.sum() == 0


def test_precision_and_recall_with_intervals():
    precision, recall = precision_recall(three_pictures(), 0.5)
    assert precision.value == pytest.approx(3 / 5)
    assert recall.value == pytest.approx(3 / 4)
    assert precision.low < 3 / 5 < precision.high
    none, found = precision_recall(three_pictures(), 0.99)
    assert np.isnan(none.value)
    assert found.value == 0


def test_detections_of_one_picture_are_no_independent_witnesses():
    truth = [things(range(0, 200, 20))] * 6
    found = [detections(range(s, 200 + s, 20), [0.9] * 10) for s in (0, 0, 0, 13, 13, 13)]
    precision, _ = precision_recall(match_detections(truth, found, TWO), 0.5)
    assert precision.value == 0.5
    assert precision.high - precision.low > 0.5  # six pictures, not sixty detections
    wider, _ = precision_recall(match_detections(truth, found, TWO), 0.5, groups=np.array([0, 0, 0, 1, 1, 1]))
    assert wider.high - wider.low > precision.high - precision.low


def test_the_curve_goes_through_the_ends_of_equal_scores():
    scores, precision, recall = precision_recall_curve(three_pictures())
    assert scores == pytest.approx([0.9, 0.8, 0.7, 0.5])
    assert precision == pytest.approx([1, 1 / 2, 2 / 3, 3 / 5])
    assert recall == pytest.approx([1 / 4, 1 / 4, 2 / 4, 3 / 4])


@pytest.mark.parametrize(
    ("target", "value", "score"),
    [
        ("precision", 0.9, 0.9),
        ("precision", 0.65, 0.7),
        ("precision", 0.6, 0.5),
        ("recall", 0.25, 0.9),
        ("recall", 0.5, 0.7),
        ("recall", 0.75, 0.5),
        ("cost", 0.5, 0.9),  # a false one costs twice as much as a missed one
        ("cost", 5.0, 0.5),
    ],
)
def test_a_threshold_for_a_target(target, value, score):
    picked = pick_threshold(three_pictures(), target, value, draws=50)
    assert picked.score.value == pytest.approx(score)
    assert picked.score.low <= picked.score.value <= picked.score.high
    assert picked.pictures == 3
    assert picked.to_dict()["precision"]["value"] == picked.precision.value


def test_the_least_cost_may_be_that_of_giving_nothing():
    m = match_detections([things([0])], [detections([0, 50, 70], [0.3, 0.7, 0.9])], TWO)
    picked = pick_threshold(m, "cost", 0.5, draws=20)
    assert picked.score.value > 0.9
    assert picked.score.value == pytest.approx(0.9)
    assert picked.score.high == picked.score.value
    told = count(m, picked.score.value)
    assert (told.right.sum(), told.false.sum(), told.missed.sum()) == (0, 0, 1)
    assert np.isnan(picked.precision.value)
    assert picked.recall.value == 0
    assert pick_threshold(m, "cost", 3.0, draws=20).score.value == pytest.approx(0.3)


def test_things_are_counted_once():
    m = three_pictures()
    assert m.pool.positives is m.pool.positives


def test_a_picked_threshold_keeps_its_target_and_moves_little_with_many_pictures(draw_scene):
    few, many = (match_detections(*draw_scene(0, pictures=n)) for n in (12, 300))
    spread = []
    for m in (few, many):
        picked = pick_threshold(m, "recall", 0.3, draws=100)
        assert picked.recall.value >= 0.3
        spread.append(picked.score.high - picked.score.low)
    assert spread[1] < spread[0] / 2
    named = pick_threshold(many, "recall", 0.3, draws=10, label=0)
    assert named.label == "class 0"


def test_targets_that_cannot_be_met_are_told():
    m = three_pictures()
    with pytest.raises(ConfigError, match=r"0\.750 at most, from the score 0\.500 on"):
        pick_threshold(m, "recall", 0.9)
    for target, value in (("speed", 1.0), ("precision", 1.2), ("recall", 0.0), ("cost", -1.0)):
        with pytest.raises(ConfigError):
            pick_threshold(m, target, value)
    with pytest.raises(ConfigError, match="found nothing"):
        pick_threshold(match_detections([things([0])], [Detections.none()], TWO), "recall", 0.5)
    with pytest.raises(ConfigError, match="nothing to find"):
        pick_threshold(match_detections([things([])], [detections([0], [0.5])], TWO), "recall", 0.5)


def believable(n=1500, seed=0, lift=0.0):
    """Pictures of one thing and one detection each, right with the probability that its score says, less ``lift``."""
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.1, 0.9, n)
    right = rng.random(n) < scores - lift
    truth = [things([0])] * n
    return match_detections(
        truth, [detections([0 if hit else 70], [s]) for hit, s in zip(right, scores, strict=True)], TWO
    )


def test_a_believable_detector_has_an_error_of_chance_alone():
    told = detection_reliability(believable(), draws=100)
    assert told.ece.low <= told.floor.high
    assert told.ece.value < 0.05
    assert told.n == 1500
    assert sum(one.n for one in told.bins) == 1500
    assert sum(one.low <= one.confidence <= one.high for one in told.bins) >= len(told.bins) - 2


def test_a_boastful_detector_is_off_by_as_much_as_it_boasts():
    told = detection_reliability(believable(lift=0.1), draws=100)
    assert told.ece.value == pytest.approx(0.1, abs=0.03)
    assert told.ece.low > told.floor.high
    assert all(np.isfinite(list(one.values())).all() for one in told.to_dict()["bins"])


def test_reliability_leaves_crowds_and_low_scores_out():
    truth = [things([0, 40], crowd=[True, False])]
    m = match_detections(truth, [detections([0, 40, 80], [0.9, 0.6, 0.01])], TWO)
    told = detection_reliability(m, least=0.05, draws=10)
    assert told.n == 1
    assert told.ece.value == pytest.approx(0.4)
    assert told.bins[0].right == 1
    nothing = detection_reliability(m, least=0.95, draws=10)
    assert (nothing.n, nothing.bins) == (0, ())
    assert np.isnan(nothing.ece.value)
    logits = match_detections(truth, [detections([0], [3.0])], TWO)
    assert detection_reliability(logits, draws=1).n == 0  # on the crowd
    with pytest.raises(ConfigError, match="no probabilities"):
        detection_reliability(match_detections(truth, [detections([40], [3.0])], TWO), draws=1)
