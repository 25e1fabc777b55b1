"""A CSV or Parquet table: one row a picture, with label or labels, part, group and any other column.

Small tables are held in memory, large ones are memory-mapped through ``arrow_cache``. Parquet also holds objects, pixel
masks and sizes (``object_columns``). Parquet files of our own carry the orders of all classes and the split record in
their metadata (key ``assay``).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assay.configs import ReadConfig
from assay.data.arrow_cache import gather
from assay.data.coco_json import dicts, key_of
from assay.data.columns import Conform, asked_columns, find_columns
from assay.data.csv_source import CsvSource
from assay.data.formats import HOLDABLE
from assay.data.formats.table_file import write_table
from assay.data.names import in_order, is_hidden
from assay.data.object_columns import labels_of_objects
from assay.data.table_source import CSV, PARQUET, ParquetSource, open_source
from assay.errors import AssayError, ConfigError, DatasetError
from assay.labels import ClassNames
from assay.types import Dataset

_CSV_HOLDS = frozenset({"label", "labels", "part", "group", "columns"})


class Table:
    """The data format ``table``."""

    suffixes = (".csv", ".parquet")

    def holds(self, path: Path) -> frozenset[str]:
        """Parquet holds everything, CSV what fits into a cell of text."""
        return HOLDABLE if path.suffix.lower() in PARQUET else _CSV_HOLDS

    def detect(self, path: Path) -> bool:
        """A table, or a folder with just one table that has labels and whose paths lead to pictures beside it."""
        if path.is_file():
            return path.suffix.lower() in PARQUET + CSV
        inside = _tables_in(path) if path.is_dir() else []
        return sum(map(_leads_to_a_picture, inside)) == 1

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """Rows in the order of the table; classes are its labels in natural order.

        Raises
        ------
        ConfigError : an option names a column that is not there, or an option for folders is given.
        DatasetError : the file is broken or empty, or names unknown parts.
        """
        path = _the_table(path)
        if config.class_depth is not None:
            raise ConfigError(f"{path.name} is a table: --class-depth is for folders", fix="leave it out")
        root = Path(config.root).expanduser() if config.root is not None else path.parent
        if not root.is_dir():
            raise ConfigError(f"root {root} is not a folder", fix="name the folder that the paths start from")
        source = open_source(path, asked_columns(config))
        notes = _notes(source)
        conform = Conform(
            find_columns(list(source.names), config, path.name),
            root,
            path.name,
            has_pixel_classes=bool(notes.get("pixel_classes")),
        )

        def batches() -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
            schema = conform.schema(source.schema)
            return schema, _checked(source, conform, schema)

        options = {**config.to_dict(), "root": str(root.resolve())}
        table, told = gather(path, options, batches, conform.faults.notes)
        return _dataset(table, conform, root, notes, told)

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """CSV or Parquet by the suffix; see ``table_file``."""
        write_table(dataset, path, progress)


def _checked(
    source: CsvSource | ParquetSource, conform: Conform, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Batches in our schema; what is wrong with them is raised behind the last one."""
    try:
        for batch in source.batches():
            yield conform.batch(batch, schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DatasetError(
            f"a column of {source.path.name} cannot be used",
            got=str(error).splitlines()[0],
            fix="name another column",
        ) from error
    conform.raise_faults()


def _dataset(
    table: pa.Table, conform: Conform, root: Path, ours: dict[str, Any], told: dict[str, Any]
) -> Dataset:
    """``ours`` is what the file carries, ``told`` what was kept out of it."""
    found = _labels_in(table)
    things = labels_of_objects(table["objects"]) if "objects" in table.column_names else set()
    if not found and not {"objects", "pixels"} & set(table.column_names):
        raise DatasetError(
            f"{conform.table} has no labels", got="the label column is empty", fix="fill it in"
        )
    categories = _categories(ours)
    notes = {
        "columns": conform.columns.sources(),
        **told,
        **({"categories": categories} if categories else {}),
    }
    table = table.replace_schema_metadata({b"assay": json.dumps(notes).encode()})
    split = ours.get("split") or ({"by": "source"} if conform.columns.part else {})
    has_parts = conform.columns.part is not None and table["part"].null_count < len(table)
    return Dataset(
        table,
        _in_their_order(found, ours.get("classes", [])),
        root,
        name=Path(conform.table).stem,
        split=split if has_parts else {},
        object_classes=_in_their_order(things, ours.get("object_classes", [])),
        pixel_classes=ClassNames(ours.get("pixel_classes", [])),
    )


def _categories(ours: dict[str, Any]) -> list[dict[str, Any]]:
    """Ids and groups of classes of things, as a COCO file had them; rows that another program has broken are none."""
    rows = dicts(ours.get("categories"))
    return [
        dict(r) for r in rows if {"id", "name", "supercategory"} <= r.keys() and key_of(r["id"]) is not None
    ]


def _in_their_order(found: set[str], kept: list[str]) -> ClassNames:
    """The order that the file carries, where it knows all that occur; else natural order."""
    return ClassNames(kept if found <= set(kept) else in_order(found))


def _labels_in(table: pa.Table) -> set[str]:
    names: set[str] = set()
    for column in ("label", "labels"):
        if column in table.column_names:
            for chunk in table[column].chunks:
                flat = chunk.flatten() if column == "labels" else chunk
                names.update(pc.unique(flat).to_pylist())
    return {name for name in names if name}


def _notes(source: CsvSource | ParquetSource) -> dict[str, Any]:
    """What ``write_table`` left in the metadata of a Parquet file; nothing for other files."""
    with contextlib.suppress(ValueError, TypeError):
        found = json.loads((source.schema.metadata or {}).get(b"assay", b"{}"))
        if isinstance(found, dict):
            return found
    return {}


def _tables_in(folder: Path) -> list[Path]:
    """The tables in a folder; none in one that may not be looked into: whoever reads it tells that."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    return [p for p in inside if p.suffix.lower() in PARQUET + CSV and not is_hidden(p.name)]


def _the_table(path: Path) -> Path:
    """The table itself, where a folder was named."""
    if path.is_file():
        return path
    inside = _tables_in(path) if path.is_dir() else []
    leading = inside if len(inside) == 1 else [table for table in inside if _leads_to_a_picture(table)]
    if len(leading) == 1:
        return leading[0]
    got = f"{len(inside)} tables: {', '.join(p.name for p in inside)}" if inside else "no table in it"
    raise ConfigError(f"{path} is not a table", got=got, fix="name a .csv or .parquet file")


def _leads_to_a_picture(path: Path) -> bool:
    """Whether the table has paths and labels, and its first path is a file."""
    with contextlib.suppress(AssayError, pa.ArrowInvalid, OSError, StopIteration):
        source = open_source(path, [])
        columns = find_columns(source.names, ReadConfig(), path.name)
        first = next(source.batches())[columns.path][0].as_py()
        return bool(first) and (path.parent / str(first).replace("\\", "/")).is_file()
    return False


FORMAT = Table()
