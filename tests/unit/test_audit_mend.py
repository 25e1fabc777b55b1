"""The mended copy: what is left out, renamed and listed, in the format that was read; the original stays."""

from __future__ import annotations

import csv
import shutil

import pytest

from assay.audit.finding import Finding, Item
from assay.audit.mend import mend
from assay.audit.outcome import Audit
from assay.configs import ReadConfig
from assay.data.groups import groups_from_pattern
from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError


def audit_of(dataset, source, *places):
    """An audit with these (code, rows, figures) as findings."""
    paths = dataset.table["path"].to_pylist()
    found = [
        Finding(
            "error",
            code,
            code,
            "what",
            "fix",
            1,
            (Item(tuple(paths[r] for r in rows), tuple(rows), "why", 0.5, figures or {}),),
        )
        for code, rows, figures in places
    ]
    return Audit(str(source), len(dataset), {}, {}, tuple(found))


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everything(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def parted(photos, tmp_path):
    """The photos as a table with parts and groups: rows 0 to 3 test, 4 to 7 validation, the rest train."""
    dataset = groups_from_pattern(read_dataset(photos), r"/(\d)")
    table = tmp_path / "t.csv"
    write_dataset(dataset, table)
    lines = table.read_text().splitlines()
    parts = ["test"] * 4 + ["validation"] * 4 + ["train"] * 16
    table.write_text(
        "\n".join([f"{lines[0]},part", *(f"{a},{b}" for a, b in zip(lines[1:], parts, strict=True))])
    )
    return table


def test_broken_and_misnamed_files_of_a_folder(photos, tmp_path):
    before = everything(photos)
    dataset = read_dataset(photos)
    audit = audit_of(
        dataset,
        photos,
        ("truncated", [0], None),
        ("unreadable", [9], None),
        ("wrong-extension", [3], {"format": "JPEG"}),
    )
    made = mend(audit, dataset, tmp_path / "m")
    again = read_dataset(tmp_path / "m")
    assert made.data == tmp_path / "m"
    assert (made.n, len(again), list(again.classes)) == (22, 22, list(dataset.classes))
    assert made.done == {"truncated": 1, "unreadable": 1, "renamed": 1}
    assert made.summary() == "2 left out, 1 renamed"
    assert (tmp_path / "m" / "circle" / "3.jpg").read_bytes() == before["circle/3.png"]
    assert not (tmp_path / "m" / "circle" / "3.png").exists()
    rows = rows_of(tmp_path / "m" / "mended.csv")
    assert [(row["path"], row["done"]) for row in rows] == [
        ("circle/0.png", "left out"),
        ("größer 三角/1.png", "left out"),
        ("circle/3.png", "renamed to circle/3.jpg"),
    ]
    assert rows[0]["why"] == "truncated: why"
    assert not (tmp_path / "m" / "review.csv").exists()
    assert everything(photos) == before


def test_of_copies_across_parts_the_one_in_train_goes(parted, tmp_path):
    dataset = read_dataset(parted, ReadConfig())
    audit = audit_of(
        dataset,
        parted,
        ("same-picture-two-parts", [8, 0], None),
        ("near-duplicates-across-parts", [4, 1, 9], None),
        ("near-duplicates-across-parts", [5, 10], None),
        ("exact-duplicates", [11, 12, 13], None),
        ("exact-duplicates", [14, 2], None),
    )
    made = mend(audit, dataset, tmp_path / "m")
    assert made.data == tmp_path / "m" / "t.csv"
    again = read_dataset(tmp_path / "m")
    kept = set(again.table["path"].to_pylist())
    assert len(kept) == made.n == 24 - 1 - 2 - 1 - 2 - 1
    assert again.parts == {"test": 4, "validation": 3, "train": 10}
    assert again.table.column_names == dataset.table.column_names
    assert all(sample.path.is_file() and sample.group for sample in again)
    whys = {row["path"]: row["why"] for row in rows_of(tmp_path / "m" / "mended.csv")}
    assert (
        whys["photos/größer 三角/0.png"]
        == "same-picture-two-parts: it is also in test as photos/circle/0.png"
    )


def test_contradictions_and_suspects_are_for_a_person(photos, tmp_path):
    dataset = read_dataset(photos)
    audit = audit_of(
        dataset,
        photos,
        ("same-picture-two-labels", [0, 16], None),
        ("label-issues", [2], {"given": "circle", "suggested": "square"}),
    )
    made = mend(audit, dataset, tmp_path / "m")
    rows = rows_of(tmp_path / "m" / "review.csv")
    assert made.review == 3
    assert [(r["path"], r["given"], r["suggested"], r["why"]) for r in rows] == [
        ("circle/0.png", "circle", "square", "same-picture-two-labels"),
        ("square/0.png", "square", "circle", "same-picture-two-labels"),
        ("circle/2.png", "circle", "square", "label-issues"),
    ]
    assert rows[2]["score"] == "0.5"
    assert (tmp_path / "m" / "circle" / "2.png").exists()
    assert not (tmp_path / "m" / "circle" / "0.png").exists()
    assert not (tmp_path / "m" / "square" / "0.png").exists()


def test_two_files_of_one_name_after_renaming(photos, tmp_path):
    shutil.copy(photos / "circle" / "0.png", photos / "circle" / "1.jpg")
    dataset = read_dataset(photos)
    row = dataset.table["path"].to_pylist().index("circle/1.jpg")
    mend(audit_of(dataset, photos, ("wrong-extension", [row], {"format": "PNG"})), dataset, tmp_path / "m")
    assert (tmp_path / "m" / "circle" / "1-2.png").exists()


def test_groups_of_folders_and_what_is_left_to_the_user(photos, tmp_path):
    dataset = groups_from_pattern(read_dataset(photos), r"/(\d)")
    made = mend(audit_of(dataset, photos, ("imbalance", [0], None)), dataset, tmp_path / "m")
    assert rows_of(tmp_path / "m" / "groups.csv")[0] == {"path": "circle/0.png", "group": "0"}
    assert len(read_dataset(tmp_path / "m").classes) == 3, "the lists are no data set"
    assert made.notes[0] == "left to you, as above: imbalance"
    assert "folders cannot hold groups" in made.notes[1]


def test_pictures_from_elsewhere_come_to_pictures(photos, tmp_path):
    (tmp_path / "in").mkdir()
    table = tmp_path / "in" / "t.csv"
    table.write_text(
        f"path,label\n{photos}/circle/0.png,a\n../photos/circle/0.png,a\n../photos/square/0.png,b\n"
    )
    dataset = read_dataset(table)
    mend(audit_of(dataset, table), dataset, tmp_path / "m")
    again = read_dataset(tmp_path / "m" / "t.csv")
    assert again.table["path"].to_pylist() == [
        "pictures/circle/0.png",
        "pictures/circle/0-2.png",
        "pictures/square/0.png",
    ]
    assert all(sample.path.is_file() for sample in again)


def test_links(photos, tmp_path):
    dataset = read_dataset(photos)
    mend(audit_of(dataset, photos), dataset, tmp_path / "m", link=True)
    assert (tmp_path / "m" / "circle" / "0.png").stat().st_ino == (photos / "circle" / "0.png").stat().st_ino


def test_a_picture_that_has_gone_meanwhile_is_left_out(photos, tmp_path):
    dataset = read_dataset(photos)
    (photos / "circle" / "0.png").unlink()
    made = mend(audit_of(dataset, photos), dataset, tmp_path / "m")
    assert (made.n, made.done) == (23, {"missing-file": 1})


def test_refusals(photos, tmp_path):
    dataset = read_dataset(photos)
    audit = audit_of(dataset, photos, ("truncated", list(range(24)), None))
    with pytest.raises(DatasetError, match="no picture would be left"):
        mend(audit, dataset, tmp_path / "m")
    for place, words in ((photos / "m", "never touched"), (photos, "is not empty")):
        with pytest.raises(ConfigError, match=words):
            mend(audit, dataset, place)
    with pytest.raises(DatasetError, match="of other data"):
        mend(audit, dataset.take([0]), tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_rows_that_name_one_picture(tmp_path, photos):
    table = tmp_path / "t.csv"
    one, other = "photos/circle/0.png", "photos/square/0.png"
    rows = [
        f"{one},a,train",
        f"{one},a,test",
        f"{other},b,train",
        f"{other},c,train",
        "photos/circle/1.png,a,train",
    ]
    table.write_text("\n".join(["path,label,part", *rows]) + "\n")
    dataset = read_dataset(table)
    audit = audit_of(dataset, table, ("path-two-parts", [0, 1], None), ("path-two-labels", [2, 3], None))
    made = mend(audit, dataset, tmp_path / "m")
    kept = read_dataset(tmp_path / "m").table.select(["path", "part"]).to_pylist()
    assert kept == [{"path": one, "part": "test"}, {"path": "photos/circle/1.png", "part": "train"}]
    assert made.review == 2


def test_near_copies_with_two_labels_stay_and_are_listed(photos, tmp_path):
    dataset = read_dataset(photos)
    made = mend(
        audit_of(dataset, photos, ("near-duplicates-two-labels", [0, 16], None)), dataset, tmp_path / "m"
    )
    assert (made.n, made.review) == (24, 2)
    assert [row["suggested"] for row in rows_of(tmp_path / "m" / "review.csv")] == ["square", "circle"]


def test_classes_without_pictures_are_told(photos, tmp_path):
    dataset = read_dataset(photos)
    made = mend(audit_of(dataset, photos, ("truncated", list(range(8)), None)), dataset, tmp_path / "m")
    assert made.notes == ("no picture is left of: circle",)


def test_pictures_without_labels(photos, tmp_path):
    from assay.audit.intake import read_for_audit

    dataset = read_for_audit(photos / "circle", ReadConfig())
    made = mend(audit_of(dataset, photos / "circle", ("truncated", [0], None)), dataset, tmp_path / "m")
    assert made.n == len(read_for_audit(tmp_path / "m", ReadConfig())) == 7
