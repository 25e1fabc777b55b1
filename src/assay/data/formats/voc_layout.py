"""Where the pictures, labels and lists of a Pascal VOC data set lie.

    Annotations/*.xml   JPEGImages/*.jpg   ImageSets/Main/{train,val,trainval,test}.txt     VOC's own layout
    annotations/*.xml   images/*.png                                                        common on Kaggle
    7.jpg   7.xml                                                                           labelImg: side by side
    train/{7.jpg, 7.xml}   valid/   test/                                                   Roboflow

VOC's layout may also lie one level down (``VOCdevkit/VOC2012``). Lists say which pictures are part of the data
set, and of which part; without lists all pictures are. ``trainval.txt`` is not asked where train and val have
their lists; where one of the two has none, it has what is left of trainval, and where both have none, all of it
is train. Lists of one class (``cat_train.txt``) are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from assay.data.faults import Faults
from assay.data.names import is_hidden, is_picture, natural_key, nfc, part_named, some
from assay.data.object_rows import told_place
from assay.errors import ConfigError, DatasetError

_LABELS = ("annotations", "annotation")
_PICTURES = ("jpegimages", "images", "pngimages", "image")
_LISTS = ("train", "val", "test")
_LOOKED_AT = 20
_HEAD = 2048


@dataclass(frozen=True)
class Home:
    """A folder of labels and the folder of their pictures. ``lists`` is ``ImageSets/Main``, where there is one."""

    labels: Path
    pictures: Path
    part: str | None = None
    lists: Path | None = None


@dataclass(frozen=True)
class Entry:
    """One picture; ``labels`` is its XML file, None where it has none."""

    picture: Path
    labels: Path | None
    part: str | None


def find_homes(path: Path) -> list[Home]:
    """The folders of labels at ``path``; none where it is no VOC data set.

    Raises
    ------
    ConfigError : two data sets lie in there.
    """
    if not path.is_dir():
        return []
    own = _voc_home(path)
    if own is not None:
        return [own]
    below = sorted((p for p in path.iterdir() if p.is_dir() and not is_hidden(p.name)), key=lambda p: p.name)
    nested = [home for folder in below if (home := _voc_home(folder)) is not None]
    if len(nested) > 1:
        names = some(home.labels.parent.name for home in nested)
        raise ConfigError(
            f"{path} holds {len(nested)} VOC data sets", got=names, fix="name one of these folders"
        )
    if nested:
        return nested
    if _is_flat(path):
        return [Home(path, path)]
    parts = [(folder, part) for folder in below if (part := part_named(folder.name)) is not None]
    return [Home(folder, folder, part) for folder, part in parts if _is_flat(folder)]


def _voc_home(folder: Path) -> Home | None:
    try:
        known = {p.name.casefold(): p for p in folder.iterdir() if p.is_dir()}
    except OSError:
        return None
    labels = next((known[name] for name in _LABELS if name in known), None)
    pictures = next((known[name] for name in _PICTURES if name in known), None)
    if labels is None or pictures is None:
        return None
    lists = folder / "ImageSets" / "Main"
    lists_here = lists if lists.is_dir() and _list_files(lists) else None
    if not any(map(_is_voc_file, islice(_xml_files(labels), _LOOKED_AT))) and lists_here is None:
        return None
    return Home(labels, pictures, None, lists_here)


def _is_flat(folder: Path) -> bool:
    """Whether one of the first XML files is of VOC's kind and has a picture beside it."""
    return any(
        _is_voc_file(file) and any(is_picture(p.name) for p in folder.glob(f"{_literal(file.stem)}.*"))
        for file in islice(_xml_files(folder), _LOOKED_AT)
    )


def _literal(name: str) -> str:
    """A name as a pattern that means itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _xml_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(".xml") and not is_hidden(entry.name):
                yield Path(entry.path)


def _is_voc_file(file: Path) -> bool:
    with file.open("rb") as opened:
        return b"<annotation" in opened.read(_HEAD).replace(b"\0", b"")


def _list_files(lists: Path) -> dict[str, Path]:
    """train, val, test, trainval -> the list of this name."""
    return {
        name: lists / f"{name}.txt" for name in (*_LISTS, "trainval") if (lists / f"{name}.txt").is_file()
    }


class Files:
    """The pictures and labels of one home, by name without ending (NFC)."""

    def __init__(self, home: Home, root: Path, faults: Faults) -> None:
        self.home, self._root, self._faults = home, root, faults
        self.labels = {nfc(path.stem): path for path in _xml_files(home.labels)}
        self._pictures: dict[str, list[Path]] = {}
        for path in home.pictures.iterdir():
            if is_picture(path.name):
                self._pictures.setdefault(nfc(path.stem), []).append(path)

    def entries(self) -> Iterator[Entry]:
        """Every picture of the data set; labels without one, and lines that lead nowhere, are told."""
        for stem in sorted(set(self.labels) - set(self._pictures), key=natural_key):
            place = told_place(self.labels[stem], self._root)
            fix = f"put it into {told_place(self.home.pictures, self._root) or '.'}, or remove the file"
            self._faults.add(place, f"no picture is called {stem}", fix)
        if self.home.lists is not None:
            yield from self._listed(_list_files(self.home.lists))
            return
        for stem in sorted(self._pictures, key=natural_key):
            yield from self._entry(stem, self.home.part)

    def _entry(self, stem: str, part: str | None) -> Iterator[Entry]:
        held = self._pictures[stem]
        if len(held) == 1:
            yield Entry(held[0], self.labels.get(stem), part)
            return
        names = " and ".join(sorted(path.name for path in held))
        what = f"{names} have one name, so labels could be either's; they are left out"
        self._faults.add(told_place(held[0].parent, self._root), what, "rename one of them, and its labels")

    def _listed(self, files: dict[str, Path]) -> Iterator[Entry]:
        taken: set[str] = set()
        for name in _LISTS:
            if name in files:
                for stem in self._stems(files[name]):
                    taken.add(stem)
                    yield from self._entry(stem, part_named(name))
        if "trainval" in files and not {"train", "val"} <= set(files):
            part = "validation" if "train" in files else "train"
            for stem in self._stems(files["trainval"]):
                if stem not in taken:
                    yield from self._entry(stem, part)

    def _stems(self, file: Path) -> Iterator[str]:
        """The names of a list, those of pictures that are there."""
        try:
            lines = file.read_bytes().decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DatasetError(
                f"{told_place(file, self._root)} is not UTF-8", fix="save it as UTF-8"
            ) from error
        for number, line in enumerate(lines, 1):
            name = nfc(line.strip())
            stem = next((stem for stem in _readings(name) if stem in self._pictures), None)
            if stem is not None:
                yield stem
            elif name:
                place = f"{told_place(file, self._root)} line {number}"
                self._faults.add(
                    place, f"no picture is called {name}", "correct the line, or add the picture"
                )

    @property
    def unambiguous(self) -> set[Path]:
        """The pictures whose name no other has, listed or not."""
        return {held[0] for held in self._pictures.values() if len(held) == 1}


def _readings(line: str) -> Iterator[str]:
    """What a line of a list may mean: a name, with an ending, with folders, or with a 1 or -1 behind it."""
    yield line
    bare = line.rpartition("/")[2]
    yield bare
    yield Path(bare).stem if is_picture(bare) else bare
    head, _, mark = line.rpartition(" ")
    if mark in ("1", "-1", "0"):
        yield head.strip()
