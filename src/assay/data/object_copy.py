"""What writers of boxes share: what their format has no place for, where pictures are copied to, how large they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import pyarrow.compute as pc

from assay.data.faults import Faults
from assay.data.object_rows import in_threads, picture_size
from assay.data.picture_copy import free_name
from assay.errors import DatasetError, ImageError
from assay.types import Dataset


def require_room(dataset: Dataset, format_name: str, holds: frozenset[str]) -> None:
    """Raise one DatasetError with all that a format has no place for; ``holds`` of ``formats.HOLDABLE``."""
    counts = _counts(dataset)
    told = [f"{_NOUNS[name]} ({n:,})" for name, n in counts.items() if n and name not in holds]
    if "masks" not in counts or not len(dataset.object_classes):
        told.append("no classes of boxes")
    if told:
        raise DatasetError(
            f"{format_name} cannot hold what is in {dataset.name}",
            got="; ".join(told),
            fix="`assay convert` leaves out what has no place; a .parquet table holds everything",
        )


_NOUNS = {
    "label": "pictures with a class",
    "labels": "pictures with tags",
    "pixels": "pictures with pixel masks",
    "masks": "masks",
    "crowd": "crowds, regions of many things",
}


def _counts(dataset: Dataset) -> dict[str, int]:
    """How often each of ``_NOUNS`` occurs, for those that have a column."""
    table = dataset.table
    columns = [name for name in ("label", "labels", "pixels") if name in table.column_names]
    counts = {name: len(table) - int(table[name].null_count) for name in columns}
    if "objects" in table.column_names:
        things = pc.list_flatten(table["objects"])
        counts["masks"] = len(things) - int(pc.struct_field(things, "mask").null_count)
        counts["crowd"] = int(pc.sum(pc.struct_field(things, "crowd")).as_py() or 0)
    return counts


def stem_places(dataset: Dataset, folder_of: Mapping[str | None, str], *, apart: bool) -> list[PurePosixPath]:
    """(N,) the place of every picture's copy. No two have one name but for the ending, as a label file goes by that;
    ``apart``: within their folder, else in all.

    Raises
    ------
    DatasetError : some rows have a part and some have none.
    """
    table = dataset.table
    parts = table["part"].to_pylist() if dataset.parts else [None] * len(dataset)
    if dataset.parts and None in parts:
        raise DatasetError("some rows have a part and some have none", fix="run `assay split` first")
    taken: dict[str, dict[str, int]] = {}
    places = []
    for path, part in zip(table["path"].to_pylist(), parts, strict=True):
        folder, picture = folder_of[part], PurePosixPath(path)
        stem = free_name(picture.stem, taken.setdefault(folder if apart else "", {}))
        places.append(PurePosixPath(folder, f"{stem}{picture.suffix}"))
    return places


def sizes_of(dataset: Dataset) -> list[tuple[int, int]]:
    """(N,) height and width of every upright picture, from the table, and from the file where it does not say.

    Raises
    ------
    DatasetError : pictures are missing, or cannot be read.
    """
    names = dataset.table.column_names
    sides = [
        dataset.table[n].to_pylist() if n in names else [None] * len(dataset)
        for n in ("height_px", "width_px")
    ]
    known = list(zip(*sides, strict=True))
    paths = [dataset.root / path for path in dataset.table["path"].to_pylist()]
    unknown = [row for row, size in enumerate(known) if None in size]
    faults = Faults()
    for row, size in zip(unknown, in_threads(picture_size, [paths[row] for row in unknown]), strict=True):
        if isinstance(size, ImageError):
            faults.refuse(str(paths[row]), size.got or size.what, size.fix or "replace it, or leave it out")
        else:
            known[row] = size
    faults.raise_refused(dataset.name)
    return known
