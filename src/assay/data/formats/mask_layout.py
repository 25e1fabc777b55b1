"""Where the pictures and masks of a mask data set lie: which folders belong together, which files, which part.

A *pair* is a folder of pictures and a folder of masks beside each other, ``images/`` and ``masks/`` or what other
tools call them. Below both, a picture and its mask have the same path but for the ending. A pair may lie in the
folder that was named, in a folder of a part (``train/images``, ``train/masks``), in VOC's ``VOCdevkit/VOC2012``, or
inside folders that hold nothing else. The part is a folder's name, above or below; where no folder says it, it is the
list that names the picture: ``train.txt`` beside the pair, or VOC's ``ImageSets/Segmentation/train.txt``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from assay.data.faults import Faults
from assay.data.names import PART_ALIASES, is_hidden, is_picture, natural_key, nfc, part_named

PICTURE_FOLDERS = ("images", "photos", "jpegimages", "pictures", "image", "imgs")
MASK_FOLDERS = ("masks", "segmentationclass", "labels", "annotations", "mask", "segmentation")
THING_FOLDERS = ("instances", "segmentationobject")
"""Folder names in lower case, the likeliest first."""

_LIST_FOLDERS = (".", "ImageSets/Segmentation", "splits")
_DEEPEST = 3
_LOOKED_AT = 50


@dataclass(frozen=True)
class Pair:
    """Folders that belong together; ``parent`` holds them, ``part`` is what a folder above it says."""

    parent: Path
    pictures: Path
    masks: Path
    things: Path | None = None
    part: str | None = None


@dataclass(frozen=True)
class Entry:
    """One picture, with its masks where it has any. ``key``: its path in the folder of pictures, without ending."""

    pair: Pair
    key: str
    picture: Path
    mask: Path | None = None
    things: Path | None = None
    part: str | None = None


def find_pairs(root: Path) -> Iterator[Pair]:
    """The pairs at and below ``root``, in natural order. Only folders that could hold one are opened."""
    todo: list[tuple[Path, int, str | None]] = [(root, 0, None)]
    while todo:
        folder, depth, part = todo.pop(0)
        below = _folders_in(folder)
        known = {path.name.casefold(): path for path in below}
        pictures = _first(known, PICTURE_FOLDERS)
        masks = [known[name] for name in MASK_FOLDERS if name in known]
        found = next((m for m in masks if pictures is not None and _belong(pictures, m)), None)
        if pictures is not None and found is not None:
            yield Pair(folder, pictures, found, _first(known, THING_FOLDERS), part)
        elif depth < _DEEPEST:
            may = [
                p for p in below if part_named(p.name) or p.name.upper().startswith("VOC") or len(below) == 1
            ]
            todo.extend((path, depth + 1, part_named(path.name) or part) for path in may)


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [Path(e.path) for e in entries if not is_hidden(e.name) and e.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda path: natural_key(path.name))


def _first(known: dict[str, Path], names: tuple[str, ...]) -> Path | None:
    return next((known[name] for name in names if name in known), None)


def _belong(pictures: Path, masks: Path) -> bool:
    """Whether one of the first masks has its picture: a folder `labels` may as well hold lists of boxes."""
    wanted: dict[Path, set[str]] = {}
    for path in islice(_walk(masks), _LOOKED_AT):
        if path.suffix.lower() == ".png":
            wanted.setdefault(pictures / path.relative_to(masks).parent, set()).add(path.stem)
    return any(
        path.stem in stems and is_picture(path.name)
        for folder, stems in wanted.items()
        for path in _files_in(folder)
    )


def _files_in(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from (Path(e.path) for e in entries if not is_hidden(e.name) and e.is_file())
    except OSError:
        return


def _walk(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """Every visible file below the folder, each folder's own first. A link that leads back up is passed over."""
    above |= {os.path.realpath(folder)}
    yield from _files_in(folder)
    for below in _folders_in(folder):
        if os.path.realpath(below) not in above:
            yield from _walk(below, above)


def _by_key(folder: Path | None, endings: str | None = None) -> dict[str, list[Path]]:
    """Path below the folder without its ending -> the files of this name; of one ending, or any picture's."""
    found: dict[str, list[Path]] = {}
    if folder is None:
        return found
    for path in _walk(folder):
        if path.suffix.lower() == endings if endings else is_picture(path.name):
            found.setdefault(nfc(path.relative_to(folder).with_suffix("").as_posix()), []).append(path)
    return found


def find_entries(pair: Pair, faults: Faults) -> list[Entry]:
    """The pictures of a pair in natural order, with their masks and parts; what does not fit is told to ``faults``."""
    pictures = _by_key(pair.pictures)
    masks, things = _by_key(pair.masks, ".png"), _by_key(pair.things, ".png")
    lists = _Lists(pair, set(pictures))
    entries = []
    for key in sorted(pictures, key=natural_key):
        if len(pictures[key]) > 1:
            names = " and ".join(sorted(path.name for path in pictures[key]))
            what = f"{names} have one name, so a mask could be either's; they are left out"
            faults.add(pictures[key][0].parent.name, what, "rename one of them, and its mask")
            continue
        part = pair.part or _part_in(key) or lists.part_of(key, faults)
        mask, thing = (found[0] if (found := kind.get(key)) else None for kind in (masks, things))
        entries.append(Entry(pair, key, pictures[key][0], mask, thing, part))
    for kind in (masks, things):
        for key in sorted(set(kind) - set(pictures), key=natural_key):
            faults.add(kind[key][0].name, "no picture has this name", f"put it into {pair.pictures.name}/")
    lists.tell_unknown(faults)
    return entries


def _part_in(key: str) -> str | None:
    return next((p for step in PurePosixPath(key).parts[:-1] if (p := part_named(step))), None)


class _Lists:
    """``train.txt``, ``val.txt``: a line names a picture by its path or name, with or without its ending."""

    def __init__(self, pair: Pair, keys: set[str]) -> None:
        self._parts: dict[str, dict[str, str]] = {}  # picture -> part -> the list that says so
        self._unknown: list[tuple[str, str]] = []
        stems: dict[str, list[str]] = {}
        for key in keys:
            stems.setdefault(key.rpartition("/")[2], []).append(key)
        for path in self._files(pair.parent):
            part = PART_ALIASES[path.stem.casefold()]
            for line in filter(None, map(str.strip, path.read_text("utf-8-sig", "replace").splitlines())):
                picture = _key_of(line, keys, stems)
                if picture is None:
                    self._unknown.append((path.name, line))
                else:
                    self._parts.setdefault(picture, {})[part] = path.name

    @staticmethod
    def _files(parent: Path) -> list[Path]:
        for folder in _LIST_FOLDERS:
            lists = [p for p in _files_in(parent / folder) if p.suffix == ".txt" and part_named(p.stem)]
            if lists:
                return sorted(lists)
        return []

    def part_of(self, key: str, faults: Faults) -> str | None:
        found = self._parts.get(key, {})
        if len(found) > 1:
            faults.refuse(key, f"it is in {' and in '.join(found.values())}", "keep it in one list")
        return next(iter(found), None)

    def tell_unknown(self, faults: Faults) -> None:
        for name, line in self._unknown:
            faults.add(name, f"no picture is called {line[:80]!r}", "correct the line, or remove it")


def _key_of(line: str, keys: set[str], stems: dict[str, list[str]]) -> str | None:
    """The picture that a line means: the whole line, else its first word (the second is often the mask)."""
    for text in dict.fromkeys((line, line.split(maxsplit=1)[0])):
        path = PurePosixPath(nfc(text.replace("\\", "/")))
        for name in (path.as_posix(), path.with_suffix("").as_posix()):
            if name in keys:
                return name
        for stem in (path.stem, path.name):
            if len(stems.get(stem, [])) == 1:
                return stems[stem][0]
    return None
