"""From photos to decisions and back: a policy, its thresholds, the record, and what goes wrong."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
import yaml
from tests.tiny_policy import SHAPES


@pytest.fixture
def policy(tiny_bundle, tmp_path):
    path = tmp_path / "shapes.yaml"
    path.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    return path


@pytest.fixture
def many(photos, tmp_path):
    """The photos four times: 32 of each class, enough for a modest promise."""
    for folder in photos.iterdir():
        for path in list(folder.iterdir()):
            for k in range(3):
                shutil.copy(path, folder / f"{path.stem}-{k}.png")
    return photos


def test_without_thresholds_people_decide_everything(policy, photos, cli):
    done = cli("screen", policy, photos)
    assert done.code == 0
    assert done.out.count("review    ") == 24
    assert "has no thresholds yet" in done.err
    assert "Too few photos of this kind were reviewed" in done.out


def test_from_labels_to_decisions_and_back(policy, many, tmp_path, cli):
    told = cli("calibrate", policy, "--data", many)
    assert told.code == 0, told.err
    assert "96 labelled photos, 96 count for a threshold" in told.out
    assert "at most 30 % wrong, 80 % sure" in told.out
    assert "1,000 photos cost" in told.out
    record, table = tmp_path / "decisions.jsonl", tmp_path / "decisions.csv"
    done = cli("screen", policy, many, "--jsonl", record, "--csv", table, "--quiet", "--language", "zh")
    assert done.code == 0
    assert done.out == ""
    assert "96 photos: 64 accept, 32 reject" in done.err
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    by_path = {row["path"]: row for row in rows}
    circle = by_path[str(many / "circle" / "0.png")]
    assert circle["verdict"] == "reject"
    assert circle["words"] == "本店不售圆形商品。"
    assert (circle["automatic"], circle["question"], circle["answer"]) == ("yes", "shape", "circle")
    replay = cli("screen", policy, "--replay", record)
    assert replay.code == 0
    assert replay.out == "96 of 96 decisions come out the same\n"
    lines = record.read_text("utf-8").splitlines()
    changed = json.loads(lines[0])
    changed["verdict"] = "accept"
    record.write_text("\n".join([json.dumps(changed), *lines[1:]]), "utf-8")
    replay = cli("screen", policy, "--replay", record)
    assert replay.code == 1
    assert "line 1, " in replay.out
    assert "verdict: 'accept', now 'reject'" in replay.out


def test_broken_and_small_photos_are_sent_back(policy, tmp_path, cli):
    from PIL import Image

    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    Image.new("RGB", (8, 40)).save(folder / "small.png")
    done = cli("screen", policy, folder, "--json")
    assert done.code == 1
    broken, small = (json.loads(line) for line in done.out.splitlines())
    assert (broken["verdict"], broken["clause"]) == ("resubmit", "unreadable")
    assert broken["evidence"]["error"]
    assert len(broken["evidence"]["photo"]) == 64
    assert (small["verdict"], small["clause"]) == ("resubmit", "too-small")


def test_an_unfinished_record_is_gone_on_with(policy, many, tmp_path, cli, monkeypatch):
    from assay.runtime.screening import Screener

    whole, record = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    monkeypatch.setattr("assay.runtime.screening.AT_ONCE", 8)
    monkeypatch.setattr("assay.cli.outputs.ledger._EVERY_S", 0.0)
    assert cli("screen", policy, many, "--jsonl", whole, "--quiet").code == 0
    screen = Screener.screen

    def stopped(self, sources):
        for number, decision in enumerate(screen(self, sources)):
            if number == 43:
                raise KeyboardInterrupt
            yield decision

    with monkeypatch.context() as patch:
        patch.setattr(Screener, "screen", stopped)
        first = cli("screen", policy, many, "--jsonl", record, "--quiet")
    assert first.code == 130
    assert "40 pictures are kept; go on with the same command and --resume" in first.err
    assert not record.exists()
    again = cli("screen", policy, many, "--jsonl", record, "--quiet")
    assert again.code == 2
    assert "an unfinished run lies beside" in again.err
    assert cli("screen", policy, many, "--jsonl", record, "--quiet", "--resume").code == 0
    assert record.read_bytes() == whole.read_bytes()


def test_thresholds_do_not_hold_in_another_precision(policy, many, cli, monkeypatch):
    assert cli("calibrate", policy, "--data", many).code == 0
    from assay.runtime.screening import Screener

    monkeypatch.setattr(Screener, "digests", {"shape": "0 int8"})
    done = cli("screen", policy, many)
    assert done.code == 2
    assert "in another precision" in done.err


def test_thresholds_of_another_policy_are_refused(policy, many, cli):
    assert cli("calibrate", policy, "--data", many).code == 0
    text = policy.read_text("utf-8")
    policy.write_text(text.replace("risk: 0.3", "risk: 0.2", 1), "utf-8")
    done = cli("screen", policy, many)
    assert done.code == 2
    assert "rules or risks have changed" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("screen", "{policy}"), "no photos are named"),
        (("screen", "{policy}", "{photos}", "--language", "fr"), "no reasons in 'fr'"),
        (("screen", "{policy}", "{photos}", "--resume"), "--resume goes on with files"),
        (("screen", "{policy}", "{photos}", "--replay", "x"), "--replay decides a record anew"),
        (("screen", "{policy}", "--replay", "{policy}"), "is no record of decisions"),
        (("screen", "none.yaml", "{photos}"), "none.yaml is no file"),
        (("calibrate", "{policy}"), "calibrated on labelled photos"),
        (("calibrate", "{policy}", "--data", "{photos}", "--risk", "0.1"), "a policy says its risks itself"),
    ],
)
def test_wrong_usage(words, told, policy, photos, cli):
    done = cli(*(word.format(policy=policy, photos=photos) for word in words))
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model", "none.bundle", "the network of shape: there is no Bundle none.bundle"),
        ("head", "boxes", "shape asks for boxes"),
        ("answers", {"cirle": "pass"}, "shape has no answer 'cirle'"),
        ("truth", "kind", "has no column 'kind', the truth of shape"),
    ],
)
def test_policies_that_do_not_fit_their_networks(key, value, told, policy, photos, cli, tmp_path):
    shapes = {**SHAPES, "questions": {"shape": {**SHAPES["questions"]["shape"], key: value}}}
    policy.write_text(yaml.safe_dump(shapes, allow_unicode=True), "utf-8")
    done = cli("calibrate", policy, "--data", photos)
    assert done.code == 2
    assert told in done.err.replace(str(tmp_path) + "/", "")
