"""Which pictures: a data set with its labels, plain files, or those of a run itself, as one stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.data.names import is_picture
from assay.data.own_pictures import own_pictures
from assay.data.read import read_dataset
from assay.errors import ConfigError, DatasetError
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
        if not Path(model).is_dir():
            raise ConfigError("no pictures are named, and a Bundle has none of its own", fix="name pictures")
        pictures = own_pictures(Path(model))
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
