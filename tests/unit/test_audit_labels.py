"""Labels that look wrong: found where they were falsified, and not where there is nothing to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from assay.audit.checkups.labels import check_labels
from assay.audit.finding import Finding

Draw = Callable[..., Image.Image]


@pytest.fixture
def make(tmp_path: Path, draw_patch: Draw) -> Callable[..., Path]:
    """``make(count, wrong)``: a table of three classes; the rows in ``wrong`` carry the next class's label."""

    def run(count: int = 90, wrong: tuple[int, ...] = (), noise: bool = False) -> Path:
        lines, rng = ["path,label"], np.random.default_rng(4)
        for i in range(count):
            kind = i % 3
            picture = draw_patch(int(rng.integers(3)) if noise else kind, i)
            picture.save(tmp_path / f"{i}.png")
            lines.append(f"{i}.png,{('red', 'blue', 'green')[(kind + (i in wrong)) % 3]}")
        (tmp_path / "data.csv").write_text("\n".join(lines))
        return tmp_path / "data.csv"

    return run


def by_code(findings: Any) -> dict[str, Finding]:
    return {f.code: f for f in findings}


def test_falsified_labels_come_first(make: Any, examine: Callable[..., Any]) -> None:
    wrong = (4, 31, 50, 77)
    found = by_code(check_labels(examine(make(wrong=wrong))))["label-issues"]
    assert found.level == "warning"
    assert {item.rows[0] for item in found.items[:4]} == set(wrong)
    first = found.items[0]
    assert first.figures["suggested"] == ("red", "blue", "green")[first.rows[0] % 3]
    assert first.paths == (f"{first.rows[0]}.png",)
    assert len(first.figures["similar"]) == 3
    assert [i.score for i in found.items] == sorted((i.score for i in found.items), reverse=True)
    assert found.figures["found_of_falsified"] > 0.5


def test_similar_pictures_carry_the_suggested_label(make: Any, examine: Callable[..., Any]) -> None:
    examination = examine(make(wrong=(4, 31, 50)))
    item = by_code(check_labels(examination))["label-issues"].items[0]
    names = dict(zip(*(examination.dataset.table[c].to_pylist() for c in ("path", "label")), strict=True))
    assert {names[path] for path in item.figures["similar"]} == {item.figures["suggested"]}


def test_right_labels_are_left_in_peace(make: Any, examine: Callable[..., Any]) -> None:
    told = by_code(check_labels(examine(make())))
    if "label-issues" in told:  # a hard picture may be listed, as a note
        assert told["label-issues"].level == "note"
        assert told["label-issues"].count <= 2


def test_noise_is_not_judged(make: Any, examine: Callable[..., Any]) -> None:
    (found,) = check_labels(examine(make(noise=True)))
    assert found.code == "labels-not-judged"
    assert "A list of doubtful labels would be noise" in found.what
    assert found.figures["chance"] == pytest.approx(1 / 3, abs=0.01)


def test_too_few_are_not_judged(make: Any, examine: Callable[..., Any]) -> None:
    (found,) = check_labels(examine(make(count=12)))
    assert found.code == "labels-not-judged"
    assert "20 are the least" in found.what


def test_small_classes_are_not_judged(make: Any, examine: Callable[..., Any]) -> None:
    table = make(count=60)
    lines = table.read_text().splitlines()
    lines[5] = lines[5].split(",")[0] + ",rare"
    table.write_text("\n".join(lines))
    told = by_code(check_labels(examine(table)))
    assert all(i.figures["given"] != "rare" for f in told.values() for i in f.items if "given" in i.figures)


def test_a_picture_out_of_place(make: Any, examine: Callable[..., Any]) -> None:
    table = make(count=90)
    stripes = np.zeros((48, 48, 3), np.uint8)
    stripes[::6] = (255, 0, 255)
    stripes[:, ::6] = (0, 255, 255)
    Image.fromarray(stripes).save(table.parent / "10.png")
    told = by_code(check_labels(examine(table)))
    assert told["outliers"].level == "note"
    assert told["outliers"].items[0].paths == ("10.png",)


def test_two_classes_that_are_one(tmp_path: Path, draw_patch: Draw, examine: Callable[..., Any]) -> None:
    lines = ["path,label"]
    for i in range(120):
        kind = (0, 0, 1, 2)[i % 4]
        draw_patch(kind, i).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{('crimson', 'scarlet', 'blue', 'green')[i % 4]}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    told = by_code(check_labels(examine(tmp_path / "data.csv")))
    assert told["confusable-classes"].items[0].figures["classes"] == ["crimson", "scarlet"]


@pytest.mark.shared
@pytest.mark.slow
def test_labels_falsified_in_real_photos(
    shared_data: Path, tmp_path: Path, examine: Callable[..., Any]
) -> None:
    """One in twenty labels falsified: at least 45 of the first 50 on the list are among them."""
    paths = sorted((shared_data / "clothing").glob("*/*/*.jpg"))
    classes = sorted({p.parent.name for p in paths})
    rng = np.random.default_rng(0)
    wrong = rng.random(len(paths)) < 0.05
    labels = [
        classes[(classes.index(p.parent.name) + int(rng.integers(1, 10)) * int(w)) % 10]
        for p, w in zip(paths, wrong, strict=True)
    ]
    text = "".join(f"{p},{label}\n" for p, label in zip(paths, labels, strict=True))
    (tmp_path / "data.csv").write_text("path,label\n" + text)
    found = by_code(check_labels(examine(tmp_path / "data.csv", workers=None)))["label-issues"]
    named = {str(p): w for p, w in zip(paths, wrong, strict=True)}
    assert sum(named[item.paths[0]] for item in found.items[:50]) >= 45
