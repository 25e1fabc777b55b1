"""Tiny data: noisy patches in the colour of their class for the doctor, boxes and masks by chance for the metrics."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from tests.cells import draw_cells as cells_picture
from tests.cells import write_cells_bundle

if TYPE_CHECKING:
    from assay.audit.examination import Examination
    from assay.detections import Detections
    from assay.labels import ClassNames
    from assay.objects import Objects

COLOURS = ((210, 60, 50), (50, 80, 210), (60, 190, 80), (200, 190, 60))


@pytest.fixture
def draw_patch() -> Callable[..., Image.Image]:
    """``draw_patch(kind, seed)``: a noisy picture whose middle has the colour of its kind, nearly."""

    def draw(kind: int, seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
        rng = np.random.default_rng(1000 * kind + seed)
        width, height = size
        pixels = rng.integers(60, 190, (height, width, 3))
        y, x = rng.integers(2, 8, 2)
        shift = rng.integers(-30, 31, 3)
        pixels[y : y + height // 2, x : x + width // 2] = np.clip(np.array(COLOURS[kind]) + shift, 0, 255)
        return Image.fromarray(np.clip(pixels + rng.integers(-20, 21, pixels.shape), 0, 255).astype(np.uint8))

    return draw


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., Examination]:
    """``examine(folder, minutes=0)``: the data set there, with its facts, ready for a checkup."""

    def make(data: Path, **options: Any) -> Examination:
        from assay.audit.examination import Examination
        from assay.audit.facts import gather_facts
        from assay.data.read import read_dataset
        from assay.verb_configs import AuditConfig

        config = AuditConfig(**{"minutes": 0.0, "workers": 1, **options})
        dataset, work = read_dataset(data), tmp_path / "work"
        facts = gather_facts(dataset, work, config, lambda *_: None)
        return Examination(dataset, facts, config, work, lambda *_: None)

    return make


class Scene(NamedTuple):
    """Truth and detections of some pictures; ``truth[i]`` is None where nobody looked."""

    truth: list[Objects | None]
    found: list[Detections]
    classes: ClassNames


@pytest.fixture
def draw_scene() -> Callable[..., Scene]:
    """``draw_scene(seed, pictures=8, classes=3, things=6, strays=6, ties=False, crowds=0.1, masks=False)``.

    Detections are things moved a little, some with another class, and ``strays``; the last class has no things.
    """

    def draw(seed: int, pictures: int = 8, **options: Any) -> Scene:
        from assay.labels import ClassNames

        rng, classes = np.random.default_rng(seed), options.get("classes", 3)
        drawn = [_draw_picture(rng, **{"classes": classes, **options}) for _ in range(pictures)]
        names = ClassNames(f"class {k}" for k in range(classes))
        return Scene([one for one, _ in drawn], [one for _, one in drawn], names)

    return draw


def _draw_picture(
    rng: np.random.Generator,
    classes: int,
    things: int = 6,
    strays: int = 6,
    ties: bool = False,
    crowds: float = 0.1,
    masks: bool = False,
    size_hw: tuple[int, int] = (240, 320),
) -> tuple[Objects, Detections]:
    from assay.detections import Detections
    from assay.objects import Objects

    n, m = int(rng.integers(things + 1)), int(rng.integers(strays + 1))
    boxes, labels = _draw_boxes(rng, n, size_hw), rng.integers(max(1, classes - 1), size=n)
    again = rng.integers(n, size=int(rng.integers(2 * n + 1))) if n else np.zeros(0, np.int64)
    moved = boxes[again] + rng.normal(scale=4, size=(len(again), 4)).round(1)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    found = np.concatenate([moved, _draw_boxes(rng, m, size_hw)])
    wrong = rng.integers(classes, size=len(found))
    same = np.append(rng.random(len(again)) < 0.8, np.zeros(m, bool))
    given = np.where(same, np.append(labels[again], np.zeros(m, np.int64)), wrong)
    scores = np.round(rng.random(len(found)), 1 if ties else 9).astype(np.float32)
    shapes, shapes_found = ((_draw_masks(b, size_hw, rng) if masks else ()) for b in (boxes, found))
    truth = Objects(boxes, labels.astype(np.int64), shapes, rng.random(n) < crowds)
    return truth, Detections(found, given.astype(np.int64), scores, shapes_found)


def _draw_boxes(rng: np.random.Generator, n: int, size_hw: tuple[int, int]) -> Any:
    """(n, 4) whole pixels: small, medium and large ones."""
    sides = rng.choice([20, 60, 150], size=(n, 1)) * rng.uniform(0.6, 1.4, size=(n, 2))
    corner = rng.random((n, 2)) * (np.array(size_hw[::-1]) - 60)
    return np.concatenate([corner, corner + sides], axis=1).round()


def _draw_masks(boxes: Any, size_hw: tuple[int, int], rng: np.random.Generator) -> tuple[Any, ...]:
    """An ellipse in each box, some with a hole."""
    from assay.masks import encode

    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    masks = []
    for x1, y1, x2, y2 in boxes:
        away = ((x - (x1 + x2) / 2) / (x2 - x1)) ** 2 + ((y - (y1 + y2) / 2) / (y2 - y1)) ** 2
        masks.append(encode((away <= 0.25) & (away >= rng.choice([-1, 0.02]))))
    return tuple(masks)


@pytest.fixture(scope="session")
def _scene_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cells_bundle(tmp_path_factory.mktemp("cells") / "cells.bundle")


@pytest.fixture
def scene_bundle(_scene_bundle: Path, tmp_path: Path) -> Path:
    """A Bundle of a network of all heads, made by hand without torch: every red or blue cell of 8 px is a thing.

    Its own copy for each test, so a test may break it.
    """
    return Path(shutil.copy(_scene_bundle, tmp_path / "cells.bundle"))


@pytest.fixture
def draw_cells(tmp_path: Path) -> Callable[..., Path]:
    """``draw_cells("a.png", {(0, 1): "red"}, scale=1)``: a grey picture of 8 x 8 cells with some in colour."""

    def draw(name: str, cells: dict[tuple[int, int], str], scale: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cells_picture(cells, scale).save(path)
        return path

    return draw
