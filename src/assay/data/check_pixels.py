"""Faults of the pixel masks that a data set names: missing, unreadable, of another size, numbers without a class.

That a mask is there is always looked at. Its size and its values are in its pixels, so they are for ``decode``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from assay.data.names import some
from assay.data.object_rows import in_threads, picture_size
from assay.data.picture_homes import is_file
from assay.data.problems import Problem, problem
from assay.errors import ImageError
from assay.pixel_masks import classes_used, read_pixels
from assay.types import Dataset

_FAULTS = {
    "missing-mask": (
        "one pixel mask does not exist|{n} pixel masks do not exist",
        "correct the paths in the column pixels, or leave them empty",
    ),
    "unreadable-mask": (
        "one pixel mask cannot be read|{n} pixel masks cannot be read",
        "save it as a palette or grey PNG whose values are the numbers of classes",
    ),
    "mask-size": (
        "one pixel mask has another size than its picture|{n} pixel masks have another size than their pictures",
        "draw it on the upright picture of that size",
    ),
    "mask-value": (
        "one pixel mask has values without a class|{n} pixel masks have values without a class",
        "name more classes, or draw what has none as 255",
    ),
}


@dataclass(frozen=True, slots=True)
class _Row:
    """A picture with a mask; ``size_hw`` is None where the table does not say it."""

    picture: str
    mask: str
    size_hw: tuple[int, int] | None


def check_pixels(dataset: Dataset, decode: bool) -> Iterator[Problem]:
    """Every fault of the column ``pixels``; nothing where there is none."""
    if "pixels" not in dataset.table.column_names:
        return
    look = partial(_look, root=dataset.root, classes=len(dataset.pixel_classes), decode=decode)
    rows, faults = list(_rows(dataset)), defaultdict[str, list[str]](list)
    for row, found in zip(rows, in_threads(look, rows), strict=True):
        for code, reason in found:
            faults[code].append(f"{row.mask} ({reason})" if reason else row.mask)
    for code, (what, fix) in _FAULTS.items():
        if faults[code]:
            yield problem("error", code, what, fix, faults[code])


def _rows(dataset: Dataset) -> Iterator[_Row]:
    names = ("path", "pixels", "height_px", "width_px")
    table = dataset.table.select([name for name in names if name in dataset.table.column_names])
    for batch in table.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            if row["pixels"] is not None:
                height, width = row.get("height_px"), row.get("width_px")
                size = None if height is None or width is None else (height, width)
                yield _Row(row["path"], row["pixels"], size)


def _look(row: _Row, root: Path, classes: int, decode: bool) -> list[tuple[str, str]]:
    """(code, reason) of everything that is wrong with one mask."""
    path = root / row.mask
    if not is_file(path):
        return [("missing-mask", "")]
    if not decode:
        return []
    try:
        pixels = read_pixels(path)
    except ImageError as error:
        return [("unreadable-mask", error.got or error.what)]
    found = []
    size = row.size_hw or picture_size(root / row.picture)  # a picture that cannot be read is told elsewhere
    if not isinstance(size, ImageError) and pixels.shape != size:
        height, width = pixels.shape
        found.append(("mask-size", f"{width} x {height}, and {row.picture} is {size[1]} x {size[0]}"))
    if beyond := [value for value in classes_used(pixels) if value >= classes]:
        found.append(("mask-value", f"{some(map(str, beyond))}; there are {classes} classes"))
    return found
