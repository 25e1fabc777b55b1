"""A table's split as a class-folder tree ``train|val|test/<class>/<picture>``, for tools that read only folders.

Pictures are copied, not linked: Ultralytics rewrites in place a JPEG that it takes for damaged, and the source
must stay as it is. Every part has a folder for every class, so that all tools number the classes alike.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDERS = {"train": "train", "validation": "val", "test": "test"}


def tree_name(path: str) -> str:
    """The file name in the tree of a table's path: folders become part of the name, so names stay unique."""
    return path.replace("/", "__")


def write_tree(rows: Iterable[Mapping[str, str]], root: Path, out: Path) -> int:
    """Copy the pictures of a table's rows (path, label, part) below ``out``; returns how many there are.

    Raises
    ------
    ValueError : two pictures would get one name.
    """
    rows = list(rows)
    names = {tree_name(row["path"]) for row in rows}
    if len(names) != len(rows):
        raise ValueError(f"{len(rows)} pictures have only {len(names)} different names")
    for folder in FOLDERS.values():
        for label in {row["label"] for row in rows}:
            (out / folder / label).mkdir(parents=True, exist_ok=True)
    wanted = {
        out / FOLDERS[row["part"]] / row["label"] / tree_name(row["path"]): root / row["path"] for row in rows
    }
    for target, source in wanted.items():
        if not target.exists():
            shutil.copyfile(source, target)
    for file in [*out.glob("*/*/*"), *out.glob("*.cache")]:  # of an older split, or a peer's
        if file not in wanted:
            file.unlink()
    return len(rows)


def read_rows(table: Path) -> list[dict[str, str]]:
    """The rows of a CSV table as mappings."""
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(table: Path, rows: list[dict[str, str]]) -> None:
    """Write rows of equal keys as a CSV table, all or nothing."""
    table.parent.mkdir(parents=True, exist_ok=True)
    part = table.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    part.replace(table)
