"""``assay audit`` as a person types it: what is printed where, exit codes, choices and mistakes."""

from __future__ import annotations

import json
import shutil

import pytest

from assay.audit import audit as room
from assay.audit.finding import Item, finding
from assay.tables import Table

LEVEL = {"files": "good"}


def check_files(x):
    yield finding(
        LEVEL["files"], "truncated", "Files", "Said.", "Mend.", [Item(("circle/0.png",), (0,), "cut")]
    )


def check_labels(x):
    yield finding("good", "labels", "Labels are right", "All.")


@pytest.fixture(autouse=True)
def checkups(monkeypatch):
    table = Table("checkup", {"files": "nowhere", "labels": "nowhere"})
    table.load = lambda name: globals()[f"check_{name}"]
    monkeypatch.setattr(room, "CHECKUPS", table)
    monkeypatch.setitem(LEVEL, "files", "good")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plain_words_and_where_things_are(cli, photos, here):
    told = cli("audit", "photos")
    assert told.code == 0
    assert told.err == ""
    assert told.out.startswith("photos: 24 pictures, 3 classes\n\nThis data set is fit to measure with")
    assert "page with the pictures: audits/photos/audit.html" in told.out
    assert (here / "audits" / "photos" / "audit.html").is_file()
    assert (here / "audits" / "photos" / "findings" / "truncated.csv").is_file()


@pytest.mark.parametrize(
    ("level", "plain", "strict"), [("error", 1, 1), ("warning", 0, 1), ("note", 0, 0), ("good", 0, 0)]
)
def test_exit_codes(cli, photos, here, monkeypatch, level, plain, strict):
    monkeypatch.setitem(LEVEL, "files", level)
    assert cli("audit", photos).code == plain
    assert cli("audit", photos, "--strict").code == strict


def test_json(cli, photos, here, monkeypatch):
    monkeypatch.setitem(LEVEL, "files", "error")
    told = cli("audit", photos, "--json", "--only", "files")
    found = json.loads(told.out)
    assert told.err == ""
    assert (told.code, found["fit"], found["checkups"]) == (1, False, ["files"])
    assert found["findings"][0]["items"][0] == {
        **{"paths": ["circle/0.png"], "rows": [0], "text": "cut", "score": None, "figures": {}}
    }
    assert (
        json.loads((here / "audits" / "photos" / "audit.json").read_text())["findings"] == found["findings"]
    )


def test_choices(cli, photos, here):
    assert json.loads(cli("audit", photos, "--json", "--skip", "files").out)["checkups"] == ["labels"]
    told = cli("audit", photos, "--only", "fils")
    assert told.code == 2
    assert "did you mean files?" in told.err
    assert cli("audit", photos, "--only", "files", "--skip", "files").code == 2


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["gone"], "gone does not exist"),
        (["photos", "--near-bits", "99"], "the most is 16"),
        (["photos", "--link"], "--link without --fix"),
        (["photos", "--fix", "photos/m"], "never touched"),
        (["photos", "--fix", "."], "is not empty"),
        (["photos", "--out", "photos/x"], "lies in the data set"),
        (["photos", "--groups", "a.csv", "--group-pattern", "b"], "two ways"),
        (["photos", "--stict"], "did you mean --strict"),
    ],
)
def test_mistakes(cli, photos, here, words, fault):
    told = cli("audit", *words)
    assert told.code == 2
    assert fault in told.err
    assert not (here / "audits").exists()


def test_fix(cli, photos, here, monkeypatch):
    monkeypatch.setitem(LEVEL, "files", "error")
    told = cli("audit", "photos", "--fix", "mended")
    assert told.code == 1
    assert "mended copy: mended (23 pictures; 1 left out)" in told.out
    assert "next: assay audit mended" in told.out
    assert not (here / "mended" / "circle" / "0.png").exists()
    assert (here / "photos" / "circle" / "0.png").exists()
    shutil.rmtree(here / "mended")
    mended = json.loads(cli("audit", "photos", "--fix", "mended", "--json").out)["mended"]
    assert (mended["n"], mended["done"]) == (23, {"truncated": 1})


def test_a_copy_that_would_lose_boxes_is_refused_before_anything_is_looked_at(cli, here, tmp_path):
    from tests.drawn_scenes import write_scenes

    table = write_scenes(tmp_path / "scenes", 4)
    told = cli("audit", table, "--fix", "mended")
    assert told.code == 1
    assert "would lose labels\n  got: classes of pixels" in told.err
    cli("convert", table, tmp_path / "yolo", "--to", "yolo")
    told = cli("audit", tmp_path / "yolo", "--fix", "mended")
    assert "would lose labels\n  got: boxes or masks" in told.err
    assert not (here / "mended").exists()
    assert not (here / "audits").exists()


def test_an_interrupt(cli, photos, here, monkeypatch):
    def stop(x):
        raise KeyboardInterrupt

    monkeypatch.setitem(globals(), "check_labels", stop)
    told = cli("audit", photos)
    assert told.code == 130
    assert "give the same command again to go on" in told.err
