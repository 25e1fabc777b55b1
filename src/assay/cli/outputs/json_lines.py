"""JSON Lines: one object a picture, a line each, in the order of the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.cli.outputs.part_file import PartFile

if TYPE_CHECKING:
    from pathlib import Path

    from assay.types import Prediction


class JsonLines:
    """As ``ledger.Output``; each line is ``Prediction.to_json``."""

    def __init__(self, path: str | Path, top: int) -> None:
        self._file, self._top = PartFile(path), top
        self.path = self._file.path

    @property
    def has_part(self) -> bool:
        """As ``ledger.Output``."""
        return self._file.part.exists()

    def open(self, at: Mapping[str, int] | None) -> None:
        """As ``ledger.Output``."""
        self._file.open(None if at is None else at["bytes"])

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        self._file.text(prediction.to_json(self._top) + "\n")

    def position(self) -> dict[str, int]:
        """As ``ledger.Output``."""
        return {"bytes": self._file.flush()}

    def finish(self) -> None:
        """As ``ledger.Output``."""
        self._file.finish()

    def close(self) -> None:
        """As ``ledger.Output``."""
        self._file.close()

    def discard(self) -> None:
        """As ``ledger.Output``."""
        self._file.discard()
