"""A contact sheet: some pictures of every class on one page, or the augmentations of a few.

Looking at the data first finds wrong labels, strange crops and too strong augmentation sooner than any number.
Pictures are drawn evenly from the classes with a seed, so the same call gives the same sheet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.configs import AugmentConfig, PreprocessConfig
from assay.data.check_objects import describes_things
from assay.errors import ConfigError, DatasetError, ImageError
from assay.image import read_image
from assay.preprocess import Preprocess, scaled
from assay.report.sheet_page import MOST_COUNTS, TILE, Cell, Count, sheet_page

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from assay.types import Dataset, Sample

CLASSES_ACROSS, THINGS_ACROSS = 8, 4
"""Pictures beside each other where nothing else is asked for: small squares, or larger ones with boxes."""


def contact_sheet(
    dataset: Dataset,
    *,
    part: str | None = None,
    augment: AugmentConfig | None = None,
    preprocess: PreprocessConfig | None = None,
    columns: int | None = None,
    rows: int = 8,
    per_class: int | None = None,
    seed: int = 0,
) -> Image.Image:
    """Draw the sheet. Boxes, masks and classes of pixels are drawn on their pictures, which are shown whole then.

    Parameters
    ----------
    dataset : pictures with labels; unlabelled ones are shown where there is nothing else.
    part : only this part.
    augment : each row becomes one picture, first as evaluation sees it, then in random versions.
    preprocess : show pictures as the network sees them; plain centre squares when not given.
    columns, rows : most pictures beside and below each other; 8 columns when not given, 4 where things are drawn.
    per_class : most pictures of a class; as many as fit when not given.
    seed : of the choice and of the augmentation.

    Raises
    ------
    ConfigError : an unknown part, or columns, rows or per_class below 1.
    DatasetError : there are no pictures.
    """
    has_things = describes_things(dataset)
    columns = (THINGS_ACROSS if has_things else CLASSES_ACROSS) if columns is None else columns
    if min(columns, rows, per_class or 1) < 1 or (per_class is not None and per_class < 1):
        got = f"columns {columns}, rows {rows}, per class {per_class}"
        raise ConfigError("a contact sheet has at least one column, row and picture a class", got=got)
    shown = dataset if part is None else dataset.part(part)
    if not len(shown):
        raise DatasetError(f"{dataset.name} has no pictures to show", fix="check its path and part")
    title = f"{dataset.name} · {part}" if part else dataset.name
    if has_things:
        from assay.report.scene_sheet import scene_sheet  # noqa: PLC0415 - masks and drawing, where they are

        return scene_sheet(
            shown,
            title,
            augment=augment,
            preprocess=preprocess,
            columns=columns,
            rows=rows,
            per_class=per_class,
            seed=seed,
        )
    rng = np.random.default_rng(seed)
    if augment is None:
        picked = pick_rows(shown.targets, columns * rows, per_class, rng)
        tiles = Preprocess(
            scaled(preprocess or PreprocessConfig(), TILE if preprocess is None else preprocess.size)
        )
        cells = [_cell(shown[int(row)], shown, tiles) for row in picked]
    else:
        picked = pick_rows(shown.targets, rows, per_class, rng)
        cells = _augmented(shown, picked, augment, preprocess or PreprocessConfig(), columns, seed)
    counts = _counts(shown)
    bars = [Count(name, count, f"{count:,}") for name, count in counts]
    return sheet_page(title, _summary(shown, counts, augmented=augment is not None), bars, cells, columns)


def pick_rows(
    targets: NDArray[np.int64], most: int, per_class: int | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Row numbers of at most ``most`` pictures, drawn evenly from the classes and ordered by class."""
    labelled = np.flatnonzero(targets >= 0)
    rows = labelled if len(labelled) else np.arange(len(targets))
    rows = rng.permutation(rows)
    rows = rows[np.argsort(targets[rows], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(targets[rows]) != 0])
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    chosen = np.arange(len(rows)) if per_class is None else np.flatnonzero(rank < per_class)
    by_round = chosen[np.lexsort((rng.permutation(len(chosen)), rank[chosen]))]  # one of each, then a second
    return np.asarray(rows[np.sort(by_round[:most])], dtype=np.int64)


def _read(sample: Sample) -> NDArray[np.uint8] | None:
    try:
        return read_image(sample.path)
    except ImageError:
        return None


def _cell(sample: Sample, dataset: Dataset, preprocess: Preprocess) -> Cell:
    image = _read(sample)
    return Cell(None if image is None else preprocess.pixels(image), _caption(sample, dataset))


def _caption(sample: Sample, dataset: Dataset) -> str:
    labels = sample.labels or (() if sample.label is None else (sample.label,))
    return ", ".join(dataset.classes[label] for label in labels) or "no label"


def _augmented(
    dataset: Dataset,
    picked: NDArray[np.int64],
    augment: AugmentConfig,
    preprocess: PreprocessConfig,
    columns: int,
    seed: int,
) -> list[Cell]:
    """Row by row: the picture as evaluation sees it, then its versions; mixed with the other rows if asked for."""
    from assay.train.augment import Augment, mix_batch  # noqa: PLC0415 - only for augmented sheets

    plain = Preprocess(preprocess)
    change = Augment(augment, preprocess.size, plain.channels)
    samples = [dataset[int(row)] for row in picked]
    found = [(sample, image) for sample in samples if (image := _read(sample)) is not None]
    if not found:
        raise DatasetError("none of the pictures drawn can be read", fix="run `assay check` on the data set")
    versions = []
    for column in range(columns - 1):
        batch = np.stack(
            [change(image, np.random.default_rng((seed, column, i))) for i, (_, image) in enumerate(found)]
        )
        mixed, _ = mix_batch(
            batch,
            np.zeros((len(batch), 1), np.float32),
            np.random.default_rng((seed, column)),
            mixup_alpha=augment.mixup,
            cutmix_alpha=augment.cutmix,
        )
        versions.append(mixed)
    cells = []
    for i, (sample, image) in enumerate(found):
        cells.append(Cell(plain.pixels(image), _caption(sample, dataset)))
        cells.extend(Cell(version[i].astype(np.uint8), "") for version in versions)
    return cells


def _counts(dataset: Dataset) -> list[tuple[str, int]]:
    """(class, pictures), most first; the order of the classes where counts are equal."""
    targets = dataset.targets
    counts = np.bincount(targets[targets >= 0], minlength=len(dataset.classes))
    order = np.argsort(-counts, kind="stable")
    return [(dataset.classes[int(k)], int(counts[k])) for k in order]


def _summary(dataset: Dataset, counts: list[tuple[str, int]], *, augmented: bool) -> str:
    facts = [f"{len(dataset):,} pictures", f"{len(dataset.classes):,} classes"]
    if len(dataset.parts) > 1:
        facts += [f"{name} {n:,}" for name, n in dataset.parts.items()]
    if len(counts) > MOST_COUNTS:
        facts.append(f"the {MOST_COUNTS} largest classes are listed")
    if augmented:
        facts.append("each row is one picture: first as evaluation sees it, then augmented")
    return "  ·  ".join(facts)
