"""Which pictures a network is measured on: those that were given, or the run's own, in the parts of its split."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.cli.flags import given_options, read_config
from assay.configs import ReadConfig
from assay.errors import ConfigError, DatasetError

if TYPE_CHECKING:
    from assay.types import Dataset


def measured_pictures(args: argparse.Namespace, place: Path) -> tuple[Dataset, bool]:
    """(pictures, whether they are those of the run itself, split as the run split them).

    Raises
    ------
    ConfigError : no data is given or named, or the split table does not exist. DatasetError : the data cannot be read,
    or does not fit the split.
    """
    from assay.data.own_pictures import as_stored  # noqa: PLC0415
    from assay.data.read import read_dataset  # noqa: PLC0415

    record = _record(place)
    if args.data is None and "data" not in record:
        raise ConfigError(
            f"no data given, and {place} names none", fix="give a folder or a table of labelled pictures"
        )
    data = args.data if args.data is not None else record["data"]
    own = (
        "data" in record and Path(data).expanduser().resolve() == Path(record["data"]).expanduser().resolve()
    )
    config = read_config(args, ReadConfig)
    if own and not given_options(args, ReadConfig):
        config = ReadConfig.from_dict(record.get("recipe", {}).get("read", {}))
    dataset = read_dataset(data, config)
    if args.split is not None:
        return _with_parts(dataset, Path(args.split)), False
    stored = place / "split.parquet"
    return (as_stored(dataset, stored, record), True) if own and stored.is_file() else (dataset, False)


def _record(place: Path) -> dict[str, Any]:
    file = place / "run.json"
    if not file.is_file():
        return {}
    try:
        record = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is damaged", got=str(error)) from error
    return record if isinstance(record, dict) else {}


def _with_parts(dataset: Dataset, file: Path) -> Dataset:
    """``dataset`` with the parts that the table in ``file`` gives to its paths; other pictures have no part."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    table = _read_split(file)
    found = pc.index_in(dataset.table["path"].cast(pa.string()), value_set=table["path"].cast(pa.string()))
    if found.null_count == len(dataset):
        raise DatasetError(
            f"no picture of {dataset.name} is in {file}",
            got=f"{table['path'][0].as_py()!r} there, {dataset.table['path'][0].as_py()!r} in the data",
            fix="write paths as the data set has them, relative to its folder",
        )
    parts = _named_parts(table["part"].cast(pa.string()), file).take(found)
    columns = dataset.table.drop_columns(["part"]) if "part" in dataset.table.column_names else dataset.table
    return replace(
        dataset, table=columns.append_column("part", parts), split={"by": "file", "file": file.name}
    )


def _named_parts(cells: Any, file: Path) -> Any:
    """The parts that the cells of a split mean: ``val`` is validation."""
    import pyarrow as pa  # noqa: PLC0415

    from assay.data.names import part_named, some  # noqa: PLC0415

    said = cells.to_pylist()
    meant = [None if cell is None or not cell.strip() else part_named(cell) for cell in said]
    unknown = {cell for cell, part in zip(said, meant, strict=True) if part is None and cell and cell.strip()}
    if unknown:
        raise DatasetError(
            f"{file} names parts that there are not",
            got=some(sorted(unknown)),
            fix="use train, validation and test",
        )
    return pa.chunked_array([pa.array(meant, pa.string())])


def _read_split(file: Path) -> Any:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.csv as pa_csv  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    if not file.is_file():
        raise ConfigError(
            f"{file} does not exist", fix="name a CSV or Parquet table, as `assay split` writes it"
        )
    try:
        table = pq.read_table(file) if file.suffix.lower() == ".parquet" else pa_csv.read_csv(file)
    except pa.ArrowInvalid as error:
        raise DatasetError(f"{file} cannot be read as a table", got=str(error).splitlines()[0]) from error
    if not {"path", "part"} <= set(table.column_names) or len(table) == 0:
        columns = ", ".join(table.column_names)
        raise DatasetError(
            f"{file} names no parts", got=f"columns: {columns}", fix="columns path and part are needed"
        )
    return table
