"""Which job a data set asks for, and what that job takes for granted where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assay.train.folder import ask
from assay.train.scene_heads import choose_heads

if TYPE_CHECKING:
    from assay.configs import Recipe
    from assay.train.job import Job
    from assay.types import Dataset

SCENE_DEFAULTS: dict[str, Any] = {
    "size": 320,
    "resize": "letterbox",
    "batch": 16,
    "colour_jitter": 0.3,
    "trivial": False,
}
"""Things are looked for in the whole picture, at a size at which small ones are still there."""
WITH_PICTURE_LABELS: dict[str, Any] = {"mosaic": 0.2}
"""What four pictures in one show as a whole nobody said, so the heads of class and tags learn nothing from a mosaic."""


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
    """
    recipe = ask(options)
    heads = choose_heads(dataset, recipe.model.heads)
    if heads == ("class",):
        return recipe
    fewer = WITH_PICTURE_LABELS if {"class", "tags"} & set(heads) else {}
    recipe = ask({**SCENE_DEFAULTS, **fewer, **options})
    return replace(recipe, model=replace(recipe.model, heads=heads))
