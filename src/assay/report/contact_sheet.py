"""A contact sheet: some pictures of every class on one page, or the augmentations of a few.

Looking at the data first finds wrong labels, strange crops and too strong augmentation sooner than any number.
Pictures are drawn evenly from the classes with a seed, so the same call gives the same sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from assay.configs import AugmentConfig, PreprocessConfig
from assay.errors import ConfigError, DatasetError, ImageError
from assay.image import read_image
from assay.lettering import fit
from assay.preprocess import Preprocess, scaled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.types import Dataset, Sample

TILE, GAP, MARGIN, CAPTION = 144, 14, 36, 22
MOST_COUNTS = 48
PAPER, INK, MUTED, TRACK, FILL, FAULT = "#ffffff", "#1b1f24", "#68717c", "#e9ecf0", "#5b8def", "#fbe9e9"


@dataclass(frozen=True, slots=True)
class _Cell:
    """A picture (H, W, C) with a caption; no pixels where it cannot be read."""

    pixels: NDArray[np.uint8] | None
    caption: str


def contact_sheet(
    dataset: Dataset,
    *,
    part: str | None = None,
    augment: AugmentConfig | None = None,
    preprocess: PreprocessConfig | None = None,
    columns: int = 8,
    rows: int = 8,
    per_class: int | None = None,
    seed: int = 0,
) -> Image.Image:
    """Draw the sheet.

    Parameters
    ----------
    dataset : pictures with labels; unlabelled ones are shown where there is nothing else.
    part : only this part.
    augment : each row becomes one picture, first as evaluation sees it, then in random versions.
    preprocess : show pictures as the network sees them; plain centre squares when not given.
    columns, rows : most pictures beside and below each other.
    per_class : most pictures of a class; as many as fit when not given.
    seed : of the choice and of the augmentation.

    Raises
    ------
    ConfigError : an unknown part, or columns, rows or per_class below 1.
    DatasetError : there are no pictures.
    """
    if min(columns, rows, per_class or 1) < 1 or (per_class is not None and per_class < 1):
        got = f"columns {columns}, rows {rows}, per class {per_class}"
        raise ConfigError("a contact sheet has at least one column, row and picture a class", got=got)
    shown = dataset if part is None else dataset.part(part)
    if not len(shown):
        raise DatasetError(f"{dataset.name} has no pictures to show", fix="check its path and part")
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
    return _page(_header(shown, part, columns, augmented=augment is not None), cells, columns)


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


def _cell(sample: Sample, dataset: Dataset, preprocess: Preprocess) -> _Cell:
    image = _read(sample)
    return _Cell(None if image is None else preprocess.pixels(image), _caption(sample, dataset))


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
) -> list[_Cell]:
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
        cells.append(_Cell(plain.pixels(image), _caption(sample, dataset)))
        cells.extend(_Cell(version[i].astype(np.uint8), "") for version in versions)
    return cells


def _page(header: Image.Image, cells: list[_Cell], columns: int) -> Image.Image:
    rows = -(-len(cells) // columns)
    step = TILE + CAPTION + GAP
    page = Image.new("RGB", (header.width, header.height + rows * step + MARGIN - GAP), PAPER)
    page.paste(header, (0, 0))
    draw = ImageDraw.Draw(page)
    for i, cell in enumerate(cells):
        left, top = MARGIN + i % columns * (TILE + GAP), header.height + i // columns * step
        tile = _tile(cell)
        page.paste(tile, (left, top), _rounded())
        draw.rounded_rectangle((left, top, left + TILE - 1, top + TILE - 1), radius=8, outline=TRACK)
        line, font = fit(cell.caption, 13, TILE)
        draw.text((left + 1, top + TILE + 4), line, fill=MUTED, font=font)
    return page


def _tile(cell: _Cell) -> Image.Image:
    if cell.pixels is None:
        tile = Image.new("RGB", (TILE, TILE), FAULT)
        line, font = fit("cannot be read", 13, TILE)
        ImageDraw.Draw(tile).text((TILE / 2, TILE / 2), line, fill="#a33a3a", font=font, anchor="mm")
        return tile
    pixels = cell.pixels[:, :, 0] if cell.pixels.shape[2] == 1 else cell.pixels
    return Image.fromarray(pixels).convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS)


def _rounded() -> Image.Image:
    """A mask with soft corners, drawn four times as large for smooth edges."""
    mask = Image.new("L", (4 * TILE, 4 * TILE), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * TILE - 1, 4 * TILE - 1), radius=32, fill=255)
    return mask.resize((TILE, TILE), Image.Resampling.BOX)


def _header(dataset: Dataset, part: str | None, columns: int, *, augmented: bool) -> Image.Image:
    """Name, size, and the number of pictures of each class as bars."""
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    counts = _counts(dataset)
    across = max(1, (width - 2 * MARGIN + GAP) // (2 * (TILE + GAP)))
    shown = counts[:MOST_COUNTS]
    lines = -(-len(shown) // across)
    header = Image.new("RGB", (width, MARGIN + 70 + 22 * lines + 28), PAPER)
    draw = ImageDraw.Draw(header)
    title, font = fit(f"{dataset.name} · {part}" if part else dataset.name, 28, width - 2 * MARGIN)
    draw.text((MARGIN, MARGIN - 8), title, fill=INK, font=font)
    line, font = fit(_summary(dataset, counts, augmented=augmented), 14, width - 2 * MARGIN)
    draw.text((MARGIN, MARGIN + 32), line, fill=MUTED, font=font)
    most = max(count for _, count in counts) if counts else 1
    for i, (name, count) in enumerate(shown):
        at = (MARGIN + i // lines * 2 * (TILE + GAP), MARGIN + 66 + i % lines * 22)
        _count_bar(draw, at, name, count, most)
    return header


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


def _count_bar(draw: ImageDraw.ImageDraw, at: tuple[int, int], name: str, count: int, most: int) -> None:
    left, top = at
    line, font = fit(name, 13, TILE - 20)
    draw.text((left, top), line, fill=INK, font=font)
    start, room = left + TILE - 12, TILE - 40
    draw.rounded_rectangle((start, top + 4, start + room, top + 12), radius=4, fill=TRACK)
    if count:
        length = max(8, round(room * count / most))
        draw.rounded_rectangle((start, top + 4, start + length, top + 12), radius=4, fill=FILL)
    number, font = fit(f"{count:,}", 13, TILE)
    draw.text((start + room + 8, top), number, fill=MUTED, font=font)
