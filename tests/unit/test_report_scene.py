"""The page about a network of several heads: what stands in it, what it does without, and what it never does."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.card import Card
from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.metrics.evaluation import Evaluation
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.objects import objects_type
from assay.pixel_masks import encode_pixels
from assay.report.material import read_material
from assay.report.scene_names import value_text
from assay.report.scene_shots import outcomes
from assay.report.scene_text import mistakes_line, summary_rows
from assay.report.scene_words import cautions, headline, points
from assay.report.write import write_report
from assay.train.retell import retell
from assay.types import Dataset, Prediction

HEADS = ("class", "tags", "boxes", "masks", "pixels")
SIZE_HW = (240, 320)
CLASSES = ClassNames(["ant", "<b>猫</b>"])
PIXELS = ClassNames(["background", "leaf"])


class Told:
    def __init__(self, scene, heads=HEADS):
        self.scene, self.heads, self.rng = scene, heads, np.random.default_rng(5)
        self.card = SimpleNamespace(
            heads=heads,
            classes=CLASSES,
            object_classes=scene.classes,
            pixel_classes=PIXELS,
            thresholds={"boxes": {"score": 0.4, "target": "cost", "value": 2.0}},
            name="first",
        )

    def predict(self, sources, *, least_score=None):
        for i, source in enumerate(sources):
            probs = self.rng.dirichlet([1, 1]).astype(np.float32)
            pixels = self.rng.integers(0, 2, SIZE_HW).astype(np.uint8)
            yield Prediction(
                str(source),
                CLASSES,
                probs,
                SIZE_HW,
                tags=self.rng.random(2).astype(np.float32) if "tags" in self.heads else None,
                boxes=self.scene.found[i] if "boxes" in self.heads else None,
                pixels=pixels if "pixels" in self.heads else None,
                object_classes=self.scene.classes,
                pixel_classes=PIXELS,
            )


@pytest.fixture
def measure(tmp_path, draw_scene):
    """``measure(heads)``: 12 pictures on disk, answered and measured."""

    def of(heads=HEADS, part="test"):
        scene = draw_scene(3, 12, masks=True)
        rng = np.random.default_rng(1)
        (tmp_path / "data").mkdir(exist_ok=True)
        for i in range(12):
            noise = rng.integers(0, 255, (*SIZE_HW, 3)).astype(np.uint8)
            Image.fromarray(noise).save(tmp_path / "data" / f"{i}.png")
            plane = np.zeros(SIZE_HW, np.uint8)
            plane[:, : 20 * i] = 1
            (tmp_path / "data" / f"mask{i}.png").write_bytes(encode_pixels(plane))
        objects = [None if one is None else one.to_rows(scene.classes) for one in scene.truth]
        table = pa.table(
            {
                "path": [f"{i}.png" for i in range(12)],
                "label": [CLASSES[i % 2] for i in range(12)],
                "labels": pa.array([[CLASSES[i % 2]] for i in range(12)], pa.list_(pa.string())),
                "objects": pa.array(objects, objects_type()),
                "pixels": [f"mask{i}.png" for i in range(12)],
                "height_px": pa.array([SIZE_HW[0]] * 12, pa.int32()),
                "width_px": pa.array([SIZE_HW[1]] * 12, pa.int32()),
                "part": [part] * 12,
            }
        )
        data = Dataset(table, CLASSES, tmp_path / "data", "garden", {}, scene.classes, PIXELS)
        return evaluate_scenes(Told(scene, heads), data, part, draws=50)

    return of


@pytest.fixture
def run(tmp_path, measure):
    folder = tmp_path / "run"
    folder.mkdir()
    measure().save(folder / "evaluation")
    measure(part="validation").save(folder / "evaluation")
    record = {
        "command": ["assay", "train", "my garden", "minutes=3"],
        "recipe": {"train": {"batch": 16, "lr": None}, "model": {"model": "csp-nano", "heads": None}},
        "resolved": {"train": {"lr": 0.002}},
        "dataset": "garden",
        "split_hash": "0123456789abcdef",
        "minutes": 3.0,
        "status": "finished",
    }
    (folder / "run.json").write_text(json.dumps(record))
    card = {"task": "scene", "thresholds": {"boxes": {"score": 0.4, "target": "cost", "value": 2.0}}}
    (folder / "card.json").write_text(json.dumps(card))
    lines = [
        {
            "kind": "step",
            "step": i,
            "epoch": i / 4,
            "lr": 0.01,
            "loss": 2 / i,
            "boxes": 3 / i,
            "pixels": 1 / i,
        }
        for i in range(1, 9)
    ]
    scores = {"loss": 0.5, "ap50_95": 0.3, "miou": 0.6}
    lines += [{"kind": "epoch", "epoch": e, "step": 4 * e, "validation": scores} for e in (1, 2)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_page_holds_what_was_promised(run):
    place = write_report(run)
    assert place == run / "report.html"
    page = place.read_text("utf-8")
    for expected in (
        "On 12 test pictures it is right about the class in",
        "which validation picked for the least cost, a missed thing counting as 2 false",
        "On the validation part (12 pictures)",
        "What kinds of mistakes",
        "told, but not there",
        "Where the pixels overlap least",
        "masks, AP50-95",
        "COCO's numbers",
        "Confusion of pixels",
        "assay train &#39;my garden&#39; minutes=3",
        "0123456789abcdef",
        "(decided by Assay)",
        "a bootstrap over pictures (50 draws)",
    ):
        assert expected in page, expected
    assert page.count("data:image/webp;base64,") >= 12 + 2 * 6
    loads_nothing(page)
    assert "<b>猫</b>" not in page
    assert "&lt;b&gt;猫&lt;/b&gt;" in page
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert (
        len(svgs) == 7
    )  # of each head and of all, scores, learning rate, precision and recall, scores of both kinds
    assert not any("#0103" in svg for svg in svgs)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    anchors = set(re.findall(r'href="#([a-z]+)"', page))
    assert anchors <= set(re.findall(r'<section id="([a-z]+)"', page))


def loads_nothing(page):
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("heads", [("class",), ("tags",), ("boxes",), ("boxes", "masks"), ("pixels",)])
def test_page_of_some_heads_has_no_other_sections(measure, tmp_path, heads):
    page = write_report(measure(heads), tmp_path / "page.html").read_text("utf-8")
    loads_nothing(page)
    for head, anchor in (("class", "classes"), ("tags", "tags"), ("boxes", "things"), ("pixels", "pixels")):
        assert (f'<section id="{anchor}"' in page) == (head in heads)


def test_pictures_that_are_gone_cost_their_own_place_alone(measure, tmp_path):
    e = measure()
    for path in (tmp_path / "data").glob("*.png"):
        path.unlink()
    page = write_report(e, tmp_path / "page.html").read_text("utf-8")
    assert "data:image/webp" not in page
    assert "The picture is not where it was, or not what it was" in page


def test_a_picture_of_another_size_is_not_drawn_on(measure, tmp_path):
    e = measure(("boxes",))
    for path in (tmp_path / "data").glob("?.png"):
        Image.new("RGB", (32, 32)).save(path)
    page = write_report(e, tmp_path / "page.html").read_text("utf-8")
    assert page.count("data:image/webp") <= 2  # 10.png and 11.png are as they were


def test_damaged_and_missing_evaluations_are_told(run):
    (run / "evaluation" / "test.npz").write_bytes(b"no arrays")
    found = read_material(run)
    assert list(found.scenes) == ["validation"]
    assert any("test.json" in note for note in found.notes)
    (run / "evaluation" / "validation.json").unlink()
    page = write_report(run).read_text("utf-8")
    assert "This run has not been measured" in page


def test_evaluation_needs_a_place(measure):
    with pytest.raises(ConfigError, match="needs a place"):
        write_report(measure(("class",)))


def test_a_scene_is_no_classifier_evaluation(run):
    with pytest.raises(DatasetError, match="is not an evaluation") as caught:
        Evaluation.load(run / "evaluation" / "test.json")
    assert "tells more than a class" in str(caught.value)


def test_outcomes_agree_with_the_counts(measure):
    e = measure()
    for one in e.pictures:
        told, right, missed = outcomes(e, one.row)
        assert int(right.sum()) == one.true
        assert len(told) - int(right.sum()) == one.false
        assert len(missed) == one.missed
        assert (told.scores >= e.told_from).all()


def test_words(measure):
    e = measure(("boxes", "pixels"))
    assert re.fullmatch(
        r"On 12 test pictures it finds and rightly names \d+\.\d.% of the things "
        r"and meets the pixels with a mean IoU of 0\.\d{3}\.",
        headline(e),
    )
    said = " ".join(points(e, {}))
    assert "Things are told from a score of 0.40 on: " in said
    assert "Its commonest mistake with things is" in said
    assert "always naming the commonest class would give" in said
    assert headline(measure(("tags",))).startswith("On 12 test pictures it ranks tags")
    assert "These pictures also chose the weights, so expect a little less on new ones." in cautions(
        measure(("class",), part="validation")
    )


def test_text_of_mistakes_and_summary(measure):
    none = dict.fromkeys(("right", "place", "class", "duplicate", "background", "both", "missed"), 0)
    assert mistakes_line(none) == "mistakes: none"
    assert mistakes_line({**none, "missed": 1200, "duplicate": 2}) == "mistakes: 1,200 missed, 2 told twice"
    rows = summary_rows([measure(), measure(part="validation")])
    assert rows[0] == ("", "test (12 pictures)", "validation (12 pictures)")
    assert [row[0] for row in rows[1:]] == [
        "accuracy",
        "tags, mAP",
        "boxes, AP50-95",
        "masks, AP50-95",
        "mean IoU",
        "found with the right class",
    ]


def test_a_part_without_labels_for_a_head_has_a_dash(measure):
    few = measure(("class", "boxes"), part="validation")
    rows = {row[0]: row[1:] for row in summary_rows([measure(), few])}
    assert rows["boxes, AP50-95"][0][0].isdigit()
    assert rows["boxes, AP50-95"][1][0].isdigit()
    for title in ("tags, mAP", "masks, AP50-95", "mean IoU"):
        assert rows[title][0][0].isdigit()
        assert rows[title][1] == value_text("boxes.ap50", float("nan"))
    assert "mean IoU" not in {row[0] for row in summary_rows([few])}
    assert summary_rows([]) == [("",)]


@pytest.fixture
def finished(run):
    """A run as ``train`` leaves it: a whole card, a record of its thresholds, a page."""
    told = json.loads((run / "run.json").read_text())
    card = Card(
        CLASSES,
        PreprocessConfig(size=64),
        {**ModelConfig(model="csp-nano", heads=HEADS).to_dict(), "channels": 3},
        name="first",
        task="scene",
        object_classes=read_material(run).scene.material.object_classes,
        pixel_classes=PIXELS,
        thresholds={"boxes": {"score": 0.4, "target": "f1"}, "nms_free": {"score": 0.3}},
    )
    card.save(run / "card.json")
    (run / "run.json").write_text(json.dumps(told | {"thresholds": card.thresholds}))
    return run


@pytest.mark.parametrize("has_page", [True, False])
def test_another_score_is_told_by_the_page_and_the_record_too(cli, finished, has_page):
    page = finished / "report.html"
    before = write_report(finished).read_bytes() if has_page else b""
    done = cli("calibrate", finished, "--target", "recall", "--value", "0.3", "--json")
    assert done.code == 0, done.err
    picked = json.loads(done.out)["threshold"]
    assert picked["score"] != 0.4
    record = json.loads((finished / "run.json").read_text())
    assert record["thresholds"] == {"boxes": picked} == Card.load(finished / "card.json").thresholds
    assert (record["dataset"], record["status"]) == ("garden", "finished")
    assert page.is_file() == has_page  # nobody asked for a page where there is none
    if has_page:
        assert page.read_bytes() != before
        assert page.read_bytes() == write_report(finished, finished / "again.html").read_bytes()
    assert not list(finished.glob(".*part"))


def test_a_damaged_record_is_told_before_anything_is_written(finished):
    (finished / "run.json").write_text("{")
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"run\.json cannot be read"):
        retell(finished, target="recall", value=0.3)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
