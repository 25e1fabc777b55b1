"""Groups for a data set that has none: from a table that names them, or from the file names.

Photos of one seller, shoe or patient resemble each other; where they stand in train and in test, the score is
flattered. Folders cannot say who took a photo, but a table beside them can, or a part of the file name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa

from assay.configs import ReadConfig
from assay.data.columns import column_named
from assay.data.names import nfc, some
from assay.data.table_source import open_source
from assay.errors import ConfigError, DatasetError
from assay.tables import suggest
from assay.types import Dataset

_KEYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("path", lambda path: path),
    ("file name", lambda path: PurePosixPath(path).name),
    ("file name without its ending", lambda path: PurePosixPath(path).stem),
)


def groups_from_table(dataset: Dataset, path: str | Path, config: ReadConfig) -> Dataset:
    """Take the column ``config.group_column`` of a CSV or Parquet table as groups.

    Rows are matched by the picture's path, else by its file name, else by the name without ending: whichever
    matches most. Pictures that the table does not name stay without a group.

    Raises
    ------
    ConfigError : the table or a column does not exist, or no group column is named.
    DatasetError : no picture matches, or one name has two groups.
    """
    table = Path(path).expanduser()
    if not table.is_file():
        raise ConfigError(
            f"{path} is not a file", fix="name a .csv or .parquet table with picture names and groups"
        )
    pairs = _pairs(table, config)
    paths = [nfc(p) for p in dataset.table["path"].to_pylist()]
    found = {how: [pairs.get(key(p)) for p in paths] for how, key in _KEYS}
    groups = max(found.values(), key=lambda values: sum(v is not None for v in values))
    if not any(g is not None for g in groups):
        raise DatasetError(
            f"no picture of {dataset.name} is named in {table.name}",
            got=f"{some(pairs, 2)} there; {some(paths, 2)} here",
            fix="name the column with picture names: --path-column NAME",
        )
    return with_groups(dataset, groups, str(config.group_column))


def groups_from_pattern(dataset: Dataset, pattern: str) -> Dataset:
    """Take what a regular expression finds in the path (its first group, else all of it) as the group.

    ``([^/]+)__`` groups ``real/jordan__3.jpg`` under ``jordan``. Pictures without a match stay without a group.

    Raises
    ------
    ConfigError : the pattern is not a regular expression. DatasetError : it matches nowhere.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"{pattern!r} is not a regular expression", got=str(error)) from None
    found = [compiled.search(path) for path in dataset.table["path"].to_pylist()]
    groups = [None if m is None else m[1] if compiled.groups else m[0] for m in found]
    if not any(groups):
        raise DatasetError(
            f"{pattern!r} matches no path of {dataset.name}",
            got=some(dataset.table["path"].slice(0, 2).to_pylist()),
        )
    return with_groups(dataset, groups, f"path matched by {pattern}")


def with_groups(dataset: Dataset, groups: list[str | None], name: str) -> Dataset:
    """The data set with these groups (N,), called ``name`` in the split record."""
    table = dataset.table
    notes = json.loads((table.schema.metadata or {}).get(b"assay", b"{}"))
    notes["columns"] = {**notes.get("columns", {}), "group": name}
    if "group" in table.column_names:
        table = table.drop_columns(["group"])
    table = table.append_column("group", pa.array(groups, type=pa.string()))
    return replace(dataset, table=table.replace_schema_metadata({b"assay": json.dumps(notes).encode()}))


def _pairs(table: Path, config: ReadConfig) -> dict[str, str]:
    """Picture name -> group, as the table says."""
    source = open_source(table, [config.path_column, config.group_column])
    aliases = {column_named(name): name for name in reversed(source.names)}
    key, group = config.path_column or aliases.get("path"), config.group_column
    for flag, wanted in (("--path-column", key), ("--group-column", group)):
        if wanted is None or wanted not in source.names:
            fix = f"name it with {flag}" if wanted is None else suggest(wanted, source.names)
            asked = f"no column {wanted!r}" if wanted else f"no column named by {flag}"
            raise ConfigError(f"{table.name} has {asked}", got=f"columns: {some(source.names, 20)}", fix=fix)
    pairs: dict[str, str] = {}
    torn = set()
    for batch in source.batches():
        cells = (batch[name].cast(pa.string()).to_pylist() for name in (key, group))
        for picture, value in zip(*cells, strict=True):
            if picture and value and pairs.setdefault(nfc(picture.replace("\\", "/")), value) != value:
                torn.add(picture)
    if torn:
        raise DatasetError(f"{len(torn):,} pictures have two groups in {table.name}", got=some(sorted(torn)))
    return pairs
