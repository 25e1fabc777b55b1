"""COCO's scores: pycocotools is the oracle, on chance and on real pictures; the rest can be counted on one hand."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest

from assay import boxes as box_maths
from assay import masks as mask_maths
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.average_precision import ap_differences, measure_ap, precisions
from assay.metrics.detect import score, score_detections
from assay.metrics.matches import match_detections
from assay.metrics.pool import pool
from assay.metrics.resample import mean_known
from assay.objects import Objects

NAMES = (
    *("ap50_95", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
ONE = ClassNames(["cell"])


def oracle(truth, found, classes, kind="boxes", truth_file=None):
    """The twelve numbers of pycocotools, and AP50-95 of each class; -1 where undefined."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    of = pool(truth, found, classes, kind=kind)
    images = [{"id": i + 1, "height": 240, "width": 320} for i in range(of.n)]
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(classes)]
    annotations = [
        {
            "id": g + 1,
            "image_id": int(of.truth.picture[g]) + 1,
            "category_id": int(of.truth.label[g]) + 1,
            "bbox": of.truth.boxes_xywh[g].tolist(),
            "area": float(of.truth.areas[g]),
            "iscrowd": int(of.crowd[g]),
            **({"segmentation": of.truth.masks[g].to_coco()} if of.truth.masks else {}),
        }
        for g in range(len(of.truth))
    ]
    results = [
        {
            "image_id": int(of.found.picture[d]) + 1,
            "category_id": int(of.found.label[d]) + 1,
            "score": float(of.scores[d]),
            # with a box beside the mask pycocotools would size things by their boxes
            **(
                {"segmentation": of.found.masks[d].to_coco()}
                if of.found.masks
                else {"bbox": of.found.boxes_xywh[d].tolist()}
            ),
        }
        for d in range(len(of.found))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth_file or {"images": images, "categories": categories, "annotations": annotations}
        gt.createIndex()
        run = COCOeval(gt, gt.loadRes(results) if results else COCO(), "segm" if kind == "masks" else "bbox")
        if not results:
            run.cocoDt.dataset = {"images": [], "categories": [], "annotations": []}
            run.cocoDt.createIndex()
        run.evaluate()
        run.accumulate()
        run.summarize()
    per_class = [
        float(p[p > -1].mean()) if (p := run.eval["precision"][:, :, k, 0, 2])[p > -1].size else -1.0
        for k in range(len(classes))
    ]
    return run.stats, per_class


def values(scores):
    told = scores.to_dict()
    return [-1.0 if told[name] is None else told[name] for name in NAMES]


def require_equal(scene, kind="boxes"):
    truth, found, classes = scene
    mine = score_detections(truth, found, classes, kind=kind)
    theirs, per_class = oracle(truth, found, classes, kind)
    assert values(mine) == pytest.approx(theirs.tolist(), abs=1e-4)
    assert [-1.0 if np.isnan(row.ap50_95) else row.ap50_95 for row in mine.per_class] == pytest.approx(
        per_class, abs=1e-4
    )
    matches = match_detections(truth, found, classes, kind=kind)
    own = {name: estimate.value for name, estimate in measure_ap(matches, draws=2).items()}
    for name, value in own.items():
        assert value == pytest.approx(getattr(mine, name), abs=1e-6, nan_ok=True)
    by_class = mean_known(precisions(matches)(np.ones((1, matches.n)))[0].T)
    for row, value in zip(mine.per_class, by_class, strict=True):
        assert value == pytest.approx(row.ap50_95, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ties", [False, True])
def test_boxes_by_chance_are_scored_as_by_pycocotools(draw_scene, seed, ties):
    require_equal(draw_scene(seed, pictures=6, classes=2 + seed % 3, ties=ties, things=9, crowds=0.15))


@pytest.mark.parametrize("seed", range(4))
def test_masks_by_chance_are_scored_as_by_pycocotools(draw_scene, seed):
    require_equal(draw_scene(seed, pictures=4, masks=True, ties=seed % 2 == 0), kind="masks")


def test_more_than_a_hundred_detections_of_a_class(draw_scene):
    require_equal(draw_scene(1, pictures=3, classes=1, things=40, strays=400, ties=True))


def test_pictures_that_are_all_empty(draw_scene):
    truth, found, classes = draw_scene(3, things=0, strays=3)
    assert np.isnan(score_detections(truth, found, classes).ap50)
    assert np.isnan(measure_ap(match_detections(truth, found, classes), draws=5)["ap50"].value)


def test_a_detector_that_finds_nothing(draw_scene):
    truth, _, classes = draw_scene(4, things=5)
    nothing = [Detections.none()] * len(truth)
    require_equal((truth, nothing, classes))
    assert score_detections(truth, nothing, classes).ap50 == 0


def test_no_pictures_at_all():
    scores = score_detections([], [], ONE)
    assert (scores.pictures, scores.objects) == (0, 0)
    assert np.isnan(scores.ap50_95)
    assert scores.to_dict()["ap50_95"] is None
    found = measure_ap(match_detections([], [], ONE))
    assert np.isnan(found["ap50"].low)


def box(x, side=10.0):
    return [x, 0.0, x + side, side]


def scene_of(truth, found, scores, labels=None):
    """One picture: boxes in a row."""
    n = len(truth)
    objects = Objects(box_maths.as_boxes([box(x) for x in truth]), np.zeros(n, np.int64))
    labels = np.zeros(len(found), np.int64) if labels is None else np.array(labels)
    boxes = box_maths.as_boxes([box(x) for x in found])
    return [objects], [Detections(boxes, labels, np.array(scores, np.float32))]


def test_two_things_one_found_after_a_false_one():
    truth, found = scene_of([0, 50], [100, 0], [0.9, 0.8])
    scores = score_detections(truth, found, ONE)
    # recall .5 is reached at precision 1/2: 51 of the 101 recalls
    assert scores.ap50 == pytest.approx(0.5 * 51 / 101)
    assert (scores.ar1, scores.ar10) == (0, 0.5)
    assert scores.per_class[0].objects == 2


def test_unlabelled_pictures_are_left_out_and_empty_ones_are_not():
    truth, found = scene_of([0], [0], [0.5])
    stray = Detections(box_maths.as_boxes([box(7)]), np.zeros(1, np.int64), np.ones(1, np.float32))
    left_out = score_detections([*truth, None], [*found, stray], ONE)
    assert (left_out.ap50, left_out.pictures, left_out.unlabelled) == (pytest.approx(1), 1, 1)
    nothing = Objects(np.zeros((0, 4)), np.zeros(0, np.int64))
    empty = score_detections([*truth, nothing], [*found, stray], ONE)
    assert (empty.ap50, empty.pictures, empty.unlabelled) == (pytest.approx(0.5), 2, 0)


def test_a_picture_with_a_thing_without_mask_is_unlabelled_for_masks(draw_scene):
    truth, found, classes = draw_scene(5, pictures=3, masks=True, things=4)
    bare = Objects(np.array([[0.0, 0, 9, 9]]), np.zeros(1, np.int64))
    scores = score_detections([*truth, bare], [*found, Detections.none()], classes, kind="masks")
    assert (scores.pictures, scores.unlabelled) == (3, 1)


def test_the_order_of_pictures_changes_nothing(draw_scene):
    truth, found, classes = draw_scene(6, pictures=9)
    order = np.random.default_rng(0).permutation(9)
    turned = score_detections([truth[i] for i in order], [found[i] for i in order], classes)
    assert values(turned) == pytest.approx(values(score_detections(truth, found, classes)))


def test_what_cannot_be_measured_is_said(draw_scene):
    truth, found, classes = draw_scene(7)
    with pytest.raises(ConfigError, match="differ in number"):
        score_detections(truth, found[1:], classes)
    with pytest.raises(ConfigError, match="by boxes or masks"):
        score_detections(truth, found, classes, kind="points")
    with pytest.raises(DatasetError, match="a label that is no class"):
        score_detections(truth, found, ClassNames(["one"]))
    plain = Objects(np.zeros((0, 4)), np.zeros(0, np.int64))
    bare = Detections(np.array([[0.0, 0, 9, 9]]), np.zeros(1, np.int64), np.ones(1, np.float32))
    with pytest.raises(ConfigError, match="1 of 1 detections have no mask"):
        score_detections([plain], [bare], classes, kind="masks")


def test_detections_are_sorted_and_checked():
    boxes = box_maths.as_boxes([box(0), box(20), box(40)])
    found = Detections(boxes, np.array([0, 1, 2]), np.array([0.2, 0.9, 0.2], np.float32))
    assert found.labels.tolist() == [1, 0, 2]
    assert found.boxes_xyxy[0].tolist() == box(20)
    assert len(found.at_least(0.5)) == 1
    assert len(Detections.none()) == 0
    with pytest.raises(ConfigError, match="not finite"):
        Detections(boxes, np.array([0, 1, 2]), np.array([0.2, np.nan, 0.2], np.float32))
    with pytest.raises(ConfigError, match="got: 3, 2, 3, 3"):
        Detections(boxes, np.array([0, 1]), np.array([0.2, 0.3, 0.2], np.float32))


def test_detections_as_coco_has_them():
    mask = mask_maths.encode(np.eye(4, dtype=bool))
    found = Detections(
        box_maths.as_boxes([[1, 2, 4, 6]]), np.array([1]), np.array([0.5], np.float32), (mask,)
    )
    (told,) = found.to_coco(17, [3, 90])
    assert told == {
        "image_id": 17,
        "category_id": 90,
        "bbox": [1.0, 2.0, 3.0, 4.0],
        "score": 0.5,
        "segmentation": mask.to_coco(),
    }
    json.dumps(told)


def test_a_true_thing_has_the_size_of_its_mask_where_it_has_one():
    """A thin cross in a box of 40 x 40 px is small; without a mask it is of the box's size."""
    cross = np.zeros((64, 64), bool)
    cross[20, :40] = cross[:40, 20] = True
    whole = box_maths.as_boxes([[0, 0, 40, 40]])
    found = [Detections(whole, np.zeros(1, np.int64), np.ones(1, np.float32))]
    for mask, name in ((mask_maths.encode(cross), "small"), (None, "medium")):
        truth = [Objects(whole, np.zeros(1, np.int64), (mask,))]
        scores = score_detections(truth, found, ONE)
        told = {size for size in ("small", "medium", "large") if not np.isnan(getattr(scores, f"ap_{size}"))}
        assert told == {name}
        require_equal((truth, found, ONE))


@pytest.mark.shared
@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_real_pictures_are_scored_as_by_pycocotools(shared_data, kind):
    """tiny-coco's own file is the oracle's truth, its ``area`` that of the mask: all twelve numbers are the same."""
    file = json.loads((shared_data / "tiny-coco/annotations/instances_val2017.json").read_text("utf-8"))
    images = sorted(file["images"], key=lambda one: one["id"])
    numbers = {one["id"]: k for k, one in enumerate(file["categories"])}
    classes, rng = ClassNames(one["name"] for one in file["categories"]), np.random.default_rng(0)
    truth, found, drawn = [], [], {}
    for i, image in enumerate(images):
        own = [one for one in file["annotations"] if one["image_id"] == image["id"]]
        size_hw = (image["height"], image["width"])
        boxes = box_maths.from_xywh(box_maths.as_boxes([one["bbox"] for one in own]))
        labels = np.array([numbers[one["category_id"]] for one in own], np.int64)
        masks = tuple(mask_maths.from_coco(one["segmentation"], size_hw) for one in own)
        truth.append(Objects(boxes, labels, masks, np.array([one["iscrowd"] == 1 for one in own], bool)))
        again = rng.integers(len(own), size=3 * len(own)) if own else np.zeros(0, np.int64)
        moved = boxes[again] * rng.uniform(0.95, 1.05, (len(again), 1))
        changed = np.where(rng.random(len(again)) < 0.2, rng.integers(80, size=len(again)), labels[again])
        shapes = tuple(
            mask_maths.encode(np.roll(masks[g].to_array(), rng.integers(-4, 5), axis=int(rng.integers(2))))
            for g in again
        )
        found.append(Detections(moved, changed, rng.random(len(again)).astype(np.float32), shapes))
        for one, mask in zip(own, masks, strict=True):
            one["image_id"], one["category_id"] = i + 1, numbers[one["category_id"]] + 1
            drawn[one["id"]], one["area"] = one["area"], mask.area
    for i, image in enumerate(images):
        image["id"] = i + 1
    file["categories"] = [{"id": k + 1, "name": name} for k, name in enumerate(classes)]
    require_equal((truth, found, classes), kind)
    theirs, _ = oracle(truth, found, classes, kind, truth_file=file)
    mine = values(score_detections(truth, found, classes, kind=kind))
    assert mine == pytest.approx(theirs.tolist(), abs=1e-4)
    for one in file["annotations"]:  # of the drawn outline, which pixels follow nearly
        one["area"] = drawn[one["id"]]
    theirs, _ = oracle(truth, found, classes, kind, truth_file=file)
    assert mine == pytest.approx(theirs.tolist(), abs=0.02)
    assert 0.1 < mine[0] < 0.9


def repeated(scene, row):
    """The scene with each picture as often as the row says."""
    rows = np.repeat(np.arange(len(row)), row)
    return [scene.truth[i] for i in rows], [scene.found[i] for i in rows], scene.classes


@pytest.mark.parametrize("seed", range(6))
def test_weights_are_pictures_drawn_so_often(draw_scene, seed):
    """A weighted AP is that of a data set in which the pictures stand so many times."""
    scene = draw_scene(seed, pictures=10, things=8, crowds=0.2)
    weigh = precisions(match_detections(*scene))
    rows = np.random.default_rng(seed).integers(0, 4, (5, 10))
    for row, value in zip(rows, weigh(rows.astype(np.float64)), strict=True):
        again = score_detections(*repeated(scene, row))
        assert np.nanmean(value) == pytest.approx(again.ap50_95, abs=1e-9)
        assert np.nanmean(value[0]) == pytest.approx(again.ap50, abs=1e-9)


def test_intervals_hold_the_value_and_are_paired(draw_scene):
    truth, found, classes = draw_scene(8, pictures=40)
    matches = match_detections(truth, found, classes)
    estimate = measure_ap(matches, draws=100)["ap50"]
    assert 0 <= estimate.low < estimate.value < estimate.high <= 1
    same = ap_differences(matches, matches, draws=50)["ap50_95"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    fewer = match_detections(truth, [one.at_least(0.7) for one in found], classes)
    lost = ap_differences(fewer, matches, draws=100)["ap50"]
    assert lost.low < lost.value < lost.high < 0
    alone = measure_ap(fewer, draws=100)["ap50"]
    assert lost.high - lost.low < (estimate.high - estimate.low) + (alone.high - alone.low)
    with pytest.raises(DatasetError, match="on the same pictures"):
        ap_differences(matches, match_detections(truth[1:], found[1:], classes))


def test_groups_are_drawn_whole(draw_scene):
    truth, found, classes = draw_scene(9, pictures=6)
    matches = match_detections(truth * 4, found * 4, classes)
    alone = measure_ap(matches, draws=200)["ap50"]
    groups = measure_ap(matches, draws=200, groups=np.tile(np.arange(6), 4))["ap50"]
    assert groups.high - groups.low > 1.3 * (alone.high - alone.low)


def test_a_pool_is_scored_once_for_all():
    truth, found = scene_of([0], [0], [0.5])
    assert score(pool(truth, found, ONE)).ap50 == pytest.approx(1)
