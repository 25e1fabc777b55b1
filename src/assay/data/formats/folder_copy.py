"""Write a data set as part/class folders, by copying pictures. Everything is copied beside, then renamed at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from assay.data.names import is_hidden, some
from assay.data.picture_copy import free_name
from assay.errors import DatasetError
from assay.types import Dataset, Sample


def copy_to_folders(
    dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
) -> None:
    """Copy every picture to ``path/part/class/name``; two equal names in one class get ``-2``, ``-3`` behind.

    Raises
    ------
    DatasetError : the folder is not empty, a class name cannot be a folder, a row has several labels or none,
        or a picture is missing.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DatasetError(f"{path} exists and is not empty", fix="name a new folder: nothing is overwritten")
    _check_names(dataset)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _copy(dataset, beside, progress)
        if path.exists():
            path.rmdir()
        beside.replace(path)
    except OSError as error:
        raise DatasetError(
            f"{path} could not be written",
            got=str(error),
            fix="`assay check` names missing pictures; free some space or name another place",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _copy(dataset: Dataset, target: Path, progress: Callable[[int, int], object] | None) -> None:
    for part in list(dataset.parts) or [""]:
        for name in dataset.classes:
            (target / part / name).mkdir(parents=True, exist_ok=True)
    taken: dict[str, dict[str, int]] = {}
    for done, sample in enumerate(dataset, 1):
        shutil.copyfile(sample.path, target / _place(dataset, sample, taken))
        if progress is not None:
            progress(done, len(dataset))


def _place(dataset: Dataset, sample: Sample, taken: dict[str, dict[str, int]]) -> PurePosixPath:
    assert sample.label is not None  # _check_names refused the others
    folder = PurePosixPath(sample.part or "", dataset.classes[sample.label])
    # case-blind: such folders are one on some systems
    return folder / free_name(sample.path.name, taken.setdefault(str(folder).casefold(), {}))


def _check_names(dataset: Dataset) -> None:
    bad = [
        name for name in dataset.classes if any(is_hidden(s) or not s.strip(". ") for s in name.split("/"))
    ]
    bad += [name for name in dataset.classes if "\0" in name or "\\" in name]
    known = set(dataset.classes)
    for name in dataset.classes:
        steps = name.split("/")
        bad += [
            f"{name} (inside the class {above})"
            for n in range(1, len(steps))
            if (above := "/".join(steps[:n])) in known
        ]
    if bad:
        raise DatasetError(
            "some class names cannot be folders", got=some(bad), fix="write a .csv or .parquet table"
        )
    if dataset.table["label"].null_count:
        raise DatasetError(
            f"{dataset.table['label'].null_count:,} rows do not have exactly one label",
            fix="write a .csv or .parquet table",
        )
    if dataset.parts and dataset.table["part"].null_count:
        raise DatasetError("some rows have a part and some have none", fix="run `assay split` first")
