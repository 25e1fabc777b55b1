"""A fake that a reviewer confirms is known within a minute, and copies that were accepted before are found."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from PIL import Image, ImageDraw
from tests.served import served
from tests.tiny_policy import SHAPES

from assay.decide.budgets import Budgets, Kind, thresholds_path
from assay.runtime.screening import load_screener

if TYPE_CHECKING:
    from pathlib import Path


def photo(seed: int) -> Image.Image:
    """A bluish picture with much to see in it, so the tiny network calls it a square."""
    noise = np.random.default_rng(seed)
    picture = Image.new("RGB", (240, 200), (30, 40, 200))
    draw = ImageDraw.Draw(picture)
    for _ in range(25):
        x, y = (int(v) for v in noise.integers(0, 200, 2))
        w, h = (int(v) for v in noise.integers(10, 60, 2))
        red, green, blue = (int(v) for v in noise.integers(0, 90, 3))
        draw.ellipse((x, y, x + w, y + h), fill=(red, green, 165 + blue))
    return picture


def as_bytes(picture: Image.Image, **how: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", **({"quality": 92} | how))
    return stream.getvalue()


def write_policy(path: Path) -> None:
    """Everything is accepted that is no circle, and audited; known fakes are rejected."""
    told = {
        **SHAPES,
        "audit": 1.0,
        "matching": {
            "references": "known.references",
            "effects": {"known-fake": {"verdict": "reject", "clause": "known-fake"}},
        },
    }
    path.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
    screener = load_screener(path, budgets=False)
    kinds = tuple(
        Kind("accept", name, 0.3, 0.8, 0.0, 100, 0, 1.0, 0.0, None) for name in screener.classes["shape"]
    )
    Budgets(screener.policy.rules, screener.digests, kinds, 100, 100).save(thresholds_path(path))


def test_a_confirmed_fake_is_known_and_its_copies_are_found(shapes_policy: Path, tmp_path: Path) -> None:
    write_policy(shapes_policy)
    fake, other = photo(1), photo(2)
    with served(shapes_policy, tmp_path / "home") as server:
        copy = server.put(as_bytes(fake.crop((6, 5, 234, 196)), quality=60)).body
        shown = server.put(as_bytes(fake)).body
        innocent = server.put(as_bytes(other)).body
        assert [one["verdict"] for one in (copy, shown, innocent)] == ["accept"] * 3
        reviewer = server.new_key("review")
        tasks = server.ask("POST", "/v1/review/next", {"most": 3}, words=reviewer).body["tasks"]
        mine = next(task for task in tasks if task["photo_id"] == shown["photo"])
        answer = {"verdict": "reject", "clause": "known-fake", "fake": True}
        given = server.ask("POST", f"/v1/review/tasks/{mine['id']}/answer", answer, words=reviewer)
        assert given.status == 200, given
        begun = time.monotonic()
        again = as_bytes(fake.transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=40)
        while True:
            told = server.put(again).body
            if told["verdict"] == "reject" or time.monotonic() - begun > 60:
                break
            time.sleep(0.5)
        assert (told["verdict"], told["clause"], told["automatic"]) == ("reject", "known-fake", True)
        assert told["matches"][0]["reference"] == shown["sha256"]
        assert server.put(as_bytes(other, quality=80)).body["verdict"] == "accept"
        second = server.new_key("review")
        while True:
            tasks = server.ask("POST", "/v1/review/next", {"most": 10}, words=second).body["tasks"]
            if found := [
                task for task in tasks if task["photo_id"] == copy["photo"] and task["why"] == "tie"
            ]:
                break
            assert time.monotonic() - begun < 60, tasks
            time.sleep(0.5)
        assert found[0]["blind"]
        stories = server.ask("GET", f"/v1/photos/{shown['photo']}").body
        assert (stories["verdict"], stories["decided_by"]) == ("reject", "person")


def test_an_enrolled_fake_is_rejected_by_the_server(shapes_policy: Path, tmp_path: Path, cli: Any) -> None:
    write_policy(shapes_policy)
    place = tmp_path / "fakes"
    place.mkdir()
    (place / "fake.jpg").write_bytes(as_bytes(photo(1)))
    done = cli("enrol", shapes_policy, place, "--as", "fake", "--item", "bag-1")
    assert done.code == 0, done.err
    with served(shapes_policy, tmp_path / "home") as server:
        same = server.put(as_bytes(photo(1))).body
        edited = server.put(as_bytes(photo(1).rotate(90, expand=True), quality=50)).body
        other = server.put(as_bytes(photo(2))).body
    assert (same["verdict"], same["matches"][0]["way"]) == ("reject", "exact")
    assert (edited["verdict"], edited["matches"][0]["way"]) == ("reject", "near")
    assert other["verdict"] == "accept"
