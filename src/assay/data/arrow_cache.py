"""Large tables live in an Arrow file that is mapped into memory, not loaded: opening again takes milliseconds.

Batches stream from the source into ``tables/KEY.arrow`` in the cache folder (``$ASSAY_CACHE``, or the user's).
The key covers the source's absolute path, size and time of change and every option, so a changed table is read
anew. Small tables are simply held in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from assay.files import WholeFile
from assay.folders import cache_folder

LARGE_BYTES = 32 << 20
"""Source files above this size go through the cache."""

_KEEP_BYTES = 16 << 30
_VERSION = 3

Batches = Callable[[], tuple[pa.Schema, Iterator[pa.RecordBatch]]]


def gather(
    source: Path, options: dict[str, Any], batches: Batches, notes: Callable[[], dict[str, Any]]
) -> tuple[pa.Table, dict[str, Any]]:
    """(the table that ``batches()`` streams, ``notes()`` after its last batch); mapped where ``source`` is large.

    Neither is called when the cache holds the answer. Raises AssayError when the cache folder is full.
    """
    if source.stat().st_size <= LARGE_BYTES:
        schema, rows = batches()
        return pa.Table.from_batches(rows, schema=schema), notes()
    folder = cache_folder() / "tables"
    path = folder / f"{_key(source, options)}.arrow"
    if not path.exists():
        schema, rows = batches()
        save_batches(path, schema, _noting(rows, notes, _notes_of(path)))
        _prune(folder, path)
    with contextlib.suppress(OSError):
        os.utime(path)  # the least recently used go first
    beside = _notes_of(path)
    return map_table(path), json.loads(beside.read_bytes()) if beside.exists() else {}


def _notes_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _noting(
    rows: Iterator[pa.RecordBatch], notes: Callable[[], dict[str, Any]], path: Path
) -> Iterator[pa.RecordBatch]:
    """``rows``, and behind the last one the notes into a file, so that the table is never there without them."""
    yield from rows
    if found := notes():
        with WholeFile(path) as file:
            file.write(json.dumps(found).encode())


def save_batches(path: Path, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
    """Stream batches into an Arrow file, whole or not at all."""
    with WholeFile(path) as file, pa.ipc.new_file(Sink(file), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def map_table(path: Path) -> pa.Table:
    """An Arrow file as a table whose bytes stay on disk until they are touched."""
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


class Sink(io.RawIOBase):
    """Lets Arrow's writers write into a WholeFile."""

    def __init__(self, file: WholeFile) -> None:
        super().__init__()
        self._whole = file

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes."""
        self._whole.write(data)
        return memoryview(data).nbytes


def _key(source: Path, options: dict[str, Any]) -> str:
    stat = source.stat()
    facts = [_VERSION, str(source.resolve()), stat.st_size, stat.st_mtime_ns, pa.__version__, options]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def _prune(folder: Path, newest: Path) -> None:
    """Remove the least recently used tables beyond 16 GiB. Mapped files stay readable for who holds them."""
    room = _KEEP_BYTES
    with contextlib.suppress(OSError):
        files = sorted(folder.glob("*.arrow"), key=lambda p: p.stat().st_mtime, reverse=True)
        for path in files:
            room -= path.stat().st_size
            if room < 0 and path != newest:
                path.unlink()
                _notes_of(path).unlink(missing_ok=True)
