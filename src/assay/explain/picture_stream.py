"""Which pictures: a data set with its labels, plain files, or those of a run itself, as one stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from assay.configs import ReadConfig
from assay.data.names import is_picture
from assay.data.read import read_dataset
from assay.errors import AssayError, ConfigError, DatasetError
from assay.labels import ClassNames
from assay.runtime.sources import Pictures
from assay.types import Dataset


@dataclass(frozen=True, slots=True)
class Picture:
    """``path`` as the user's table or folder has it, ``file`` where it lies, and what is known of it."""

    path: str
    file: Path
    label: str | None = None
    part: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Stream:
    """Pictures in order. ``root`` is the folder that their paths start from; ``count`` is None where unknown."""

    pictures: Iterable[Picture]
    name: str
    root: str = ""
    count: int | None = None


def walk(
    pictures: Dataset | str | Path | Iterable[str | Path] | None,
    model: str | Path,
    part: str | None = None,
) -> Stream:
    """The pictures that are meant; those of the run ``model`` itself when None.

    Raises
    ------
    ConfigError : a path that does not exist, a part that there is not, a Bundle asked for its own pictures.
    DatasetError : nothing there, or a broken data set.
    """
    if pictures is None:
        pictures = own_pictures(model)
    if isinstance(pictures, str | Path):
        pictures = _dataset_or_files(Path(pictures))
    if isinstance(pictures, Dataset):
        return _rows_of(pictures if part is None else pictures.part(part))
    if part is not None:
        raise ConfigError(
            f"plain pictures have no part {part!r}", fix="leave out the part, or give a data set"
        )
    files = pictures if isinstance(pictures, Pictures) else Pictures(list(pictures))
    return Stream((Picture(name, Path(name)) for name in files), "pictures", "", files.count())


def _dataset_or_files(place: Path) -> Dataset | Pictures:
    """A table or a folder of class folders is a data set; a picture, a pattern or a flat folder is not."""
    if is_picture(place.name) and not place.is_dir():
        return Pictures(place)
    if not place.exists() and any(c in str(place) for c in "*?["):
        return Pictures(place)
    if not place.is_dir():
        return read_dataset(place)
    try:
        return read_dataset(place)
    except DatasetError:
        return Pictures(place)  # raises in its own words where there are no pictures at all


def _rows_of(dataset: Dataset) -> Stream:
    return Stream(_walk_rows(dataset), dataset.name, str(dataset.root.resolve()), len(dataset))


def _walk_rows(dataset: Dataset) -> Iterator[Picture]:
    wanted = [c for c in ("path", "label", "part", "group") if c in dataset.table.column_names]
    for batch in dataset.table.select(wanted).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            path = row.pop("path")
            yield Picture(path, dataset.root / path, **row)


def own_pictures(run: str | Path) -> Dataset:
    """The pictures of a run, split as it split them.

    Raises
    ------
    ConfigError : it is no run folder, or its data is not where it was.
    DatasetError : what it wrote down of its pictures is missing or damaged.
    """
    folder = Path(run)
    if not folder.is_dir():
        raise ConfigError("no pictures are named, and a Bundle has none of its own", fix="name pictures")
    try:
        record = json.loads((folder / "run.json").read_text("utf-8"))
        table = pq.read_table(folder / "split.parquet")
        data, read = Path(record["data"]), ReadConfig.from_dict(record.get("recipe", {}).get("read", {}))
        classes = ClassNames(record["classes"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowInvalid) as error:
        raise DatasetError(
            f"{folder} does not say which pictures are its own", got=str(error)[:200], fix="name the pictures"
        ) from error
    try:
        dataset = read_dataset(data, read)
    except AssayError as error:
        raise ConfigError(
            f"the pictures of {folder} are not where they were", got=error.what, fix="name them"
        ) from error
    return replace(dataset, table=table, classes=classes, split=record.get("split") or {})
