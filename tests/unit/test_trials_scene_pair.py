"""Two networks of several heads are compared in what both tell; beside a classifier one is its class alone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.evaluate import build_evaluation
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.objects import objects_type
from assay.report.pair_page import render_pair
from assay.trials.pair import compare, read_pair
from assay.trials.scene_pair import SceneComparison
from assay.types import Dataset, Prediction

CLASSES, THINGS = ClassNames(["shop", "street"]), ClassNames(["cup", "dog"])
SIDE, N = 40, 24
BOX = [4.0, 4.0, 24.0, 24.0]


class Told:
    """A predictor that is right about the first so many classes, and finds the first so many things."""

    def __init__(self, name, *, classes=None, things=None, broken=()):
        self.right, self.found, self.broken = classes, things, broken
        heads = (*(["class"] if classes is not None else []), *(["boxes"] if things is not None else []))
        self.card = SimpleNamespace(
            heads=heads,
            classes=CLASSES,
            object_classes=THINGS,
            pixel_classes=ClassNames([]),
            thresholds={"boxes": {"score": 0.5}},
            name=name,
        )

    def predict(self, sources, *, least_score=None):
        for source in sources:
            i = int(source.stem)
            if i in self.broken:
                yield Prediction(str(source), CLASSES, np.zeros(0, np.float32), error="broken")
                continue
            probs, boxes = np.zeros(0, np.float32), None
            if self.right is not None:
                said = i % 2 if i < self.right else 1 - i % 2
                probs = np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1
            if self.found is not None:
                labels = np.array([i % 2] if i < self.found else [], np.int64)
                scores = np.full(len(labels), 0.9, np.float32)
                boxes = Detections(as_boxes([BOX] * len(labels)), labels, scores)
            yield Prediction(str(source), CLASSES, probs, (SIDE, SIDE), boxes=boxes, object_classes=THINGS)


@pytest.fixture
def data(tmp_path):
    for i in range(N):
        Image.new("RGB", (SIDE, SIDE), (10 * i, 90, 90)).save(tmp_path / f"{i}.png")
    objects = [[{"label": THINGS[i % 2], "box": BOX, "mask": None, "crowd": False}] for i in range(N)]
    table = pa.table(
        {
            "path": pa.array([f"{i}.png" for i in range(N)]),
            "label": pa.array([CLASSES[i % 2] for i in range(N)]),
            "objects": pa.array(objects, objects_type()),
            "part": pa.array(["test"] * N),
        }
    )
    return Dataset(table, CLASSES, tmp_path, "streets", {}, THINGS, ClassNames([]))


def measured(data, name, **told):
    return evaluate_scenes(Told(name, **told), data, "test", draws=20)


def classifier(data, right=N, labels=None, root=None):
    """A classifier's evaluation of the same pictures."""
    said = np.where(np.arange(N) < right, np.arange(N) % 2, 1 - np.arange(N) % 2)
    return build_evaluation(
        np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1,
        np.arange(N) % 2 if labels is None else labels,
        CLASSES,
        paths=[f"{i}.png" for i in range(N)],
        part="test",
        model="plain",
        root=str(root or data.root),
        draws=20,
    )


def test_every_head_has_its_difference(data):
    a = measured(data, "good", classes=24, things=20)
    b = measured(data, "poor", classes=24, things=6)
    c = compare(a, b, draws=200)
    assert isinstance(c, SceneComparison)
    assert list(c.heads) == ["class", "boxes"]
    assert (c.a, c.b, c.n, c.part) == ("good", "poor", N, "test")
    assert c.heads["class"].difference.value == 0.0
    assert c.heads["boxes"].a - c.heads["boxes"].b == pytest.approx(c.heads["boxes"].difference.value)
    assert (c.better_in("class"), c.better_in("boxes")) == (None, "good")
    assert c.verdict == "good is better than poor in boxes"
    assert compare(b, a, draws=200).verdict == "good is better than poor in boxes"
    json.dumps(c.to_dict(), allow_nan=False)
    assert c.to_dict()["heads"]["boxes"]["better"] == "good"


def test_where_they_part_most_comes_first(data):
    a = measured(data, "a", classes=24, things=10)
    b = measured(data, "b", classes=4, things=8)
    c = compare(a, b, draws=20)
    assert len(c.partings) == 20  # the classes of 20 pictures, and among them the things of two
    first = c.partings[0]
    assert first.difference == pytest.approx(-1.0)  # a: all right; b: class and thing wrong
    assert {one.a.path for one in c.partings[:2]} == {"8.png", "9.png"}
    assert abs(c.partings[2].difference) == pytest.approx(0.5)


def test_either_may_be_better_in_something(data):
    c = compare(
        measured(data, "a", classes=24, things=4), measured(data, "b", classes=6, things=24), draws=200
    )
    assert c.verdict == "a is better in class, b in boxes"


def test_equal_networks_are_not_told_apart(data):
    one = measured(data, "one", classes=20, things=12)
    c = compare(one, measured(data, "two", classes=20, things=12), draws=50)
    assert c.verdict == "24 pictures do not show which of one and two is better"
    assert c.partings == ()
    assert compare(one, one, draws=20).a == "one (first)"


def test_only_what_both_tell_is_compared(data):
    both = measured(data, "both", classes=20, things=12)
    boxes = measured(data, "boxes alone", things=12)
    c = compare(both, boxes, draws=20)
    assert list(c.heads) == ["boxes"]
    assert c.partings == ()  # a wrong class does not count where only one tells it
    assert any("both also tells class" in note for note in c.notes)
    with pytest.raises(DatasetError, match="in what both tell"):
        compare(boxes, measured(data, "class alone", classes=20))


def test_a_network_of_several_heads_beside_a_classifier_is_its_class(data):
    several = measured(data, "several", classes=12, things=12)
    pair = read_pair(several, classifier(data), draws=50)
    assert pair.comparison.better == "plain"
    assert pair.comparison.n == N
    assert "several also tells boxes: only the class is compared." in pair.comparison.notes
    assert "several" in render_pair(pair)
    turned = compare(classifier(data), several, draws=50)
    assert turned.difference.value == pytest.approx(0.5)


def test_a_network_without_a_class_is_no_match_for_a_classifier(data):
    with pytest.raises(ConfigError, match="nothing in common") as told:
        compare(measured(data, "finder", things=12), classifier(data))
    assert told.value.got == "a network that tells boxes, and a classifier"
    assert "--heads class" in told.value.fix


def test_other_pictures_and_other_parts_are_told(data, tmp_path):
    several = measured(data, "several", classes=12, things=12)
    few = measured(data.take(list(range(5))), "few", classes=5, things=5)
    with pytest.raises(DatasetError, match="the same pictures"):
        compare(several, few)
    with pytest.raises(DatasetError, match="two labels"):
        compare(several, classifier(data, labels=1 - np.arange(N) % 2))
    file = several.save(tmp_path / "several")
    with pytest.raises(DatasetError, match="is about part test"):
        compare(file, file, part="validation")


def test_saved_evaluations_give_text_json_and_a_page(cli, data, tmp_path):
    files = [
        measured(data, name, classes=right, things=found).save(tmp_path / name)
        for name, right, found in (("old", 20, 6), ("new", 22, 22))
    ]
    told = cli("compare", *files, "--out", tmp_path / "page.html")
    assert told.code == 0, told.err
    assert "new is better than old in boxes" in told.out
    assert "boxes, AP50-95" in told.out
    assert "not shown" in told.out
    page = (tmp_path / "page.html").read_text()
    assert "new does better than old" in page
    assert page.count("data:image/webp") >= 2
    assert "<script" not in page
    values = json.loads(cli("compare", *files, "--json", "--out", tmp_path / "again.html").out)
    assert values["task"] == "scene"
    assert values["heads"]["boxes"]["better"] == "new"
    assert values["page"].endswith("again.html")


def test_the_page_stands_without_its_pictures(data, tmp_path):
    pair = read_pair(
        measured(data, "a", classes=24, things=10), measured(data, "b", classes=20, things=20), draws=20
    )
    for i in range(N):
        (tmp_path / f"{i}.png").unlink()
    page = render_pair(pair)
    assert "The picture is not where it was" in page
    assert "a does better than b" in page
    assert "b does better than a" in page
