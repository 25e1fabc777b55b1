"""``assay evaluate`` and ``assay report`` with a predictor that reads the answer from the file name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assay.cli.commands import evaluate as verb
from assay.labels import ClassNames
from assay.types import Prediction


class Told:
    """Answers every picture with its folder, but those called 0.png with the first class."""

    classes = ClassNames(["circle", "square", "größer 三角"])

    def predict(self, sources):
        for source in sources:
            probs = np.full(3, 0.05, np.float32)
            probs[0 if source.name == "0.png" else self.classes.position(source.parent.name)] = 0.9
            yield Prediction(str(source), self.classes, probs, (64, 64))


@pytest.fixture(autouse=True)
def told(monkeypatch):
    monkeypatch.setattr(verb, "load_answerer", lambda place: Told())


@pytest.fixture
def split(tmp_path):
    rows = [f"{c}/{i}.png,{'test' if i < 4 else 'train'}" for c in Told.classes for i in range(8)]
    path = tmp_path / "split.csv"
    path.write_text("\n".join(["path,part", *rows]), "utf-8")
    return path


def test_json_is_all_that_is_printed(cli, photos, tmp_path):
    got = cli("evaluate", tmp_path / "x.bundle", photos, "--part", "all", "--json", "--draws", "20")
    found = json.loads(got.out)
    assert got.code == 0
    assert found["n"] == 24
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(22 / 24)
    assert found["part"] == "all"


def test_text_has_metrics_and_classes(cli, photos, tmp_path):
    got = cli("evaluate", tmp_path / "x.bundle", photos, "part=all", "draws=20", "--out", tmp_path / "found")
    assert "91.7 %" in got.out
    assert "größer 三角" in got.out
    assert (tmp_path / "found" / "all.npz").exists()


def test_parts_can_come_from_a_file(cli, photos, split, tmp_path):
    got = cli("evaluate", tmp_path / "x.bundle", photos, "--split", split, "--json", "draws=20")
    found = json.loads(got.out)
    assert (found["n"], found["part"]) == (12, "test")


def test_data_without_parts_is_told(cli, photos, tmp_path):
    got = cli("evaluate", tmp_path / "x.bundle", photos)
    assert got.code == 2
    assert "has no parts" in got.err
    assert "--part all" in got.err


def test_parts_of_a_file_may_have_their_usual_names(cli, photos, split, tmp_path):
    split.write_text(split.read_text("utf-8").replace(",test", ",Val"), "utf-8")
    words = ("evaluate", tmp_path / "x.bundle", photos, "--split", split, "draws=20")
    assert json.loads(cli(*words, "--part", "validation", "--json").out)["n"] == 12
    split.write_text(split.read_text("utf-8").replace(",Val", ",holdout"), "utf-8")
    told = cli(*words)
    assert told.code == 1
    assert "names parts that there are not\n  got: holdout" in told.err


def test_split_of_other_data_is_told(cli, photos, tmp_path):
    other = tmp_path / "split.csv"
    other.write_text("path,part\nx/y.png,test\n")
    got = cli("evaluate", tmp_path / "x.bundle", photos, "--split", other)
    assert got.code == 1
    assert "no picture of" in got.err
    other.write_text("image,part\nx/y.png,test\n")
    assert "columns path and part are needed" in cli("evaluate", "x", photos, "--split", other).err


def test_values_out_of_range_are_told(cli, photos):
    got = cli("evaluate", "x.bundle", photos, "batch=0")
    assert got.code == 2
    assert "--batch is 0" in got.err


def test_run_knows_its_own_pictures_and_split(cli, photos, split, tmp_path):
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    run = tmp_path / "run"
    run.mkdir()
    table = pa_csv.read_csv(split)
    labels = [path.split("/")[0] for path in table["path"].to_pylist()]
    pq.write_table(table.append_column("label", [labels]), run / "split.parquet")
    record = {"data": str(photos), "dataset": "photos", "classes": list(Told.classes)}
    (run / "run.json").write_text(json.dumps(record))
    got = cli("evaluate", run, "--json", "draws=20")
    assert json.loads(got.out)["n"] == 12
    assert (run / "evaluation" / "test.json").exists()
    cli("evaluate", run, photos, "--split", split, "draws=20")  # other data: beside, never over its own
    assert (run / "evaluation" / "photos" / "test.json").exists()
    page = cli("report", run)
    assert page.code == 0
    assert (run / "report.html").exists()


def test_bundle_without_data_is_told(cli, tmp_path):
    got = cli("evaluate", tmp_path / "x.bundle")
    assert got.code == 2
    assert "no data given" in got.err


def test_report_of_nothing_is_told(cli, tmp_path):
    got = cli("report", tmp_path / "nowhere")
    assert got.code == 2
    assert "is not a run" in got.err
    assert "name an .html file" in cli("report", tmp_path, "--out", tmp_path / "x.pdf").err
