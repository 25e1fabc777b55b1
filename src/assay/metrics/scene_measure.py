"""From what was kept of pictures to a SceneEvaluation: each head measured where its truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.metrics.evaluate import build_evaluation
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import LEVEL
from assay.metrics.panoptic import measure_panoptic
from assay.metrics.pool import Ints
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_pixels import measure_plane
from assay.metrics.scene_section import Section
from assay.metrics.scene_tags import TAG_SCORE, TagAnswers, measure_tags
from assay.metrics.scene_things import measure_things
from assay.metrics.scene_whole import count_whole, measure_whole


def measure_scene(
    material: SceneMaterial,
    told_from: float,
    *,
    draws: int = 1000,
    seed: int = 0,
    part: str | None = None,
    tag_score: float = TAG_SCORE,
    **about: Any,
) -> SceneEvaluation:
    """Measure every head. ``draws`` 0 leaves out what takes long: intervals, but those of shares.

    ``about`` are further fields of SceneEvaluation: model, dataset, root, split_hash, unreadable, faulty, unlabelled,
    seconds.
    """
    options: dict[str, Any] = {"draws": draws, "seed": seed}
    heads = material.heads
    groups = material.groups_of(np.arange(material.n))
    return SceneEvaluation(
        material,
        float(told_from),
        classify=_class(material, part, about, options) if "class" in heads else None,
        tags=_tags(material, tag_score, options),
        pixels=None
        if material.pixels is None
        else measure_plane(material.pixels, groups=material.groups_of(material.pixels.rows), **options),
        panoptic=_panoptic(material, options),
        **measure_told(material, told_from, options),
        part=part or "all",
        interval={
            "level": LEVEL,
            **options,
            "of": "pictures" if groups is None else "groups",
            "groups": None if groups is None else int(groups.max()) + 1,
        },
        **about,
    )


def _class(
    of: SceneMaterial, part: str | None, about: dict[str, Any], options: dict[str, Any]
) -> Evaluation | None:
    rows = np.flatnonzero(of.targets >= 0)
    if not len(rows):
        return None
    shared = {name: about[name] for name in ("model", "dataset", "root", "split_hash") if name in about}
    return build_evaluation(
        of.probs[rows],
        of.targets[rows],
        of.classes,
        paths=[of.paths[int(i)] for i in rows],
        groups=None if of.groups is None else [of.groups[int(i)] for i in rows],
        part=part,
        unlabelled=of.n - len(rows),
        **shared,
        **options,
    )


def tag_answers(of: SceneMaterial, tag_score: float = TAG_SCORE) -> tuple[TagAnswers, Ints]:
    """The tags of the pictures where somebody looked for some, and the rows of these pictures."""
    rows = np.flatnonzero((of.tags >= 0).any(1)) if "tags" in of.heads else np.zeros(0, np.int64)
    return TagAnswers(of.tags[rows], of.tag_scores[rows], tag_score), rows


def _tags(of: SceneMaterial, tag_score: float, options: dict[str, Any]) -> Any:
    answers, rows = tag_answers(of, tag_score)
    if not len(rows):
        return None
    return measure_tags(answers, of.classes, groups=of.groups_of(rows), **options)


def measure_told(of: SceneMaterial, score: float, options: dict[str, Any]) -> dict[str, Any]:
    """What depends on the score from which things are told: ``boxes``, ``masks`` and ``whole``; empty where nobody
    looked for things. ``options`` are draws and seed.
    """
    found: dict[str, Any] = {}
    if not {"boxes", "masks"} & set(of.heads) or all(one is None for one in of.truth):
        return found
    for kind in ("boxes", "masks"):
        if kind == "boxes" or kind in of.heads:
            matches = getattr(of, kind)
            found[kind] = measure_things(matches, score, groups=of.groups_of(matches.pool.rows), **options)
    counts = count_whole(of, score)
    found["whole"] = measure_whole(counts, score, groups=of.groups_of(counts.rows), **options)
    return found


def _panoptic(of: SceneMaterial, options: dict[str, Any]) -> Section | None:
    if of.panoptic is None or not of.panoptic.n:
        return None
    things = [name for name in of.object_classes if name in of.panoptic.classes]
    return Section(
        measure_panoptic(of.panoptic, things=things, groups=of.groups_of(of.panoptic.rows), **options)
    )
