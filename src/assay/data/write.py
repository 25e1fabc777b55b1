"""From a Dataset to the user's disk: a table (CSV or Parquet) or folders of copied pictures."""

from __future__ import annotations

from pathlib import Path

from assay.data.read import load_format
from assay.errors import ConfigError
from assay.types import Dataset


def write_dataset(dataset: Dataset, path: str | Path, format: str = "table") -> None:  # noqa: A002
    """Write ``dataset`` to ``path``, whole or not at all; ``read_dataset`` gives the same rows back.

    ``table``: CSV or Parquet by the suffix; paths are relative to the table's folder where the pictures lie below
    it, else absolute. Parquet also keeps the types of columns, the order of classes and the split record.
    ``image-folder``: pictures are copied into part/class folders; a folder that is not empty is never touched.

    Raises
    ------
    ConfigError : the format is unknown, or the suffix is not one of its own.
    DatasetError : the place cannot be written, or the format cannot hold these rows.
    """
    wanted, target = load_format(format), Path(path).expanduser()
    if target.suffix.lower() not in wanted.suffixes and "" not in wanted.suffixes:
        raise ConfigError(
            f"{target.name} does not say which kind of table to write",
            fix=f"end it in {' or '.join(wanted.suffixes)}",
        )
    wanted.write(dataset, target)
