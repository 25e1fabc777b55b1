"""Pictures copied into one folder a part, under names of their own; the missing ones are told before that."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from assay.data.names import nfc, some
from assay.data.picture_homes import is_file
from assay.errors import DatasetError
from assay.types import Dataset

Progress = Callable[[int, int], object]
"""Called with (pictures done, of how many)."""


def free_name(wished: str, taken: dict[str, int]) -> str:
    """``photo.jpg``, or ``photo-2.jpg`` where that is taken; case-blind: such names are one file on some systems.

    ``taken`` is kept by this function: a name -> the number to try next, so that many equal names cost no search.
    """
    path, name, key = PurePosixPath(wished), wished, _key(wished)
    number = taken.get(key, 2)
    while _key(name) in taken:
        name = f"{path.stem}-{number}{path.suffix}"
        number += 1
    taken[key] = number
    taken.setdefault(_key(name), 2)
    return name


def _key(name: str) -> str:
    return nfc(name).casefold()


def picture_places(dataset: Dataset, folder_of: Mapping[str | None, str]) -> list[str]:
    """(N,) for every row the place of its copy: the folder of its part, and a file name that is free in there."""
    parts = (
        dataset.table["part"].to_pylist() if "part" in dataset.table.column_names else [None] * len(dataset)
    )
    taken: dict[str, dict[str, int]] = {}
    places = []
    for path, part in zip(dataset.table["path"].to_pylist(), parts, strict=True):
        folder = folder_of[part]
        places.append(f"{folder}/{free_name(PurePosixPath(path).name, taken.setdefault(folder, {}))}")
    return places


def copy_pictures(
    dataset: Dataset, places: Sequence[str], target: Path, progress: Progress | None = None
) -> None:
    """Copy the picture of every row to its place below ``target``.

    Raises
    ------
    DatasetError : pictures are missing. OSError : the disk is full, or cannot be written.
    """
    sources = [dataset.root / path for path in dataset.table["path"].to_pylist()]
    require_pictures(dataset, sources)
    for done, (source, place) in enumerate(zip(sources, places, strict=True), 1):
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target / place)
        if progress is not None:
            progress(done, len(places))


def require_pictures(dataset: Dataset, sources: Iterable[Path]) -> None:
    """Raise one DatasetError that names the pictures which are no files."""
    missing = [str(source) for source in sources if not is_file(source)]
    if missing:
        raise DatasetError(
            f"{len(missing):,} pictures of {dataset.name} do not exist",
            got=some(missing, 3),
            fix="`assay check` names them all; correct the paths, or leave these rows out",
        )
