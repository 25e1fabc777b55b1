"""A folder that appears whole or not at all: filled beside under another name, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import AssayError, ConfigError


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its name when the block ends well, and is removed when it does not.

    ``out`` must not exist, or be empty (see ``require_free``).

    Raises
    ------
    AssayError : the disk is full, or the place cannot be written.
    """
    beside = out.absolute().with_name(f".{out.absolute().name[:200]}.{os.getpid()}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)  # left by a kill
        beside.mkdir(parents=True)
        yield beside
        if out.exists():
            out.rmdir()
        beside.replace(out)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        got = "the disk is full" if full else error.strerror or str(error)
        fix = (
            "free some space, or name a place on another disk"
            if full
            else "name a place that you may write to"
        )
        raise AssayError(f"{out} could not be written", got=got, fix=f"{fix}; nothing was changed") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def require_free(out: Path) -> None:
    """Raise ConfigError unless ``out`` does not exist or is an empty folder."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file", fix="name a folder that does not exist yet")
    if out.is_dir() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty", fix="name a new folder: nothing is overwritten")
