"""Reads data for the doctor, who also sees what no training would take: pictures without classes or labels.

``read_dataset`` is asked first. What it refuses only for want of labels is read here, with every label null, so that
files and duplicates are examined all the same. What it refuses for another reason stays refused.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from assay.configs import ReadConfig
from assay.data.columns import Columns, Conform, asked_columns, column_named
from assay.data.groups import groups_from_pattern, groups_from_table
from assay.data.names import is_hidden, is_other_picture, is_picture, natural_key, part_named
from assay.data.read import load_format, read_dataset, recognise
from assay.data.table_source import CSV, PARQUET, open_source
from assay.errors import AssayError, ConfigError, DatasetError
from assay.labels import ClassNames
from assay.types import PARTS, Dataset

_OF_CLASSES = ("image-folder", "table")
"""Formats that may be refused for want of labels alone."""


def read_for_audit(
    path: str | Path,
    config: ReadConfig,
    *,
    groups: str | Path | None = None,
    group_pattern: str | None = None,
) -> Dataset:
    """The data at ``path``, labelled or not; groups from another table or from the file names, where asked.

    Raises
    ------
    ConfigError : the path does not exist, an option names what is not there, or both ways to groups are given.
    DatasetError : there are no pictures, or the table is broken.
    """
    if groups is not None and group_pattern is not None:
        raise ConfigError("--groups and --group-pattern are two ways to the same", fix="give one of them")
    if groups is not None:
        own = (
            replace(config, group_column=None, path_column=None)
            if Path(path).expanduser().is_dir()
            else config
        )
        return groups_from_table(_read(path, own), groups, config)
    dataset = _read(path, config)
    return dataset if group_pattern is None else groups_from_pattern(dataset, group_pattern)


def _read(path: str | Path, config: ReadConfig) -> Dataset:
    try:
        return read_dataset(path, config)
    except DatasetError as refusal:
        place = Path(path).expanduser()
        if recognise(place, config.format) not in map(load_format, _OF_CLASSES):
            raise refusal  # broken boxes are no pictures without labels
        bare = _bare_folder(place) if place.is_dir() else _bare_table(place, config)
        if bare is None:
            raise refusal
        return bare


def _bare_folder(root: Path) -> Dataset | None:
    """All pictures below a folder that has no class folders, without labels; None where there are none."""
    found: list[tuple[str | None, str]] = []
    not_read: list[str] = []
    closed: list[str] = []

    def note(error: OSError) -> None:
        closed.append(f"{Path(error.filename).relative_to(root).as_posix()}/")

    for folder, below, files in os.walk(root, onerror=note):
        below[:] = sorted((name for name in below if not is_hidden(name)), key=natural_key)
        steps = Path(folder).relative_to(root).parts
        part = part_named(steps[0]) if steps else None
        files.sort(key=natural_key)
        found += [(part, "/".join((*steps, name))) for name in files if is_picture(name)]
        not_read += ["/".join((*steps, name)) for name in files if is_other_picture(name)]
    if not found:
        return None
    columns = {"path": pa.array([name for _, name in found], pa.string())}
    parts = [part for part, _ in found]
    if all(parts):
        columns["part"] = pa.array(parts, pa.string())
    told = {"not_read": not_read, "closed": sorted(closed, key=natural_key)}
    notes = {b"assay": json.dumps(told).encode()}
    table = pa.table(columns).replace_schema_metadata(notes)
    return _unlabelled(table, root, root.resolve().name or "pictures")


def _bare_table(path: Path, config: ReadConfig) -> Dataset | None:
    """A table without a usable column of labels; None where it is broken in another way."""
    if path.suffix.lower() not in (*CSV, *PARQUET) or config.label_column or config.labels_column:
        return None
    root = Path(config.root).expanduser() if config.root is not None else path.parent
    with contextlib.suppress(AssayError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        source = open_source(path, asked_columns(config))
        columns = _columns(list(source.names), config)
        if columns is None or not root.is_dir():
            return None
        conform = Conform(columns, root, path.name)
        schema = conform.schema(source.schema)
        table = pa.Table.from_batches((conform.batch(b, schema) for b in source.batches()), schema=schema)
        conform.raise_faults()
        return _unlabelled(table, root, path.stem)
    return None


def _columns(names: list[str], config: ReadConfig) -> Columns | None:
    """The path column serves as label too, so that ``Conform`` is content; the labels are made null afterwards."""

    def named(ours: str) -> str | None:
        asked: str | None = getattr(config, f"{ours}_column")
        return asked or next((name for name in names if column_named(name) == ours), None)

    path = named("path")
    return None if path is None else Columns(path, path, None, named("part"), named("group"))


def _unlabelled(table: pa.Table, root: Path, name: str) -> Dataset:
    blank = pa.nulls(len(table), pa.string())
    place = table.column_names.index("label") if "label" in table.column_names else None
    table = table.append_column("label", blank) if place is None else table.set_column(place, "label", blank)
    held = set(table["part"].to_pylist()) if "part" in table.column_names else set()
    split = {"by": "source"} if held & set(PARTS) else {}
    return Dataset(table, ClassNames([]), root, name=name, split=split)
