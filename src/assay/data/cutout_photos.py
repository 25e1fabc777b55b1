"""Where cut-outs come from: the masks of a data set, or those that a network finds.

Things with a mask are cut one by one. Where there are no such masks and every pixel has a class, a "thing" is all of a
picture that belongs to a class: the shoes, the dress. The background is none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.pixel_masks import BACKGROUND_NAMES, read_pixels
from assay.tables import suggest
from assay.types import Dataset, Prediction, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Shape:
    """One thing: ``mask`` gives (H, W) bool of its picture; ``number`` is its place among the picture's, from 1."""

    label: str
    number: int
    mask: Callable[[], NDArray[np.bool_]]
    score: float | None = None


@dataclass(frozen=True)
class Photo:
    """One picture. ``name`` is how tables call it, relative where it can be; ``shapes`` is asked by a worker.

    ``bare`` counts things that have a box alone, ``crowds`` regions of many things. ``error`` is set where the picture
    could not be read.
    """

    path: Path
    name: str
    shapes: Callable[[], Sequence[Shape]] = field(default=tuple)
    bare: int = 0
    crowds: int = 0
    error: str | None = None

    @property
    def key(self) -> str:
        """What no other picture has: two folders may hold one ``name``."""
        return os.path.abspath(self.path)  # noqa: PTH100 - of a link its own place, not that of its target


def classes_to_cut(names: ClassNames, wanted: Collection[str]) -> frozenset[str]:
    """The classes that are cut: those wanted, or all but the background.

    Raises
    ------
    ConfigError : a class is wanted that there is not.
    """
    for name in wanted:
        if name not in names:
            raise ConfigError(f"no class is called {name!r}", fix=suggest(name, list(names)))
    return frozenset(wanted or (name for name in names if name.casefold() not in BACKGROUND_NAMES))


def photos_of(dataset: Dataset, wanted: Collection[str]) -> tuple[int, Iterator[Photo]]:
    """(how many, the pictures of a data set that have masks or boxes of the classes ``wanted``).

    Raises
    ------
    DatasetError : there are no masks. ConfigError : no class is called so.
    """
    if _has_masks(dataset):
        cut = classes_to_cut(dataset.object_classes, wanted)
        return len(dataset), (_of_things(sample, dataset, cut) for sample in dataset)
    if "pixels" in dataset.table.column_names and dataset.table["pixels"].null_count < len(dataset):
        cut = classes_to_cut(dataset.pixel_classes, wanted)
        return len(dataset), (_of_pixels(sample, dataset, cut) for sample in dataset)
    boxes = sum(len(cell or ()) for cell in _cells(dataset))
    raise DatasetError(
        f"{dataset.name} has no masks, so nobody knows where its things end",
        got=f"{boxes:,} boxes" if boxes else "neither boxes nor masks",
        fix="`assay crops` cuts boxes; a network with masks finds outlines: assay cutout X.bundle PHOTOS",
    )


def _cells(dataset: Dataset) -> list[Any]:
    return dataset.table["objects"].to_pylist() if "objects" in dataset.table.column_names else []


def _has_masks(dataset: Dataset) -> bool:
    return any(thing["mask"] is not None for cell in _cells(dataset) for thing in cell or ())


def _named(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _of_things(sample: Sample, dataset: Dataset, cut: frozenset[str]) -> Photo:
    things, shapes, bare, crowds = sample.objects, [], 0, 0
    crowd = () if things is None or things.crowd is None else things.crowd.tolist()
    for i, mask in enumerate(() if things is None else things.masks):
        label = dataset.object_classes[int(things.labels[i])] if things is not None else ""
        if label not in cut:
            continue
        if crowd[i]:
            crowds += 1
        elif mask is None:
            bare += 1
        else:
            shapes.append(Shape(label, i + 1, mask.to_array))
    name = _named(sample.path, dataset.root)
    return Photo(sample.path, name, lambda: shapes, bare, crowds)


def _of_pixels(sample: Sample, dataset: Dataset, cut: frozenset[str]) -> Photo:
    name, place = _named(sample.path, dataset.root), sample.pixels
    if place is None:
        return Photo(sample.path, name)
    return Photo(sample.path, name, lambda: regions(read_pixels(place), dataset.pixel_classes, cut))


def regions(pixels: NDArray[np.uint8], names: ClassNames, cut: frozenset[str]) -> list[Shape]:
    """A Shape for each class of ``cut`` that occurs in (H, W) ``pixels``; its number is that of the class, from 1."""
    held = [k for k, name in enumerate(names) if name in cut and (pixels == k).any()]
    return [Shape(names[k], k + 1, lambda k=k: pixels == k) for k in held]  # type: ignore[misc]


def photos_of_predictions(
    predictions: Iterable[Prediction], folders: Sequence[Path], wanted: Collection[str], *, things: bool
) -> Iterator[Photo]:
    """The photos of a network's answers, with what it found in them.

    Parameters
    ----------
    folders : those that were named. things : cut single things by their masks, or else classes by their pixels.

    Raises
    ------
    ConfigError : no class is called so, or the network does not tell these.
    """
    for told in predictions:
        path = Path(told.path)
        root = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
        name = _named(path, root)
        if told.error is not None:
            yield Photo(path, name, error=told.error)
            continue
        yield (_things_in if things else _classes_in)(told, path, name, wanted)


def _things_in(told: Prediction, path: Path, name: str, wanted: Collection[str]) -> Photo:
    if told.boxes is not None:
        names, found = told.object_classes, told.boxes
        cut, shapes = classes_to_cut(names, wanted), []
        for i, mask in enumerate(found.masks):
            label = names[int(found.labels[i])]
            if mask is not None and label in cut:
                shapes.append(Shape(label, i + 1, mask.to_array, float(found.scores[i])))
        return Photo(path, name, lambda: shapes, sum(mask is None for mask in found.masks))
    raise _no_outlines("no boxes")


def _classes_in(told: Prediction, path: Path, name: str, wanted: Collection[str]) -> Photo:
    if told.pixels is not None:
        pixels, names = told.pixels, told.pixel_classes
        return Photo(path, name, lambda: regions(pixels, names, classes_to_cut(names, wanted)))
    raise _no_outlines("boxes alone" if told.boxes is not None else "no boxes and no pixels")


def _no_outlines(got: str) -> ConfigError:
    return ConfigError(
        "this network tells no outlines", got=got, fix="train one with masks or pixels: --heads boxes,masks"
    )
