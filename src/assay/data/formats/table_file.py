"""Write a data set as CSV or Parquet, batch by batch, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from assay.data.arrow_cache import Sink
from assay.data.faults import notes_of
from assay.data.names import some
from assay.errors import ConfigError, DatasetError
from assay.files import WholeFile
from assay.types import Dataset

_BATCH_ROWS = 1 << 16


def write_table(dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None) -> None:
    """Write path, label(s), part, group and every other column; CSV or Parquet by the suffix.

    Paths become relative to the table's folder where the picture lies below it, and absolute elsewhere. ``progress`` is
    called with (rows written, of how many).

    Raises
    ------
    ConfigError : another suffix. DatasetError : a column that CSV cannot hold. AssayError : the disk is full.
    """
    is_csv = path.suffix.lower() in (".csv", ".tsv")
    if not is_csv and path.suffix.lower() not in (".parquet", ".pq"):
        raise ConfigError(f"{path.name} is neither .csv nor .parquet", fix="end it in .csv or .parquet")
    if is_csv:
        dataset = _without_empty(dataset)
    schema = _plain_schema(dataset.table.schema, is_csv)
    if is_csv:
        _check_csv(dataset, schema)
    notes = {
        "classes": list(dataset.classes),
        "object_classes": list(dataset.object_classes),
        "pixel_classes": list(dataset.pixel_classes),
        "split": dict(dataset.split),
        "name": dataset.name,
        "categories": notes_of(dataset).get("categories", []),
    }
    schema = schema.with_metadata({b"assay": json.dumps(notes).encode()})
    done = 0
    with WholeFile(path) as file, _writer(Sink(file), schema, path.suffix.lower()) as writer:
        for batch in _batches(dataset, schema, path):
            writer.write_batch(batch)
            done += batch.num_rows
            if progress is not None:
                progress(done, len(dataset))


def _writer(sink: Sink, schema: pa.Schema, suffix: str) -> Any:
    if suffix in (".parquet", ".pq"):
        return pq.ParquetWriter(sink, schema, compression="zstd")
    delimiter = "\t" if suffix == ".tsv" else ","
    return pacsv.CSVWriter(
        sink, schema, write_options=pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
    )


def _plain_schema(schema: pa.Schema, is_csv: bool) -> pa.Schema:
    """Dictionaries become their values; in CSV, lists become text."""
    fields = []
    for f in schema:
        kind = f.type.value_type if pa.types.is_dictionary(f.type) else f.type
        fields.append(pa.field(f.name, pa.string() if is_csv and pa.types.is_list(kind) else kind))
    return pa.schema(fields)


def _without_empty(dataset: Dataset) -> Dataset:
    """Without the columns of objects and masks in which nothing is said: a table without them says the same."""
    table = dataset.table
    names = [
        n for n in ("objects", "pixels") if n in table.column_names and table[n].null_count == len(table)
    ]
    return replace(dataset, table=table.drop_columns(names))


def _check_csv(dataset: Dataset, schema: pa.Schema) -> None:
    inside = [name for name in ("objects", "pixels") if name in schema.names]
    if inside:
        raise DatasetError(
            f"CSV cannot hold the column {some(inside)}",
            got="boxes, masks or the names of their classes, which have no place in a cell of text",
            fix="write a .parquet table",
        )
    nested = [f.name for f in schema if pa.types.is_nested(f.type) or pa.types.is_binary(f.type)]
    if nested:
        raise DatasetError(f"CSV cannot hold the column {some(nested)}", fix="write a .parquet table")
    if "labels" in dataset.table.column_names:
        if pc.any(pc.equal(pc.list_value_length(dataset.table["labels"]), 0)).as_py():
            raise DatasetError(
                "CSV cannot tell a picture without labels from one where nobody looked for them",
                got="empty lists in the column labels",
                fix="write a .parquet table",
            )
        odd = [name for name in dataset.classes if set("|;") & set(name)]
        if odd:
            raise DatasetError("class names contain | or ;", got=some(odd), fix="write a .parquet table")


def _batches(dataset: Dataset, schema: pa.Schema, path: Path) -> Iterator[pa.RecordBatch]:
    target, root = Path(os.path.realpath(path.parent)), Path(os.path.realpath(dataset.root))
    for batch in dataset.table.to_batches(max_chunksize=_BATCH_ROWS):
        columns = []
        for name, wanted in zip(batch.schema.names, schema, strict=True):
            values = batch[name]
            if name in ("path", "pixels"):
                values = _paths(values, root, target)
            elif pa.types.is_list(values.type) and wanted.type == pa.string():
                values = pc.binary_join(values.cast(pa.list_(pa.string())), "|")
            columns.append(values.cast(wanted.type))
        yield pa.record_batch(columns, schema=schema)


def _paths(paths: pa.Array, root: Path, target: Path) -> pa.Array:
    if root == target:
        return paths
    absolute = pc.match_substring_regex(paths, r"^(/|[A-Za-z]:)")
    inside = root.is_relative_to(target)
    start = (root.relative_to(target) if inside else root).as_posix()
    joined = pc.binary_join_element_wise(pa.scalar(start), paths, "/")
    return pc.if_else(absolute, paths, joined)
