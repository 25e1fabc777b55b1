"""A file that grows beside its final name, can be cut back to where it was sound, and takes its name at the end.

What is written can be looked at while it grows (``answers.csv.part``). A kill leaves the part behind, from which a
later run goes on; nothing half-written ever stands under the final name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from assay.errors import AssayError, ConfigError
from assay.files import explain_write


class PartFile:
    """Bytes of one output.

    Parameters
    ----------
    path : the final name; the part lies beside it with ``ending`` after it.

    Raises
    ------
    ConfigError : ``path`` is a folder.
    AssayError : the disk is full, or the place cannot be written (from every method).
    """

    def __init__(self, path: str | Path, ending: str = ".part") -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise ConfigError(f"{path} is a folder", fix="name a file")
        final = Path(os.path.realpath(self.path))  # a link keeps pointing where it pointed
        self._final, self.part = final, final.with_name(f"{final.name}{ending}")
        self._file: BinaryIO | None = None

    def open(self, at: int | None = None) -> None:
        """Begin anew, or go on after the first ``at`` bytes of an earlier part."""
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            if at is None:
                self._file = self.part.open("w+b")
                return
            self._file = self.part.open("r+b")
            if self._file.seek(0, os.SEEK_END) < at:
                raise AssayError(f"{self.part} is shorter than it was", fix="start anew with --overwrite")
            self._file.truncate(at)
            self._file.seek(at)
        except FileNotFoundError as error:
            raise AssayError(f"{self.part} is gone", fix="start anew with --overwrite") from error
        except OSError as error:
            raise explain_write(self.path, error) from error

    def write(self, data: bytes) -> None:
        """Append bytes."""
        try:
            self._open_file.write(data)
        except OSError as error:
            raise explain_write(self.path, error) from error

    def text(self, text: str) -> None:
        """Append text as UTF-8; names that are no valid Unicode are escaped."""
        self.write(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> int:
        """All that was written is on the disk; its length in bytes."""
        try:
            self._open_file.flush()
            os.fsync(self._open_file.fileno())
            return self._open_file.tell()
        except OSError as error:
            raise explain_write(self.path, error) from error

    def read_back(self) -> BinaryIO:
        """The part, from its start, for reading."""
        self.flush()
        return self.part.open("rb")

    def finish(self) -> None:
        """Give the part its final name."""
        self.flush()
        self._open_file.close()
        try:
            self.part.replace(self._final)
        except OSError as error:
            raise explain_write(self.path, error) from error

    def close(self) -> None:
        """Let go of the part; it stays."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:  # buffered bytes that do not fit on a full disk
                raise explain_write(self.path, error) from error

    def discard(self) -> None:
        """Take the part away."""
        if self._file is not None and not self._file.closed:
            self._file.close()
        self.part.unlink(missing_ok=True)

    @property
    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("a PartFile is opened before it is written")
        return self._file


class OnePart:
    """What every ``ledger.Output`` of a single growing file shares."""

    def __init__(self, path: str | Path) -> None:
        self._file = PartFile(path)
        self.path = self._file.path

    @property
    def has_part(self) -> bool:
        """As ``ledger.Output``."""
        return self._file.part.exists()

    def open(self, at: Mapping[str, int] | None) -> None:
        """As ``ledger.Output``."""
        self._file.open(None if at is None else at["bytes"])

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
