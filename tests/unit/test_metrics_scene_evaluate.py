"""Networks of several heads measured: by hand, on partly labelled data, and beside the single metrics."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from assay.boxes import as_boxes
from assay.data.read import read_dataset
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError, ModelError
from assay.labels import ClassNames
from assay.masks import encode
from assay.metrics.average_precision import measure_ap
from assay.metrics.detect import score_detections
from assay.metrics.evaluate import build_evaluation
from assay.metrics.matches import match_detections
from assay.metrics.mistakes import find_mistakes
from assay.metrics.operating_point import precision_recall
from assay.metrics.scene_compare import compare_scenes
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_tags import TagAnswers, measure_tags, tag_scores
from assay.metrics.scene_threshold import pick_box_threshold
from assay.metrics.segment import count_pixels, measure_pixels
from assay.objects import Objects, objects_type
from assay.pipeline_scene import EVERY_SCORE
from assay.pixel_masks import encode_pixels, read_pixels
from assay.types import Dataset, Prediction

CLASSES, THINGS, PIXELS = (
    ClassNames(names) for names in (["shop", "street"], ["cup", "dog"], ["background", "dog", "sky"])
)
HEADS = ("class", "tags", "boxes", "masks", "pixels")
SIDE = 20


class Told:
    """A predictor that gives known answers by the name of the file."""

    def __init__(self, answers, heads=HEADS, thresholds=None, classes=CLASSES, things=THINGS, pixels=PIXELS):
        self.answers, self.classes, self.asked = answers, classes, []
        self.card = SimpleNamespace(
            heads=heads,
            classes=classes,
            object_classes=things,
            pixel_classes=pixels,
            thresholds=thresholds or {"boxes": {"score": 0.5}},
            name="told",
        )

    def predict(self, sources, *, least_score=None):
        assert least_score == EVERY_SCORE
        for source in sources:
            self.asked.append(source.name)
            given = self.answers[source.name]
            if isinstance(given, str):
                yield Prediction(str(source), self.classes, np.zeros(0, np.float32), error=given)
                continue
            yield Prediction(
                str(source),
                self.classes,
                given.get("probs", np.zeros(0, np.float32)),
                (SIDE, SIDE),
                tags=given.get("tags"),
                boxes=given.get("boxes"),
                pixels=given.get("pixels"),
                object_classes=self.card.object_classes,
                pixel_classes=self.card.pixel_classes,
            )


def square(x, y, side=10):
    return [float(x), float(y), float(x + side), float(y + side)]


def shape(box):
    x, y, right, bottom = (round(v) for v in box)
    plane = np.zeros((SIDE, SIDE), bool)
    plane[y:bottom, x:right] = True
    return encode(plane)


def thing(label, box, *, mask=True, crowd=False):
    return {"label": label, "box": box, "mask": shape(box).counts if mask else None, "crowd": crowd}


def found(*things, masks=True):
    """Things as (label, box, score) or (label, box, score, box of the mask)."""
    boxes = as_boxes([one[1] for one in things])
    labels = np.array([one[0] for one in things], np.int64)
    scores = np.array([one[2] for one in things], np.float32)
    return Detections(
        boxes,
        labels,
        scores,
        tuple(shape(one[-1] if len(one) > 3 else one[1]) for one in things) if masks else (),
    )


def probs(first):
    return np.array([first, 1 - first], np.float32)


def plane(left, right):
    values = np.full((SIDE, SIDE), right, np.uint8)
    values[:, : SIDE // 2] = left
    return values


def dataset(folder, rows, *, things=("cup", "dog"), pixels=("background", "dog", "sky"), **columns):
    """Rows of (name, label, tags, objects, pixels)."""
    planes = []
    for name, *_, values in rows:
        planes.append(None if values is None else f"masks/{name}.png")
        if values is not None:
            (folder / "masks").mkdir(exist_ok=True)
            (folder / "masks" / f"{name}.png").write_bytes(encode_pixels(values))
    names, labels, tags, objects, _ = zip(*rows, strict=True)
    table = pa.table(
        {
            "path": pa.array(names, pa.string()),
            "label": pa.array(labels, pa.string()),
            "labels": pa.array(tags, pa.list_(pa.string())),
            "objects": pa.array(objects, objects_type()),
            "pixels": pa.array(planes, pa.string()),
            "height_px": pa.array([SIDE] * len(rows), pa.int32()),
            "width_px": pa.array([SIDE] * len(rows), pa.int32()),
            **columns,
        }
    )
    return Dataset(table, CLASSES, folder, "street", {}, ClassNames(things), ClassNames(pixels))


ROWS = [
    # all is right
    ("a.jpg", "shop", ["shop"], [thing("cup", square(0, 0)), thing("dog", square(10, 10))], plane(1, 0)),
    # the class is wrong, the dog is told as a cup, half of the sky is told as a dog
    ("b.jpg", "shop", ["shop", "street"], [thing("dog", square(0, 0))], plane(0, 2)),
    # the cup is found, its outline is not; beside it something false; nobody looked for pixels
    ("c.jpg", "street", [], [thing("cup", square(0, 0))], None),
    # nobody looked for things
    ("d.jpg", "street", None, None, plane(2, 2)),
]
HALF = plane(0, 2)
HALF[: SIDE // 2, SIDE // 2 :] = 1
ANSWERS = {
    "a.jpg": {
        "probs": probs(0.9),
        "tags": np.array([0.9, 0.2], np.float32),
        "boxes": found((0, square(0, 0), 0.9), (1, square(10, 10), 0.8)),
        "pixels": plane(1, 0),
    },
    "b.jpg": {
        "probs": probs(0.3),
        "tags": np.array([0.4, 0.6], np.float32),
        "boxes": found((0, square(0, 0), 0.7)),
        "pixels": HALF,
    },
    "c.jpg": {
        "probs": probs(0.2),
        "tags": np.array([0.6, 0.1], np.float32),
        "boxes": found(
            (0, square(0, 0), 0.9, square(0, 6)), (1, square(10, 10), 0.6), (1, square(10, 0), 0.1)
        ),
        "pixels": plane(0, 0),
    },
    "d.jpg": {
        "probs": probs(0.4),
        "tags": np.array([0.1, 0.1], np.float32),
        "boxes": found((0, square(0, 0), 0.99)),
        "pixels": plane(2, 2),
    },
}


@pytest.fixture
def data(tmp_path):
    return dataset(tmp_path, ROWS)


@pytest.fixture
def got(data):
    return evaluate_scenes(Told(ANSWERS), data, None, draws=200)


def values(evaluation):
    return {name: estimate.value for name, estimate in evaluation.metrics.items()}


def test_numbers_by_hand(got):
    told = values(got)
    assert got.n == 4
    assert got.heads == HEADS
    assert told["accuracy"] == 0.75
    # shop: pictures a, b; scores .9 .4 against .6 -> (1 + 2/3) / 2; street: b alone, on top
    assert told["tags.map"] == pytest.approx((5 / 6 + 1) / 2)
    # shop: told a and c, right a -> F1 1/2; street: told b -> 1
    assert told["tags.f1"] == pytest.approx(0.75)
    assert told["tags.f1_all"] == pytest.approx(2 * 2 / 6)
    # cup: found at .9 twice, then a false one; dog: found at .8, one missed
    assert told["boxes.ap50"] == pytest.approx((1 + 51 / 101) / 2)
    assert told["boxes.precision"] == pytest.approx(3 / 5)
    assert told["boxes.recall"] == pytest.approx(3 / 4)
    assert told["boxes.f1"] == pytest.approx(6 / 9)
    assert told["masks.ap50"] < told["boxes.ap50"]
    # background: 200 of 300 in the truth, told 200 right and none beside: a 200, b 200
    hits, truth, predicted = np.array([400, 200, 500]), np.array([400, 200, 600]), np.array([400, 300, 500])
    iou = hits / (truth + predicted - hits)
    assert told["pixels.miou"] == pytest.approx(iou.mean())
    assert told["pixels.miou_foreground"] == pytest.approx(iou[1:].mean())
    assert told["pixels.pixel_accuracy"] == pytest.approx(1100 / 1200)
    assert told["pixels.majority"] == pytest.approx(0.5)
    assert got.pixels.confusion == [[400, 0, 0], [0, 200, 0], [0, 100, 500]]


def test_the_whole_by_hand(got):
    told = values(got)
    assert told["whole.found"] == 1.0  # the dog of b lies under a box of another class
    assert told["whole.right_class"] == 0.75
    assert told["whole.right_outline"] == 0.5
    assert told["whole.all_right"] == pytest.approx(1 / 3)
    assert (got.whole.pictures, got.whole.things, got.whole.outline) == (3, 4, "masks")
    assert got.boxes.mistakes == {
        "right": 3, "place": 0, "class": 1, "duplicate": 0, "background": 1, "both": 0, "missed": 0,
    }  # fmt: skip


def test_every_picture_has_its_row_and_the_worst_comes_first(got):
    a, b, c, d = got.pictures
    assert (a.things, a.true, a.false, a.missed, a.outlined, a.pixel_iou, a.tags_wrong) == (
        2,
        2,
        0,
        0,
        2,
        1.0,
        0,
    )
    assert (b.label, b.answer, b.true, b.false, b.missed) == ("shop", "street", 0, 1, 1)
    assert (c.true, c.false, c.missed, c.outlined, c.pixel_iou, c.tags_wrong) == (1, 1, 0, 0, None, 1)
    assert (d.things, d.tags_wrong, d.pixel_iou) == (None, None, 1.0)
    assert [one.path for one in got.worst] == ["b.jpg", "c.jpg", "a.jpg", "d.jpg"]
    assert a.badness == 0


def test_main_scores_and_their_mean(got):
    scores = got.main_scores()
    assert list(scores) == list(HEADS)
    assert scores["boxes"] == got.metrics["boxes.ap50_95"].value
    assert got.score == pytest.approx(np.mean(list(scores.values())))


def test_equal_to_the_single_metrics(data, got):
    options = {"draws": 200, "seed": 0}
    truth = [sample.objects for sample in data]
    answers = [ANSWERS[name]["boxes"] for name in ANSWERS]
    for kind in ("boxes", "masks"):
        matches = match_detections(truth, answers, THINGS, kind=kind)
        section = getattr(got, kind)
        for name, estimate in measure_ap(matches, **options).items():
            assert section.estimates[name].to_dict() == pytest.approx(estimate.to_dict())
        coco = score_detections(truth, answers, THINGS, kind=kind).to_dict()
        assert {name: section.coco[name] for name in ("ap50_95", "ar100", "ap_small")} == {
            name: coco[name] for name in ("ap50_95", "ar100", "ap_small")
        }
        assert (section.estimates["precision"], section.estimates["recall"]) == precision_recall(matches, 0.5)
        assert section.mistakes == find_mistakes(matches, 0.5).totals
    planes = [None if s.pixels is None else read_pixels(s.pixels) for s in data]
    counts = count_pixels(zip(planes, (ANSWERS[n]["pixels"] for n in ANSWERS), strict=True), PIXELS)
    single = measure_pixels(counts, background="background", **options)
    assert got.pixels.estimates["miou"] == single["miou"]
    assert got.pixels.estimates["miou_foreground"] == single["miou_no_background"]
    assert got.pixels.estimates["boundary_f1"] == single["boundary_f1"]
    alone = build_evaluation(
        np.stack([ANSWERS[n]["probs"] for n in ANSWERS]),
        data.targets,
        CLASSES,
        paths=list(ANSWERS),
        **options,
    )
    assert got.classify.metrics == alone.metrics


def test_classes_are_matched_by_name(tmp_path, got):
    """The network's own order differs, and it knows more than the data does."""
    rows = [(*row[:4], None if row[4] is None else np.array([1, 2, 0], np.uint8)[row[4]]) for row in ROWS]
    data = dataset(tmp_path, rows, things=("dog", "cup"), pixels=("sky", "background", "dog"))
    wide = ClassNames([*THINGS, "zebra"])
    answers = {
        name: {**one, "boxes": Detections(
            np.concatenate([one["boxes"].boxes_xyxy, as_boxes([square(5, 5)])]),
            np.append(one["boxes"].labels, 2),
            np.append(one["boxes"].scores, np.float32(0.95)),
            (*one["boxes"].masks, shape(square(5, 5))),
        )}
        for name, one in ANSWERS.items()
    }  # fmt: skip
    other = evaluate_scenes(Told(answers, things=wide), data, None, draws=200)
    mine, theirs = values(got), values(other)
    assert {k: v for k, v in theirs.items() if math.isfinite(v)} == pytest.approx(
        {k: v for k, v in mine.items() if math.isfinite(v)}
    )
    assert [row["objects"] for row in other.boxes.per_class] == [2, 2, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"objects": [[thing("hat", square(0, 0))]] * 4},
            "class of boxes that the network does not know: hat",
        ),
        ({"labels": [["snow"]] * 4}, "tag that the network does not know: snow"),
    ],
)
def test_an_unknown_name_is_told(data, change, words):
    for name, cells in change.items():
        i = data.table.column_names.index(name)
        table = data.table.set_column(i, name, pa.array(cells, data.table[name].type))
    with pytest.raises(DatasetError, match=words) as caught:
        evaluate_scenes(
            Told(ANSWERS), Dataset(table, CLASSES, data.root, "street", {}, ClassNames(["hat"]), PIXELS), None
        )
    assert caught.value.fix


def test_an_unknown_class_of_pixels_or_of_pictures_is_told(tmp_path, data):
    with pytest.raises(DatasetError, match="class of pixels that the network does not know: sky"):
        evaluate_scenes(Told(ANSWERS, pixels=ClassNames(["background", "dog"])), data, None)
    with pytest.raises(DatasetError, match="no class of the model: street"):
        evaluate_scenes(Told(ANSWERS, heads=("class",), classes=ClassNames(["shop", "hall"])), data, None)


def test_partly_labelled_data_is_measured_where_somebody_looked(tmp_path):
    rows = [
        ("a.jpg", "shop", None, None, None),
        ("b.jpg", None, None, [thing("dog", square(0, 0), mask=False)], None),
        ("c.jpg", None, None, [], None),
        ("d.jpg", None, None, None, None),
    ]
    predictor = Told(ANSWERS)
    got = evaluate_scenes(predictor, dataset(tmp_path, rows), None, draws=50)
    assert got.heads == ("class", "boxes")
    assert (got.n, got.unlabelled) == (3, 1)
    assert predictor.asked == ["a.jpg", "b.jpg", "c.jpg"]
    assert (got.classify.n, got.boxes.pictures, got.boxes.unlabelled) == (1, 2, 1)
    assert got.tags is got.masks is got.pixels is got.panoptic is None
    # c has no thing: its two told ones are false
    assert got.metrics["boxes.precision"].value == 0.0
    assert got.whole.outline == "boxes"


def test_a_network_of_one_head(data):
    for head, name in (
        ("class", "accuracy"),
        ("tags", "tags.map"),
        ("pixels", "pixels.miou"),
        ("boxes", "boxes.ap50_95"),
    ):
        answers = {
            n: {k: v for k, v in one.items() if k == {"class": "probs"}.get(head, head)}
            for n, one in ANSWERS.items()
        }
        got = evaluate_scenes(Told(answers, heads=(head,)), data, None, draws=20)
        assert list(got.main_scores()) == [head]
        assert got.score == got.metrics[name].value
        assert got.pictures


def test_nothing_that_the_network_tells_is_labelled(tmp_path):
    rows = [("a.jpg", None, None, [], None)]
    with pytest.raises(DatasetError, match="labelled for what the network tells"):
        evaluate_scenes(Told(ANSWERS, heads=("class", "pixels")), dataset(tmp_path, rows), None)


def test_unreadable_pictures_are_listed(data):
    got = evaluate_scenes(Told({**ANSWERS, "b.jpg": "not a picture"}), data, None, draws=20)
    assert got.unreadable == [{"path": "b.jpg", "error": "not a picture"}]
    assert got.material.paths == ["a.jpg", "c.jpg", "d.jpg"]
    assert got.metrics["accuracy"].value == 1.0
    assert got.pixels.pictures == 2
    with pytest.raises(DatasetError, match="none of the 4 pictures of street can be read"):
        evaluate_scenes(Told(dict.fromkeys(ANSWERS, "broken")), data, None)


def test_a_truth_that_cannot_be_used_is_out_of_its_part_alone(data):
    (data.root / "masks" / "a.jpg.png").write_bytes(b"no picture")
    (data.root / "masks" / "b.jpg.png").write_bytes(encode_pixels(np.zeros((5, 7), np.uint8)))
    got = evaluate_scenes(Told(ANSWERS), data, None, draws=20)
    assert got.pixels.pictures == 1
    assert got.classify.n == 4
    assert [one["path"] for one in got.faulty] == ["a.jpg", "b.jpg"]
    assert "a mask of 7 x 5, the picture has 20 x 20" in got.faulty[1]["error"]


def test_masks_of_another_picture_size_are_left_out(data):
    i = data.table.column_names.index("width_px")
    table = data.table.set_column(i, "width_px", pa.array([SIDE, 2 * SIDE, SIDE, SIDE], pa.int32()))
    wrong = Dataset(table, CLASSES, data.root, "street", {}, THINGS, PIXELS)
    got = evaluate_scenes(Told(ANSWERS), wrong, None, draws=20)
    assert got.boxes.pictures == 2
    assert got.faulty == [{"path": "b.jpg", "error": "masks of 40 x 20, the picture has 20 x 20"}]


def test_short_answers_and_absent_parts_are_errors(data):
    class Lazy(Told):
        def predict(self, sources, *, least_score=None):
            yield next(super().predict(sources, least_score=least_score))

    with pytest.raises(ModelError, match="answered 1 of 4 pictures"):
        evaluate_scenes(Lazy(ANSWERS), data, None)
    with pytest.raises(ConfigError, match="no part 'test'"):
        evaluate_scenes(Told(ANSWERS), data)


def test_progress_is_told_and_no_draws_are_quick(data):
    seen = []
    got = evaluate_scenes(Told(ANSWERS), data, None, draws=0, on_progress=lambda *at: seen.append(at))
    assert seen == [(i, 4) for i in range(1, 5)]
    assert math.isnan(got.metrics["boxes.ap50"].low)
    assert math.isnan(got.metrics["boxes.ece"].low)
    assert got.main_scores() == evaluate_scenes(Told(ANSWERS), data, None, draws=20).main_scores()
    json.dumps(got.to_dict(), allow_nan=False)


def test_saved_and_loaded_it_is_the_same(tmp_path, got, data):
    path = got.save(tmp_path / "evaluation")
    assert path.name == "all.json"
    assert json.loads(path.read_text())["task"] == "scene"
    again = SceneEvaluation.load(path)
    assert again.to_dict() == got.to_dict()
    assert again.pictures == got.pictures
    assert again.at(0.05).to_dict() == got.at(0.05).to_dict()
    assert {
        head: one.difference.value for head, one in compare_scenes(got, again, draws=50).items()
    } == dict.fromkeys(HEADS, 0.0)
    few = {name: {k: v for k, v in one.items() if k == "pixels"} for name, one in ANSWERS.items()}
    other = evaluate_scenes(Told(few, heads=("pixels",)), data, None, draws=20)
    assert SceneEvaluation.load(other.save(tmp_path / "pixels")).to_dict() == other.to_dict()


def test_damaged_files_are_told(tmp_path, got):
    path = got.save(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        SceneEvaluation.load(tmp_path / "test.json")
    about = json.loads(path.read_text())
    for damage in ({"n": 5}, {"task": "classify"}, {"boxes": {}}, {"object_classes": []}):
        path.write_text(json.dumps({**about, **damage}))
        if damage != {"object_classes": []}:
            with pytest.raises(DatasetError, match="is not an evaluation of a network of several heads"):
                SceneEvaluation.load(path)
    path.write_text(json.dumps(about))
    path.with_suffix(".npz").write_bytes(b"PK" + bytes(40))
    with pytest.raises(DatasetError, match="is not an evaluation"):
        SceneEvaluation.load(path)


def test_another_score_needs_no_new_answers(got):
    low = got.at(0.05)
    assert low.boxes.estimates["precision"].value == pytest.approx(3 / 6)
    assert low.metrics["boxes.ap50"] == got.metrics["boxes.ap50"]
    assert low.pictures[2].false == 2
    assert low.panoptic is None
    assert got.at(0.5).to_dict() == got.to_dict()
    assert low.told_from == 0.05


def test_two_networks_are_compared_on_common_pictures(data, got):
    worse = {name: {**one, "boxes": Detections.none(), "probs": probs(0.9)} for name, one in ANSWERS.items()}
    other = evaluate_scenes(Told(worse, heads=("class", "boxes")), data, None, draws=20)
    told = compare_scenes(got, other, draws=100)
    assert list(told) == ["class", "boxes"]
    assert told["boxes"].difference.value == pytest.approx(got.metrics["boxes.ap50_95"].value)
    assert told["class"].difference.value == pytest.approx(0.75 - 0.5)
    assert (told["class"].n, told["boxes"].n) == (4, 3)
    assert told["boxes"].difference.low <= told["boxes"].difference.value <= told["boxes"].difference.high
    only = evaluate_scenes(
        Told({name: {"pixels": one["pixels"]} for name, one in ANSWERS.items()}, heads=("pixels",)),
        data,
        None,
        draws=20,
    )
    assert compare_scenes(only, got)["pixels"].difference.value == 0.0
    with pytest.raises(DatasetError, match="in what both tell"):
        compare_scenes(only, other)


def test_one_unreadable_picture_leaves_the_others_to_compare(data, got):
    other = evaluate_scenes(Told({**ANSWERS, "a.jpg": "broken"}), data, None, draws=20)
    assert compare_scenes(got, other, draws=20)["pixels"].n == 2
    assert compare_scenes(got, other, draws=20)["masks"].difference.value == 0.0


def test_a_threshold_is_picked_for_the_card(got):
    picked = pick_box_threshold(got)
    assert picked["target"] == "f1"
    assert picked["score"] == pytest.approx(0.8)  # 3 right, none false, one missed
    assert picked["value"] == pytest.approx(6 / 7)
    assert picked["recall"]["value"] == 0.75
    json.dumps(picked, allow_nan=False)
    assert pick_box_threshold(got.material.boxes, "precision", 1.0)["score"] == pytest.approx(0.8)
    with pytest.raises(ConfigError, match="needs a value"):
        pick_box_threshold(got, "recall")
    with pytest.raises(ConfigError, match="no score has a recall of 1"):
        pick_box_threshold(got, "recall", 1.0)
    with pytest.raises(ConfigError, match="the best F1 needs no value"):
        pick_box_threshold(got, "f1", 0.5)


def test_a_score_that_a_card_can_hold(tmp_path, data):
    """A network that is sure of everything says 1, and a card holds scores below it."""
    sure = found((0, square(0, 0), 1.0), (1, square(10, 10), 1.0))
    got = evaluate_scenes(
        Told({**ANSWERS, "a.jpg": {**ANSWERS["a.jpg"], "boxes": sure}}), data, None, draws=20
    )
    for target, value in (("cost", 1e-3), ("precision", 1.0), ("f1", None)):
        picked = pick_box_threshold(got, target, value)
        assert 0.5 < picked["score"] < 1


def test_pictures_of_a_group_are_one_case_of_a_threshold(tmp_path):
    groups = pa.array(["one", "one", "one", "one"])
    apart = evaluate_scenes(Told(ANSWERS), dataset(tmp_path, ROWS), None, draws=20)
    (tmp_path / "again").mkdir()
    together = evaluate_scenes(Told(ANSWERS), dataset(tmp_path / "again", ROWS, group=groups), None, draws=20)
    wide, narrow = (pick_box_threshold(one)["recall"] for one in (together, apart))
    assert wide["value"] == narrow["value"]
    assert (wide["low"], wide["high"]) != (narrow["low"], narrow["high"])


def test_no_threshold_where_nothing_was_found(tmp_path, data):
    blind = {name: {**one, "boxes": Detections.none()} for name, one in ANSWERS.items()}
    got = evaluate_scenes(Told(blind), data, None, draws=20)
    assert pick_box_threshold(got) == {}
    assert got.metrics["boxes.ap50"].value == 0.0
    assert math.isnan(got.metrics["boxes.precision"].value)
    only = evaluate_scenes(
        Told({n: {"probs": o["probs"]} for n, o in ANSWERS.items()}, heads=("class",)), data, None
    )
    with pytest.raises(ConfigError, match="no boxes were measured"):
        pick_box_threshold(only)


def test_groups_are_drawn_whole(tmp_path):
    groups = pa.array(["one", "one", "two", "two"])
    got = evaluate_scenes(Told(ANSWERS), dataset(tmp_path, ROWS, group=groups), None, draws=50)
    assert got.interval["of"] == "groups"
    assert got.interval["groups"] == 2


def test_tags_agree_with_scikit_learn():
    rng = np.random.default_rng(3)
    truth = (rng.random((200, 4)) < [0.1, 0.4, 0.0, 1.0]).astype(np.int8)
    scores = np.round(rng.random((200, 4)), 1).astype(np.float32)  # many ties
    found = measure_tags(TagAnswers(truth, scores), ClassNames("abcd"), draws=20)
    for t in (0, 1):
        assert found.per_class[t]["ap"]["value"] == pytest.approx(
            average_precision_score(truth[:, t], scores[:, t])
        )
    assert [found.per_class[t]["ap"]["value"] for t in (2, 3)] == [None, None]
    weights = rng.integers(0, 3, (1, 200)).astype(float)
    drawn = tag_scores(TagAnswers(truth, scores))(weights)["ap 1"][0]
    assert drawn == pytest.approx(
        average_precision_score(truth[:, 1], scores[:, 1], sample_weight=weights[0])
    )


def test_a_tag_that_nobody_looked_for_does_not_count():
    truth = np.array([[1, -1], [0, -1], [0, 1]], np.int8)
    scores = np.array([[0.9, 0.9], [0.2, 0.9], [0.1, 0.9]], np.float32)
    found = measure_tags(TagAnswers(truth, scores), ClassNames("ab"), draws=20)
    assert found.estimates["map"].value == 1.0
    assert [row["pictures"] for row in found.per_class] == [3, 1]


def test_crowds_count_for_nothing(tmp_path):
    objects = [thing("cup", square(0, 0)), thing("dog", square(10, 10), crowd=True)]
    rows = [("a.jpg", "shop", None, objects, None)]
    got = evaluate_scenes(Told(ANSWERS), dataset(tmp_path, rows), None, draws=20)
    assert (got.pictures[0].things, got.pictures[0].true, got.pictures[0].false) == (1, 1, 0)
    assert got.metrics["whole.all_right"].value == 1.0


def test_objects_keep_their_masks(data, got):
    assert isinstance(got.material.truth[0], Objects)
    assert got.material.truth[3] is None
    assert got.material.truth[0].masks[0] == shape(square(0, 0))
    assert set(got.material.planes) == {0, 1, 3}


@pytest.mark.shared
def test_the_truth_itself_is_perfect_on_real_pictures(shared_data):
    """COCO's crowds, holes and empty pictures."""
    data = read_dataset(shared_data / "tiny-coco" / "annotations" / "instances_val2017.json")

    class Perfect:
        card = SimpleNamespace(
            heads=("boxes", "masks"),
            classes=ClassNames([]),
            object_classes=data.object_classes,
            pixel_classes=ClassNames([]),
            thresholds={},
            name="truth",
        )

        def predict(self, sources, *, least_score=None):
            for source, sample in zip(sources, data, strict=True):
                own = sample.objects
                single = np.flatnonzero(~own.crowd)
                told = Detections(
                    own.boxes_xyxy[single],
                    own.labels[single],
                    np.full(len(single), 0.9),
                    tuple(own.masks[i] for i in single),
                )
                yield Prediction(
                    str(source), ClassNames([]), np.zeros(0, np.float32), sample.size_hw, boxes=told
                )

    got = evaluate_scenes(Perfect(), data, None, draws=20)
    told = values(got)
    assert got.n == len(data)
    assert not got.faulty
    for name in ("boxes.ap50_95", "masks.ap50_95", "boxes.precision", "masks.recall", "whole.all_right"):
        assert told[name] == 1.0, name
