"""The checkups of files and of duplicates, in words and places."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFilter, ImageOps

from assay.audit.checkups.duplicates import check_duplicates
from assay.audit.checkups.files import check_files
from assay.audit.checkups.parts import check_parts
from assay.audit.examination import Examination
from assay.audit.facts import gather_facts
from assay.audit.finding import Finding
from assay.labels import ClassNames
from assay.types import Dataset
from assay.verb_configs import AuditConfig

Examine = Callable[..., Examination]


def scene(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    fine = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return Image.blend(coarse, fine, 0.1)


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    def make(names: list[str], labels: list[Any] | None = None, **columns: Any) -> Examination:
        options = {k: columns.pop(k) for k in ("most", "near_bits", "tiny_side") if k in columns}
        labels = [None] * len(names) if labels is None else labels
        listed = [name for row in columns.get("labels", []) for name in row or ()]
        classes = ClassNames(sorted({v for v in [*labels, *listed] if v is not None}))
        if "labels" in columns:
            columns["labels"] = pa.array(columns["labels"], pa.list_(pa.string()))
        table = pa.table({"path": names, "label": pa.array(labels, pa.string()), **columns})
        data, config = Dataset(table, classes, tmp_path), AuditConfig(**options)
        facts = gather_facts(data, tmp_path / "work", config, lambda *_: None)
        return Examination(data, facts, config, tmp_path / "work", lambda *_: None)

    return make


def by_code(findings: Iterable[Finding]) -> dict[str, Finding]:
    listed = list(findings)
    assert len({f.code for f in listed}) == len(listed)
    for f in listed:
        assert f.title[0].isupper()
        assert f.what.endswith((".", ")"))
        assert "{" not in f.what + f.fix
        assert "|" not in f.what
    return {f.code: f for f in listed}


def places(found: Finding) -> list[tuple[str, ...]]:
    return [item.paths for item in found.items]


def test_every_kind_of_file_is_named(tmp_path: Path, examine: Examine) -> None:
    names = [f"{i:02}.jpg" for i in range(30)]
    for i, name in enumerate(names):
        scene(i).save(tmp_path / name, quality=90)
    data = (tmp_path / "00.jpg").read_bytes()
    turned = Image.Exif()
    turned[274] = 6
    (tmp_path / "cut.jpg").write_bytes(data[:-300])
    (tmp_path / "zeros.jpg").write_bytes(data[:-300] + bytes(800))
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "words.jpg").write_text("words")
    scene(40).save(tmp_path / "really.jpg", "PNG")
    scene(41).save(tmp_path / "turned.jpg", exif=turned)
    scene(42, (24, 90)).save(tmp_path / "tiny.png")
    scene(43, (90, 480)).save(tmp_path / "long.png")
    scene(44).convert("CMYK").save(tmp_path / "print.jpg")
    Image.new("RGB", (60, 60), (9, 200, 30)).save(tmp_path / "blank.png")
    scene(45).save(tmp_path / "moving.gif", save_all=True, append_images=[scene(46)])
    scene(47).point(lambda v: v // 30).save(tmp_path / "dark.png")
    scene(48).point(lambda v: 245 + v // 26).save(tmp_path / "bright.png")
    scene(49).filter(ImageFilter.GaussianBlur(4)).save(tmp_path / "blurred.png")
    more = ["cut", "zeros", "empty", "words", "really", "turned", "print"]
    more = [f"{name}.jpg" for name in more] + [
        f"{name}.png" for name in ("tiny", "long", "blank", "dark", "bright", "blurred", "gone")
    ]
    found = by_code(check_files(examine([*names, *more, "moving.gif"])))
    expected = {
        "missing-file": ("error", "gone.png"),
        "empty-file": ("error", "empty.jpg"),
        "truncated": ("error", "cut.jpg"),
        "unreadable": ("error", "words.jpg"),
        "wrong-extension": ("warning", "really.jpg"),
        "turned": ("note", "turned.jpg"),
        "tiny": ("warning", "tiny.png"),
        "extreme-aspect": ("note", "long.png"),
        "blank": ("warning", "blank.png"),
        "animated": ("note", "moving.gif"),
        "unusual-mode": ("note", "print.jpg"),
        "unfinished": ("warning", "zeros.jpg"),
        "very-dark": ("note", "dark.png"),
        "very-bright": ("note", "bright.png"),
        "blurred": ("note", "blurred.png"),
    }
    assert {code: (f.level, f.items[0].paths[0]) for code, f in found.items()} == expected
    assert {c: f.count for c, f in found.items() if f.count > 1 and c != "blurred"} == {}
    assert found["wrong-extension"].items[0].text == "named as JPEG, is PNG"
    assert found["wrong-extension"].items[0].figures["format"] == "PNG"
    assert found["turned"].items[0].text == "stored on its side (EXIF orientation 6)"
    assert found["turned"].what.startswith("One picture is stored turned")
    assert found["blank"].items[0].text == "colour 9, 200, 30"
    assert found["tiny"].items[0].rows == (37,)
    assert "words" in found["unreadable"].items[0].text


def test_files_in_order_are_good(tmp_path: Path, examine: Examine) -> None:
    for i in range(30):
        scene(i).save(tmp_path / f"{i}.png")
    found = by_code(check_files(examine([f"{i}.png" for i in range(30)])))
    assert list(found) == ["files-in-order"]
    assert found["files-in-order"].what == "All 30 files can be read whole. Their names tell their formats."


def test_a_set_of_small_pictures_is_no_warning_each(tmp_path: Path, examine: Examine) -> None:
    for i in range(12):
        scene(i, (28, 28)).save(tmp_path / f"{i}.png")
    found = by_code(check_files(examine([f"{i}.png" for i in range(12)])))
    assert found["tiny"].level == "note"
    assert found["tiny"].count == 12


def test_no_more_places_than_asked_for(examine: Examine) -> None:
    found = by_code(check_files(examine([f"{i}.png" for i in range(9)], most=3)))["missing-file"]
    assert (found.count, len(found.items)) == (9, 3)
    assert found.what == "9 pictures of the list do not exist."


def copies_of(tmp_path: Path) -> list[str]:
    """12 scenes; of 0 two more files with its bytes, of 1 one; of 2 a resized copy, of 3 a mirrored one."""
    names = [f"{i:02}.png" for i in range(12)]
    for i, name in enumerate(names):
        scene(i).save(tmp_path / name)
    for source, target in (("00.png", "a.png"), ("00.png", "b.png"), ("01.png", "c.png")):
        shutil.copy(tmp_path / source, tmp_path / target)
    scene(2).resize((60, 60)).save(tmp_path / "d.png")
    ImageOps.mirror(scene(3)).save(tmp_path / "e.png")
    return [*names, "a.png", "b.png", "c.png", "d.png", "e.png"]


def test_duplicates_are_told_with_their_labels(tmp_path: Path, examine: Examine) -> None:
    names = copies_of(tmp_path)
    labels = ["hat"] * 12 + ["hat", "shoe", "hat", "shoe", "hat"]
    found = by_code(check_duplicates(examine(names, labels)))
    assert list(found) == [
        "exact-duplicates", "same-picture-two-labels", "near-duplicates", "near-duplicates-two-labels",
    ]  # fmt: skip
    assert [f.level for f in found.values()] == ["warning", "error", "warning", "warning"]
    assert places(found["exact-duplicates"]) == [("00.png", "a.png", "b.png"), ("01.png", "c.png")]
    assert found["exact-duplicates"].items[0].rows == (0, 12, 13)
    assert found["exact-duplicates"].items[0].text == "3 times: hat (2), shoe"
    assert places(found["same-picture-two-labels"]) == [("00.png", "a.png", "b.png")]
    assert sorted(places(found["near-duplicates"])) == [("02.png", "d.png"), ("03.png", "e.png")]
    scores = [item.score for item in found["near-duplicates"].items]
    assert scores == sorted(scores, reverse=True)
    assert any(item.text.startswith("mirrored, 9") for item in found["near-duplicates"].items)
    assert places(found["near-duplicates-two-labels"]) == [("02.png", "d.png")]
    figures = found["exact-duplicates"].figures
    assert (figures["pictures"], figures["exact_copies"], figures["near_copies"]) == (17, 3, 2)
    assert "17.6%" in found["exact-duplicates"].what


def test_a_path_listed_twice_is_no_duplicate(tmp_path: Path, examine: Examine) -> None:
    for i in range(3):
        scene(i).save(tmp_path / f"{i}.png")
    found = by_code(check_duplicates(examine(["0.png", "1.png", "0.png", "2.png"], ["a", "b", "b", "a"])))
    assert list(found) == ["no-duplicates"]


@pytest.mark.parametrize("same", ["bytes", "scene"])
def test_all_pictures_equal(tmp_path: Path, examine: Examine, same: str) -> None:
    names = [f"{i}.jpg" for i in range(10)]
    for i, name in enumerate(names):
        scene(1).save(tmp_path / name, quality=90 if same == "bytes" else 90 - 2 * i)
    found = by_code(check_duplicates(examine(names, ["a", "b"] * 5)))
    equal = found["all-equal"]
    assert equal.level == "error"
    assert equal.what.startswith(
        "All 10 pictures " + ("have the same bytes" if same == "bytes" else "show the same")
    )
    assert len(equal.items[0].paths) == 4


@pytest.mark.parametrize("n", [0, 1, 2, 10])
@pytest.mark.parametrize("checkup", [check_files, check_duplicates, check_parts])
def test_small_sets_raise_nothing(tmp_path: Path, examine: Examine, n: int, checkup: Any) -> None:
    for i in range(n):
        scene(i).save(tmp_path / f"{i}.png")
    by_code(checkup(examine([f"{i}.png" for i in range(n)], ["one"] * n)))


def test_rows_with_several_labels(tmp_path: Path, examine: Examine) -> None:
    scene(0).save(tmp_path / "0.png")
    for name in ("1.png", "2.png"):
        shutil.copy(tmp_path / "0.png", tmp_path / name)
    scene(5).save(tmp_path / "3.png")
    names = [f"{i}.png" for i in range(4)]
    found = by_code(check_duplicates(examine(names, labels=[None] * 4, **{})))
    assert "same-picture-two-labels" not in found  # nothing is labelled
    several = Dataset(
        pa.table(
            {
                "path": names,
                "label": pa.nulls(4, pa.string()),
                "labels": pa.array([["hat", "shoe"], ["shoe", "hat"], ["hat"], None], pa.list_(pa.string())),
            }
        ),
        ClassNames(["hat", "shoe"]),
        tmp_path,
    )
    config = AuditConfig()
    facts = gather_facts(several, tmp_path / "work", config, lambda *_: None)
    examination = Examination(several, facts, config, tmp_path / "work", lambda *_: None)
    found = by_code(check_duplicates(examination))
    assert found["same-picture-two-labels"].items[0].text == "3 times: hat + shoe (2), hat"
