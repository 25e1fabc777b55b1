"""`assay train` up to the training itself, and what it tells after it."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from assay.labels import ClassNames
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate
from assay.train.start import Run


def measured(part: str) -> Evaluation:
    probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    targets = np.array([0, 1])
    names = ClassNames(["a", "b"])
    metrics = {"accuracy": Estimate(0.5, 0.25, 0.75), "macro_f1": Estimate(0.4, 0.1, 0.6)}
    return Evaluation(metrics, names, targets, probs, targets, ["1.png", "2.png"], part)


@pytest.fixture
def asked(monkeypatch) -> dict:
    """What `assay.train` was asked for; nothing is trained."""
    seen: dict = {}

    def train(data, out, **options):
        seen.update(data=data, out=out, **options)
        evaluations = {part: measured(part) for part in ("validation", "test")}
        return Run(Path("runs/a b"), None, evaluations, 150.0)

    monkeypatch.setattr(import_module("assay.train.start"), "train", train)
    monkeypatch.setattr("assay.report.write.write_report", lambda folder: folder / "report.html")
    return seen


def test_only_what_was_given_is_passed_on(cli, asked, photos):
    told = cli("train", photos, "model=cnn", "minutes=3", "--no-ema", "lr=auto", "--out", "runs/x")
    assert told.code == 0
    assert asked.pop("begun") > 0
    assert asked.pop("command") == [
        "assay", "train", str(photos), "model=cnn", "minutes=3", "--no-ema", "lr=auto", "--out", "runs/x",
    ]  # fmt: skip
    assert asked == {
        "data": str(photos), "out": "runs/x", "resume": False, "show": False,
        "model": "cnn", "minutes": 3.0, "ema": False, "lr": None,
    }  # fmt: skip


def test_the_summary_says_where_to_look(cli, asked, photos):
    out = cli("train", photos).out
    assert "runs/a b: trained and measured in 2.5 min" in out
    assert "validation (2 pictures)  test (2 pictures)" in out
    assert "50.0 % [25.0, 75.0]" in out
    assert "report   runs/a b/report.html" in out
    assert "assay export 'runs/a b' --out 'a b.bundle'" in out


def test_json_is_one_object(cli, asked, photos):
    found = json.loads(cli("train", photos, "--json").out)
    assert found["run"] == "runs/a b"
    assert found["evaluations"]["test"]["metrics"]["accuracy"]["low"] == 0.25


def test_quiet_says_nothing(cli, asked, photos):
    assert cli("train", photos, "--quiet") == (0, "", "")


def test_only_the_first_of_several_processes_reports(cli, asked, photos, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert cli("train", photos).out == ""


def test_resume_needs_no_data(cli, asked):
    assert cli("train", "--resume", "--out", "runs/x").code == 0
    assert (asked["data"], asked["resume"]) == (None, True)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "the data is missing"),
        (("nowhere",), "nowhere does not exist"),
        (("PHOTOS", "epochs=0"), "epochs is 0; the least is 1"),
        (("PHOTOS", "optimiser=adamm"), "did you mean adam"),
    ],
)
def test_mistakes_are_told_before_anything_is_made(cli, photos, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    found = cli("train", *(photos if word == "PHOTOS" else word for word in words))
    assert found.code == 2
    assert told in found.err
    assert not (tmp_path / "runs").exists()
