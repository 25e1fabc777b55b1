"""Classes and test parts: counted, and told in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.audit.checkups.classes import check_classes
from assay.audit.checkups.power import check_power, effective, half_width, smallest_difference
from assay.audit.class_names import plain_name
from assay.audit.finding import Finding


@pytest.fixture
def found(tmp_path: Path, draw_patch: Any, examine: Callable[..., Any]) -> Callable[..., dict[str, Finding]]:
    def run(checkup: Any, rows: list[tuple[str, ...]], header: str = "path,label") -> dict[str, Finding]:
        draw_patch(0, 0).save(tmp_path / "a.png")
        lines = [header, *(",".join(["a.png", *row]) for row in rows)]
        (tmp_path / "data.csv").write_text("\n".join(lines) + "\n")
        return {f.code: f for f in checkup(examine(tmp_path / "data.csv"))}

    return run


def rows_of(**counts: int) -> list[tuple[str, ...]]:
    return [(name,) for name, n in counts.items() for _ in range(n)]


def test_one_class(found: Any) -> None:
    told = found(check_classes, rows_of(cap=30))
    assert told["one-class"].level == "error"
    assert "All 30 labelled pictures belong to the class 'cap'" in told["one-class"].what


def test_ten_pictures(found: Any) -> None:
    told = found(check_classes, rows_of(cap=5, mug=5))
    assert told["hardly-any-pictures"].level == "error"
    assert "There are 10 labelled pictures in all" in told["hardly-any-pictures"].what


def test_small_classes_and_imbalance(found: Any) -> None:
    told = found(check_classes, rows_of(cap=400, mug=4, shoe=12))
    assert told["tiny-classes"].what == "One class has fewer than 5 pictures: mug (4)."
    assert told["small-classes"].items[0].figures == {"class": "shoe", "pictures": 12}
    assert told["imbalance"].level == "warning"
    assert told["imbalance"].figures["ratio"] == 100
    assert 1 < told["imbalance"].figures["effective_classes"] < 1.3


def test_even_classes_are_good(found: Any) -> None:
    told = found(check_classes, rows_of(cap=100, mug=90))
    assert list(told) == ["balance"]
    assert told["balance"].figures["effective_classes"] == pytest.approx(2, abs=0.01)


def test_spellings(found: Any) -> None:
    told = found(check_classes, [*rows_of(mug=60, Mugs=50), *[("t-shirt",)] * 50, *[("T Shirt",)] * 40])
    assert told["class-spellings"].count == 2
    assert {tuple(i.figures["classes"]) for i in told["class-spellings"].items} == {
        ("Mugs", "mug"),
        ("T Shirt", "t-shirt"),
    }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("T-Shirts", "tshirt", True),
        ("boxes", "box", True),
        ("Dress", "dresses", True),
        ("berries", "berry", True),
        ("glass", "glas", False),
        ("size 1", "size 2", False),
        ("Fruit/Apple", "Fruit Apple", False),
        ("帽子", "帽", False),
        ("+", "-", False),
    ],
)
def test_plain_names(one: str, other: str, same: bool) -> None:
    assert (plain_name(one) == plain_name(other)) is same


def test_braces_in_class_names(found: Any) -> None:
    told = found(check_classes, [*rows_of(cap=200), *[("{n}",)] * 3, *[("{x}",)] * 2])
    assert "{n} (3)" in told["tiny-classes"].what


def test_unlabelled(found: Any) -> None:
    told = found(check_classes, [*rows_of(cap=60, mug=60), *[("",)] * 40])
    assert told["unlabelled"].level == "warning"
    assert told["unlabelled"].count == 40
    assert "40 pictures (25%) have no label" in told["unlabelled"].what


def test_several_labels_a_picture(found: Any) -> None:
    rows = [("cap|mug",)] * 60 + [("mug",)] * 50 + [("",)] * 10
    told = found(check_classes, rows, "path,labels")
    assert "one-class" not in told
    assert told["unlabelled"].count == 10
    assert told["balance"].figures["largest"] == "mug"


def test_a_test_part_that_is_too_small(found: Any) -> None:
    told = found(check_power, rows_of(cap=50, mug=50))
    power = told["test-too-small"]
    assert power.level == "warning"
    assert "would put about 15 of 100 pictures into the test part" in power.what
    assert power.figures["test_pictures"] == 15
    assert len(power.items) == 2


def test_a_named_test_part_is_taken(found: Any) -> None:
    rows = [("cap", "test"), ("mug", "test")] * 2000 + [("cap", "train"), ("mug", "train")] * 50
    told = found(check_power, rows, "path,label,part")
    assert told["test-size"].level == "good"
    assert "The test part has 4,000 pictures" in told["test-size"].what


def test_groups_shrink_a_test_part(found: Any) -> None:
    rows = [("cap" if i % 2 else "mug", f"s{i // 100}") for i in range(2000)]
    told = found(check_power, rows, "path,label,group")
    figures = told["test-too-small"].figures
    assert figures["groups"] == 3
    assert figures["effective_pictures"] < 20
    assert "worth about" in told["test-too-small"].what


def test_known_answers() -> None:
    assert half_width(0.8, 246) == pytest.approx(0.05, abs=0.001)
    assert smallest_difference(10_000) < smallest_difference(100) <= 1
    assert smallest_difference(1) == 1
    assert effective(np.full(10, -1), 1.0) == (10, 0)
    worth, groups = effective(np.repeat(np.arange(5), 20), 1.0)
    assert groups == 5
    assert worth == pytest.approx(100 / (1 + 19 * 0.2))


def test_names_with_braces_and_strokes_stay_as_they_are(found: Any) -> None:
    odd = "{n} cap|hat {0}"
    rows = [("mug",)] * 30 + [(f'"{odd}"',)] * 3 + [(f'"{odd.upper()}"',)] * 3
    told = found(check_classes, rows)
    assert odd in told["tiny-classes"].what
    assert told["tiny-classes"].what.startswith("2 classes have fewer than 5 pictures: ")
    assert odd in told["class-spellings"].what
