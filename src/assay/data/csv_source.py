"""A CSV file as a stream of Arrow batches, all columns as text.

Excel, R and pandas write commas, semicolons or tabs, with or without a byte-order mark: the delimiter is the one
under which the header shows the columns that are looked for. Values stay as they were written (label ``007``
stays ``007``, a class may be called ``NA``); an empty cell is null. Rows with too few or too many cells are
collected and told together.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from assay.data.names import some
from assay.errors import DatasetError

_HEAD_BYTES = 1 << 18
# Arrow reads about 32 blocks ahead, so this bounds the memory
_BLOCK_BYTES = 1 << 19
_DELIMITERS = (",", ";", "\t", "|")
_NOT_TEXT = (
    (b"PK\x03\x04", "an Excel workbook or a ZIP archive", "save it as CSV (UTF-8)"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"\xff\xfe", "UTF-16 text", "save it as CSV (UTF-8)"),
    (b"\xfe\xff", "UTF-16 text", "save it as CSV (UTF-8)"),
)


@dataclass
class CsvSource:
    """An opened CSV file: the names of its columns, and its rows once, as batches."""

    path: Path
    delimiter: str
    names: list[str]
    skip_lines: int = 1
    _bad: list[tuple[int | None, int, str]] = field(default_factory=list)

    @property
    def schema(self) -> pa.Schema:
        """All columns are strings."""
        return pa.schema([(name, pa.string()) for name in self.names])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, in order.

        Raises
        ------
        DatasetError : the text is not UTF-8, or rows have another number of cells than the header.
        """
        try:
            with self._open() as reader:
                for batch in reader:
                    yield batch.rename_columns(self.names)
        except (pa.ArrowInvalid, OSError) as error:
            raise _explain(self.path, error) from error
        if self._bad:
            raise self._ragged()

    def _ragged(self) -> DatasetError:
        shown = (
            f"row {n}: {text.strip()[:80]!r}" if n else repr(text.strip()[:80]) for n, _, text in self._bad
        )
        return DatasetError(
            f"{len(self._bad):,} rows of {self.path.name} have more or fewer cells than the header",
            got=f"{self._bad[0][1]} cells instead of {len(self.names)} in {some(shown, 3)}",
            fix='put quotes ("...") around values that contain the delimiter',
        )

    def _open(self) -> pacsv.CSVStreamingReader:
        def note(row: Any) -> str:
            self._bad.append((row.number, row.actual_columns, row.text or ""))
            return "skip"

        return pacsv.open_csv(
            self.path,
            # one thread: row numbers stay known, and a quoted value may contain a line break
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=self.names, skip_rows=self.skip_lines
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=self.schema, null_values=[""], strings_can_be_null=True
            ),
        )


def open_csv(path: Path, score: Callable[[list[str]], int]) -> CsvSource:
    """Look at the head of a CSV file. ``score`` says how many wanted columns a header shows.

    Raises
    ------
    DatasetError : the file is empty, not UTF-8 text, or its header is broken.
    """
    text = _head(path)
    headers = {d: _header(text, d) for d in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=lambda d: (score(headers[d][0]), len(headers[d][0])))
    names, lines = headers[delimiter]
    if not any(names):
        raise DatasetError(f"{path.name} has no header", fix="begin it with a line such as path,label")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DatasetError(
            f"{path.name} has columns of the same name: {some(map(repr, twice))}", fix="rename them"
        )
    return CsvSource(path, delimiter, names, skip_lines=lines)


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read", got=error.strerror) from error
    if not head.strip():
        raise DatasetError(f"{path.name} is empty", fix="begin it with a line such as path,label")
    for magic, what, fix in _NOT_TEXT:
        if head.startswith(magic):
            raise DatasetError(f"{path.name} is not a CSV file", got=what, fix=fix)
    if b"\0" in head:
        raise DatasetError(
            f"{path.name} is not a CSV file", got="binary data", fix="give a text table in UTF-8"
        )
    try:
        # the last line of a long file is cut off: a character may be cut in two
        return (
            head.decode("utf-8-sig")
            if len(head) < _HEAD_BYTES
            else head[: head.rindex(b"\n") + 1].decode("utf-8-sig")
        )
    except ValueError:
        raise _not_utf8(path) from None


def _header(text: str, delimiter: str) -> tuple[list[str], int]:
    """(names in the first row that is not blank, lines up to its end)."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for row in reader:
            if row:
                return [name.strip() for name in row], reader.line_num
    except csv.Error:
        pass
    return [], 1


def _explain(path: Path, error: Exception) -> DatasetError:
    text = str(error)
    if "UTF8" in text:
        return _not_utf8(path)
    plain = re.sub(r"^CSV \w+ error: ", "", text.splitlines()[0] if text else type(error).__name__)
    return DatasetError(f"{path.name} cannot be read as CSV", got=plain, fix="check quotes and line ends")


def _not_utf8(path: Path) -> DatasetError:
    return DatasetError(
        f"{path.name} is not UTF-8 text",
        got="another encoding (often Latin-1 or GBK)",
        fix="save it as CSV (UTF-8)",
    )
