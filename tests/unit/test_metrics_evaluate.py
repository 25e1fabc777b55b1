from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from assay.errors import ConfigError, DatasetError, ModelError
from assay.labels import ClassNames
from assay.metrics.compare import compare
from assay.metrics.evaluate import build_evaluation, evaluate
from assay.metrics.evaluation import Evaluation
from assay.types import Dataset, Prediction


class Told:
    """A predictor that reads the answer from the file name: ``3_cat.jpg`` is a cat; ``bad`` is unreadable."""

    def __init__(self, *names, sure=0.9):
        self.classes, self.sure, self.asked = ClassNames(names), sure, []

    def predict(self, sources):
        for source in sources:
            self.asked.append(str(source))
            name = source.stem.split("_")[1]
            if name == "bad":
                yield Prediction(str(source), self.classes, np.zeros(0, np.float32), error="not a picture")
                continue
            probs = np.full(len(self.classes), (1 - self.sure) / (len(self.classes) - 1), np.float32)
            probs[self.classes.position(name)] = self.sure
            yield Prediction(str(source), self.classes, probs, (8, 8))


def dataset(rows, classes=("ant", "cat"), **columns):
    paths, labels = zip(*rows, strict=True)
    table = pa.table({"path": pa.array(paths), "label": pa.array(labels, pa.string()), **columns})
    return Dataset(table, ClassNames(classes), root=Path("/photos"), name="pets")


ROWS = [("0_ant.jpg", "ant"), ("1_cat.jpg", "cat"), ("2_cat.jpg", "ant"), ("3_cat.jpg", "cat")]


def test_right_answers_are_counted():
    got = evaluate(Told("ant", "cat"), dataset(ROWS), None)
    assert got.metrics["accuracy"].value == 0.75
    assert got.part == "all"
    assert got.n == 4
    np.testing.assert_array_equal(got.confusion, [[1, 1], [0, 2]])
    assert got.confused() == [{"class": "ant", "answer": "cat", "n": 1}]
    assert got.paths == [path for path, _ in ROWS]


def test_classes_are_compared_by_name():
    other_order = evaluate(Told("cat", "dog", "ant"), dataset(ROWS), None)
    assert other_order.metrics["accuracy"].value == 0.75
    assert list(other_order.classes) == ["cat", "dog", "ant"]
    assert other_order.per_class[1]["support"] == 0


def test_label_that_the_model_does_not_know_is_named():
    with pytest.raises(DatasetError, match=r"1 label\(s\) of pets are no class of the model: ant") as caught:
        evaluate(Told("cat", "dog"), dataset(ROWS), None)
    assert "cat, dog" in str(caught.value)
    assert caught.value.fix


def test_class_without_a_picture_may_be_unknown_to_the_model():
    assert evaluate(Told("ant", "cat"), dataset(ROWS, ("ant", "bee", "cat")), None).n == 4


def test_unlabelled_and_unreadable_pictures_are_counted():
    rows = [*ROWS, ("4_bad.jpg", "cat"), ("5_cat.jpg", None)]
    predictor = Told("ant", "cat")
    got = evaluate(predictor, dataset(rows), None)
    assert got.n == 4
    assert got.unlabelled == 1
    assert got.unreadable == [{"path": "4_bad.jpg", "error": "not a picture"}]
    assert not any("5_cat" in path for path in predictor.asked)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(DatasetError, match="no picture of pets has a label"):
        evaluate(Told("ant", "cat"), dataset([("0_cat.jpg", None)]), None)
    with pytest.raises(DatasetError, match="none of the 1 pictures of pets can be read"):
        evaluate(Told("ant", "cat"), dataset([("0_bad.jpg", "cat")]), None)


def test_part_is_chosen_and_its_absence_named():
    parts = pa.array(["test", "train", "test", "train"])
    got = evaluate(Told("ant", "cat"), dataset(ROWS, part=parts))
    assert (got.n, got.part) == (2, "test")
    with pytest.raises(ConfigError, match="no part 'validation'"):
        evaluate(Told("ant", "cat"), dataset(ROWS, part=parts), "validation")


def test_groups_widen_the_interval():
    rows = [(f"{i}_cat.jpg", "cat" if i // 10 != 2 else "ant") for i in range(100)]
    alone = evaluate(Told("ant", "cat"), dataset(rows), None)
    sellers = pa.array([f"s{i // 10}" for i in range(100)])
    grouped = evaluate(Told("ant", "cat"), dataset(rows, group=sellers), None)
    assert grouped.interval["groups"] == 10
    assert grouped.interval["others"] == "bootstrap of groups"
    assert grouped.metrics["accuracy"].low < alone.metrics["accuracy"].low
    assert grouped.metrics["nll"].high > alone.metrics["nll"].high


def test_short_answers_are_an_error():
    class Lazy(Told):
        def predict(self, sources):
            yield from list(super().predict(sources))[:2]

    with pytest.raises(ModelError, match="answered 2 of 4 pictures"):
        evaluate(Lazy("ant", "cat"), dataset(ROWS), None)


def test_progress_is_told():
    seen = []
    evaluate(
        Told("ant", "cat"), dataset(ROWS), None, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_json_has_the_promised_shape():
    found = evaluate(Told("ant", "cat"), dataset(ROWS), None).to_dict()
    text = json.loads(json.dumps(found, allow_nan=False))
    for name in ("accuracy", "top5", "macro_f1", "auroc", "nll", "brier", "ece", "ece_floor"):
        assert set(text["metrics"][name]) == {"value", "low", "high"}
    assert text["n"] == 4
    assert len(text["split_hash"]) == 16
    assert text["confusion"] == [[1, 1], [0, 2]]
    assert text["per_class"][0]["class"] == "ant"


def test_save_and_load_are_the_identity(tmp_path):
    got = evaluate(Told("ant", "cat"), dataset(ROWS, group=pa.array(["ä", "ä", None, "b"])), None)
    path = got.save(tmp_path / "evaluation")
    assert sorted(p.name for p in path.parent.iterdir()) == ["all.json", "all.npz"]
    back = Evaluation.load(path)
    assert back.to_dict() == got.to_dict() | {"seconds": back.to_dict()["seconds"]}
    np.testing.assert_array_equal(back.probs, got.probs)
    assert back.groups == ["ä", "ä", None, "b"]


def test_undefined_values_survive_saving(tmp_path):
    got = evaluate(Told("ant", "cat"), dataset([("1_cat.jpg", "cat")]), None)
    assert math.isnan(got.metrics["auroc"].value)
    assert math.isnan(Evaluation.load(got.save(tmp_path)).metrics["auroc"].value)


def test_broken_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        Evaluation.load(tmp_path / "test.json")
    path = evaluate(Told("ant", "cat"), dataset(ROWS), None).save(tmp_path)
    path.with_suffix(".npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DatasetError, match="not an evaluation"):
        Evaluation.load(path)
    path.write_text("{}")
    with pytest.raises(DatasetError, match="not an evaluation"):
        Evaluation.load(path)


def made(probs, targets, paths=None, classes=("ant", "cat"), model="a"):
    probs, targets = np.asarray(probs, np.float32), np.asarray(targets)
    paths = paths or [f"{i}.jpg" for i in range(len(targets))]
    return build_evaluation(probs, targets, ClassNames(classes), paths=paths, model=model)


def test_many_classes_need_no_matrix():
    names = [f"c{i}" for i in range(1200)]
    got = made(np.eye(1200)[:3], [0, 1, 5], classes=names)
    assert got.confusion is None
    assert got.to_dict()["confusion"] is None
    assert got.confused() == [{"class": "c5", "answer": "c2", "n": 1}]


def test_compare_matches_pictures_and_classes():
    targets = np.arange(200) % 2
    good, bad = np.eye(2)[targets], np.eye(2)[np.where(np.arange(200) < 60, 1 - targets, targets)]
    order = np.random.default_rng(0).permutation(200)
    other = made(
        bad[order][:, ::-1], 1 - targets[order], [f"{i}.jpg" for i in order], ("cat", "ant"), model="b"
    )
    got = compare(made(good, targets), other)
    assert got.difference.value == pytest.approx(0.3)
    assert got.difference.low > 0.2
    assert (got.only_a, got.only_b) == (60, 0)
    assert got.verdict == "a is better than b by 30.0 points"
    assert json.dumps(got.to_dict())


def test_compare_admits_ignorance():
    got = compare(made(np.eye(2), [0, 1]), made(np.eye(2)[[1, 1]], [0, 1]))
    assert got.verdict == "2 pictures do not show which of a and a (second) is better"


def test_compare_refuses_other_pictures():
    with pytest.raises(DatasetError, match="same pictures"):
        compare(made(np.eye(2), [0, 1]), made(np.eye(2), [0, 1], ["x", "y"]))
    with pytest.raises(DatasetError, match="two labels"):
        compare(made(np.eye(2), [0, 1]), made(np.eye(2), [1, 0]))
