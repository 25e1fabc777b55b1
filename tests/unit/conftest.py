"""Tiny data sets for the doctor's tests: noisy patches in the colour of their class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from assay.audit.examination import Examination

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
