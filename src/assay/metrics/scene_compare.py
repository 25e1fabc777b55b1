"""Two networks of several heads on the same pictures: the main score of each head, A minus B, in pairs.

The pictures are matched by path, head by head: networks that tell different things are compared in what both tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import DatasetError
from assay.metrics.average_precision import ap_differences
from assay.metrics.interval import Estimate, paired_difference
from assay.metrics.matches import match
from assay.metrics.pool import Ints, pool
from assay.metrics.resample import difference, estimates
from assay.metrics.scene_evaluation import MAIN, SceneEvaluation
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_measure import tag_answers
from assay.metrics.scene_tags import TagAnswers, tag_scores
from assay.metrics.segment import PixelCounts, pixel_differences


@dataclass(frozen=True)
class HeadDifference:
    """One head on ``n`` pictures that both were measured on: the scores of A and B, and A minus B with its interval.

    ``metric`` is the score's flat name in ``SceneEvaluation.metrics``.
    """

    head: str
    metric: str
    n: int
    a: float
    b: float
    difference: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "difference": self.difference.to_dict()}


def compare_scenes(
    a: SceneEvaluation, b: SceneEvaluation, *, draws: int = 2000, seed: int = 0
) -> dict[str, HeadDifference]:
    """Head -> difference, for the heads that both were measured on; whole groups are drawn where there are any.

    Raises
    ------
    DatasetError : the parts, pictures, classes or labels differ, or no head is common.
    """
    heads = [head for head in a.main_scores() if head in b.main_scores()]
    if a.part != b.part or not heads:
        raise DatasetError(
            "two networks are compared on the same part, in what both tell",
            got=f"{a.model}: {a.part}, {', '.join(a.heads)}; {b.model}: {b.part}, {', '.join(b.heads)}",
            fix="evaluate both on one part: `assay evaluate RUN --part test`",
        )
    return {head: _compared(head, a, b, draws, seed) for head in heads}


def _compared(head: str, a: SceneEvaluation, b: SceneEvaluation, draws: int, seed: int) -> HeadDifference:
    rows_a, rows_b = _common(head, a, b)
    options = {"draws": draws, "seed": seed, "groups": a.material.groups_of(rows_a)}
    values = _DIFFERENCES[head](a.material, b.material, (rows_a, rows_b), options)
    return HeadDifference(head, MAIN[head], len(rows_a), *values)


def _common(head: str, a: SceneEvaluation, b: SceneEvaluation) -> tuple[Ints, Ints]:
    """The rows of A and of B that are one picture and were measured for this head, in A's order."""
    own, other = _rows(head, a.material), _rows(head, b.material)
    for root in (False, True):  # the same files may be named from other folders
        names_a, names_b = (
            [_path(e, int(i), whole=root) for i in rows] for e, rows in ((a, own), (b, other))
        )
        places = {name: i for i, name in enumerate(names_b)}
        pairs = [(i, places[name]) for i, name in enumerate(names_a) if name in places]
        if pairs:
            break
    one_split = bool(a.split_hash) and a.split_hash == b.split_hash
    if not pairs or (len(pairs) < max(len(own), len(other)) and not one_split):
        raise DatasetError(
            "two networks are compared on the same pictures",
            got=f"{head}: {len(own):,} of {a.model}, {len(other):,} of {b.model}, {len(pairs):,} common",
            fix="evaluate both on the same part of the same split",
        )
    found = np.array(pairs, np.int64)
    return own[found[:, 0]], other[found[:, 1]]


def _path(e: SceneEvaluation, row: int, *, whole: bool) -> str:
    path = e.material.paths[row]
    return (Path(e.root) / path).as_posix() if whole else path


def _rows(head: str, of: SceneMaterial) -> Ints:
    """The pictures that were measured for a head."""
    if head == "class":
        return np.flatnonzero(of.targets >= 0)
    if head == "tags":
        return tag_answers(of)[1]
    if head == "pixels":
        return np.zeros(0, np.int64) if of.pixels is None else of.pixels.rows
    rows: Ints = (of.boxes if head == "boxes" else of.masks).pool.rows
    return rows


Pair = tuple[Ints, Ints]
Values = tuple[float, float, Estimate]


def _class(a: SceneMaterial, b: SceneMaterial, rows: Pair, options: dict[str, Any]) -> Values:
    named = [
        (
            [of.classes[int(i)] for i in of.targets[own]],
            [of.classes[int(i)] for i in of.probs[own].argmax(1)],
        )
        for of, own in zip((a, b), rows, strict=True)
    ]
    if named[0][0] != named[1][0]:
        raise _other_truth("class")
    right = [np.array(truth) == np.array(answers) for truth, answers in named]
    return float(right[0].mean()), float(right[1].mean()), paired_difference(*right, **options)


def _tags(a: SceneMaterial, b: SceneMaterial, rows: Pair, options: dict[str, Any]) -> Values:
    mine, theirs = (
        TagAnswers(of.tags[own], of.tag_scores[own]) for of, own in zip((a, b), rows, strict=True)
    )
    if a.classes != b.classes or not np.array_equal(mine.truth, theirs.truth):
        raise _other_truth("tags")
    scores, n = (tag_scores(mine), tag_scores(theirs)), len(rows[0])
    found = estimates(difference(*scores), n, bounds=(-1.0, 1.0), **options)["map"]
    return (*(float(one(np.ones((1, n)))["map"][0]) for one in scores), found)  # type: ignore[return-value]


def _things(kind: str) -> Callable[[SceneMaterial, SceneMaterial, Pair, dict[str, Any]], Values]:
    def of_kind(a: SceneMaterial, b: SceneMaterial, rows: Pair, options: dict[str, Any]) -> Values:
        from assay.metrics.average_precision import scores  # noqa: PLC0415 - the name is short elsewhere

        mine, theirs = (
            match(pool([of.truth[i] for i in own], [of.found[i] for i in own], of.object_classes, kind=kind))
            for of, own in zip((a, b), rows, strict=True)
        )
        values = [float(scores(one)(np.ones((1, one.n)))["ap50_95"][0]) for one in (mine, theirs)]
        return values[0], values[1], ap_differences(mine, theirs, **options)["ap50_95"]

    return of_kind


def _pixels(a: SceneMaterial, b: SceneMaterial, rows: Pair, options: dict[str, Any]) -> Values:
    from assay.metrics.segment import scores  # noqa: PLC0415

    mine, theirs = (_counts(of, own) for of, own in zip((a, b), rows, strict=True))
    values = [float(scores(one)(np.ones((1, one.n)))["miou"][0]) for one in (mine, theirs)]
    return values[0], values[1], pixel_differences(mine, theirs, **options)["miou"]


def _counts(of: SceneMaterial, rows: Ints) -> PixelCounts:
    """The counts of these pictures. The confusion is kept summed over all, and no difference asks for it."""
    assert of.pixels is not None, "its rows were asked for"
    places = {int(row): i for i, row in enumerate(of.pixels.rows)}
    chosen = np.array([places[int(row)] for row in rows], np.int64)
    names = ("hits", "truth", "predicted", "boundary")
    return replace(of.pixels, rows=rows, **{name: getattr(of.pixels, name)[chosen] for name in names})


def _other_truth(head: str) -> DatasetError:
    return DatasetError(
        f"two networks are compared against the same truth; that of their {head} differs",
        fix="evaluate both on the same data, with the same classes",
    )


_DIFFERENCES: dict[str, Callable[[SceneMaterial, SceneMaterial, Pair, dict[str, Any]], Values]] = {
    "class": _class,
    "tags": _tags,
    "boxes": _things("boxes"),
    "masks": _things("masks"),
    "pixels": _pixels,
}
