"""What the promises are tested on: a policy with one tiny network, and its thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml
from tests.tiny_policy import SHAPES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shapes_policy(tiny_bundle: Path, tmp_path: Path) -> Path:
    """``shapes.yaml`` beside ``tiny.bundle``; without thresholds, so people decide everything."""
    path = tmp_path / "shapes.yaml"
    path.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    return path
