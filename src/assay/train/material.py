"""What a run trains on: the data set with its parts, and decoded pixels for training and validation."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from assay.configs import Recipe
from assay.data.checks import check_dataset, raise_problems
from assay.data.read import read_dataset
from assay.data.split import split_dataset
from assay.folders import cache_folder
from assay.preprocess import REVISION, Preprocess
from assay.train.cache import PictureCache, Render
from assay.train.record import Recorder
from assay.types import Dataset

MARGIN = 1.15
"""Training pixels are cached with their short side this much longer than the network's, for random crops."""


@dataclass(frozen=True)
class Material:
    """Labelled pictures of a run. ``validation`` and ``test`` are None where the data has no such part."""

    dataset: Dataset
    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    train_pixels: PictureCache
    validation_pixels: PictureCache | None
    preprocess: Preprocess
    warnings: tuple[str, ...] = ()


def gather(dataset: Dataset, recipe: Recipe, recorder: Recorder) -> Material:
    """Check and split the data, and decode what training and validation need.

    Raises
    ------
    DatasetError : all that is broken or contradicts itself, at once.
    """
    dataset = split(dataset, recipe)
    problems = check_dataset(dataset, for_training=True)
    raise_problems(problems)
    labelled = dataset.select(dataset.targets >= 0)
    train = by_path(labelled.part("train"))
    validation = labelled.part("validation") if "validation" in labelled.parts else None
    preprocess = Preprocess(recipe.preprocess)
    limit, workers = int(recipe.train.cache_gb * 1e9), recipe.train.workers or 2
    train_pixels = cache_of(train, training_kind(preprocess), training_render(preprocess), limit)
    fill(train_pixels, recorder, "decode train", workers)
    validation_pixels = None
    if validation is not None:
        kind = f"evaluate-{preprocess.digest}"
        validation_pixels = cache_of(validation, kind, evaluation_render(preprocess), limit)
        fill(validation_pixels, recorder, "decode validation", workers)
    test = labelled.part("test") if "test" in labelled.parts else None
    caches = [train_pixels] if validation_pixels is None else [train_pixels, validation_pixels]
    warnings = (
        *(f"{problem}; {problem.fix}" for problem in problems),
        *(text for cache in caches for text in cache.warnings),
    )
    return Material(labelled, train, validation, test, train_pixels, validation_pixels, preprocess, warnings)


def by_path(dataset: Dataset) -> Dataset:
    """Rows in the order of their paths: a table that was sorted anew trains the same run."""
    return dataset.take(pc.sort_indices(dataset.table["path"].cast(pa.string())).to_numpy())


def read(data: str | Path | Dataset, recipe: Recipe) -> Dataset:
    """The data set behind a path; a Dataset is taken as it is."""
    return data if isinstance(data, Dataset) else read_dataset(data, recipe.read)


def split(dataset: Dataset, recipe: Recipe) -> Dataset:
    """The data set with parts: its own, or dealt by the recipe."""
    return split_dataset(dataset, recipe.split)


def cache_of(
    dataset: Dataset, kind: str, render: Render, limit: int, *, paths: Sequence[str] | None = None
) -> PictureCache:
    """A cache of the data set's pictures, or of other files of each; ``fill`` is still to come."""
    where = hashlib.blake2b(os.fsencode(dataset.root.resolve()), digest_size=8).hexdigest()
    folder = cache_folder() / "pixels" / f"{where}-{kind}"
    names = dataset.table["path"].to_pylist() if paths is None else paths
    return PictureCache(folder, [dataset.root / name for name in names], render, limit_bytes=limit)


def fill(cache: PictureCache, recorder: Recorder, name: str, workers: int) -> None:
    """Decode what is missing, with a bar; what the cache could not keep is logged."""
    recorder.stage(name, total=1.0)
    cache.fill(workers=workers, on_progress=lambda done, n: recorder.advance(done / n, f"{done} of {n}"))
    for text in cache.warnings:
        recorder.log("note", text=text)


def evaluation_render(preprocess: Preprocess) -> Render:
    """Path -> (S, S, C) uint8: exactly what prediction sees."""
    return lambda path: preprocess.read(path)[0]


def training_render(preprocess: Preprocess) -> Render:
    """Path -> (H, W, C) uint8: as evaluation does, but shrunk only to a little more than the network needs.

    Pictures are never enlarged here.
    """
    wanted = _training_side(preprocess)

    def reduced_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
        scale = min(1.0, wanted / min(size_hw))
        return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))

    return lambda path: preprocess.reduced(path, reduced_hw)


def training_kind(preprocess: Preprocess) -> str:
    """A name for all that changes what ``training_render`` gives: recipes that differ elsewhere share pixels."""
    config = preprocess.config
    smoothing = [config.smoothing, float(config.smoothing_strength)] if config.smoothing != "none" else None
    facts = [REVISION, _training_side(preprocess), config.colour, smoothing, config.interpolation]
    facts += [config.decode] * (config.decode != "exact")
    return f"train-{hashlib.blake2b(json.dumps(facts).encode(), digest_size=8).hexdigest()}"


def _training_side(preprocess: Preprocess) -> int:
    """Shortest side of cached training pixels, in px."""
    return round(preprocess.config.size * MARGIN)


def class_counts(dataset: Dataset) -> NDArray[np.int64]:
    """(K,) pictures of each class."""
    return np.bincount(dataset.targets, minlength=len(dataset.classes))
