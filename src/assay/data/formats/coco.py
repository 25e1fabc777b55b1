"""COCO: boxes, polygons and run lengths in JSON, the format that most tools of the field read.

Read from one file, from a folder with ``annotations/instances_*.json`` (COCO's own layout), or from a folder with one
JSON in each part's folder (Roboflow's). What differs from pycocotools: whatever is wrong is collected and told, parts
are recognised by name, and where the pictures lie is found out. https://cocodataset.org/#format-data
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from assay.configs import ReadConfig
from assay.data.coco_json import COCO_LISTS
from assay.data.formats.coco_read import CocoFile, read_coco
from assay.data.formats.coco_write import write_folder, write_json
from assay.data.json_file import has_lists
from assay.data.names import is_hidden, part_named, some
from assay.data.object_rows import refuse_options
from assay.data.picture_homes import part_in
from assay.errors import ConfigError, DatasetError
from assay.types import PARTS, Dataset

_HOLDS = frozenset(("part", "group", "boxes", "masks", "crowd", "empty"))
_ANNOTATIONS = frozenset({"annotations", "annotation"})
_MOST_FILES = 64
"""A folder with more .json files is one of another tool, with a file a picture."""


@dataclass(frozen=True)
class _Layout:
    """Files of one data set, and the folder that its paths shall be relative to."""

    root: Path
    files: list[CocoFile]


class Coco:
    """The data format ``coco``."""

    suffixes = (".json", "")

    def holds(self, path: Path) -> frozenset[str]:  # noqa: ARG002 - the same for a file and a folder
        """Boxes, masks, crowds, pictures without any; parts and groups."""
        return _HOLDS

    def detect(self, path: Path) -> bool:
        """A .json file with images and annotations, or a folder with such files where COCO or Roboflow put them."""
        return bool(_layout(path).files)

    def read(self, path: Path, config: ReadConfig) -> Dataset:
        """Rows in the order of the files: train, validation, test, others; classes in the order of their ids.

        Raises
        ------
        DatasetError : a file is broken or empty, or ids mean two things; everything of that kind at once.
        ConfigError : an option for other formats is given, or there is no such file.
        """
        refuse_options(path, config, "COCO")
        layout = _layout(path, every_json=True)
        if not layout.files:
            raise _nothing_here(path)
        root = layout.root if config.root is None else Path(config.root).expanduser()
        if not root.is_dir():
            raise ConfigError(f"root {root} is not a folder", fix="name the folder that the pictures are in")
        name = path.resolve().name if path.is_dir() else path.stem
        return read_coco(layout.files, root, name or "dataset", rooted=config.root is not None)

    def write(
        self, dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """A path that ends in .json: that file alone, which names the pictures where they are. A folder: one JSON a
        part in ``annotations/``, and the pictures copied to ``images/``.

        Raises
        ------
        DatasetError : COCO has no place for something in ``dataset``, or pictures are missing.
        ConfigError : the folder is not empty. AssayError : the disk is full.
        """
        if path.suffix.lower() == ".json":
            write_json(dataset, path)
        else:
            write_folder(dataset, path, progress)


def _layout(path: Path, *, every_json: bool = False) -> _Layout:
    """The COCO files at ``path``; ``every_json``: of a file that the user names COCO, nothing is asked."""
    try:
        if path.is_dir():
            return _Layout(path, _in_folder(path))
        if path.suffix.lower() == ".json" and (every_json or _is_coco(path)):
            root = path.parent.parent if path.parent.name.casefold() in _ANNOTATIONS else path.parent
            return _Layout(root, [CocoFile(path, None)])
    except OSError:
        pass  # a folder that may not be looked into
    return _Layout(path, [])


def _in_folder(path: Path) -> list[CocoFile]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not is_hidden(p.name))
    found: list[CocoFile] = []
    for folder in folders:
        if folder.name.casefold() in _ANNOTATIONS:
            inside = _coco_files(folder)
            instances = [p for p in inside if p.name.casefold().startswith("instances")]
            found += [CocoFile(p, part_in(p.stem)) for p in instances or inside]
    if not found:
        parts = [(folder, part) for folder in folders if (part := part_named(folder.name)) is not None]
        found = [CocoFile(p, part) for folder, part in parts for p in _coco_files(folder)]
    found = found or [CocoFile(p, part_in(p.stem)) for p in _coco_files(path)]
    return sorted(found, key=lambda f: (PARTS.index(f.part) if f.part else len(PARTS), f.path))


def _coco_files(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".json" and not is_hidden(p.name))
    return [p for p in files if _is_coco(p)] if len(files) <= _MOST_FILES else []


def _is_coco(path: Path) -> bool:
    """By COCO's or Roboflow's own name, so that a broken file is told and not passed over; or by what is in it."""
    name = path.name.casefold()
    return name.startswith("instances") or name.endswith(".coco.json") or has_lists(path, *COCO_LISTS)


def _nothing_here(path: Path) -> DatasetError:
    fix = "put instances_train.json, instances_val.json into annotations/, or name a .json file"
    if not path.is_dir():
        return DatasetError(f"{path.name} is no .json file", fix=fix)
    inside = sorted(p.name for p in path.iterdir())
    if not inside:
        return DatasetError(f"{path} is empty", fix=fix)
    return DatasetError(f"{path} holds no COCO file", got=some(inside), fix=fix)


FORMAT = Coco()
