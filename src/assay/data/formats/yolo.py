"""YOLO: a text file of boxes or polygons beside each picture, as Ultralytics and its kin read them.

A folder with a ``data.yaml`` (see ``yolo_yaml``), or that file. The labels of ``images/train/7.jpg`` are in
``labels/train/7.txt``; where no folder is called ``images``, they lie beside the picture. Lines are ruled in
``yolo_labels``, writing in ``yolo_write``. https://docs.ultralytics.com/datasets/detect/

What differs: an *empty* label file says that somebody looked and found nothing. A *missing* one is background to
Ultralytics; here the picture is unlabelled, as nobody can tell a picture without cups from one that was
forgotten. ``ReadConfig.missing_labels`` = "background" reads it as Ultralytics does. A file all of whose lines
cannot be used leaves its picture unlabelled, too. Of a ``path`` that does not exist, the yaml's own folder takes
the place. A data set of key points is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from assay.configs import ReadConfig
from assay.data.faults import Faults
from assay.data.fitting import Fitted
from assay.data.formats.yolo_fit import fit_yolo
from assay.data.formats.yolo_labels import read_lines
from assay.data.formats.yolo_orders import tell_orders
from assay.data.formats.yolo_write import HOLDS, write_folder
from assay.data.formats.yolo_yaml import FILE_NAMES, YoloSet, find_yaml, is_yolo, read_yaml
from assay.data.names import is_hidden, is_picture, natural_key, some
from assay.data.object_rows import (
    ObjectRow,
    dataset_of,
    in_threads,
    picture_size,
    refuse_options,
    told_place,
)
from assay.data.picture_homes import is_file
from assay.errors import ConfigError, DatasetError, ImageError
from assay.types import Dataset


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look at a picture and its label file gives. ``text`` is None where there is no label file."""

    size: tuple[int, int] | ImageError
    labels: Path
    text: str | None
    fault: str = ""


class Yolo:
    """The data format ``yolo``."""

    suffixes = ("",)

    def holds(self, path: Path) -> frozenset[str]:  # noqa: ARG002 - the same everywhere
        """Boxes and masks, pictures without any or not looked at; parts. No crowds."""
        return HOLDS

    def detect(self, path: Path) -> bool:
        """A folder with a ``data.yaml`` that names classes and parts, or a yaml file that does."""
        try:
            file = find_yaml(path)
            return file is not None and is_yolo(file)
        except OSError:
            return False

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """Rows in the order of parts, places and natural names; classes in the order of the yaml.

        Raises
        ------
        DatasetError : the yaml is broken, names places that do not exist, or there are no pictures; all of it at once.
        ConfigError : an option for tables is given, or there is no yaml.
        """
        refuse_options(path, config, "a YOLO data set")
        file = find_yaml(path)
        if file is None:
            raise _no_yaml(path)
        told, faults = (
            read_yaml(file, None if config.root is None else Path(config.root).expanduser()),
            Faults(),
        )
        pictures = [
            (part, picture) for part, place in told.places for picture in _pictures(place, told, faults)
        ]
        if not pictures:
            raise _no_pictures(told, faults)
        _tell_orphans(told, [picture for _, picture in pictures], faults)
        folders = dict.fromkeys(label_path(picture, told.root).parent for _, picture in pictures)
        tell_orders(told, list(folders), faults)
        looks = in_threads(partial(_look, root=told.root), [picture for _, picture in pictures])
        rows = [
            _row(picture, part, look, told, config, faults)
            for (part, picture), look in zip(pictures, looks, strict=True)
        ]
        name = (path if path.is_dir() else path.parent).resolve().name or "dataset"
        return dataset_of(rows, told.names, told.root, name, {**_notes(rows, told), **faults.notes()})

    def fit(self, dataset: Dataset) -> Fitted:
        """Boxes cut off at the edge of their pictures, and around their masks; see ``yolo_fit``."""
        return fit_yolo(dataset)

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """``images/``, ``labels/`` and ``data.yaml`` in a new folder ``path``; see ``yolo_write``."""
        write_folder(dataset, path, progress)


def label_path(picture: Path, root: Path) -> Path:
    """Where the labels of a picture are: the last folder ``images`` becomes ``labels``, the ending ``.txt``.

    Folders above ``root`` are left alone where the picture lies below it. ``root`` itself counts where it is called so
    and there is a folder ``labels`` beside it.
    """
    steps = list(picture.parts)
    above = len(root.parts) if picture.is_relative_to(root) else 0
    if above and root.name == "images" and (root.parent / "labels").is_dir():
        above -= 1
    at = next((i for i in reversed(range(above, len(steps) - 1)) if steps[i] == "images"), None)
    if at is not None:
        steps[at] = "labels"
    return Path(*steps).with_suffix(".txt")


def _pictures(place: Path, told: YoloSet, faults: Faults) -> Iterator[Path]:
    """The pictures of one place: of a folder and all below, or of a list with a picture a line."""
    if place.is_dir():
        yield from _below(place)
    elif place.suffix.lower() == ".txt":
        yield from _listed(place, told, faults)
    elif is_picture(place.name):
        yield place
    else:
        faults.refuse(
            told.file.name, f"{place} is no folder and no .txt", "name a folder of pictures, or a list"
        )
        faults.raise_refused(told.file.name)


def _below(folder: Path) -> Iterator[Path]:
    seen = {os.path.realpath(folder)}
    for where, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted((n for n in folders if not is_hidden(n)), key=natural_key)
        for name in [n for n in folders if Path(where, n).is_symlink()]:
            real = os.path.realpath(Path(where, name))
            if real in seen:  # a link may lead back up
                folders.remove(name)
            seen.add(real)
        yield from (Path(where, name) for name in sorted(filter(is_picture, files), key=natural_key))


def _listed(file: Path, told: YoloSet, faults: Faults) -> Iterator[Path]:
    try:
        lines = file.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        faults.refuse(told_place(file, told.root), "is not UTF-8", "save it as UTF-8")
        faults.raise_refused(told.file.name)
        return
    for number, line in enumerate(lines, 1):
        name = line.strip().replace("\\", "/")
        if not name:
            continue
        found = next((base / name for base in (file.parent, told.root) if is_file(base / name)), None)
        if found is None:
            fix = "correct the line: it starts from the list's own folder"
            faults.add(
                f"{told_place(file, told.root)} line {number}", f"there is no picture {name[:200]}", fix
            )
        else:
            yield found


def _tell_orphans(told: YoloSet, pictures: Sequence[Path], faults: Faults) -> None:
    """Label files without a picture, where all places are folders: a list may well leave pictures out."""
    if any(place.is_file() for _, place in told.places):
        return
    labels = {label_path(picture, told.root) for picture in pictures}
    for folder in sorted({path.parent for path in labels} - {picture.parent for picture in pictures}):
        if folder.is_dir():
            lone = [p for p in folder.iterdir() if p.suffix.lower() == ".txt" and p.name != "classes.txt"]
            for path in sorted(set(lone) - labels, key=lambda p: natural_key(p.name)):
                fix = "give it its picture, or remove it"
                faults.add(told_place(path, told.root), "no picture has this name", fix)


def _look(picture: Path, root: Path) -> _Look:
    labels = label_path(picture, root)
    try:
        text = labels.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return _Look(picture_size(picture), labels, None)
    except UnicodeDecodeError:
        return _Look(picture_size(picture), labels, "", "is no text")
    except OSError as error:
        return _Look(picture_size(picture), labels, "", f"cannot be read: {error.strerror or error}")
    return _Look(picture_size(picture), labels, text)


def _row(
    picture: Path, part: str | None, look: _Look, told: YoloSet, config: ReadConfig, faults: Faults
) -> ObjectRow:
    size = None if isinstance(look.size, ImageError) else look.size
    if look.text is None:
        cell: list[dict[str, Any]] | None = [] if config.missing_labels == "background" else None
        return ObjectRow(picture, part, size, cell, has_file=False)
    place, earlier = told_place(look.labels, told.root), faults.count
    if look.fault:
        faults.add(place, look.fault, "write it again with the program that it is from")
        return ObjectRow(picture, part, size)
    if size is None:
        if not look.text.strip():
            return ObjectRow(picture, part, None, [])
        why = look.size.got or look.size.what if isinstance(look.size, ImageError) else ""
        what = f"the picture cannot be read, so its fractions are no pixels: {why}"
        faults.add(place, what, "replace the picture, or remove both")
        return ObjectRow(picture, part)
    things = read_lines(look.text, place, size, told.names, faults)
    is_useless = not things and faults.count > earlier  # not the same as a file that says there is nothing
    is_partly = len(things) < sum(bool(line.strip()) for line in look.text.splitlines())
    return ObjectRow(picture, part, size, None if is_useless else things, is_partly=is_partly)


def _notes(rows: Sequence[ObjectRow], told: YoloSet) -> dict[str, list[str]]:
    if any(row.objects is not None for row in rows):
        return {}
    expected = told_place(label_path(rows[0].picture, told.root), told.root)
    return {
        "notes": [f"no picture has a label file that can be used; the first was looked for at {expected}"]
    }


def _no_yaml(path: Path) -> ConfigError | DatasetError:
    if path.is_dir():
        held = some(sorted(p.name for p in path.iterdir() if not is_hidden(p.name)))
        fix = "write `train: images/train`, `val: images/val` and `names: [cup, plate]` into it"
        what = f"has no {FILE_NAMES[0]}" if held else "is empty: it has no data.yaml"
        return DatasetError(f"{path} {what}", got=held or None, fix=fix)
    return ConfigError(f"{path} is no yaml file", fix="name the data.yaml, or its folder")


def _no_pictures(told: YoloSet, faults: Faults) -> DatasetError:
    looked = some([str(place) for _, place in told.places], 3)
    first = f"; {faults.kept_out[0]}" if faults.kept_out else ""
    fix = "put the pictures there, or correct the places in the yaml"
    return DatasetError(f"{told.file} leads to no pictures", got=f"looked in {looked}{first}", fix=fix)


FORMAT = Yolo()
