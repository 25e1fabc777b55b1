"""JSON Lines: one object a picture, a line each, in the order of the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.cli.outputs.part_file import OnePart

if TYPE_CHECKING:
    from pathlib import Path

    from assay.types import Prediction


class JsonLines(OnePart):
    """As ``ledger.Output``; each line is ``Prediction.to_json``."""

    def __init__(self, path: str | Path, top: int) -> None:
        super().__init__(path)
        self._top = top

    def write(self, prediction: Prediction) -> None:
        """As ``ledger.Output``."""
        self._file.text(prediction.to_json(self._top) + "\n")
