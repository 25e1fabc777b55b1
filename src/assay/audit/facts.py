"""The facts of every file: looked at once, in processes, kept on disk row by row, and mapped into memory.

A million rows are never Python objects at once. What was seen is kept in shards (see ``shards``), so an audit that
is broken off goes on where it was, and a second one looks only at files that are new or have changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.audit.look_table import SCHEMA, THUMB_SHAPE
from assay.audit.shards import ROWS, Shards
from assay.audit.workers import JOB, Job, look_at_all
from assay.cores import usable_cores
from assay.types import Dataset
from assay.verb_configs import AuditConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[str, int, int], None]

_VERSION = 1
"""Another number makes all that was kept by earlier versions of a look worthless."""

BLANK_CONTRAST = 1.0
"""A picture whose grey levels spread less than this is of one colour, and tells nothing of what it is a copy of."""

_FEW = 256
"""So many pictures are looked at before a second process would have started."""


@dataclass(frozen=True)
class Facts:
    """What is known of each file. ``table`` has a row for each row of the data set, in its order.

    Columns: ``fault`` (null: none; missing-file, empty-file, truncated, unreadable) with its ``reason``; ``bytes``;
    ``format`` (what the file really is, Pillow's name) and ``suffix_format`` (what its name promises; null: nothing
    known); ``width`` and ``height`` of the upright picture in pixels; ``orientation`` (EXIF's, 1: upright);
    ``mode`` (Pillow's, before it was made RGB); ``frames``; ``jpeg_quality`` (1 to 100 as of the Independent JPEG
    Group's encoder; NaN: no JPEG) and ``subsampling``; ``has_exif``, ``camera``, ``taken``, ``software``;
    ``brightness`` (mean grey, 0 to 255), ``contrast`` (standard deviation of grey), ``sharpness`` (standard
    deviation of the Laplacian at 256 px), ``colourfulness`` (Hasler and Suesstrunk); ``zero_tail`` (a JPEG that
    ends in zeros); ``digest`` (16 bytes of BLAKE2 of the file); ``print`` and ``print_flipped`` (see
    ``fingerprint``). Where a picture could not be decoded, numbers are 0 or NaN, texts null.

    ``thumbs`` is (N, 32, 32, 3) uint8, mapped: the whole upright picture squeezed into a square; zeros where it could
    not be decoded.
    """

    table: pa.Table
    thumbs: NDArray[np.uint8]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """(N,) whether the picture could be decoded."""
        return np.asarray(pc.is_null(self.table["fault"]))

    def column(self, name: str) -> NDArray[Any]:
        """(N,) values of one column. Texts come as objects, None for null, each text once in memory; ``digest``
        as (N, 16) uint8.
        """
        values = self.table[name]
        if name == "digest":
            flat = [
                np.frombuffer(c.buffers()[1], np.uint8, len(c) * 16, c.offset * 16) for c in values.chunks
            ]
            return np.concatenate([np.empty(0, np.uint8), *flat]).reshape(-1, 16)
        if not pa.types.is_string(values.type):
            return np.asarray(values)
        coded = values.combine_chunks().dictionary_encode()
        coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
        texts = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        picked: NDArray[Any] = texts[np.asarray(pc.fill_null(coded.indices, len(texts) - 1))]
        return picked


def gather_facts(dataset: Dataset, folder: Path, config: AuditConfig, progress: Progress) -> Facts:
    """Look at every file of a data set, or only at those that are new or changed since ``folder`` was written.

    Parameters
    ----------
    folder : where facts are kept; made when it is missing.
    progress : called with ("looking at pictures", done, total).

    Raises
    ------
    AssayError : ``folder`` cannot be written. What is wrong with pictures is in the facts.
    """
    if not len(dataset):
        return Facts(SCHEMA.empty_table(), np.zeros((0, *THUMB_SHAPE), np.uint8))
    shards, keys = Shards(folder), _keys_of(dataset)
    found = shards.find(keys)
    if found is None:
        _look_at_the_rest(dataset, keys, shards, config, progress)
        found = shards.assemble(keys)
    return Facts(*found)


def _look_at_the_rest(
    dataset: Dataset, keys: NDArray[np.uint64], shards: Shards, config: AuditConfig, progress: Progress
) -> None:
    unique, first = np.unique(keys, return_index=True)
    rows = np.sort(first[~np.isin(unique, shards.known())])
    workers = config.workers or (min(usable_cores(), len(rows) // _FEW + 1))
    done = len(keys) - len(rows)
    waiting: list[pa.RecordBatch] = []
    held = 0
    progress("looking at pictures", done, len(keys))
    try:
        for batch in look_at_all(_jobs(dataset, rows, keys), workers):
            waiting.append(batch)
            held, done = held + batch.num_rows, done + batch.num_rows
            if held >= ROWS:
                shards.add(waiting)
                waiting, held = [], 0
            progress("looking at pictures", done, len(keys))
    finally:
        if waiting:
            shards.add(waiting)


def _jobs(dataset: Dataset, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> Iterator[Job]:
    paths, root = dataset.table["path"], dataset.root
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        names = paths.take(pa.array(block)).to_pylist()
        for i in range(0, len(block), JOB):
            yield Job([str(root / name) for name in names[i : i + JOB]], keys[block[i : i + JOB]])


def _keys_of(dataset: Dataset) -> NDArray[np.uint64]:
    """(N,) a number for the path, size and time of change of each file; the same row, unchanged, has the same."""
    keys = np.empty(len(dataset), np.uint64)
    root, row = str(dataset.root.absolute()), 0
    for batch in dataset.table.select(["path"]).to_batches(max_chunksize=ROWS):
        for path in batch["path"].to_pylist():
            keys[row] = _key(os.path.join(root, path))  # noqa: PTH118 - a Path each costs more than the look at the disk
            row += 1
    return keys


def _key(path: str) -> int:
    try:
        status = os.stat(path)  # noqa: PTH116
        state = f"{status.st_size} {status.st_mtime_ns}"
    except (OSError, ValueError):
        state = "missing"
    text = f"{_VERSION}\0{path}\0{state}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
