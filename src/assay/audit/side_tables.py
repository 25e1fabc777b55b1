"""Tables that lie beside the pictures and name them: who sent a photo, what another person called it.

CSV, TSV, Parquet, JSON and JSON-lines files in the root of the data set. A table counts when one of its columns names
the pictures, by path, file name or name without ending. Nothing here is used to judge labels by looking: a table that
contradicts the labels is told apart, as the contradiction that it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.data.names import is_hidden, nfc
from assay.data.table_source import CSV, PARQUET, open_source
from assay.errors import AssayError
from assay.types import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

JSON = (".json", ".jsonl", ".ndjson")
_LARGEST = 1 << 28
_LARGEST_JSON = 1 << 26
_MOST_TABLES = 20
_LEAST_SHARE = 0.5
_OWN = frozenset(
    {"path", "label", "labels", "part", "group", "objects", "pixels", "height_px", "width_px", "image_id"}
)

Rows = list[Mapping[str, Any]]


@dataclass(frozen=True)
class SideColumn:
    """One column, joined to the data set: ``values`` (N,) are texts, None where nothing is told of a row.

    ``table`` is the file's name, empty for a further column of the data set's own table; ``key`` is the column of that
    file that names the pictures.
    """

    table: str
    name: str
    key: str
    values: NDArray[Any]

    @property
    def where(self) -> str:
        """In words: "sender_id in senders.csv"."""
        return f"{self.name!r} in {self.table}" if self.table else f"{self.name!r}"


def side_columns(dataset: Dataset) -> list[SideColumn]:
    """The data set's own further columns, and those of tables in its root. A table that cannot be read is none."""
    found = list(_own_columns(dataset))
    for path in _tables_in(dataset.root):
        if path.stem == dataset.name != dataset.root.resolve().name:
            continue  # the data set's own table
        try:
            rows = _read(path)
        except (AssayError, OSError, ValueError, RecursionError):
            continue
        found += _joined(path.name, rows, dataset)
    return found


def side_mark(dataset: Dataset) -> str:
    """32 hex digits that change with the further columns and with the tables beside the pictures, by size and date."""
    total = hashlib.blake2b(digest_size=16)
    for name in dataset.table.column_names:
        if name not in _OWN - {"labels"}:
            for batch in dataset.table.select([name]).to_batches(max_chunksize=4096):
                total.update(repr((name, batch.column(0).to_pylist())).encode("utf-8", "surrogatepass"))
    for path in _tables_in(dataset.root):
        with contextlib.suppress(OSError):
            status = path.stat()
            total.update(
                f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape")
            )
    return total.hexdigest()


def _own_columns(dataset: Dataset) -> Iterator[SideColumn]:
    for name in dataset.table.column_names:
        if name not in _OWN:
            yield SideColumn("", name, "path", _texts(dataset.table[name].to_pylist()))


def _tables_in(root: Path) -> list[Path]:
    """Those that can be seen: a folder that may not be looked into, or a file that has gone, is none."""
    try:
        inside = sorted(root.iterdir()) if root.is_dir() else []
    except OSError:
        return []
    found = []
    for path in inside:
        most = _LARGEST_JSON if path.suffix.lower() in JSON else _LARGEST
        with contextlib.suppress(OSError):
            wanted = path.suffix.lower() in (*CSV, *PARQUET, *JSON) and not is_hidden(path.name)
            if wanted and path.is_file() and path.stat().st_size <= most:
                found.append(path)
    return found[:_MOST_TABLES]


def _read(path: Path) -> Rows:
    if path.suffix.lower() in JSON:
        return _read_json(path)
    source = open_source(path, [])
    return [row for batch in source.batches() for row in batch.to_pylist()]


def _read_json(path: Path) -> Rows:
    """A list of records, one record a line, or a mapping from picture to record."""
    text = path.read_text("utf-8")
    if path.suffix.lower() != ".json":
        told: Any = [json.loads(line) for line in text.splitlines() if line.strip()]
    else:
        told = json.loads(text)
    if isinstance(told, dict) and told and all(isinstance(v, dict) for v in told.values()):
        told = [{**record, "name": name} for name, record in told.items()]
    if not isinstance(told, list):
        return []
    return [row for row in told if isinstance(row, dict)]


def _joined(table: str, rows: Rows, dataset: Dataset) -> list[SideColumn]:
    names = list(rows[0]) if rows else []
    match = _best_key(names, rows, dataset)
    if match is None:
        return []
    key, places = match
    found = []
    for name in names:
        if name == key:
            continue
        values = np.full(len(dataset), None, dtype=object)
        for row, cell in zip(places, _texts([row.get(name) for row in rows]), strict=True):
            for place in row:
                # two rows that tell different things of one picture tell nothing
                values[place] = cell if values[place] in (None, cell) else ""
        values[values == ""] = None
        if any(v is not None for v in values):
            found.append(SideColumn(table, str(name), str(key), values))
    return found


def _best_key(names: Sequence[str], rows: Rows, dataset: Dataset) -> tuple[str, list[tuple[int, ...]]] | None:
    """(the column that names the pictures, the pictures of each row); None where none names enough of them."""
    paths = [nfc(p) for p in dataset.table["path"].to_pylist()]
    best: tuple[int, str, list[tuple[int, ...]]] | None = None
    for named in _namings(paths):
        for name in names:
            cells = (row.get(name) for row in rows)
            places = [
                named.get(nfc(cell.replace("\\", "/").strip()), ()) if isinstance(cell, str) else ()
                for cell in cells
            ]
            matched = len({place for row in places for place in row})
            if matched >= _LEAST_SHARE * len(paths) and (best is None or matched > best[0]):
                best = (matched, name, places)
    return None if best is None else best[1:]


def _namings(paths: Sequence[str]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Ways to name the pictures: name -> row; a name that several pictures have names none of them."""
    for way in (
        lambda p: p,
        lambda p: PurePosixPath(p).name,
        lambda p: PurePosixPath(p).stem,
    ):
        found: dict[str, tuple[int, ...]] = {}
        for row, path in enumerate(paths):
            name = way(path)
            found[name] = () if name in found else (row,)
        yield found


def _texts(cells: Iterable[Any]) -> NDArray[Any]:
    """(N,) texts; None for null, empty and nested cells."""
    plain = (None if cell is None or isinstance(cell, dict | list) else str(cell).strip() for cell in cells)
    return np.array([text or None for text in plain], dtype=object)
