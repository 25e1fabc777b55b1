"""A Dataset -> YOLO: copied pictures, a label file for each that somebody looked at, and ``data.yaml``.

    data.yaml   images/train/7.jpg   labels/train/7.txt   images/val/   labels/val/   ...

A data set without parts lies in ``images/`` and ``labels/`` themselves. Other tools refuse a ``data.yaml`` without
``train`` and ``val``: where there is no such part, the pictures that are there stand in, and ``assay_parts`` names
the parts that are real (``stand_in``). Numbers are written as Python's shortest
text that gives the same number again, so boxes come back to within rounding (10^-12 px in a photo).

A thing with a mask becomes one polygon: the outlines of its parts along pixel borders, joined by bridges
(``outlines``). As YOLO has no box beside a polygon, the polygon is also made to span the box: where the box
reaches farther than the mask, a spike of no width leads there; where it ends less than half a pixel inside, the
outermost points move there. Neither changes a pixel of the mask, which is drawn again to be sure. A box that cuts
deeper into its mask is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.boxes import as_boxes, to_centres
from assay.data.faults import Faults
from assay.data.formats.yolo_labels import SLACK
from assay.data.formats.yolo_yaml import OUR_PARTS
from assay.data.names import some
from assay.data.object_copy import require_room, sizes_of, stem_places
from assay.data.outlines import joined, outlines
from assay.data.picture_copy import copy_pictures
from assay.data.whole_folder import require_free, whole_folder
from assay.errors import DatasetError
from assay.masks import Mask, encode, from_polygons
from assay.types import PARTS, Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOLDS = frozenset(("part", "boxes", "masks", "empty", "unlabelled"))
"""What is kept, of ``formats.HOLDABLE``."""

_FOLDERS = {None: "images", "train": "images/train", "validation": "images/val", "test": "images/test"}
_KEYS = {"train": "train", "validation": "val", "test": "test"}
_INSIDE = 0.5
"""So far (in pixels) a box may end inside its mask: the middle of a pixel decides."""

_HAIR = 1e-9
"""So far (in pixels) short of the middle an outline stays, so that rounding cannot carry it across."""


def write_folder(dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None) -> None:
    """Write the folder; ``progress`` is called with (pictures done, of how many).

    Raises
    ------
    ConfigError : the folder is not empty.
    DatasetError : YOLO has no place for something, named with its picture; pictures are missing.
    AssayError : the disk is full.
    """
    require_free(path)
    require_room(dataset, "YOLO", HOLDS)
    _require_names(list(dataset.object_classes))
    places = stem_places(dataset, _FOLDERS, apart=True)
    texts = _label_texts(dataset)
    with whole_folder(path) as folder:
        for pictures in [_FOLDERS[part] for part in dataset.parts] or ["images"]:
            (folder / pictures).mkdir(parents=True)
            (folder / _labels(pictures)).mkdir(parents=True)
        copy_pictures(dataset, [str(place) for place in places], folder, progress)
        for place, text in zip(places, texts, strict=True):
            if text is not None:
                (folder / _labels(str(place.with_suffix(".txt")))).write_text(text, "utf-8")
        (folder / "data.yaml").write_text(_yaml(dataset), "utf-8")


def _require_names(names: Sequence[str]) -> None:
    bad = [name for name in names if name != name.strip()]
    if bad:
        got = f"{some(map(repr, bad), 3)}: readers cut off spaces at both ends"
        raise DatasetError("class names cannot be written in YOLO", got=got, fix="rename them")


def _labels(place: str) -> str:
    return f"labels{place.removeprefix('images')}"


def _yaml(dataset: Dataset) -> str:
    import yaml  # noqa: PLC0415 - loaded by those who write YOLO

    places = {_KEYS[part]: _FOLDERS[part] for part in PARTS if part in dataset.parts}
    lacking = stand_in(dataset)
    told = {
        **lacking,
        **places,
        **({OUR_PARTS: list(places)} if lacking else {}),
        "nc": len(dataset.object_classes),
        "names": dict(enumerate(dataset.object_classes)),
    }
    return str(yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=1000))


def stand_in(dataset: Dataset) -> dict[str, str]:
    """Key -> folder for ``train`` and ``val`` where the data set has no such part: the first that it has."""
    first = _FOLDERS[next(iter(dataset.parts), None)]
    return {key: first for part, key in _KEYS.items() if part not in dataset.parts and part != "test"}


def _label_texts(dataset: Dataset) -> list[str | None]:
    """(N,) the content of every label file; None for a picture that nobody looked at."""
    sizes, faults = sizes_of(dataset), Faults()
    numbers = {name: number for number, name in enumerate(dataset.object_classes)}
    texts: list[str | None] = []
    cells = zip(dataset.table["path"].to_pylist(), dataset.table["objects"].to_pylist(), sizes, strict=True)
    for path, things, size in cells:
        if things is None:
            texts.append(None)
            continue
        lines = []
        for number, thing in enumerate(things, 1):
            place = f"{PurePosixPath(path).name} object {number} ({thing['label']})"
            values = _fractions(thing, size, place, faults)
            lines.append(" ".join([str(numbers[thing["label"]]), *map(repr, values)]))
        texts.append("".join(f"{line}\n" for line in lines))
    faults.raise_refused(dataset.name, "cannot be written as YOLO")
    return texts


def _fractions(thing: dict[str, Any], size_hw: tuple[int, int], place: str, faults: Faults) -> list[float]:
    """The numbers behind the class; what cannot be written is told to ``faults``."""
    box = as_boxes(thing["box"])
    if thing["mask"] is not None:
        return _polygon(Mask(size_hw, thing["mask"]), box[0], place, faults)
    values: list[float] = to_centres(box, size_hw)[0].tolist()
    if not all(-SLACK <= value <= 1 + SLACK for value in values):
        fix = "cut the box at the picture's edge, or leave it out"
        faults.refuse(place, f"the box {_shown(box[0])} reaches too far out of the picture", fix)
    elif not min(values[2:]) > 0:
        faults.refuse(place, f"the box {_shown(box[0])} has no area", "leave it out")
    return values


def _polygon(mask: Mask, box: NDArray[np.float64], place: str, faults: Faults) -> list[float]:
    array = mask.to_array()
    path = np.array(joined(outlines(array)), np.float64).reshape(-1, 2)
    if not len(path):
        faults.refuse(place, "its mask is empty", "leave it out, or write it as a box")
        return []
    scale = np.array([mask.size_hw[1], mask.size_hw[0]], np.float64)
    spanning = _spanning(path, box)
    fractions = (path if spanning is None else spanning) / scale
    again = (fractions * scale).reshape(-1).tolist()  # as a reader gets it
    if spanning is None or not _draws(again, mask, array):
        hull = np.concatenate([path.min(axis=0), path.max(axis=0)])
        what = f"the box {_shown(box)} ends inside its mask, which spans {_shown(hull)}"
        faults.refuse(place, what, "let the box go around the mask, or leave one of them out")
    elif not ((fractions >= -SLACK) & (fractions <= 1 + SLACK)).all():
        fix = "cut the box at the picture's edge, or leave it out"
        faults.refuse(place, f"the box {_shown(box)} reaches too far out of the picture", fix)
    values: list[float] = fractions.reshape(-1).tolist()
    return values


def _draws(polygon: Sequence[float], mask: Mask, array: NDArray[np.bool_]) -> bool:
    """Whether the polygon is drawn as the mask, whose own text need not be the shortest."""
    drawn = from_polygons([polygon], mask.size_hw)
    return drawn == mask or drawn == encode(array)


def _spanning(path: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(P, 2) ``path`` so that it spans ``box``; None where the box ends too deep inside."""
    path = path.copy()
    sides = [(axis, end) for axis in (0, 1) for end in (0, 1)]
    for axis, end in sides:
        outermost, wished = path[:, axis].max() if end else path[:, axis].min(), box[axis + 2 * end]
        inside = outermost - wished if end else wished - outermost
        if not inside <= _INSIDE + _HAIR:
            return None
        if inside > 0:
            step = min(inside, _INSIDE - _HAIR)
            path[path[:, axis] == outermost, axis] = outermost - step if end else outermost + step
    for axis, end in sides:
        at, wished = int(path[:, axis].argmax() if end else path[:, axis].argmin()), box[axis + 2 * end]
        if wished > path[at, axis] if end else wished < path[at, axis]:
            tip = path[at].copy()
            tip[axis] = wished
            path = np.insert(path, at + 1, [tip, path[at]], axis=0)
    return path


def _shown(box: Sequence[float] | NDArray[np.float64]) -> str:
    return f"({', '.join(f'{value:g}' for value in box)})"
