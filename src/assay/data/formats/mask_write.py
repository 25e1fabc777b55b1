"""Write a data set as pictures and masks: copied pictures, palette PNG, masks of things of 16 bits, names of classes.

    images/train/0001.jpg  masks/train/0001.png  instances/train/0001.png  classes.txt  things.txt

Where pictures have things with masks and no mask of classes, one is drawn from the things, on a class ``background``.
Boxes are not written: they are the hulls of the masks when they are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from assay.data.faults import Faults
from assay.data.formats.mask_fit import MOST_THINGS
from assay.data.mask_names import THINGS_FILE
from assay.data.names import some
from assay.data.object_copy import stem_places
from assay.data.picture_copy import copy_pictures
from assay.data.whole_folder import require_free, whole_folder
from assay.errors import DatasetError, ImageError
from assay.labels import ClassNames
from assay.objects import Objects
from assay.pixel_masks import IGNORE, MOST_CLASSES, encode_pixels, encode_things, read_pixels
from assay.types import PARTS, Dataset, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOLDS = frozenset({"part", "masks", "empty", "unlabelled", "pixels"})
"""What is kept, of ``formats.HOLDABLE``. A box without a mask is not."""

_BACKGROUND = "background"


def write_masks(dataset: Dataset, path: Path, progress: Callable[[int, int], object] | None = None) -> None:
    """Write the folder; ``progress`` is called with (pictures done, of how many).

    Raises
    ------
    ConfigError : the folder is not empty.
    DatasetError : pictures have classes or tags; things have no mask, overlap, or contradict the mask of classes; a
        class name cannot be a line; a picture or mask is missing. AssayError : the disk is full.
    """
    require_free(path)
    _require_no_labels(dataset)
    names = _class_names(dataset)
    places = stem_places(dataset, {None: "images"} | {part: f"images/{part}" for part in PARTS}, apart=True)
    with whole_folder(path) as folder:
        copy_pictures(dataset, [place.as_posix() for place in places], folder, progress)
        faults = Faults()
        for sample, place in zip(dataset, places, strict=True):
            below = place.relative_to("images").with_suffix(".png")
            _write_one(sample, dataset, names, folder, below, faults)
        faults.raise_refused(dataset.name, "cannot be written as masks")
        for kind in ("images", "masks"):
            (folder / kind).mkdir(exist_ok=True)
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in names), "utf-8")
        if len(dataset.object_classes):
            text = "".join(f"{name}\n" for name in dataset.object_classes)
            (folder / THINGS_FILE).write_text(text, "utf-8")


def _require_no_labels(dataset: Dataset) -> None:
    table, told = dataset.table, []
    for column, what in (("label", "classes"), ("labels", "tags")):
        if column in table.column_names and (count := len(table) - table[column].null_count):
            told.append(f"{count:,} pictures have {what}")
    if told:
        raise DatasetError(
            f"mask-png cannot hold what is in {dataset.name}",
            got="; ".join(told),
            fix="`assay convert` leaves out what has no place; a .parquet table holds everything",
        )


def _class_names(dataset: Dataset) -> ClassNames:
    """The names of the values; where no pixels are labelled, a background and the classes of things."""
    names = dataset.pixel_classes
    if not len(names):
        names = ClassNames(dict.fromkeys((_BACKGROUND, *dataset.object_classes)))
    bad = [name for name in names if name != name.strip() or len(name.splitlines()) != 1]
    if bad:
        raise DatasetError(
            "class names cannot be lines of a text", got=some(map(repr, bad), 3), fix="rename them"
        )
    if len(names) > MOST_CLASSES:
        raise DatasetError(
            f"{len(names)} classes do not fit into a mask",
            got=some(names, 3),
            fix=f"the most is {MOST_CLASSES}",
        )
    missing = [name for name in dataset.object_classes if name not in names]
    if missing:
        raise DatasetError(
            "things have classes that pixels do not have",
            got=some(missing),
            fix="write coco, which keeps the two apart",
        )
    return names


def _write_one(
    sample: Sample, dataset: Dataset, names: ClassNames, folder: Path, place: PurePosixPath, faults: Faults
) -> None:
    pixels = values = None
    try:
        pixels = None if sample.pixels is None else read_pixels(sample.pixels)
    except ImageError as error:
        faults.refuse(sample.path.name, error.what, error.fix or "mend the mask")
        return
    if sample.objects is not None:
        values = _values_of(sample, sample.objects, None if pixels is None else pixels.shape, faults)
        if values is None:
            return
        if pixels is None:
            pixels = _drawn(sample.objects, values, names, dataset)
        _check_classes(sample, values, pixels, names, dataset.object_classes, faults)
    for kind, data in (
        ("masks", None if pixels is None else encode_pixels(pixels)),
        ("instances", None if values is None else encode_things(values)),
    ):
        if data is not None:
            target = folder / kind / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _values_of(
    sample: Sample, things: Objects, size_hw: tuple[int, ...] | None, faults: Faults
) -> NDArray[np.uint16] | None:
    """(H, W) with 1 for the first thing, 2 for the second; None, and faults, where a mask cannot hold them."""
    told = list(_what_does_not_fit(things))
    size_hw = size_hw or sample.size_hw
    if size_hw is None:
        told.append(("the size of the picture is not known", "read it again with its sizes"))
    if not told and size_hw is not None:
        values = np.zeros((size_hw[0], size_hw[1]), np.uint16)
        for number, mask in enumerate(things.masks, 1):
            inside = np.zeros_like(values, bool) if mask is None else mask.to_array()
            if inside.shape != values.shape:
                told.append(
                    (f"mask {number} has another size than the picture", "draw it on the upright picture")
                )
            elif (values[inside] > 0).any():
                told.append(
                    (f"thing {number} overlaps another one", "write coco: a mask holds one thing a pixel")
                )
            else:
                values[inside] = number
        if not told:
            return values
    for what, fix in told:
        faults.refuse(sample.path.name, what, fix)
    return None


def _what_does_not_fit(things: Objects) -> Iterator[tuple[str, str]]:
    bare = sum(mask is None or not mask.area for mask in things.masks)
    if bare:
        yield f"{bare} of {len(things)} things have no mask", "write coco, yolo or voc, which hold boxes"
    if things.crowd is not None and things.crowd.any():
        yield (
            f"{int(things.crowd.sum())} regions of many things",
            "write coco, which tells them from single things",
        )
    if len(things) > MOST_THINGS:
        yield f"{len(things):,} things", f"a mask holds {MOST_THINGS:,}"


def _drawn(
    things: Objects, values: NDArray[np.uint16], names: ClassNames, dataset: Dataset
) -> NDArray[np.uint8]:
    """The class of every pixel, from the thing that covers it.

    Between things it is background where the data set knows things alone; where it labels pixels of other pictures,
    nobody has said what is there.
    """
    classes = [names.position(dataset.object_classes[int(label)]) for label in things.labels]
    outside = IGNORE if len(dataset.pixel_classes) else names.position(_BACKGROUND)
    drawn: NDArray[np.uint8] = np.array([outside, *classes], np.uint8)[values]
    return drawn


def _check_classes(
    sample: Sample,
    values: NDArray[np.uint16],
    pixels: NDArray[np.uint8],
    names: ClassNames,
    object_classes: ClassNames,
    faults: Faults,
) -> None:
    """Refuse a thing most of whose pixels are of another class: it would be read back as that."""
    labels = sample.objects.labels if sample.objects is not None else ()
    for number, label in enumerate(labels, 1):
        known = pixels[(values == number) & (pixels != IGNORE)]
        found = names[int(np.bincount(known).argmax())] if known.size else "not known"
        wanted = object_classes[int(label)]
        if found != wanted:
            what = f"thing {number} is {wanted}, and most of its pixels are {found}"
            faults.refuse(sample.path.name, what, "correct one of the two, or write coco")
