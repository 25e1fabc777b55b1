"""In which folder the pictures of a list lie, where the list gives their names alone.

COCO's own files say ``000000391895.jpg`` and leave it to the reader that it lies in ``train2017/``. A sample of the
names is looked for in the folders around the list; the one that has most of them is their home. Where two have as many
(``images/train/1.jpg`` and ``images/val/1.jpg``), the one that is called like the list's part is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from assay.data.names import is_hidden, part_named

_SAMPLE = 32
_MOST_FOLDERS = 500


def part_in(name: str) -> str | None:
    """The part that a word of a file's or folder's name means: ``instances_val2017.json`` is of validation."""
    words = re.split("[^a-z]+", name.casefold())
    return next((part for word in words if (part := part_named(word)) is not None), None)


class PictureHomes:
    """Where names of pictures lead.

    Parameters
    ----------
    names : file names as the list has them, perhaps with folders.
    starts : folders to begin with, the likeliest first; two floors below each are looked at as well.
    part : the part of the list, where it is known.
    """

    def __init__(self, names: Sequence[str], starts: Sequence[Path], part: str | None = None) -> None:
        self._starts = starts
        sample = names[:: max(1, -(-len(names) // _SAMPLE))]
        found = []
        for number, folder in enumerate(_folders(starts)):
            hits = sum(is_file(folder / name) for name in sample)
            if hits:
                found.append((-hits, part is None or part_in(folder.name) != part, number, folder))
        found.sort(key=lambda row: row[:3])
        self.folders = [folder for *_, folder in found]
        """Where some of the pictures lie, the likeliest first; empty where none of the sample was found."""

    def find(self, name: str) -> Path:
        """Where the picture called ``name`` lies, or where it would be expected."""
        for folder in self.folders if len(self.folders) > 1 else ():
            if is_file(folder / name):
                return folder / name
        return (self.folders[0] if self.folders else self._starts[0]) / name


def is_file(path: Path) -> bool:
    """Whether it is one; a name that no disk can hold (too long, a zero byte) is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _folders(starts: Sequence[Path]) -> Iterator[Path]:
    """Floor by floor, each folder once, a bounded number."""
    floor, seen = list(starts), set[Path]()
    for _ in range(3):
        below: list[Path] = []
        for folder in floor:
            if folder not in seen:
                seen.add(folder)
                yield folder
                below += _inside(folder)
            if len(seen) >= _MOST_FOLDERS:
                return
        floor = below


def _inside(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if not is_hidden(e.name) and e.is_dir())
    except OSError:
        return []
