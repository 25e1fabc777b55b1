"""Rows of one array that are worked out block by block and kept on disk, so that a broken-off audit goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from assay.errors import AssayError
from assay.files import write_file

BLOCK = 64
_KEEP_EVERY = 16


def fill_rows(
    path: Path,
    count: int,
    shape: tuple[int, ...],
    kind: type[np.generic],
    work: Callable[[slice], NDArray[Any]],
    progress: Callable[[int, int], None],
) -> NDArray[Any]:
    """(count, *shape) array, mapped from ``path``.

    Parameters
    ----------
    work : the rows of a slice; called in order, for what an earlier call has not left on disk.
    progress : called with (done, count).

    Raises
    ------
    AssayError : the disk is full or cannot be written.
    """
    mark = path.with_suffix(".json")
    done = _done(path, mark, (count, *shape), kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = open_memmap(path, mode="r+" if done else "w+", dtype=kind, shape=(count, *shape))
        for number, start in enumerate(range(done, count, BLOCK)):
            block = slice(start, min(start + BLOCK, count))
            rows[block] = work(block)
            if block.stop == count or number % _KEEP_EVERY == _KEEP_EVERY - 1:
                rows.flush()
                write_file(mark, json.dumps({"done": block.stop}).encode())
            progress(block.stop, count)
    except OSError as error:
        raise AssayError(
            f"{path} could not be written", got=error.strerror or str(error), fix="free some space"
        ) from error
    return rows


def _done(path: Path, mark: Path, shape: tuple[int, ...], kind: type[np.generic]) -> int:
    """How many rows an earlier call has left; 0 where there is nothing of use."""
    try:
        told = int(json.loads(mark.read_text("utf-8"))["done"])
        held = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return told if held.shape == shape and held.dtype == np.dtype(kind) and 0 <= told <= shape[0] else 0
