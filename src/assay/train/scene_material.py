"""What a run with several heads trains on: parts, what is known of each picture, and pixels decoded once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.configs import Recipe
from assay.data.check_pixels import check_pixels
from assay.data.checks import check_dataset, raise_problems
from assay.data.problems import Problem
from assay.errors import DatasetError
from assay.models.multitask import Heads
from assay.preprocess import Preprocess
from assay.train.cache import PictureCache
from assay.train.material import by_path, cache_of, evaluation_render, fill, split, training_kind
from assay.train.record import Recorder
from assay.train.scene_heads import count_heads
from assay.train.scene_source import Known, SceneSource, plane_render, read_known, scene_render
from assay.types import Dataset

_OF_CLASSES = (
    "no-label",
    "several-labels",
    "one-class",
    "empty-class",
    "single-picture",
    "imbalance",
    "untaught-class",
)
"""Problems of the class of a picture: no matter where no head tells one."""


@dataclass(frozen=True)
class SceneMaterial:
    """Pictures of a run. ``validation`` and ``test`` are None where the data has no such part, or no label in it.

    ``dataset`` are all rows; ``train`` and the others those of a part that teach or test at least one head.
    """

    dataset: Dataset
    heads: Heads
    train: SceneSource
    validation: list[Known] | None
    validation_pixels: PictureCache | None
    test: Dataset | None
    preprocess: Preprocess
    warnings: tuple[str, ...] = ()


def gather_scenes(dataset: Dataset, recipe: Recipe, recorder: Recorder) -> SceneMaterial:
    """Check and split the data, and decode what training and validation need.

    Raises
    ------
    DatasetError : all that is broken or contradicts itself, at once; a head without labels in the training part.
    """
    names = recipe.model.heads or ()
    dataset = split(dataset, recipe)
    problems = _problems(dataset, names, recipe.preprocess.size)
    raise_problems(problems)
    preprocess = Preprocess(recipe.preprocess)
    limit, workers = int(recipe.train.cache_gb * 1e9), recipe.train.workers or 2
    recorder.stage("read labels")
    parts = {name: _labelled(by_path(dataset.part(name)), names) for name in dataset.parts}
    known, train = parts.get("train", ([], dataset))
    _require_labels(dataset.name, known, names)
    images = cache_of(train, f"scene-{training_kind(preprocess)}", scene_render(preprocess), limit)
    fill(images, recorder, "decode train", workers)
    planes, plane_of = _planes(known, train, preprocess, limit)
    caches = [images]
    if planes is not None:
        fill(planes, recorder, "decode pixels", workers)
        caches.append(planes)
    validation, test, held = parts.get("validation"), parts.get("test"), None
    if validation is not None and validation[0]:
        kind = f"evaluate-{preprocess.digest}"
        held = cache_of(validation[1], kind, evaluation_render(preprocess), limit)
        fill(held, recorder, "decode validation", workers)
        caches.append(held)
    warnings = (
        *(f"{problem}; {problem.fix}" for problem in problems),
        *(text for cache in caches for text in cache.warnings),
    )
    return SceneMaterial(
        dataset,
        count_heads(dataset, names),
        SceneSource(images, known, planes, plane_of),
        validation[0] if held is not None and validation is not None else None,
        held,
        test[1] if test is not None and test[0] else None,
        preprocess,
        warnings,
    )


def _problems(dataset: Dataset, heads: tuple[str, ...], size: int) -> list[Problem]:
    """Masks of pixels are read whole: a value without a class would break a run off, or a mask of another size mislead
    it.
    """
    found = check_dataset(dataset, for_training=True, heads=heads, size=size)
    if "pixels" in heads:
        told = {problem.code for problem in found}
        found += [p for p in check_pixels(dataset, decode=True) if p.code not in told]
    of_class = "class" in heads
    return [p for p in found if of_class or p.code not in _OF_CLASSES]


def _require_labels(name: str, known: list[Known], heads: tuple[str, ...]) -> None:
    """A head that nothing teaches would answer at random."""
    lacking = [head for i, head in enumerate(heads) if not any(one.labelled(heads)[i] for one in known)]
    if "masks" in heads and "masks" not in lacking and not any(_has_outline(one) for one in known):
        lacking.append("masks")  # pictures without things alone
    if lacking:
        others = ",".join(head for head in heads if head not in lacking)
        raise DatasetError(
            f"the training part of {name} has no labels for {', '.join(lacking)}",
            fix="label some of its pictures, or deal all anew with `assay split --force`"
            + (f"; or leave it out: --heads {others}" if others else ""),
        )


def _has_outline(known: Known) -> bool:
    """Whether a single thing has its mask."""
    things = known.objects
    if things is None:
        return False
    crowd = np.zeros(len(things), bool) if things.crowd is None else things.crowd
    return any(mask is not None and not many for mask, many in zip(things.masks, crowd, strict=True))


def _labelled(part: Dataset, heads: tuple[str, ...]) -> tuple[list[Known], Dataset]:
    """The rows that know something that one of the heads tells."""
    known = read_known(part, heads)
    rows = [i for i, one in enumerate(known) if any(one.labelled(heads))]
    return [known[i] for i in rows], part.take(rows)


def _planes(
    known: list[Known], train: Dataset, preprocess: Preprocess, limit: int
) -> tuple[PictureCache | None, np.ndarray | None]:
    """(pixel classes of the rows that have some, the place of each row there or -1)."""
    rows = [i for i, one in enumerate(known) if one.pixels is not None]
    if not rows:
        return None, None
    plane_of = np.full(len(known), -1, np.int64)
    plane_of[rows] = np.arange(len(rows))
    side = preprocess.config.size
    paths = [str(one.pixels.absolute()) for one in known if one.pixels is not None]
    return cache_of(train, f"planes-{side}", plane_render(side), limit, paths=paths), plane_of
