"""The pictures that a finished run was trained and measured on: its data, in the parts of its stored split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assay.configs import ReadConfig
from assay.data.json_file import read_json_file
from assay.data.read import read_dataset
from assay.errors import AssayError, ConfigError, DatasetError
from assay.labels import ClassNames
from assay.types import Dataset

_TRUTH = ("labels", "objects", "pixels", "height_px", "width_px")
"""Columns that a run's split table leaves to the data."""


def own_pictures(folder: Path, record: Mapping[str, Any] | None = None) -> Dataset:
    """The pictures of a run, with the parts that it used and all that is known of them.

    Parameters
    ----------
    folder : the run's. record : its run.json; read when not given.

    Raises
    ------
    ConfigError : the run does not say which they are, or they are not where they were.
    DatasetError : some of the split are gone.
    """
    stored, file = folder / "split.parquet", folder / "run.json"
    if record is None:
        record = read_json_file(file) if file.is_file() else {}
    if "data" not in record or not stored.is_file():
        raise ConfigError(f"{folder} does not say which pictures it used", fix="name labelled pictures")
    asked = ReadConfig.from_dict(record.get("recipe", {}).get("read", {}))
    try:
        dataset = read_dataset(record["data"], asked)
    except AssayError as error:
        raise ConfigError(
            f"the pictures of {folder} are not where they were",
            got=error.what,
            fix="put them back, or name labelled pictures",
        ) from error
    return as_stored(dataset, stored, record)


def as_stored(dataset: Dataset, stored: Path, record: Mapping[str, Any]) -> Dataset:
    """The pictures of the run's own split table, which may be older than what the folder holds now.

    Raises
    ------
    DatasetError : pictures of the split are not in ``dataset``.
    """
    classes = ClassNames(record.get("classes") or dataset.classes)
    try:
        own = pq.read_table(stored)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{stored} cannot be read", got=str(error)[:200], fix="train again") from error
    table = _with_truth(own, dataset, stored)
    return replace(dataset, table=table, classes=classes, split=record.get("split") or {})


def _with_truth(table: Any, dataset: Dataset, stored: Path) -> Any:
    """The split table with what the data knows of its pictures beside their class."""
    own = dataset.table
    columns = [name for name in _TRUTH if name in own.column_names and name not in table.column_names]
    if not columns:
        return table
    rows = pc.index_in(table["path"].cast(pa.string()), value_set=own["path"].cast(pa.string()))
    if rows.null_count:
        gone = table["path"].filter(pc.is_null(rows))[0].as_py()
        raise DatasetError(
            f"{rows.null_count:,} pictures of the run are not in {dataset.name} any more",
            got=f"{gone!r}, for one",
            fix=f"put them back, or measure the others: --split {stored}",
        )
    for name in columns:
        table = table.append_column(name, own[name].take(rows))
    return table
