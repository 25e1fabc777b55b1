"""What was seen, kept on disk: shards while the looking goes on, then one table and one file of thumbs.

Rows are found again by their key (path, size and time of change of the file). So a broken-off audit goes on after
its last shard, a changed file is looked at again, and a data set that grew keeps what was seen of the old pictures.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assay.audit.look_table import SCHEMA, SHARD_SCHEMA, THUMB_SHAPE, thumbs_of
from assay.data.arrow_cache import Sink, map_table, save_batches
from assay.files import WholeFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 4096
"""Rows of a shard, and of what is held in memory when the table is put together."""


class Shards:
    """The folder in which facts are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, keys: NDArray[np.uint64]) -> tuple[pa.Table, NDArray[np.uint8]] | None:
        """The finished table and thumbs of exactly these rows, or None."""
        table, thumbs = self._names(keys)
        if not (table.exists() and thumbs.exists()):
            return None
        with contextlib.suppress(pa.ArrowInvalid, ValueError):
            found = map_table(table), map_thumbs(thumbs)
            if found[0].schema == SCHEMA and found[0].num_rows == len(found[1]) == len(keys):
                return found
        return None

    def known(self) -> NDArray[np.uint64]:
        """Keys of all rows that were seen, in any order."""
        return _keys(self._sources())

    def add(self, batches: list[pa.RecordBatch]) -> None:
        """Keep these rows as one more shard."""
        taken = [int(path.stem[6:]) for path in self.folder.glob("shard-*.arrow")]
        path = self.folder / f"shard-{max(taken, default=-1) + 1:06d}.arrow"
        save_batches(path, SHARD_SCHEMA, iter(batches))

    def assemble(self, keys: NDArray[np.uint64]) -> tuple[pa.Table, NDArray[np.uint8]]:
        """The rows of ``keys`` in their order, each of which was seen, as one table and one array of thumbs."""
        sources = self._sources()
        have = _keys(sources)
        order = np.argsort(have, kind="stable")
        places = order[np.searchsorted(have, keys, sorter=order)]
        rows = pa.concat_tables([table for table, _ in sources])
        table, thumbs = self._names(keys)
        chunks = [places[i : i + ROWS] for i in range(0, len(places), ROWS)]
        save_batches(table, SCHEMA, (_take(rows, chunk) for chunk in chunks))
        _save_thumbs(thumbs, len(keys), (_take_thumbs(sources, chunk) for chunk in chunks))
        self._remove_all_but({table, thumbs})
        return map_table(table), map_thumbs(thumbs)

    def _names(self, keys: NDArray[np.uint64]) -> tuple[Path, Path]:
        digest = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        return self.folder / f"facts-{digest}.arrow", self.folder / f"thumbs-{digest}.npy"

    def _sources(self) -> list[tuple[pa.Table, Any]]:
        """(table, its thumbs) of each earlier table and each shard."""
        found: list[tuple[pa.Table, Any]] = []
        for path in sorted(self.folder.glob("facts-*.arrow")):
            thumbs = path.with_name(f"thumbs-{path.stem[6:]}.npy")
            with contextlib.suppress(pa.ArrowInvalid, OSError, ValueError):
                table = map_table(path)
                if table.schema == SCHEMA and len(pixels := map_thumbs(thumbs)) == table.num_rows:
                    found.append((table, pixels))
        for path in sorted(self.folder.glob("shard-*.arrow")):
            with contextlib.suppress(pa.ArrowInvalid):
                table = map_table(path)
                if table.schema == SHARD_SCHEMA:
                    found.append((table.select(SCHEMA.names), table["thumb"]))
        return found

    def _remove_all_but(self, kept: set[Path]) -> None:
        for pattern in ("shard-*.arrow", "facts-*.arrow", "thumbs-*.npy"):
            for path in self.folder.glob(pattern):
                if path not in kept:
                    with contextlib.suppress(OSError):  # still mapped by somebody
                        path.unlink()


def _keys(sources: list[tuple[pa.Table, Any]]) -> NDArray[np.uint64]:
    found = [np.asarray(chunk) for table, _ in sources for chunk in table["key"].chunks]
    return np.concatenate([np.empty(0, np.uint64), *found])


def _take(rows: pa.Table, places: NDArray[np.int64]) -> pa.RecordBatch:
    first = int(places[0])
    if np.array_equal(places, np.arange(first, first + len(places))):
        picked = rows.slice(first, len(places))
    else:
        picked = rows.take(pa.array(places))
    return picked.combine_chunks().to_batches()[0]


def _take_thumbs(sources: list[tuple[pa.Table, Any]], places: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(N, 32, 32, 3) of these places in the sources, one after the other."""
    ends = np.cumsum([table.num_rows for table, _ in sources])
    which = np.searchsorted(ends, places, side="right")
    out = np.empty((len(places), *THUMB_SHAPE), np.uint8)
    for source in np.unique(which):
        mine = which == source
        table, thumbs = sources[source]
        within = places[mine] - (ends[source] - table.num_rows)
        if isinstance(thumbs, np.ndarray):
            out[mine] = thumbs[within]
        else:
            out[mine] = _from_chunks(thumbs, within)
    return out


def _from_chunks(column: pa.ChunkedArray, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    which = np.searchsorted(ends, rows, side="right")
    out = np.empty((len(rows), *THUMB_SHAPE), np.uint8)
    for i in np.unique(which):
        chunk = column.chunk(int(i))
        out[which == i] = thumbs_of(chunk)[rows[which == i] - (ends[i] - len(chunk))]
    return out


def _save_thumbs(path: Path, n: int, blocks: Iterator[NDArray[np.uint8]]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, *THUMB_SHAPE)}
    with WholeFile(path) as file:
        np.lib.format.write_array_header_1_0(Sink(file), header)
        for block in blocks:
            file.write(block.tobytes())


def map_thumbs(path: Path) -> NDArray[np.uint8]:
    """(N, 32, 32, 3) whose bytes stay on disk until they are touched."""
    thumbs: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    if thumbs.dtype != np.uint8 or thumbs.shape[1:] != THUMB_SHAPE:
        raise ValueError(f"{path} holds no thumbs")
    return thumbs
