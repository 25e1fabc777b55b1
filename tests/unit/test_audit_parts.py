"""The checkup of parts: leaks of every kind, classes and shares."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from assay.audit.checkups.parts import check_parts
from assay.audit.examination import Examination
from assay.audit.facts import gather_facts
from assay.audit.finding import Finding
from assay.labels import ClassNames
from assay.types import Dataset
from assay.verb_configs import AuditConfig

PARTS = ["train"] * 6 + ["validation"] * 3 + ["test"] * 3


def scene(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize(
        (96, 96), Image.Resampling.BICUBIC
    )


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    names = [f"{i:02}.png" for i in range(12)]
    for i, name in enumerate(names):
        scene(i).save(tmp_path / name)
    return names


def check(root: Path, names: list[str], given: list[Any], **columns: Any) -> dict[str, Finding]:
    listed = [name for row in columns.get("labels", []) for name in row or ()]
    classes = ClassNames(sorted({v for v in [*given, *listed] if v is not None}))
    if "labels" in columns:
        columns["labels"] = pa.array(columns["labels"], pa.list_(pa.string()))
    texts = {name: pa.array(values, pa.string()) for name, values in columns.items() if name != "labels"}
    table = pa.table({"path": names, "label": pa.array(given, pa.string()), **{**columns, **texts}})
    data, config = Dataset(table, classes, root), AuditConfig()
    facts = gather_facts(data, root / "work", config, lambda *_: None)
    return by_code(check_parts(Examination(data, facts, config, root / "work", lambda *_: None)))


def by_code(findings: Iterable[Finding]) -> dict[str, Finding]:
    listed = list(findings)
    for f in listed:
        assert "{" not in f.what + f.fix
        assert "|" not in f.what
    return {f"{f.code}:{f.figures['part']}" if f.code == "tiny-part" else f.code: f for f in listed}


def test_no_leak_is_good(tmp_path: Path, pictures: list[str]) -> None:
    found = check(tmp_path, pictures, ["a", "b"] * 6, part=PARTS, group=[f"g{i}" for i in range(12)])
    assert found.pop("no-leak").what == (
        "No picture of one part is also in another (train 6, validation 3, test 3), not even as a near-duplicate. "
        "No group is torn between parts."
    )
    assert set(found) == {"tiny-part:train", "tiny-part:validation", "tiny-part:test"}


@pytest.mark.parametrize("parts", [None, ["train"] * 12])
def test_without_parts_a_note(tmp_path: Path, pictures: list[str], parts: Any) -> None:
    found = check(tmp_path, pictures, ["a", "b"] * 6, **({} if parts is None else {"part": parts}))
    assert list(found) == ["no-parts"]
    assert found["no-parts"].level == "note"
    assert ("only the part train" in found["no-parts"].what) == (parts is not None)


def test_the_same_picture_in_two_parts(tmp_path: Path, pictures: list[str]) -> None:
    shutil.copy(tmp_path / "00.png", tmp_path / "11.png")
    found = check(tmp_path, pictures, ["a"] * 12, part=PARTS)
    leak = found["same-picture-two-parts"]
    assert leak.level == "error"
    assert [item.paths for item in leak.items] == [("00.png", "11.png")]
    assert leak.items[0].rows == (0, 11)
    assert leak.items[0].text == "in train, test"
    assert leak.figures == {
        "pictures": 1,
        "validation": 0,
        "validation_share": 0.0,
        "test": 1,
        "test_share": 0.333333,
    }
    assert leak.what.endswith("That touches 33.3% of test.")
    assert "near-duplicates-across-parts" not in found
    assert "no-leak" not in found


def test_a_near_copy_in_two_parts(tmp_path: Path, pictures: list[str]) -> None:
    ImageOps.mirror(scene(0)).save(tmp_path / "07.png")
    scene(1).resize((50, 50)).save(tmp_path / "02.png")  # within train: no leak
    found = check(tmp_path, pictures, ["a"] * 12, part=PARTS)
    leak = found["near-duplicates-across-parts"]
    assert leak.level == "error"
    assert [item.paths for item in leak.items] == [("00.png", "07.png")]
    assert leak.items[0].text.endswith("% alike; in train, validation")
    assert leak.items[0].score is not None
    assert leak.items[0].score > 0.9
    assert "same-picture-two-parts" not in found


def test_a_torn_group(tmp_path: Path, pictures: list[str]) -> None:
    groups = ["x"] * 5 + ["y"] * 4 + ["y", "z", None]
    found = check(tmp_path, pictures, ["a"] * 12, part=PARTS, group=groups)
    torn = found["torn-group"]
    assert (torn.level, torn.count) == ("error", 1)
    assert torn.items[0].text == "y: in validation (3), train, test"
    assert torn.items[0].paths == ("05.png", "06.png", "09.png")
    assert torn.items[0].figures == {"group": "y", "pictures": 5}


def test_one_group_is_a_note(tmp_path: Path, pictures: list[str]) -> None:
    found = check(tmp_path, pictures, ["a"] * 12, part=PARTS, group=["{x}|y"] * 12)
    assert found["one-group"].level == "note"
    assert "torn-group" not in found


def test_classes_missing_in_a_part(tmp_path: Path, pictures: list[str]) -> None:
    labels = ["a", "b", "a", "b", "a", "b", "a", "a", "a", "a", "b", "new"]
    found = check(tmp_path, pictures, labels, part=PARTS)
    assert [item.text for item in found["untaught-class"].items] == ["new: 1 in test"]
    assert found["untaught-class"].level == "error"
    assert [item.text for item in found["class-missing-in-part"].items] == [
        "b is not in validation; 3 in train, 1 in test"
    ]


def test_rows_listed_twice(tmp_path: Path, pictures: list[str]) -> None:
    names = [*pictures, "00.png", "01.png", "02.png"]
    labels = ["a"] * 12 + ["a", "b", "a"]
    found = check(tmp_path, names, labels, part=[*PARTS, "train", "train", "test"])
    assert found["path-twice"].items[0].rows == (0, 12)
    assert found["path-two-labels"].items[0].paths == ("01.png", "01.png")
    assert found["path-two-labels"].items[0].text == "a, b; train (2)"
    assert found["path-two-parts"].items[0].rows == (2, 14)
    assert "same-picture-two-parts" not in found  # told already


def test_rows_without_label_or_part(tmp_path: Path, pictures: list[str]) -> None:
    labels: list[Any] = ["a", "b", None] * 4
    found = check(tmp_path, pictures, labels, part=[*PARTS[:-1], None])
    assert found["no-part"].items[0].paths == ("11.png",)
    assert found["no-part"].what == "One picture belongs to no part, and the others do."


def test_several_labels_a_row(tmp_path: Path, pictures: list[str]) -> None:
    several = [["a", "b"], ["a"], ["b"]] * 3 + [["a"], ["c", "a"], ["a"]]
    found = check(tmp_path, pictures, [None] * 12, labels=several, part=PARTS)
    assert [item.text for item in found["untaught-class"].items] == ["c: 1 in test"]
    assert [item.text for item in found["class-missing-in-part"].items] == [
        "b is not in test; 4 in train, 2 in validation"
    ]


def in_shares(root: Path, shares: dict[str, tuple[int, int]]) -> dict[str, Finding]:
    """Missing files only: the rows are what is looked at."""
    parts = [part for part, counts in shares.items() for _ in range(sum(counts))]
    labels = [
        label for counts in shares.values() for label, n in zip("ab", counts, strict=True) for _ in range(n)
    ]
    return check(root, [f"{i}.png" for i in range(len(parts))], list(labels), part=parts)


def test_shares_that_differ_by_chance_are_no_alarm(tmp_path: Path) -> None:
    assert "parts-imbalance" not in in_shares(
        tmp_path, {"train": (300, 200), "validation": (55, 45), "test": (66, 34)}
    )


def test_shares_that_differ_more(tmp_path: Path) -> None:
    found = in_shares(tmp_path, {"train": (300, 200), "test": (20, 180)})["parts-imbalance"]
    assert found.level == "warning"
    assert found.figures["p"] < 1e-9
    assert 0.3 < found.figures["cramers_v"] < 0.6
    assert found.items[0].text == "a: 60.0% of train, 10.0% of test"
