"""Data formats. Each is one file with one object ``FORMAT`` and one line in ``assay.tables.FORMATS``.

Formats do not know each other; ``tests/contracts/test_formats.py`` asks the same of all that hold classes, and
``tests/contracts/test_object_formats.py`` of all that hold boxes or masks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from assay.configs import ReadConfig
from assay.types import Dataset

HOLDABLE = frozenset(
    (
        *("label", "labels", "part", "group", "boxes", "masks", "crowd", "empty", "unlabelled", "pixels"),
        *("difficult", "columns"),
    )
)
"""What a format may hold of a picture: one class; tags; its part and group; boxes, masks, regions of many things;
that it is empty (looked at, nothing there); that nobody looked for objects; the class of every pixel; which things VOC
marks as difficult; any further column."""


class Format(Protocol):
    """What a data format must offer; outside packages may add more through entry points."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings that this format writes; ``""`` stands for a folder."""
        ...

    def holds(self, path: Path) -> frozenset[str]:
        """What is kept when a data set is written to ``path``: names of ``HOLDABLE``."""
        ...

    def detect(self, path: Path) -> bool:
        """Whether ``path`` (which exists) looks like this format. Cheap, and never raises."""
        ...

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """The data set at ``path``. Raises DatasetError or ConfigError, with everything that is wrong at once."""
        ...

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """Write so that ``read`` gives the same rows back. Whole or not at all. ``progress``: (pictures done, all)."""
        ...
