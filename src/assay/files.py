"""A file that appears whole or not at all: written beside under another name, flushed to the disk, renamed.

A full disk, a kill or an error half-way leaves the earlier file as it was, and nothing half-written under the
name that was asked for.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from assay.errors import AssayError, ConfigError

_FULL = {errno.ENOSPC, errno.EDQUOT}


class WholeFile:
    """A binary file for ``with``; it takes its name when the block ends without an error.

    Parameters
    ----------
    path : where it shall be. Missing folders above it are made; a link keeps pointing where it pointed.

    Raises
    ------
    ConfigError : ``path`` is a folder.
    AssayError : the disk is full, or the place cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._final = Path(os.path.realpath(self.path))
        self._beside = self._final.with_name(f".{self._final.name[:200]}.{os.getpid()}.part")
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        if self._final.is_dir():
            raise ConfigError(f"{self.path} is a folder", fix="name a file")
        try:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._beside.open("wb")
        except OSError as error:
            raise self._explain(error) from error
        return self

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        try:
            self._open_file.write(data)
        except OSError as error:
            raise self._explain(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as fault:
            raise self._explain(fault) from fault
        finally:
            with contextlib.suppress(OSError):
                self._open_file.close()
            with contextlib.suppress(OSError):
                self._beside.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._open_file.flush()
        os.fsync(self._open_file.fileno())
        self._open_file.close()
        self._beside.replace(self._final)

    @property
    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("a WholeFile is written inside `with`")
        return self._file

    def _explain(self, error: OSError) -> AssayError:
        told = explain_write(self.path, error)
        return AssayError(told.what, got=told.got, fix=f"{told.fix}; nothing was changed")


def explain_write(path: str | Path, error: OSError) -> AssayError:
    """Why a place cannot be written, in words."""
    if error.errno in _FULL:
        got, fix = "the disk is full", "free some space, or choose a place on another disk"
    else:
        got, fix = error.strerror or str(error), "choose a place that you may write to"
    return AssayError(f"{path} could not be written", got=got, fix=fix)


def write_file(path: str | Path, data: bytes) -> None:
    """Write one file, whole or not at all. Raises as ``WholeFile``."""
    with WholeFile(path) as file:
        file.write(data)
