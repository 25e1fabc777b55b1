"""Revisions of a data set: parts, weights, lineage, and that nothing that was made is ever changed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from tests.answered import picture

from assay.data.deal import Shares
from assay.data.groups import with_groups
from assay.data.lineage import FORGOTTEN, forget_pictures, read_forgotten, read_revision, revision_faults
from assay.data.read import read_dataset
from assay.data.revise import (
    CHANGED,
    IN_BASE,
    IN_BASE_OTHERWISE,
    NO_CLASS,
    OTHER_TRUTH,
    TORN,
    UNREADABLE,
    Answered,
    excluded_counts,
    revise,
)
from assay.errors import ConfigError, DatasetError
from assay.types import Dataset

SHARES = Shares(0.25, 0.25)
COLUMNS = {"shape": "label"}


@pytest.fixture
def base(photos: Path) -> Dataset:
    """24 pictures: of each class 4 to learn from, 2 to choose by, 2 held out; by six sellers, each in one part."""
    data = read_dataset(photos)
    order = ("train",) * 4 + ("validation",) * 2 + ("test",) * 2
    parts = [order[i % 8] for i in range(len(data))]
    data = with_groups(data, [f"{part}-{i % 2}" for i, part in enumerate(parts)], "seller")
    return replace(data, table=data.table.append_column("part", pa.array(parts)), split={"by": "source"})


class Store:
    """Photos by digest."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def photo(self, data: bytes, sender: str = "", label: str | None = "circle", **given: object) -> Answered:
        digest = hashlib.sha256(data).hexdigest()
        self.held[digest] = data
        truths = {} if label is None else {"label": label}
        usual = {"photo": f"p{len(self.held)}", "arm": "review", "weight": 1.0, "truths": truths}
        return Answered(**{**usual, "sha256": digest, "sender": sender, **given})


@pytest.fixture
def store() -> Store:
    return Store()


def made(base, photos, store, out, **given):
    return revise(base, COLUMNS, photos, store.held.__getitem__, out, shares=SHARES, **given)


def test_the_base_stays_as_it_was_and_reviewed_photos_come_in(base, store, tmp_path):
    photos = [
        store.photo(picture(1), "train-0", "circle"),
        store.photo(picture(2), "test-1", "square", arm="audit", weight=50.0),
        store.photo(picture(3), "", "square"),
    ]
    revision = made(base, photos, store, tmp_path / "out", made_at=5.0)
    assert revision.is_new
    assert revision.number == 1
    assert revision.folder.name == f"0001-{revision.digest[:12]}"
    data = read_dataset(revision.table)
    assert len(data) == 27
    rows = list(data)
    assert [row.part for row in rows[:24]] == [row.part for row in base]
    assert [row.path.samefile(old.path) for row, old in zip(rows[:24], base, strict=True)] == [True] * 24
    assert [data.classes[row.label] for row in rows[:24]] == [base.classes[row.label] for row in base]
    of = {row.extra["photo_id"]: row for row in rows[24:]}
    assert (of["p1"].part, of["p2"].part) == ("train", "test")
    assert (of["p2"].extra["weight"], of["p2"].extra["arm"], of["p2"].group) == (50.0, "audit", "test-1")
    assert of["p3"].group is None
    assert of["p1"].path.read_bytes() == picture(1)
    assert of["p1"].path.is_relative_to(revision.folder)
    told = revision.lineage
    assert told["reviewed"] == {
        "photos": 3,
        "arms": {"audit": 1, "review": 2},
        "parts": told["reviewed"]["parts"],
        "senders": 2,
    }
    assert (told["parent"], told["made_at"], told["base"]["rows"]) == (None, 5.0, 24)
    assert len(told["files"]) == 4
    assert revision_faults(revision.folder) == []


def test_no_sender_is_in_two_parts(base, store, tmp_path):
    photos = [store.photo(picture(i), f"sender {i % 40}") for i in range(160)]
    revision = made(base, photos, store, tmp_path / "out")
    parts: dict[str, set[str]] = {}
    for row in read_dataset(revision.table):
        parts.setdefault(str(row.group), set()).add(str(row.part))
    assert {len(found) for found in parts.values()} == {1}
    counts = revision.lineage["reviewed"]["parts"]
    assert set(counts) == {"train", "validation", "test"}
    again = made(base, [store.photo(picture(900), "one more"), *photos], store, tmp_path / "out")
    later = {row.extra["photo_id"]: row.part for row in read_dataset(again.table)}
    for row in read_dataset(revision.table):
        assert later[row.extra["photo_id"]] == row.part or row.extra["photo_id"] is None


def test_a_sender_stays_where_an_earlier_revision_had_them(base, store, tmp_path):
    first = [store.photo(picture(i), f"sender {i}") for i in range(20)]
    one = made(base, first, store, tmp_path / "out")
    more = [store.photo(picture(100 + i), f"sender {i}") for i in range(20)]
    two = revise(
        base, COLUMNS, [*first, *more], store.held.__getitem__, tmp_path / "out", shares=Shares(0.4, 0.5)
    )
    before = {row.group: row.part for row in read_dataset(one.table) if row.group}
    after = {row.group: row.part for row in read_dataset(two.table) if row.group}
    assert before == {group: after[group] for group in before}
    assert two.lineage["parent"] == {"number": 1, "digest": one.digest}


def test_nothing_new_makes_nothing(base, store, tmp_path):
    photos = [store.photo(picture(1), "a"), store.photo(picture(2), "b", "square")]
    one = made(base, photos, store, tmp_path / "out", made_at=1.0)
    again = made(base, photos[::-1], store, tmp_path / "out", made_at=2.0)
    assert not again.is_new
    assert again.folder == one.folder
    assert [path.name for path in (tmp_path / "out").iterdir()] == [one.folder.name]
    changed = [replace(photos[0], truths={"label": "square"}), photos[1]]
    two = made(base, changed, store, tmp_path / "out")
    assert (two.number, two.is_new) == (2, True)
    assert one.table.read_bytes() != two.table.read_bytes()
    name = next(name for name in one.lineage["files"] if name.startswith("photos/"))
    assert (one.folder / name).samefile(two.folder / name), "what the parent has is linked"


def test_photos_are_left_out_with_their_reason(base, store, photos, tmp_path):
    own = (photos / "circle" / "0.png").read_bytes()
    twice = picture(7)
    given = [
        store.photo(picture(1), "a"),
        store.photo(own, "b", "circle"),
        store.photo(own, "b", "square"),
        store.photo(b"\xff\xd8 no picture", "c"),
        store.photo(picture(2), "d", "hexagon"),
        store.photo(twice, "e", "circle"),
        store.photo(twice, "e", "square"),
        store.photo(picture(3), "f"),
        store.photo(picture(4), "train-0"),
        store.photo(picture(4), "test-0"),
    ]
    store.held[given[7].sha256] = picture(99)
    revision = made(base, given, store, tmp_path / "out", excluded=[("p77", "the photo was erased")])
    assert excluded_counts(revision) == {
        OTHER_TRUTH: 2,
        TORN: 2,
        "the photo was erased": 1,
        IN_BASE: 1,
        IN_BASE_OTHERWISE: 1,
        UNREADABLE: 1,
        NO_CLASS: 1,
        CHANGED: 1,
    }
    assert revision.lineage["reviewed"]["photos"] == 1


def test_the_same_bytes_are_one_row_that_stands_for_both(base, store, tmp_path):
    data = picture(1)
    given = [store.photo(data, "train-0", weight=50.0, arm="audit"), store.photo(data, "train-1", weight=1.0)]
    revision = made(base, given, store, tmp_path / "out")
    (row,) = [row for row in read_dataset(revision.table) if row.extra["photo_id"]]
    assert row.extra["weight"] == 51.0


@pytest.mark.parametrize("name", ["lineage.json", "photos.parquet"])
def test_a_changed_revision_is_refused(name, base, store, tmp_path):
    revision = made(base, [store.photo(picture(1), "a")], store, tmp_path / "out")
    place = revision.folder / name
    place.write_bytes(place.read_bytes().replace(b'"rows": 24', b'"rows": 23') + b" ")
    with pytest.raises(DatasetError, match="is not the revision that was made"):
        made(base, [store.photo(picture(2), "b")], store, tmp_path / "out")


def test_a_changed_picture_is_found(base, store, tmp_path):
    revision = made(
        base, [store.photo(picture(1), "a"), store.photo(picture(2), "b")], store, tmp_path / "out"
    )
    one, other = (name for name in revision.lineage["files"] if name.startswith("photos/"))
    (revision.folder / one).write_bytes(picture(3))
    (revision.folder / other).unlink()
    (revision.folder / "more.txt").write_text("hello")
    assert revision_faults(revision.folder) == [
        f"{one} was changed",
        f"{other} is gone",
        "more.txt was put in",
    ]


def test_erased_pictures_go_from_all_revisions(base, store, tmp_path):
    out = tmp_path / "out"
    gone, kept = store.photo(picture(1), "a"), store.photo(picture(2), "b")
    one = made(base, [gone, kept], store, out)
    two = made(base, [gone, kept, store.photo(picture(3), "c")], store, out)
    went = forget_pictures(out, {gone.sha256: 7.0}, at=9.0)
    assert sorted(went) == sorted(
        f"{folder.name}/photos/{gone.sha256[:2]}/{gone.sha256}.png" for folder in (one.folder, two.folder)
    )
    assert not any((out / name).exists() for name in went)
    assert revision_faults(one.folder) == []
    assert [row["erased_at"] for row in read_forgotten(out)] == [7.0, 7.0]
    assert forget_pictures(out, {gone.sha256: 7.0}, at=9.0) == []
    three = made(base, [kept, store.photo(picture(3), "c")], store, out)
    assert (three.number, three.lineage["reviewed"]["photos"]) == (3, 2)
    assert (out / FORGOTTEN).exists()


def test_several_questions_are_columns_of_one_table(base, store, tmp_path):
    extra = replace(base, table=base.table.append_column("genuine", pa.array(["yes", "no"] * 12)))
    both = store.photo(picture(1), "a", "circle")
    half = store.photo(picture(2), "b", None, truths={"genuine": "no"})
    given = [replace(both, truths={"label": "circle", "genuine": "yes"}), half]
    columns = {"shape": "label", "real": "genuine"}
    revision = revise(extra, columns, given, store.held.__getitem__, tmp_path / "out", shares=SHARES)
    rows = {row.extra["photo_id"]: row for row in read_dataset(revision.table)}
    assert rows["p1"].extra["genuine"] == "yes"
    assert (rows["p2"].label, rows["p2"].extra["genuine"]) == (None, "no")


def test_refusals(base, store, tmp_path):
    photo = store.photo(picture(1), "a")
    with pytest.raises(DatasetError, match="has no test part"):
        made(
            base.select([part != "test" for part in base.table["part"].to_pylist()]),
            [photo],
            store,
            tmp_path / "o",
        )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    with pytest.raises(ConfigError, match="holds something else"):
        made(base, [photo], store, tmp_path / "full")
    with pytest.raises(DatasetError, match="there is no reviewed photo to learn from"):
        made(base, [], store, tmp_path / "o")
    assert not any((tmp_path / "o").iterdir())
    with pytest.raises(ConfigError, match="is no revision"):
        read_revision(tmp_path / "full")


def test_what_a_killed_process_left_is_taken_away(base, store, tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    out = tmp_path / "out"
    begun = [out / f".0001.{owner}.part" for owner in (dead.pid, os.getppid())]
    for folder in begun:
        (folder / "photos").mkdir(parents=True)
    with pytest.raises(ConfigError, match="holds something else"):
        made(base, [store.photo(picture(1), "a")], store, out)
    begun[1].joinpath("photos").rmdir()
    begun[1].rmdir()
    assert not begun[0].exists()
    assert made(base, [store.photo(picture(1), "a")], store, out).number == 1


def test_the_lineage_is_readable(base, store, tmp_path):
    revision = made(
        base, [store.photo(picture(1), "a")], store, tmp_path / "out", about={"answers": {"review": 1}}
    )
    told = json.loads((revision.folder / "lineage.json").read_text("utf-8"))
    assert told["answers"] == {"review": 1}
    assert told["files"]["photos.parquet"] == hashlib.sha256(revision.table.read_bytes()).hexdigest()
    assert os.fspath(revision.folder) not in json.dumps(told), "a revision can be moved"
