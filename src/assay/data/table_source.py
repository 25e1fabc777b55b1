"""A table file as a stream of Arrow batches: CSV (see ``csv_source``) or Parquet, by the suffix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assay.data.columns import column_named
from assay.data.csv_source import CsvSource, open_csv
from assay.errors import DatasetError

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv")

_BATCH_ROWS = 1 << 16


class ParquetSource:
    """An opened Parquet file: the names of its columns, and its rows as batches."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowInvalid, OSError) as error:
            got = "an empty file" if not path.stat().st_size else "something else, or a file cut short"
            raise DatasetError(f"{path.name} is not a Parquet file", got=got, fix="write it again") from error
        self.schema = self._file.schema_arrow
        self.names = list(self.schema.names)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, in order. Raises DatasetError where the file is damaged."""
        try:
            yield from self._file.iter_batches(batch_size=_BATCH_ROWS)
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(
                f"{self.path.name} is damaged", got=str(error).splitlines()[0], fix="write it again"
            ) from error


def open_source(path: Path, wanted: Sequence[str | None]) -> CsvSource | ParquetSource:
    """Open a table. ``wanted`` are names of columns that help to find a CSV file's delimiter.

    Raises
    ------
    DatasetError : the file is no such table.
    """
    if path.suffix.lower() in PARQUET:
        return ParquetSource(path)
    return open_csv(path, lambda names: sum((name in wanted) + bool(column_named(name)) for name in names))
