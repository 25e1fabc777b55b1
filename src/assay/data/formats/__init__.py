"""Data formats. Each is one file with one object ``FORMAT`` and one line in ``assay.tables.FORMATS``.

Formats do not know each other; ``tests/contracts/test_formats.py`` asks the same of all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from assay.configs import ReadConfig
from assay.types import Dataset


class Format(Protocol):
    """What a data format must offer; outside packages may add more through entry points."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings that this format writes; ``""`` stands for a folder."""
        ...

    def detect(self, path: Path) -> bool:
        """Whether ``path`` (which exists) looks like this format. Cheap, and never raises."""
        ...

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """The data set at ``path``. Raises DatasetError or ConfigError, with everything that is wrong at once."""
        ...

    def write(self, dataset: Dataset, path: Path) -> None:
        """Write so that ``read`` gives the same rows back. Whole or not at all."""
        ...
