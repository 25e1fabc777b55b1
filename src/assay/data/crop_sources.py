"""What a data set of the source pictures knows and a file of boxes does not: parts and groups.

A split must not tear the crops of one photo apart, nor those of one seller where sellers are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from assay.data.box_rows import BoxedPicture
from assay.data.names import nfc, some
from assay.errors import DatasetError
from assay.types import Dataset

_KEYS: tuple[Callable[[str], str], ...] = (
    lambda path: path,
    lambda path: PurePosixPath(path).name,
    lambda path: PurePosixPath(path).stem,
)
"""By path, by file name, by the name without ending: whichever finds most."""


def take_over(pictures: Iterable[BoxedPicture], sources: Dataset) -> int:
    """Give the pictures the parts and groups of ``sources``; what a picture has already stays. How many are found.

    Raises
    ------
    DatasetError : no picture is in ``sources``.
    """
    pictures = list(pictures)
    columns = ["path", *(c for c in ("part", "group") if c in sources.table.column_names)]
    rows = sources.table.select(columns).to_pylist()
    tables = [_by_key(rows, key) for key in _KEYS]
    matched = [sum(key(p.path) in table for p in pictures) for key, table in zip(_KEYS, tables, strict=True)]
    best = matched.index(max(matched))
    if pictures and not matched[best]:
        raise DatasetError(
            f"no picture with boxes is in {sources.name}",
            got=f"{some((p.path for p in pictures), 2)} here; {some((row['path'] for row in rows), 2)} there",
            fix="give the data set that the boxes were drawn on",
        )
    for picture in pictures:
        row = tables[best].get(_KEYS[best](picture.path))
        if row is not None:
            picture.part, picture.group = picture.part or row.get("part"), picture.group or row.get("group")
    return matched[best]


def _by_key(rows: list[dict[str, str | None]], key: Callable[[str], str]) -> dict[str, dict[str, str | None]]:
    """Rows by key; a name that two different rows share decides nothing."""
    found: dict[str, dict[str, str | None]] = {}
    torn = set()
    for row in rows:
        name = key(nfc(row["path"] or ""))
        if name in found and {**found[name], "path": None} != {**row, "path": None}:
            torn.add(name)
        found.setdefault(name, row)
    return {name: row for name, row in found.items() if name not in torn}
