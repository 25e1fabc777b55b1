"""Which job a data set asks for, and what that job takes for granted where nothing else is said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError
from assay.train.folder import ask
from assay.train.scene_heads import choose_heads
from assay.train.settle import is_dense

if TYPE_CHECKING:
    from assay.configs import Recipe
    from assay.train.job import Job
    from assay.types import Dataset

SCENE_DEFAULTS: dict[str, Any] = {"resize": "letterbox", "colour_jitter": 0.3, "trivial": False}
"""The whole picture is looked at, and boxes can be brought back to it."""
DENSE_SIZE, DENSE_BATCH = 320, 16
"""With boxes or pixels: a size at which small things are still there; each picture teaches at hundreds of points."""
LEAST_BATCH, MOST_BATCH = 8, 64
WITH_PICTURE_LABELS: dict[str, Any] = {"mosaic": 0.2}
"""What four pictures in one show as a whole nobody said, so the heads of class and tags learn nothing from a mosaic."""
FOR_CLASSES_ALONE = ("mixup", "cutmix", "erase", "blur", "noise", "crop_scale", "crop_ratio", "crop_share")
"""Options that change nothing where there are other heads than the class."""
READ_BY: dict[str, tuple[str, ...]] = {
    "loss": ("class",),
    "label_smoothing": ("class",),
    "dropout": ("class", "tags"),
    "mosaic": ("boxes", "pixels"),
    "mosaic_scale": ("boxes", "pixels"),
    "mosaic_until": ("boxes", "pixels"),
    "rare": ("pixels",),
    "least_left": ("boxes",),
    "least_side": ("boxes",),
}
"""Option -> the heads of which one at least must be there for it to change anything."""
REMEDY_OF = {"sampling": "boxes", "weights": "class", "logit-adjustment": "class"}
"""Way with rare classes -> the head that it helps."""
_OFF = (None, False, 0, "none", "cross-entropy")


def job_of(recipe: Recipe) -> Job:
    """The job of a settled recipe: a classifier's where it learns the class alone."""
    if recipe.model.heads in (None, ("class",)):
        from assay.train.classify_job import ClassifyJob  # noqa: PLC0415 - one of the two is enough

        return ClassifyJob()
    from assay.train.scene_job import SceneJob  # noqa: PLC0415

    return SceneJob()


def recipe_for(dataset: Dataset, options: Mapping[str, Any]) -> Recipe:
    """The recipe of these options for this data set, with the heads that it has labels for.

    Raises
    ------
    DatasetError : heads are asked for that the data has no labels for.
    ConfigError : an option that would change nothing, or another frame than the letterbox.
    """
    recipe = ask(options)
    heads = choose_heads(dataset, recipe.model.heads)
    if heads == ("class",):
        return recipe
    _refuse_useless(options, heads)
    defaults = dict(SCENE_DEFAULTS)
    if is_dense(heads):
        size = recipe.preprocess.size if "size" in options else DENSE_SIZE
        defaults |= {"size": size, "batch": dense_batch(size)}
    defaults |= WITH_PICTURE_LABELS if {"class", "tags"} & set(heads) else {}
    recipe = ask({**defaults, **options})
    return replace(recipe, model=replace(recipe.model, heads=heads))


def dense_batch(size: int) -> int:
    """Pictures a step at this side in px: the smaller the side the more, in powers of two.

    A step of few small pictures takes hardly less time than one of many, as it is made of the same operations.
    """
    wanted = DENSE_BATCH * DENSE_SIZE / size
    return min(MOST_BATCH, max(LEAST_BATCH, 2 ** round(math.log2(wanted))))


def _refuse_useless(options: Mapping[str, Any], heads: tuple[str, ...]) -> None:
    told = ", ".join(heads)
    useless = [name for name in FOR_CLASSES_ALONE if name in options]
    if options.get("trivial"):
        useless.append("trivial")
    useless += [
        name
        for name, readers in READ_BY.items()
        if options.get(name) not in _OFF and not set(readers) & set(heads)
    ]
    way = options.get("imbalance", "none")
    if way != "none" and REMEDY_OF.get(way, way) not in heads:
        useless.append(f"imbalance={way}")
    if useless:
        raise ConfigError(
            f"{', '.join(useless)} would change nothing: heads {told} do not use it",
            fix="leave it out; zoom, shift, flip and colour-jitter are for all heads",
        )
    if options.get("resize", "letterbox") != "letterbox":
        raise ConfigError(
            f"heads {told} look at the whole picture, in a letterbox",
            got=f"resize={options['resize']}",
            fix="leave resize out",
        )
