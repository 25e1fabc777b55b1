"""Pictures in folders: one folder a class, with or without train / validation / test folders above or below.

The layout that most tools of the field read. What differs: parts are recognised by their many names
(``val``, ``dev``, ``testing``), classes are the union over all parts, classes without a picture stay (the
checks name them), and a class may lie several folders deep: it is the topmost folder that holds pictures itself,
named by its path (``Fruit/Apple``). ``ReadConfig.class_depth`` = 1 takes the first level instead.
Pictures that lie in no class folder are left out, and the checks say so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assay.configs import ReadConfig
from assay.data.formats.folder_copy import copy_to_folders
from assay.data.names import (
    in_order,
    is_hidden,
    is_other_picture,
    is_picture,
    natural_key,
    nfc,
    part_named,
    some,
)
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.types import PARTS, Dataset

Steps = tuple[str, ...]
"""Names of folders from the root down."""


@dataclass
class _Tree:
    """Every visible folder below the root, with the pictures that lie directly in it.

    ``not_read``: paths of pictures in formats that are not read; ``closed``: folders that may not be looked into.
    """

    names: dict[Steps, pa.Array] = field(default_factory=dict)
    below: dict[Steps, list[Steps]] = field(default_factory=dict)
    not_read: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def holds(self, folder: Steps) -> int:
        return len(self.names[folder])

    def inside(self, folder: Steps) -> int:
        """Pictures in the folder and in all below."""
        return self.holds(folder) + sum(self.inside(child) for child in self.below[folder])


@dataclass(frozen=True)
class _Layout:
    """What each folder means: (part or None, steps of its class); and the folders that mean nothing."""

    meaning: dict[Steps, tuple[str | None, Steps]]
    left_out: list[Steps]


def _scan(root: Path) -> _Tree:
    tree, seen = _Tree(), {os.path.realpath(root)}
    todo: list[Steps] = [()]
    while todo:
        steps = todo.pop()
        files, folders = [], []
        for entry in _entries(root, steps, tree):
            if entry.is_dir():
                # a link may lead back up: each linked folder is walked once
                if not entry.is_symlink() or _is_new(entry.path, seen):
                    folders.append((*steps, entry.name))
            elif is_picture(entry.name):
                files.append(entry.name)
            elif is_other_picture(entry.name):
                tree.not_read.append("/".join((*steps, entry.name)))
        tree.names[steps] = _strings(sorted(files), steps)
        tree.below[steps] = sorted(folders, key=lambda s: natural_key(s[-1]))
        todo.extend(tree.below[steps])
    return tree


def _entries(root: Path, steps: Steps, tree: _Tree) -> list[os.DirEntry[str]]:
    """What is visible in a folder; nothing of one below the root that may not be looked into: ``tree`` is told.

    Raises
    ------
    DatasetError : the root itself may not be looked into.
    """
    try:
        with os.scandir(root.joinpath(*steps)) as entries:
            return [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        if not steps:
            got = error.strerror or str(error)
            raise DatasetError(
                f"{root} cannot be looked into", got=got, fix="check its permissions"
            ) from error
        tree.closed.append(f"{'/'.join(steps)}/")
        return []


def _is_new(path: str, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    fresh = real not in seen
    seen.add(real)
    return fresh


def _strings(names: list[str], steps: Steps) -> pa.Array:
    try:
        return pa.array(["/".join((*steps, name)) for name in names], type=pa.string())
    except UnicodeEncodeError:
        bad = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names if not _is_text(name)]
        folder = os.fsencode("/".join(steps) or ".").decode("utf-8", "backslashreplace")
        raise DatasetError(
            f"file names in {folder} are not UTF-8", got=some(bad) or folder, fix="rename these files"
        ) from None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _base(tree: _Tree) -> Steps:
    """The folder where classes or parts begin: wrappers such as ``shop/photos/`` around them are passed."""
    base: Steps = ()
    while len(tree.below[base]) == 1 and not tree.holds(base):
        (child,) = tree.below[base]
        if part_named(child[-1]) or tree.holds(child) or not tree.below[child]:
            break
        base = child
    return base


def _layout(tree: _Tree, root: Path) -> _Layout:
    base = _base(tree)
    children = tree.below[base]
    parts = {c: p for c in children if (p := part_named(c[-1])) and tree.below[c]}
    if parts:
        rest = [c for c in children if c not in parts and tree.inside(c)]
        return _Layout(
            {f: (p, f[len(c) :]) for c, p in parts.items() for f in _walk(tree, c)}, [base, *rest, *parts]
        )
    flat = [c for c in children if tree.holds(c)]
    if (
        flat
        and all(part_named(c[-1]) for c in flat)
        and sum(map(tree.inside, children)) == sum(map(tree.holds, flat))
    ):
        raise _no_classes(root, f"pictures directly in {some(c[-1] + '/' for c in flat)}")
    if children and all(_has_parts_only(tree, c) for c in children):
        inner = {p: part_named(p[-1]) for c in children for p in tree.below[c]}
        meaning = {
            f: (name, f[len(base) : len(p) - 1] + f[len(p) :])
            for p, name in inner.items()
            for f in _walk(tree, p)
        }
        return _Layout(meaning, [base])
    return _Layout({f: (None, f[len(base) :]) for c in children for f in _walk(tree, c)}, [base])


def _has_parts_only(tree: _Tree, folder: Steps) -> bool:
    below = tree.below[folder]
    return bool(below) and not tree.holds(folder) and all(part_named(f[-1]) and tree.holds(f) for f in below)


def _walk(tree: _Tree, folder: Steps) -> Iterator[Steps]:
    yield folder
    for child in tree.below[folder]:
        yield from _walk(tree, child)


def _class_of(tree: _Tree, layout: _Layout, depth: int | None) -> dict[Steps, str]:
    """Folder -> class name, for folders with pictures and for those at the end of an empty branch."""
    held = {steps for f, (_, steps) in layout.meaning.items() if tree.holds(f)}
    found = {}
    for folder, (_, steps) in layout.meaning.items():
        if not steps or (not tree.holds(folder) and (tree.below[folder] or _is_below(steps, held))):
            continue
        ends = range(1, len(steps) + 1)
        cut = depth or next((n for n in ends if steps[:n] in held), len(steps))
        found[folder] = nfc("/".join(steps[:cut]))
    return found


def _is_below(steps: Steps, held: set[Steps]) -> bool:
    return any(steps[:n] in held for n in range(1, len(steps)))


def _no_pictures(root: Path, tree: _Tree) -> DatasetError:
    if tree.not_read:
        return DatasetError(
            f"{root} has no pictures that can be read",
            got=some(sorted(tree.not_read, key=natural_key), 3),
            fix="export them as JPEG, PNG or TIFF",
        )
    what = "is empty" if not any(root.iterdir()) else "has no pictures in it"
    return DatasetError(
        f"{root} {what}", fix="put each class's pictures into a folder with its name, or name a table"
    )


def _no_classes(root: Path, got: str) -> DatasetError:
    return DatasetError(
        f"{root} has no class folders",
        got=got,
        fix="put the pictures of each class into a folder with its name, or give a table with path and label",
    )


def _table(tree: _Tree, layout: _Layout, classes: dict[Steps, str], names: ClassNames) -> pa.Table:
    rows = [folder for folder in classes if tree.holds(folder)]
    counts = [tree.holds(folder) for folder in rows]
    labels = np.repeat([names.position(classes[f]) for f in rows], counts).astype(np.int32)
    columns: dict[str, Any] = {
        "path": pa.chunked_array([tree.names[f] for f in rows], type=pa.string()).combine_chunks(),
        "label": pa.DictionaryArray.from_arrays(pa.array(labels), pa.array(list(names), type=pa.string())),
    }
    parts = [layout.meaning[f][0] for f in rows]
    if any(parts):
        codes = np.repeat([PARTS.index(p) for p in parts if p], counts).astype(np.int8)
        columns["part"] = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(PARTS))
    notes = {
        "left_out": _left_out(tree, layout),
        "not_read": sorted(tree.not_read, key=natural_key),
        "closed": sorted(tree.closed, key=natural_key),
    }
    return pa.table(columns).replace_schema_metadata({b"assay": json.dumps(notes).encode()})


def _left_out(tree: _Tree, layout: _Layout) -> list[str]:
    """Pictures and folders that were seen and are no part of the data set: for the checks to tell."""
    outside = []
    for folder in layout.left_out:
        if folder and folder not in layout.meaning and tree.inside(folder) > tree.holds(folder):
            outside.append("/".join(folder) + "/")
        else:
            outside.extend(tree.names[folder].to_pylist())
    return outside


class ImageFolder:
    """The data format ``image-folder``."""

    suffixes = ("",)

    def holds(self, path: Path) -> frozenset[str]:  # noqa: ARG002 - the same for every folder
        """One class a picture, and its part."""
        return frozenset(("label", "part"))

    def detect(self, path: Path) -> bool:
        """Any folder."""
        return path.is_dir()

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """Rows in natural order of part, class and file name; paths relative to ``path``.

        Raises
        ------
        DatasetError : no pictures, or no class folders.
        ConfigError : an option for tables is given, or the path is no folder.
        """
        _refuse_columns(path, config)
        tree = _scan(path)
        total = sum(map(tree.holds, tree.names))
        if not total:
            raise _no_pictures(path, tree)
        layout = _layout(tree, path)
        classes = _class_of(tree, layout, config.class_depth)
        if not any(map(tree.holds, classes)):
            raise _no_classes(path, f"{total:,} pictures directly in the folder")
        names = ClassNames(in_order(classes.values()))
        table = _table(tree, layout, classes, names)
        split = {"by": "source"} if "part" in table.column_names else {}
        return Dataset(table, names, path, name=path.resolve().name or "dataset", split=split)

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """Copy the pictures to ``path/part/class/``; groups and further columns have no place in folders."""
        copy_to_folders(dataset, path, progress)


def _refuse_columns(path: Path, config: ReadConfig) -> None:
    if not path.is_dir():
        raise ConfigError(f"{path} is not a folder", fix="leave out --format, or name a folder")
    given = [
        n for n in ("path", "label", "labels", "part", "group") if getattr(config, f"{n}_column") is not None
    ]
    if given:
        raise ConfigError(
            f"{path} is a folder of pictures, which has no columns",
            got=some(f"--{name}-column" for name in given),
            fix="name a .csv or .parquet table; `assay split --groups TABLE` adds groups to a folder",
        )
    if config.root is not None:
        raise ConfigError(f"{path} is a folder of pictures: --root is for tables", fix="leave out --root")


FORMAT = ImageFolder()
