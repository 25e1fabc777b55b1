from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.metrics.evaluate import build_evaluation
from assay.report.material import read_material
from assay.report.write import write_report


@pytest.fixture
def photos8(tmp_path):
    folder = tmp_path / "data"
    (folder / "cat").mkdir(parents=True)
    for i in range(8):
        Image.new("RGB", (64, 64), (30 * i, 90, 120)).save(folder / "cat" / f"{i}.png")
    return folder


def evaluation(root, classes=("ant", "<b>猫</b>"), part="test", n=8, wrong=2):
    targets = np.arange(n) % len(classes)
    given = np.where(np.arange(n) < wrong, (targets + 1) % len(classes), targets)
    probs = np.full((n, len(classes)), 0.1 / max(1, len(classes) - 1), np.float32)
    probs[np.arange(n), given] = 0.9
    return build_evaluation(
        probs,
        targets,
        ClassNames(classes),
        paths=[f"cat/{i}.png" for i in range(n)],
        part=part,
        root=str(root),
        model="first",
        dataset="pets",
        draws=50,
    )


@pytest.fixture
def run(tmp_path, photos8):
    folder = tmp_path / "run"
    folder.mkdir()
    record = {
        "command": ["assay", "train", "my photos", "minutes=3"],
        "recipe": {"train": {"batch": 32, "lr": None, "mean": [0.5, 0.25]}, "model": {"model": "cnn"}},
        "resolved": {"train": {"lr": 0.002}},
        "data": str(photos8),
        "dataset": "pets",
        "split_hash": "0123456789abcdef",
        "machine": {"cores": 2},
        "minutes": 3.0,
        "status": "finished",
        "baselines": {"majority": {"test": {"accuracy": {"value": 0.5, "low": 0.2, "high": 0.8}}}},
    }
    (folder / "run.json").write_text(json.dumps(record))
    lines = [
        {"kind": "step", "step": i, "epoch": i / 4, "lr": 0.01, "loss": 2 / i, "rate": 9} for i in range(1, 9)
    ]
    lines += [
        {
            "kind": "epoch",
            "epoch": e,
            "step": 4 * e,
            "validation": {"loss": 1 / e, "accuracy": 0.5},
            "ema": True,
        }
        for e in (1, 2)
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"kind": "st'  # killed in the middle of a line
    (folder / "log.jsonl").write_text(text)
    rows = {"path": [f"cat/{i}.png" for i in range(8)], "label": ["<b>猫</b>"] * 8, "part": ["train"] * 8}
    pq.write_table(pa.table(rows), folder / "split.parquet")
    evaluation(photos8).save(folder / "evaluation")
    evaluation(photos8, part="validation", wrong=0).save(folder / "evaluation")
    return folder


def test_page_holds_what_was_promised(run):
    place = write_report(run)
    assert place == run / "report.html"
    page = place.read_text("utf-8")
    for expected in (
        "On 8 test pictures it is right in 75.0\u202f% of cases.",
        "assay train &#39;my photos&#39; minutes=3",
        "0123456789abcdef",
        "always the commonest class",
        "(decided by Assay)",
        "validation part (8 pictures)",
        "2 of 8 answers are wrong",
        "Training and validation loss",
        "Confusion matrix",
    ):
        assert expected in page, expected
    assert page.count("data:image/webp;base64,") >= 8
    check_loads_nothing(page)
    check_names_are_escaped(page)
    check_charts(page)


def check_loads_nothing(page):
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page


def check_names_are_escaped(page):
    assert "<b>猫</b>" not in page
    assert "&lt;b&gt;猫&lt;/b&gt;" in page


def check_charts(page):
    """Colours are the page's own, and no two figures share an id."""
    svgs = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(svgs) == 5
    for svg in svgs:
        assert "var(--accent)" in svg or "var(--bad)" in svg
        assert "#0103" not in svg
        assert 'role="img"' in svg
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("missing", ["log.jsonl", "split.parquet", "evaluation/test.npz", "run.json"])
def test_missing_pieces_stop_nothing(run, missing):
    (run / missing).unlink()
    found = read_material(run)
    assert missing == "split.parquet" or any(missing.split("/")[-1] in note for note in found.notes)
    assert found.evaluation is not None


@pytest.mark.parametrize("damaged", ["split.parquet", "evaluation/test.json", "run.json"])
def test_damaged_pieces_are_told(run, damaged):
    (run / damaged).write_bytes(b"\xff\x00 not what it was")
    assert any(damaged.split("/")[-1] in note for note in read_material(run).notes)


def test_page_without_the_half_of_it(run):
    for name in ("run.json", "log.jsonl", "split.parquet"):
        (run / name).write_bytes(b"\xff\x00 not what it was")
    page = write_report(run).read_text("utf-8")
    assert "parts of this run could not be shown" in page
    assert "On 8 test pictures" in page


def test_run_that_was_interrupted(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"status": "interrupted", "command": ["assay", "train"]}))
    page = write_report(tmp_path).read_text("utf-8")
    assert "This run has not been measured: it is interrupted." in page
    assert "No training log is at hand." in page


def test_pictures_that_moved_leave_a_word(run, photos8):
    for path in photos8.rglob("*.png"):
        path.unlink()
    assert "The picture is not where it was" in write_report(run).read_text("utf-8")


def test_report_of_a_bundles_evaluation(tmp_path, photos8):
    found = evaluation(photos8)
    page = write_report(found, tmp_path / "bundle.html").read_text("utf-8")
    assert "first" in page
    path = found.save(tmp_path / "loose")
    assert write_report(path) == tmp_path / "loose" / "test.html"
    with pytest.raises(ConfigError, match="needs a place"):
        write_report(found)


def test_faultless_answers_call_for_doubt(tmp_path, photos8):
    page = write_report(evaluation(photos8, wrong=0), tmp_path / "r.html").read_text("utf-8")
    assert "no near copy, was trained on" in page.replace("no picture of this part, and ", "")
    assert "Nothing is taken for anything else." in page


def test_one_picture_and_one_class(tmp_path, photos8):
    found = evaluation(photos8, classes=("ant",), n=1, wrong=0)
    assert "On 1 test picture it is" in write_report(found, tmp_path / "r.html").read_text("utf-8")


def test_many_classes_show_pairs(tmp_path, photos8):
    found = evaluation(photos8, classes=[f"class {i}" for i in range(40)], n=80, wrong=9)
    page = write_report(found, tmp_path / "r.html").read_text("utf-8")
    assert 'class="confusion"' not in page
    assert "taken for" in page


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(ConfigError, match="is not a run"):
        write_report(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        write_report(tmp_path / "nowhere")
