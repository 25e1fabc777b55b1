"""Shortcuts: what files give away, in plain words, and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from assay.audit.checkups.shortcuts import check_shortcuts
from assay.audit.file_traces import name_shape
from assay.audit.finding import Finding

Draw = Callable[..., Image.Image]


@pytest.fixture
def make(tmp_path: Path, draw_patch: Draw, examine: Callable[..., Any]) -> Callable[..., Finding]:
    """``make(save)``: 30 pictures of each of two classes, written by ``save(kind, i, path without ending)``."""

    def run(save: Callable[[int, int, Path], None], count: int = 30) -> Finding:
        for kind, name in enumerate(("cap", "mug")):
            (tmp_path / "set" / name).mkdir(parents=True)
            for i in range(count):
                save(kind, i, tmp_path / "set" / name / f"{7 * i + kind}")
        (found,) = check_shortcuts(examine(tmp_path / "set"))
        return found

    return run


def test_alike_files_are_good(make: Any, draw_patch: Draw) -> None:
    found = make(lambda kind, i, path: draw_patch(kind, i).save(path.with_suffix(".jpg"), quality=90))
    assert (found.level, found.code) == ("good", "no-shortcut")


def test_size(make: Any, draw_patch: Draw) -> None:
    def save(kind: int, i: int, path: Path) -> None:
        side = 40 + 2 * kind if i % 10 else 40
        draw_patch(kind, i, (side, side)).save(path.with_suffix(".png"))

    found = make(save)
    assert (found.level, found.code) == ("error", "shortcut")
    assert "size" in found.figures["families"]
    assert "px" in found.items[0].figures["rule"]
    assert "letterbox" in found.fix


def test_compression(make: Any, draw_patch: Draw) -> None:
    found = make(
        lambda kind, i, path: draw_patch(kind, i).save(path.with_suffix(".jpg"), quality=(90, 70)[kind])
    )
    assert found.level == "error"
    assert found.items[0].figures["family"] == "compression"
    assert "All of its pictures have JPEG quality" in found.what
    assert "none of the others" in found.what
    assert found.items[0].figures["p"] < 1e-6


def test_format(make: Any, draw_patch: Draw) -> None:
    found = make(lambda kind, i, path: draw_patch(kind, i).save(path.with_suffix((".png", ".bmp")[kind])))
    assert found.level == "error"
    assert "format" in found.figures["families"]


def test_light_is_no_error(make: Any, draw_patch: Draw) -> None:
    def save(kind: int, i: int, path: Path) -> None:
        dimmed = ImageEnhance.Brightness(draw_patch(0, 100 * kind + i)).enhance((1.0, 0.3)[kind])
        dimmed.save(path.with_suffix(".bmp"))

    found = make(save)
    assert (found.level, found.code) == ("note", "source-traces")
    assert "brightness" in found.what


def test_names_are_a_note(make: Any, draw_patch: Draw) -> None:
    def save(kind: int, i: int, path: Path) -> None:
        draw_patch(0, 100 * kind + i).save(path.with_name(("IMG_{}.bmp", "photo {}.bmp")[kind].format(i)))

    found = make(save)
    assert (found.level, found.code) == ("note", "source-traces")
    assert found.figures["families"] == ["name"]


def test_one_class_of_many(tmp_path: Path, draw_patch: Draw, examine: Callable[..., Any]) -> None:
    for kind, name in enumerate(("a", "b", "c", "d")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(20):
            side = 64 if name == "d" else 48
            draw_patch(0, 100 * kind + i, (side, side)).save(tmp_path / "set" / name / f"{i}.bmp")
    (found,) = check_shortcuts(examine(tmp_path / "set"))
    assert found.level == "error"
    assert found.figures["classes"] == ["d"]
    assert len(found.items[0].paths) == 6


def test_chance_is_not_told(make: Any, draw_patch: Draw) -> None:
    rng = np.random.default_rng(3)

    def save(kind: int, i: int, path: Path) -> None:
        side = int(rng.integers(40, 60))
        draw_patch(kind, i, (side, side)).save(path.with_suffix(".jpg"), quality=int(rng.integers(60, 95)))

    assert make(save, count=25).code == "no-shortcut"


def test_few_pictures_are_not_asked(tmp_path: Path, draw_patch: Draw, examine: Callable[..., Any]) -> None:
    for kind, name in enumerate("ab"):
        (tmp_path / "set" / name).mkdir(parents=True)
        draw_patch(kind, 0, (40 + kind, 40)).save(tmp_path / "set" / name / "0.bmp")
    assert list(check_shortcuts(examine(tmp_path / "set"))) == []


@pytest.mark.parametrize(
    ("path", "label", "shape"),
    [
        ("x/IMG_0123.JPG", "mug", "a_9.jpg"),
        ("x/Red-Mug_01.jpg", "redmug", "(class).jpg"),
        ("x/009b3c31-fb62-45c0-be9a-37a5c238cb88.jpg", "mug", "(hex).jpg"),
        ("x/照片 12.png", "mug", "a 9.png"),
        ("x/noending", "mug", "a"),
    ],
)
def test_shapes_of_names(path: str, label: str, shape: str) -> None:
    assert name_shape(path, label) == shape
