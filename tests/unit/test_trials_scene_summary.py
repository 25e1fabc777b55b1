"""Networks of several heads beside each other: their score is the mean of their heads', on drawings common to all."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.models.multitask import Heads
from assay.objects import objects_type
from assay.report.trials_page import render_trials
from assay.report.trials_table import head_rows, table_rows
from assay.report.trials_words import headline, points, second_line
from assay.trials.conclude import conclude
from assay.trials.lineup import check_networks, line_up
from assay.trials.request import ask_for
from assay.trials.row import Row
from assay.trials.scene_summary import draw_scores, scene_tests, score_scenes
from assay.trials.trials import Network, Trials
from assay.types import Dataset, Prediction

CLASSES, THINGS = ClassNames(["shop", "street"]), ClassNames(["cup", "dog"])
N, BOX = 30, [4.0, 4.0, 24.0, 24.0]


class Told:
    """A predictor that is right about the first so many classes, and finds the first so many things."""

    def __init__(self, classes, things, heads=("class", "boxes")):
        self.right, self.found = classes, things
        self.card = SimpleNamespace(
            heads=heads,
            classes=CLASSES,
            object_classes=THINGS,
            pixel_classes=ClassNames([]),
            thresholds={"boxes": {"score": 0.5}},
            name="told",
        )

    def predict(self, sources, *, least_score=None):
        for source in sources:
            i = int(source.stem)
            said = i % 2 if i < self.right else 1 - i % 2
            labels = np.array([i % 2] if i < self.found else [], np.int64)
            yield Prediction(
                str(source),
                CLASSES,
                np.eye(2, dtype=np.float32)[said] * 0.8 + 0.1,
                (40, 40),
                boxes=Detections(
                    as_boxes([BOX] * len(labels)), labels, np.full(len(labels), 0.9, np.float32)
                ),
                object_classes=THINGS,
            )


def data(root, part="test", n=N, groups=None):
    objects = [[{"label": THINGS[i % 2], "box": BOX, "mask": None, "crowd": False}] for i in range(n)]
    columns = {
        "path": pa.array([f"{i}.png" for i in range(n)]),
        "label": pa.array([CLASSES[i % 2] for i in range(n)]),
        "objects": pa.array(objects, objects_type()),
        "part": pa.array([part] * n),
    }
    columns |= {} if groups is None else {"group": pa.array(groups)}
    return Dataset(pa.table(columns), CLASSES, root, "streets", {}, THINGS, ClassNames([]))


def measured(root, classes, things, part="test", **about):
    return evaluate_scenes(Told(classes, things), data(root, part, **about), part, draws=10)


def test_the_score_of_every_drawing_is_the_mean_of_the_heads(tmp_path):
    e = measured(tmp_path, 24, 12)
    drawn = draw_scores({"net": {0: e}}, draws=50)
    assert drawn.observed["net"] == pytest.approx([e.score])
    assert drawn.drawn["net"].shape == (1, 50)
    score = score_scenes([e], "net", drawn)
    assert score.score.mean == pytest.approx(e.score)
    assert score.interval.low < e.score < score.interval.high
    assert score.metrics["boxes.ap50_95"].mean == pytest.approx(e.metrics["boxes.ap50_95"].value)


def test_a_clear_winner_is_shown_and_an_equal_is_not(tmp_path):
    found = {
        "good": {0: measured(tmp_path, 30, 28), 1: measured(tmp_path, 29, 28)},
        "equal": {0: measured(tmp_path, 29, 28), 1: measured(tmp_path, 30, 27)},
        "poor": {0: measured(tmp_path, 12, 6), 1: measured(tmp_path, 13, 6)},
    }
    tests = {test.a: test for test in scene_tests(draw_scores(found, draws=300), "good")}
    assert tests["poor"].better == "good"
    assert tests["poor"].wide.value == pytest.approx(
        np.mean([e.score for e in found["poor"].values()])
        - np.mean([e.score for e in found["good"].values()])
    )
    assert len(tests["poor"].by_seed) == 2
    assert tests["equal"].better is None
    assert tests["poor"].p_mcnemar is None


def test_a_few_pictures_or_groups_show_nothing(tmp_path):
    few = {"a": {0: measured(tmp_path, 4, 4, n=4)}, "b": {0: measured(tmp_path, 0, 0, n=4)}}
    assert scene_tests(draw_scores(few, draws=100), "a")[0].better is None
    groups = [f"g{i % 3}" for i in range(N)]
    grouped = {
        "a": {0: measured(tmp_path, 30, 30, groups=groups)},
        "b": {0: measured(tmp_path, 3, 3, groups=groups)},
    }
    drawn = draw_scores(grouped, draws=100)
    assert drawn.units == 3
    assert scene_tests(drawn, "a")[0].p >= 0.25


def test_other_pictures_or_heads_are_refused(tmp_path):
    whole = measured(tmp_path, 20, 20)
    with pytest.raises(DatasetError, match="other pictures") as told:
        draw_scores({"a": {0: whole}, "b": {0: measured(tmp_path, 5, 5, n=10)}})
    assert "20 pictures differ" in told.value.got
    alone = evaluate_scenes(Told(20, 20, heads=("boxes",)), data(tmp_path), "test", draws=10)
    with pytest.raises(DatasetError, match="other heads"):
        draw_scores({"a": {0: whole}, "b": {0: alone}})


@pytest.fixture
def trials(tmp_path):
    """A finished comparison of two networks with two seeds, as its runs' evaluations tell it."""
    rows = []
    for name, shares in (("csp-nano", (28, 26)), ("csp-small", (14, 8))):
        for seed in range(2):
            run = tmp_path / "runs" / f"{name}-{seed}"
            found = [measured(tmp_path, shares[0] - seed, shares[1], part) for part in ("validation", "test")]
            for e in found:
                e.save(run / "evaluation")
            scores = {e.part: {"score": e.score, **{k: v.value for k, v in e.metrics.items()}} for e in found}
            place, curve = f"runs/{name}-{seed}", [[1.0, 2.0, 0.3], [2.0, 4.0, 0.5]]
            rows.append(
                Row(
                    name,
                    seed,
                    "finished",
                    "",
                    place,
                    10,
                    0.5,
                    8,
                    32,
                    2.0,
                    json.loads(json.dumps(scores)),
                    curve,
                )
            )
    request = ask_for("x", ["csp-nano", "csp-small"], seeds=2, options={"epochs": 2}).to_dict()
    facts = {"name": "streets", "heads": ["class", "boxes"], "classes": list(CLASSES), "parts": {}}
    networks = tuple(
        Network(name, name, "CNN", {}, 10 + 90 * i, 100) for i, name in enumerate(("csp-nano", "csp-small"))
    )
    return conclude(Trials(tmp_path, request, facts, tuple(rows), networks))


def test_networks_are_ranked_by_their_score(trials):
    assert (trials.best, trials.metric) == ("csp-nano", "score")
    assert trials.tests["best"][0].better == "csp-nano"
    best = trials.network("csp-nano")
    assert best.score("test") == pytest.approx(best.scores["test"].metrics["score"].mean)
    assert best.accuracy("test") == pytest.approx((28 + 27) / 2 / N)
    trials.save()
    assert Trials.load(trials.folder) == trials
    columns = (trials.folder / "trials.csv").read_text().splitlines()[0]
    assert "epochs,validation_score,validation_accuracy,validation_boxes.ap50_95,test_score" in columns


def test_words_and_tables_tell_scores_by_head(trials):
    assert headline(trials) == "csp-nano is the best of these networks on this data."
    assert "Its score, the mean over class and boxes, is 0.8" in second_line(trials)
    assert "csp-nano has the highest score in every head." in points(trials)
    assert head_rows(trials)[0] == ("test", "accuracy", "boxes, AP50-95")
    assert [row[0] for row in head_rows(trials)[1:]] == ["csp-nano", "csp-small"]
    assert "%" not in table_rows(trials)[1][2]
    page = render_trials(trials)
    assert "Scores by head" in page
    assert "McNemar" not in page
    assert "Score on validation while training" in page


def test_sizes_are_those_with_all_heads():
    heads = Heads(classes=2, boxes=3, masks=True)
    alone, both = (line_up(ask_for("x", ["csp-nano", "csp-small"]), ends)[0] for ends in (2, heads))
    assert both.parameters > alone.parameters
    assert both.macs > alone.macs
    request = ask_for("x", ["csp-nano", "csp-small"], equal="params", params=400_000, options={"size": 64})
    for contender in line_up(request, heads):
        assert contender.options["width"] != 1.0
        assert contender.parameters == pytest.approx(400_000, rel=0.2)  # necks grow in steps
        assert bool(contender.note) == (abs(contender.parameters / 400_000 - 1) > 0.05)


def test_a_network_that_cannot_tell_all_of_it_is_told():
    check_networks(ask_for("x", ["csp-nano", "maskrcnn_resnet50_fpn"]))
    with pytest.raises(ConfigError, match="maskrcnn_resnet50_fpn finds boxes and nothing else") as told:
        check_networks(
            ask_for("x", ["csp-nano", "maskrcnn_resnet50_fpn"]), Heads(classes=2, boxes=3, masks=True)
        )
    assert told.value.got == "heads class, boxes, masks"
    with pytest.raises(ConfigError, match="cnn is a classifier alone"):
        check_networks(ask_for("x", ["csp-nano", "cnn"]), Heads(boxes=3))
    with pytest.raises(ConfigError, match="heads is the same for all networks"):
        ask_for("x", ["csp-nano", "csp-small:heads=boxes"])
