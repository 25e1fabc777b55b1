"""The contact sheet of a data set with boxes, masks or classes of pixels: each drawn on its picture, in the colours of
the classes in the heading.

Pictures are shown whole, or as the network sees them, or as augmentation makes them: then boxes and masks have moved
with the pixels, and where they do not fit, the fault is seen at once. Regions that are neither example nor background
are dashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from assay.configs import AugmentConfig, PreprocessConfig
from assay.data.flat_objects import FlatObjects
from assay.drawing import background_of, class_colour, draw_objects, draw_pixels, pixel_colour
from assay.errors import DatasetError, ImageError
from assay.image import read_image, to_pillow
from assay.masks import encode
from assay.objects import Objects
from assay.pixel_masks import read_pixels
from assay.report.contact_sheet import pick_rows
from assay.report.sheet_page import MOST_COUNTS, Cell, Count, sheet_page

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.train.scene import Scene
    from assay.types import Dataset, Sample

SIDE = 264
"""Of a tile, px: enough for names on boxes."""

_LEAST_SHARE = 0.001
_BELOW_BOXES = 0.3
"""Strength of pixel colours where boxes are drawn over them."""


def scene_sheet(
    dataset: Dataset,
    title: str,
    *,
    augment: AugmentConfig | None,
    preprocess: PreprocessConfig | None,
    columns: int,
    rows: int,
    per_class: int | None,
    seed: int,
) -> Image.Image:
    """Draw the sheet; arguments as in ``contact_sheet``.

    Raises
    ------
    DatasetError : none of the pictures drawn can be read, for augmented sheets.
    """
    things, rng = FlatObjects.of(dataset), np.random.default_rng(seed)
    most = rows if augment is not None else columns * rows
    picked = pick_rows(_rarest(things, dataset), most, per_class, rng)
    samples = [dataset[int(row)] for row in picked]
    if augment is None:
        cells = [_cell(sample, dataset, preprocess) for sample in samples]
    else:
        frame = preprocess or PreprocessConfig(size=320)
        cells = _augmented(samples, dataset, augment, frame, columns, seed)
    counts = _counts(dataset, things, samples)
    return sheet_page(
        title, _summary(dataset, things, counts, augmented=augment is not None), counts, cells, columns, SIDE
    )


def _rarest(things: FlatObjects, dataset: Dataset) -> NDArray[np.int64]:
    """(P,) of each picture the class that the data set has least of, so that every class is shown; -1 without things.

    Where there are none at all, pictures with a mask of classes are shown rather than others.
    """
    if not len(things) and "pixels" in dataset.table.column_names:
        return np.array([-1 if mask is None else 0 for mask in dataset.table["pixels"].to_pylist()], np.int64)
    counts = np.bincount(things.labels, minlength=len(dataset.object_classes))
    order = np.argsort(-counts[things.labels], kind="stable")  # the rarest is written last
    found = np.full(len(dataset), -1, np.int64)
    found[things.rows[order]] = things.labels[order]
    return found


def _cell(sample: Sample, dataset: Dataset, frame: PreprocessConfig | None) -> Cell:
    """One picture with what is known of it: whole at the tile's size, or letterboxed into ``frame``."""
    scene = _scene(sample)
    if scene is None:
        return Cell(None, _caption(sample, dataset))
    if frame is None:
        return Cell(_drawn_whole(scene[0], sample, scene[1], dataset), _caption(sample, dataset))
    from assay.train.scene_augment import fit_scene  # noqa: PLC0415 - numpy, though in the room of training

    fitted = fit_scene(_as_scene(sample, *scene), frame.size, pad=frame.pad_value)
    return Cell(_drawn(fitted, dataset), _caption(sample, dataset))


def _scene(sample: Sample) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None] | None:
    """(picture, classes of its pixels); None where the picture cannot be read. A mask of another size is left out."""
    try:
        image = read_image(sample.path)
    except ImageError:
        return None
    try:
        pixels = None if sample.pixels is None else read_pixels(sample.pixels)
    except ImageError:
        pixels = None
    return image, pixels if pixels is not None and pixels.shape == image.shape[:2] else None


def _as_scene(sample: Sample, image: NDArray[np.uint8], pixels: NDArray[np.uint8] | None) -> Scene:
    from assay.train.scene import Scene, Things  # noqa: PLC0415

    size_hw = (image.shape[0], image.shape[1])
    return Scene(image, None if sample.objects is None else Things.of(sample.objects, size_hw), pixels)


def _drawn_whole(
    image: NDArray[np.uint8], sample: Sample, pixels: NDArray[np.uint8] | None, dataset: Dataset
) -> NDArray[np.uint8]:
    """The whole picture at the tile's size with crowds and all."""
    scale = SIDE / max(image.shape[:2])
    wide, high = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    small = np.asarray(to_pillow(image).resize((wide, high), Image.Resampling.LANCZOS, reducing_gap=2.0))
    objects = None
    if sample.objects is not None:
        factor = np.array([wide / image.shape[1], high / image.shape[0]] * 2)
        masks = tuple(
            None if mask is None else encode(_nearest(mask.to_array().astype(np.uint8), (wide, high)))
            for mask in sample.objects.masks
        )
        objects = replace(sample.objects, boxes_xyxy=sample.objects.boxes_xyxy * factor, masks=masks)
    return _with_labels(small, objects, None if pixels is None else _nearest(pixels, (wide, high)), dataset)


def _nearest(plane: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(plane).resize(size_wh, Image.Resampling.NEAREST))


def _drawn(scene: Scene, dataset: Dataset) -> NDArray[np.uint8]:
    """A scene with its things; ignored regions of a class as crowds, which are dashed."""
    objects = None
    if scene.things is not None:
        things = scene.things
        known = np.flatnonzero(things.ignored_labels >= 0)
        masks = [None if mask is None else encode(mask.astype(np.uint8)) for mask in things.masks]
        objects = Objects(
            np.concatenate([things.boxes_xyxy, things.ignored_xyxy[known]]),
            np.concatenate([things.labels, things.ignored_labels[known]]),
            (*masks, *[None] * len(known)),
            np.arange(len(things) + len(known)) >= len(things),
        )
    image = scene.image if scene.image.shape[2] == 3 else np.repeat(scene.image, 3, axis=2)
    return _with_labels(image, objects, scene.pixels, dataset)


def _with_labels(
    image: NDArray[np.uint8], objects: Objects | None, pixels: NDArray[np.uint8] | None, dataset: Dataset
) -> NDArray[np.uint8]:
    if pixels is not None:
        strength = 0.55 if objects is None else _BELOW_BOXES
        background = background_of(dataset.pixel_classes)
        image = np.asarray(draw_pixels(image, pixels, background=background, strength=strength))
    if objects is not None:
        image = np.asarray(draw_objects(image, objects, dataset.object_classes))
    return image


def _augmented(
    samples: Sequence[Sample],
    dataset: Dataset,
    augment: AugmentConfig,
    frame: PreprocessConfig,
    columns: int,
    seed: int,
) -> list[Cell]:
    """Row by row: the picture as evaluation sees it, then its versions; a mosaic takes three of the other rows."""
    from assay.train.scene_augment import augment_scene, fit_scene, wants_mosaic  # noqa: PLC0415

    found = [(sample, _as_scene(sample, *read)) for sample in samples if (read := _scene(sample)) is not None]
    if not found:
        raise DatasetError("none of the pictures drawn can be read", fix="run `assay check` on the data set")
    cells = []
    for i, (sample, scene) in enumerate(found):
        fitted = fit_scene(scene, frame.size, pad=frame.pad_value)
        cells.append(Cell(_drawn(fitted, dataset), _caption(sample, dataset)))
        for column in range(columns - 1):
            rng = np.random.default_rng((seed, column, i))
            scenes = [scene]
            if wants_mosaic(augment, rng):
                scenes += [found[int(j)][1] for j in rng.integers(0, len(found), 3)]
            changed = augment_scene(scenes, frame.size, augment, rng, pad=frame.pad_value)
            cells.append(Cell(_drawn(changed, dataset), ""))
    return cells


def _caption(sample: Sample, dataset: Dataset) -> str:
    """The class of the picture, where it has one, and how many things are in it."""
    labels = sample.labels or (() if sample.label is None else (sample.label,))
    told = [dataset.classes[label] for label in labels]
    if sample.objects is not None:
        n = len(sample.objects)
        told.append("nothing in it" if n == 0 else f"{n} thing{'s' * (n != 1)}")
    elif "objects" in dataset.table.column_names:
        told.append("nobody looked")
    return ", ".join(told) or sample.path.name


def _counts(dataset: Dataset, things: FlatObjects, samples: Sequence[Sample]) -> list[Count]:
    """Things of each class, most first; where there are none, the share of pixels among the pictures shown."""
    if len(dataset.object_classes):
        counts = np.bincount(things.labels, minlength=len(dataset.object_classes))
        order = np.argsort(-counts, kind="stable").tolist()
        return [
            Count(dataset.object_classes[k], int(counts[k]), f"{counts[k]:,}", class_colour(k)) for k in order
        ]
    totals = np.zeros(256, np.int64)
    for sample in samples:
        if sample.pixels is not None and (read := _scene(sample)) is not None and read[1] is not None:
            totals += np.bincount(read[1].reshape(-1), minlength=256)
    names, background = dataset.pixel_classes, background_of(dataset.pixel_classes)
    shares = totals[: len(names)] / max(1, int(totals[: len(names)].sum()))
    held = [k for k in np.argsort(-shares, kind="stable").tolist() if shares[k] > 0]
    return [
        Count(
            names[k],
            float(shares[k]),
            f"{shares[k]:.1%}" if shares[k] >= _LEAST_SHARE else "< 0.1%",
            "#b8bec6" if k == background else pixel_colour(k, background),
        )
        for k in held
    ]


def _summary(dataset: Dataset, things: FlatObjects, counts: Sequence[Count], *, augmented: bool) -> str:
    facts = [f"{len(dataset):,} pictures"]
    if len(dataset.object_classes):
        facts.append(f"{len(things):,} things of {len(dataset.object_classes):,} classes")
    if len(dataset.pixel_classes):
        facts.append(f"{len(dataset.pixel_classes):,} classes of pixels")
    if len(dataset.classes):
        facts.append(f"{len(dataset.classes):,} classes of pictures")
    if len(dataset.parts) > 1:
        facts += [f"{name} {n:,}" for name, n in dataset.parts.items()]
    if not len(dataset.object_classes) and counts:
        facts.append("bars: share of the pixels of the pictures shown")
    if len(counts) > MOST_COUNTS:
        facts.append(f"the {MOST_COUNTS} largest classes are listed")
    if augmented:
        facts.append("each row is one picture: first as evaluation sees it, then augmented")
    return "  ·  ".join(facts)
