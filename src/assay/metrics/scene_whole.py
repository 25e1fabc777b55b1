"""End to end: of the things in new pictures, how many a user gets found, with the right class, with the right outline;
and how many pictures come out right as a whole.

The three shares are of all things and each is part of the one before. *Found*: a detection of any class lies on it, at
an overlap of 0.5 of the boxes. *Right class*: one of its class does. *Right outline*: that one's mask overlaps the
thing's by 0.5 too; where masks are not known, its box by 0.75. Only detections from the told score on count, each for
one thing, and crowds for nothing. A picture is *right as a whole* where its class is right, if it has one, every
thing is found with its class, and nothing else is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay import masks as mask_files
from assay.boxes import iou
from assay.detections import Detections
from assay.labels import ClassNames
from assay.metrics.interval import Estimate, Floats, proportion
from assay.metrics.matches import Matches, match
from assay.metrics.operating_point import count
from assay.metrics.pool import Ints, pool
from assay.metrics.resample import estimates, share
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_section import Section
from assay.objects import Objects

OUTLINE_OF_MASKS, OUTLINE_OF_BOXES = 0.5, 0.75


@dataclass(frozen=True)
class WholeSection(Section):
    """``estimates``: found, right_class, right_outline (shares of ``things``) and all_right (share of ``pictures``), at
    ``score``. ``outline`` says by what outlines were measured: masks or boxes.
    """

    pictures: int
    things: int
    score: float
    outline: str


@dataclass(frozen=True, eq=False)
class WholeCounts:
    """(N,) each, of the pictures in ``rows``: things, how many were found, with the right class, with the right
    outline; detections that are false; whether all is right. ``outline`` is masks or boxes.
    """

    rows: Ints
    things: Ints
    found: Ints
    right_class: Ints
    right_outline: Ints
    false: Ints
    all_right: NDArray[np.bool_]
    outline: str


def count_whole(material: SceneMaterial, score: float) -> WholeCounts:
    """Count the pictures where somebody looked for things, of the detections with ``score`` or more."""
    matches = material.boxes
    rows, n, single = matches.pool.rows, matches.n, ~matches.pool.crowd
    own = count(matches, score)
    t = matches.column(0.5)
    chosen = np.flatnonzero((matches.scores >= score) & matches.right[:, t])
    truth = matches.partner[chosen, t].astype(np.int64)
    same_class = np.zeros(len(single), bool)
    same_class[truth] = True
    outlined = _outlined(material, matches, chosen, truth)
    picture = matches.pool.truth.picture
    found, right_class, right_outline = (
        np.bincount(picture[single & of], minlength=n)
        for of in (same_class | _any_class(material, score), same_class, outlined)
    )
    clean = (own.false == 0) & (own.missed == 0)
    targets = material.targets[rows]
    answers = material.probs[rows].argmax(1) if material.probs.shape[1] else targets
    return WholeCounts(
        rows,
        np.bincount(picture[single], minlength=n),
        found,
        right_class,
        right_outline,
        own.false,
        clean & ((targets < 0) | (answers == targets)),
        "masks" if "masks" in material.heads else "boxes",
    )


def _any_class(material: SceneMaterial, score: float) -> NDArray[np.bool_]:
    """(G,) which things a detection of any class lies on."""
    truth = [
        None if one is None else Objects(one.boxes_xyxy, np.zeros_like(one.labels), (), one.crowd)
        for one in material.truth
    ]
    told = [one.at_least(score) for one in material.found]
    found = [Detections(one.boxes_xyxy, np.zeros_like(one.labels), one.scores) for one in told]
    matches = match(pool(truth, found, ClassNames(["thing"])), (0.5,))
    lies_on = np.zeros(len(matches.pool.truth), bool)
    lies_on[matches.partner[matches.right[:, 0], 0]] = True
    return lies_on


def _outlined(material: SceneMaterial, matches: Matches, chosen: Ints, truth: Ints) -> NDArray[np.bool_]:
    """(G,) which things a detection of their class, ``chosen[i]`` for ``truth[i]``, also has the outline of."""
    of, found = matches.pool, np.zeros(len(matches.pool.truth), bool)
    by_masks = "masks" in material.heads
    for i, j in zip(matches.order[chosen], truth, strict=True):
        row = int(of.rows[of.truth.picture[j]])
        objects, own = material.truth[row], material.found[row]
        assert objects is not None, "nobody looked, so it was not matched"
        mine, theirs = int(of.found.place[i]), int(of.truth.place[j])
        shape, outline = objects.masks[theirs], own.masks[mine]
        if by_masks and shape is not None:
            found[j] = outline is not None and mask_files.iou([outline], [shape])[0, 0] >= OUTLINE_OF_MASKS
        else:
            overlap = iou(own.boxes_xyxy[mine : mine + 1], objects.boxes_xyxy[theirs : theirs + 1])
            found[j] = overlap[0, 0] >= OUTLINE_OF_BOXES
    return found


def measure_whole(
    counts: WholeCounts, score: float, *, draws: int = 1000, seed: int = 0, groups: Ints | None = None
) -> WholeSection:
    """The shares with intervals: of things by a bootstrap over pictures (or groups), of pictures by Wilson."""
    things = counts.things.astype(np.float64)
    parts = {name: getattr(counts, name) for name in ("found", "right_class", "right_outline")}

    def of(weights: Floats) -> dict[str, Floats]:
        total = weights @ things
        return {name: share(weights @ part.astype(np.float64), total) for name, part in parts.items()}

    shares: dict[str, Estimate] = estimates(of, len(things), draws=draws, seed=seed, groups=groups)
    shares["all_right"] = proportion(counts.all_right, groups)
    return WholeSection(shares, len(things), int(things.sum()), float(score), counts.outline)
