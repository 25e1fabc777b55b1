"""From a Dataset to the user's disk: a table, folders of copied pictures, or a format of boxes and masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from assay.data.read import load_format
from assay.errors import ConfigError
from assay.types import Dataset


def write_dataset(
    dataset: Dataset,
    path: str | Path,
    format: str = "table",  # noqa: A002
    progress: Callable[[int, int], object] | None = None,
) -> None:
    """Write ``dataset`` to ``path``, whole or not at all; ``read_dataset`` gives the same rows back.

    ``table``: CSV or Parquet by the suffix; paths are relative to the table's folder where the pictures lie below
    it, else absolute. Parquet also keeps the types of columns, the order of classes and the split record.
    ``image-folder``: pictures are copied into part/class folders; a folder that is not empty is never touched.
    ``coco``: a .json file that names the pictures where they are, or a new folder that they are copied to.
    ``yolo``, ``voc``, ``mask-png``: a new folder that the pictures are copied to.
    ``progress`` is called with (pictures done, of how many) by the formats that copy.

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
    wanted.write(dataset, target, progress)
