"""Kinds of mistakes: one picture of each, hotcoco's TIDE as the oracle on chance, and bounds."""

from __future__ import annotations

import numpy as np
import pytest

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.metrics.detect import _as_coco
from assay.metrics.matches import match_detections
from assay.metrics.mistakes import OUTCOMES, find_mistakes
from assay.objects import Objects

TWO = ClassNames(["cell", "platelet"])


def picture(truth, found):
    """Squares of side 10 on a line: [(place, class)] and [(place, class, score)]."""
    objects = Objects(
        as_boxes([[x, 0, x + 10, 10] for x, _ in truth]), np.array([label for _, label in truth], np.int64)
    )
    boxes = as_boxes([[x, 0, x + 10, 10] for x, _, _ in found])
    labels = np.array([label for _, label, _ in found], np.int64)
    return objects, Detections(boxes, labels, np.array([score for *_, score in found], np.float32))


@pytest.mark.parametrize(
    ("truth", "found", "kinds"),
    [
        ([(0, 0)], [(0, 0, 0.9)], ["right"]),
        ([(0, 0)], [], ["missed"]),
        ([], [(0, 0, 0.9)], ["background"]),
        ([(0, 0)], [(5, 0, 0.9)], ["place"]),  # overlap 1/3; the thing is not told a second time as missed
        ([(0, 0)], [(0, 1, 0.9)], ["class"]),
        ([(0, 0)], [(5, 1, 0.9)], ["both", "missed"]),
        ([(0, 0)], [(0, 0, 0.9), (1, 0, 0.8)], ["right", "duplicate"]),
        ([(0, 0)], [(0, 0, 0.9), (5, 0, 0.8)], ["right", "place"]),
        ([(0, 0)], [(9, 0, 0.9)], ["background", "missed"]),  # overlap 1/19
        ([(0, 0), (0, 1)], [(0, 0, 0.9)], ["right", "missed"]),
        ([(0, 0)], [(0, 0, 0.3)], ["missed"]),  # below the score
    ],
)
def test_each_kind_by_hand(truth, found, kinds):
    objects, detections = picture(truth, found)
    told = find_mistakes(match_detections([objects], [detections], TWO), 0.5)
    assert told.totals == {kind: kinds.count(kind) for kind in OUTCOMES}
    assert told.counts.sum() == len(kinds)


def test_crowds_take_part_in_no_mistake():
    objects, detections = picture([(0, 0), (40, 0)], [(0, 0, 0.9), (0, 0, 0.8)])
    crowd = Objects(objects.boxes_xyxy, objects.labels, (), np.array([True, False]))
    told = find_mistakes(match_detections([crowd], [detections], TWO), 0.5)
    assert told.totals == {**dict.fromkeys(OUTCOMES, 0), "missed": 1}
    assert told.kinds.tolist() == [-1, -1]


def test_pictures_worst_first_and_means():
    pairs = [picture([(0, 0)], [(0, 0, 0.9)]), picture([(0, 0), (30, 0)], []), picture([(0, 0)], [])]
    matches = match_detections([one for one, _ in pairs], [one for _, one in pairs], TWO)
    told = find_mistakes(matches, 0.5)
    assert told.worst.tolist() == [1, 2, 0]
    means = told.per_picture(draws=50)
    assert means["missed"].value == pytest.approx(1)
    assert means["right"].low <= 1 / 3 <= means["right"].high
    assert told.to_dict()["totals"]["missed"] == 3


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_kinds_are_those_of_another_implementation(draw_scene, seed, masks):
    """hotcoco counts TIDE's kinds too, at every score."""
    from hotcoco import COCOeval

    scene = draw_scene(seed, pictures=5, things=8, strays=10, crowds=0, masks=masks)
    matches = match_detections(*scene, kind="masks" if masks else "boxes")
    run = COCOeval(*_as_coco(matches.pool), "segm" if masks else "bbox")
    run.evaluate()
    theirs = run.tide_errors()["counts"]
    mine = find_mistakes(matches, 0.0).totals
    assert {"Loc": mine["place"], "Cls": mine["class"], "Dupe": mine["duplicate"]} == {
        name: theirs[name] for name in ("Loc", "Cls", "Dupe")
    }
    assert {"Bkg": mine["background"], "Both": mine["both"], "Miss": mine["missed"]} == {
        name: theirs[name] for name in ("Bkg", "Both", "Miss")
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_detection_and_every_thing_is_told_of(draw_scene, seed):
    scene = draw_scene(seed, things=12, strays=12)
    matches = match_detections(*scene)
    told = find_mistakes(matches, 0.3)
    given = sum(len(one.at_least(0.3)) for one in scene.found)
    assert told.counts[:, :6].sum() + (told.kinds == -1).sum() == given
    positives = int(matches.pool.positives.sum())
    assert told.totals["right"] + told.totals["missed"] <= positives
    assert (
        told.totals["right"] + told.totals["missed"] + told.totals["place"] + told.totals["class"]
        >= positives
    )
    turned = match_detections(scene.truth[::-1], scene.found[::-1], scene.classes)
    assert np.array_equal(find_mistakes(turned, 0.3).counts, told.counts[::-1])


def test_bounds_of_the_background():
    with pytest.raises(ConfigError, match="background"):
        find_mistakes(match_detections([], [], TWO), 0.5, background=0.6)
    assert find_mistakes(match_detections([], [], TWO), 0.5).counts.shape == (0, 7)
