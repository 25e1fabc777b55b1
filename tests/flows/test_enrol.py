"""Photos are enrolled, and new ones matched with them: on the command line, end to end."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.flows.test_screen import SHAPES

MATCHING = {
    "references": "known.references",
    "embedding": "shape",
    "item": "shape",
    "false_alarm": 0.2,
    "effects": {"known-fake": {"verdict": "reject", "clause": "known-fake"}, "copied": "review"},
}


def written(path, **matching):
    told = {**copy.deepcopy(SHAPES), "matching": {**MATCHING, **matching}}
    path.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
    return path


@pytest.fixture
def policy(tiny_bundle, tmp_path):
    return written(tmp_path / "shapes.yaml")


@pytest.fixture
def shop(tmp_path):
    """Eight photos with much in them, large enough to be told apart."""
    from assay.data.shop.scene import render_picture

    folder = tmp_path / "shop"
    folder.mkdir()
    for i in range(8):
        (folder / f"{i}.jpg").write_bytes(render_picture(5, 0, i, 160).jpeg)
    return folder


def edited(path, out):
    """Mirrored, cropped, darker, small, and saved badly."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    w, h = picture.size
    picture = picture.crop((w // 12, h // 12, w, h)).point([v // 2 for v in range(256)] * 3)
    picture.save(out, quality=30)
    return out


def decisions(done):
    return [json.loads(line) for line in done.out.splitlines()]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_known_fake_is_rejected_however_it_is_edited(policy, shop, tmp_path, cli):
    told = cli("enrol", policy, shop / "0.jpg", shop / "1.jpg", "--as", "fake", "--item", "circle")
    assert told.code == 0, told.err
    assert told.out.splitlines() == [f"enrolled        {shop / f'{i}.jpg'}" for i in (0, 1)]
    assert "2 enrolled; 2 in " in told.err
    again = edited(shop / "0.jpg", tmp_path / "again.jpg")
    record = tmp_path / "record.jsonl"
    done = cli("screen", policy, shop / "1.jpg", again, shop / "2.jpg", "--json", "--jsonl", record)
    assert done.code == 0, done.err + done.out
    same, copy_, other = decisions(done)
    for one, way, number in ((same, "exact", 1), (copy_, "near", 0)):
        assert (one["verdict"], one["clause"], one["automatic"]) == ("reject", "known-fake", True)
        (match,) = (m for m in one["evidence"]["matches"] if m["way"] != "embedding")
        assert (match["list"], match["way"], match["item"]) == ("fake", way, "circle")
        assert match["reference"] == one["proposed"]["answer"] == digest(shop / f"{number}.jpg")
    assert other["verdict"] == "review"
    assert [m for m in other["evidence"]["matches"] if m["way"] != "embedding"] == []
    replay = cli("screen", policy, "--replay", record)
    assert replay.out == "3 of 3 decisions come out the same\n"
    chinese = cli("screen", policy, again, "--language", "zh")
    assert "此前已被确认为假冒商品" in chinese.out


def test_what_is_enrolled_is_shown_moved_and_forgotten(policy, shop, cli):
    assert cli("enrol", policy, shop, "--as", "genuine", "--item", "circle", "--quiet").code == 0
    again = cli("enrol", policy, shop, "--as", "genuine", "--item", "circle")
    assert again.out.count("enrolled before ") == 8
    moved = cli("enrol", policy, shop / "3.jpg", "--as", "fake", "--item", "circle", "--json")
    assert json.loads(moved.out)["outcome"] == "moved"
    shown = cli("enrol", policy, "--list")
    assert shown.code == 0
    assert shown.out.count("genuine ") == 7
    assert f"fake      circle                {digest(shop / '3.jpg')}" in shown.out
    assert "1 fake, 7 genuine" in shown.err
    assert (
        "0 genuine references of square: a claim at 20 % false alarms needs 4, so none is made" in shown.err
    )
    assert "references of circle" not in shown.err
    gone = cli("enrol", policy, shop / "3.jpg", digest(shop / "4.jpg"), "--remove")
    assert gone.code == 0
    assert gone.out.count("removed ") == 2
    assert cli("enrol", policy, shop / "3.jpg", "--remove").code == 1
    left = [json.loads(line) for line in cli("enrol", policy, "--list", "--json").out.splitlines()]
    assert len(left) == 6
    assert {one["list"] for one in left} == {"genuine"}


def test_a_run_is_not_gone_on_with_other_references(policy, shop, tmp_path, cli, monkeypatch):
    from assay.runtime.screening import Screener

    screen, record = Screener.screen, tmp_path / "record.jsonl"

    def stopped(self, sources):
        for number, decision in enumerate(screen(self, sources)):
            if number == 5:
                raise KeyboardInterrupt
            yield decision

    with monkeypatch.context() as patch:
        patch.setattr("assay.runtime.screening.AT_ONCE", 2)
        patch.setattr("assay.cli.outputs.ledger._EVERY_S", 0.0)
        patch.setattr(Screener, "screen", stopped)
        first = cli("screen", policy, shop, "--jsonl", record)
    assert first.code == 130
    assert "none is enrolled yet" in first.err
    assert cli("enrol", policy, shop / "7.jpg", "--as", "fake", "--item", "circle").code == 0
    again = cli("screen", policy, shop, "--jsonl", record, "--resume")
    assert again.code == 2
    assert "references" in again.err


def test_a_photo_of_both_lists_is_told(policy, shop, tmp_path, cli):
    assert cli("enrol", policy, shop / "0.jpg", "--as", "genuine", "--item", "circle").code == 0
    again = edited(shop / "0.jpg", tmp_path / "again.jpg")
    told = cli("enrol", policy, again, "--as", "fake", "--item", "circle")
    assert f"again.jpg is also a copy of {digest(shop / '0.jpg')}, enrolled as genuine" in told.err


def test_photos_that_are_unlike_all_references_go_to_people(policy, photos, tmp_path, cli):
    """The tiny network sees the mean colour alone, so that circles are alike, and a dark one stands apart."""
    for path in photos.glob("circle/*.png"):
        for k in range(3):
            shutil.copy(path, path.with_name(f"{path.stem}-{k}.png"))
    assert cli("calibrate", policy, "--data", photos).code == 0
    genuine = sorted((photos / "square").glob("?.png"))
    told = cli("enrol", policy, *genuine[:7], "--as", "genuine", "--item", "square")
    assert told.code == 0, told.err
    with Image.open(genuine[7]) as opened:
        dark = np.asarray(opened.convert("RGB")) // np.array([3, 3, 2], np.uint8)
    Image.fromarray(dark.astype(np.uint8)).save(tmp_path / "dark.png")
    done = cli("screen", policy, genuine[7], tmp_path / "dark.png", "--json")
    usual, strange = decisions(done)
    (match,) = strange["evidence"]["matches"]
    assert (match["list"], match["way"], match["among"], match["p"]) == ("genuine", "embedding", 7, 0.125)
    assert (strange["verdict"], strange["clause"]) == ("review", "unlike-genuine")
    assert usual["clause"] != "unlike-genuine"


def test_broken_photos_are_a_line_and_not_a_stop(policy, shop, cli):
    (shop / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    Image.new("RGB", (64, 64), (200, 200, 200)).save(shop / "plain.png")
    told = cli("enrol", policy, shop, "--as", "fake", "--item", "circle")
    assert told.code == 1
    assert "broken.jpg is damaged" in told.err or "broken.jpg" in told.err
    assert "plain.png shows nothing that could be found again; it is known by its bytes alone" in told.err
    assert "9 enrolled, 1 unreadable; 9 in " in told.err or "1 unreadable, 9 enrolled" in told.err


def test_what_is_done_is_kept_when_it_is_stopped(policy, shop, cli, monkeypatch):
    from assay.runtime.enrolment import Enrolment

    add = Enrolment.add

    def stopped(self, *words):
        for number, outcome in enumerate(add(self, *words)):
            if number == 5:
                raise KeyboardInterrupt
            yield outcome

    with monkeypatch.context() as patch:
        patch.setattr(Enrolment, "add", stopped)
        told = cli("enrol", policy, shop, "--as", "fake", "--item", "circle")
    assert told.code == 130
    assert "changes are kept" in told.err
    kept = len(cli("enrol", policy, "--list").out.splitlines())
    assert kept >= 5
    again = cli("enrol", policy, shop, "--as", "fake", "--item", "circle")
    assert again.out.count("enrolled before") == kept


def test_without_an_embedding_no_network_is_loaded(shop, tmp_path, cli):
    told = {**copy.deepcopy(SHAPES), "matching": {"references": "known.references"}}
    path = tmp_path / "shapes.yaml"
    path.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
    done = cli("enrol", path, shop / "0.jpg", "--as", "fake")  # there is no tiny.bundle
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("{policy}",), "no photos are named"),
        (("{policy}", "{shop}"), "it must be said what the photos show"),
        (("{policy}", "{shop}", "--as", "fakes"), "--as cannot be 'fakes'"),
        (("{policy}", "{shop}", "--as", "fake"), "it must be said what the fake photos show"),
        (("{policy}", "{shop}", "--as", "fake", "--item", "cirle"), "did you mean circle?"),
        (("{policy}", "--list", "--remove"), "--list shows what is enrolled"),
        (("{policy}", "{shop}", "--remove", "--as", "fake"), "--remove takes no --as"),
        (("none.yaml", "--list"), "none.yaml is no file"),
    ],
)
def test_wrong_usage(words, told, policy, shop, cli):
    done = cli("enrol", *(word.format(policy=policy, shop=shop) for word in words))
    assert done.code == 2 or "it must be said what the fake" in told or "did you mean" in told
    assert told in done.err
    assert "Traceback" not in done.err


def test_references_that_cannot_be_used(policy, shop, tmp_path, cli):
    assert cli("enrol", policy, shop / "0.jpg", "--as", "fake", "--item", "circle").code == 0
    place = tmp_path / "known.references"
    whole = place.read_bytes()
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = cli("screen", policy, shop)
    assert done.code == 1 or done.code == 2
    assert "known.references: it is damaged" in done.err
    place.write_bytes(b"nothing")
    assert "holds no references, or is damaged" in cli("enrol", policy, "--list").err
    place.write_bytes(whole)
    other = tmp_path / "other.yaml"
    plain = {**copy.deepcopy(SHAPES)}
    other.write_text(yaml.safe_dump(plain, allow_unicode=True), "utf-8")
    assert "matches nothing" in cli("enrol", other, shop, "--as", "fake").err
