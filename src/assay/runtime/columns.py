"""Photos in the rows of Parquet and Arrow files: a column of bytes, as Hugging Face's data sets have it.

A few rows are in memory at a time. The column may be binary, or a struct with a field ``bytes``; where there is one
such column it is taken, else it must be named. Rows are called by their number, or by another column. A file whose rows
cannot be read from some place on gives what came before, and then one Photo that tells so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import ConfigError, ImageError
from assay.photos import Photo
from assay.runtime.sources import faulty
from assay.tables import suggest

_ROWS = 64
_FIX = "copy it again from its source"
_FAULTS = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises on damaged files; ValueError where a name is no Unicode."""


@dataclass(frozen=True)
class ColumnFile:
    """The pictures of one file. ``column`` holds them, ``key`` names them; found by themselves when not given."""

    path: str
    column: str | None = None
    key: str | None = None

    is_live = False

    def __iter__(self) -> Iterator[Photo]:
        """One Photo a row.

        Raises
        ------
        ConfigError : before the first row: the file cannot be read, has no rows, no column of bytes or several, or none
            of the name that was given.
        """
        rows = 0
        try:
            with pa.memory_map(self.path) as file:
                for photo in self._rows(file):
                    yield photo
                    rows += 1
        except _FAULTS as error:
            if rows == 0:
                raise self._unreadable(error) from error
            what = f"{self.path} is damaged from row {rows} on"
            yield faulty(f"{self.path}#...", ImageError(what, got=str(error)[:200], fix=_FIX))
            return
        if rows == 0:
            raise ConfigError(
                f"there are no pictures in {self.path}", got="a table without rows", fix="name another table"
            )

    def check(self) -> None:
        """Look at its head. Raises ConfigError: as iterating, as far as it is seen there."""
        try:
            with pa.memory_map(self.path) as file:
                schema, _ = _open(file, self.path)
        except _FAULTS as error:
            raise self._unreadable(error) from error
        self._column(schema)
        self._key(schema)

    def _unreadable(self, error: Exception) -> ConfigError:
        return ConfigError(f"{self.path} cannot be read", got=str(error)[:200], fix=_FIX)

    def count(self) -> int | None:
        """Rows, where the file says so at its end."""
        if not self.path.lower().endswith(".parquet"):
            return None
        try:
            return int(pq.read_metadata(self.path).num_rows)
        except _FAULTS:
            return None

    def _rows(self, file: Any) -> Iterator[Photo]:
        schema, batches = _open(file, self.path)
        column, key = self._column(schema), self._key(schema)
        row = 0
        for batch in batches([column, *([key] if key else [])]):
            cells = batch.column(column)
            names = batch.column(key).to_pylist() if key else [None] * len(cells)
            for cell, name in zip(cells, names, strict=True):
                called = f"{self.path}#{row}" if name is None else f"{self.path}/{name}"
                yield Photo(called, partial(_bytes_of, cell, called))
                row += 1

    def _column(self, schema: pa.Schema) -> str:
        if self.column is not None:
            if self.column not in schema.names:
                raise ConfigError(
                    f"{self.path} has no column {self.column!r}", fix=suggest(self.column, schema.names)
                )
            return self.column
        found = [field.name for field in schema if _holds_bytes(field.type)]
        if len(found) == 1:
            return str(found[0])
        raise ConfigError(
            f"{self.path} has {'several columns' if found else 'no column'} that may hold pictures",
            got=", ".join(found or schema.names) or "no columns",
            fix="name it with --column" if found else "name a file with a column of bytes",
        )

    def _key(self, schema: pa.Schema) -> str | None:
        if self.key is not None and self.key not in schema.names:
            raise ConfigError(f"{self.path} has no column {self.key!r}", fix=suggest(self.key, schema.names))
        return self.key


def _open(file: Any, path: str) -> tuple[pa.Schema, Any]:
    """(schema, columns -> batches of a few rows)."""
    if path.lower().endswith(".parquet"):
        table = pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
        return table.schema_arrow, partial(_parquet_batches, table)
    schema = _arrow_reader(file).schema
    return schema, partial(_arrow_batches, file, schema)


def _arrow_reader(file: Any, options: pa.ipc.IpcReadOptions | None = None) -> Any:
    file.seek(0)
    try:
        return pa.ipc.open_file(file, options=options)
    except pa.ArrowInvalid:  # the other form, without an index at its end
        file.seek(0)
        return pa.ipc.open_stream(file, options=options)


def _arrow_batches(file: Any, schema: pa.Schema, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The file's own batches, a few rows of them at a time; other columns are never read."""
    wanted = sorted({schema.get_field_index(name) for name in columns})
    reader = _arrow_reader(file, pa.ipc.IpcReadOptions(included_fields=wanted))
    indexed = hasattr(reader, "num_record_batches")
    for whole in (reader.get_batch(i) for i in range(reader.num_record_batches)) if indexed else reader:
        for at in range(0, whole.num_rows, _ROWS):
            yield whole.slice(at, _ROWS)


def _parquet_batches(table: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    # to_batches of a dataset reads far ahead, and keeps what it read
    return table.iter_batches(_ROWS, columns=columns, use_threads=False)  # type: ignore[no-any-return]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    known = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return any(is_kind(kind) for is_kind in known)


def _bytes_of(cell: Any, name: str) -> bytes:
    if isinstance(cell, pa.StructScalar) and cell.is_valid:
        cell = cell["bytes"]  # the other fields, a path that is no Unicode say, are nobody's business
    value = cell.as_py()
    if not isinstance(value, bytes):
        raise ImageError(
            f"{name} is empty" if value is None else f"{name} holds no bytes", got=type(value).__name__
        )
    return value
