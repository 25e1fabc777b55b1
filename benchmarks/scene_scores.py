"""Answers of runs and peers to one test part, as functions of how much every picture counts.

Everything is scored by the same functions of ``assay.metrics`` from what lies on the disk: an Assay run's own
evaluation file, a peer's COCO results, its tags, or its masks as PNG. The truth is always the data set's own.

``Scores`` (``assay.metrics.resample``) go from weights of the pictures to values, so means over seeds and over folds
and differences of two arms are functions of the same kind, and all of them share the draws of the bootstrap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.boxes import as_boxes
from assay.detections import Detections
from assay.metrics.average_precision import scores as ap_scores
from assay.metrics.matches import match_detections
from assay.metrics.resample import Scores, difference, estimates
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_material import SceneMaterial
from assay.metrics.scene_tags import TagAnswers, tag_scores
from assay.metrics.segment import PixelCounts, count_pixels
from assay.metrics.segment import scores as pixel_scores
from assay.pixel_masks import read_pixels
from assay.types import Dataset
from benchmarks.peers.coco_files import read_coco

DRAWS = 2000
Found = Mapping[str, Detections]
"""Stem of a picture's file -> what was found in it."""


def mean_of(arms: Sequence[Scores]) -> Scores:
    """The mean of several runs (seeds) on the same pictures."""

    def of(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        told = [arm(weights) for arm in arms]
        return {name: np.mean([one[name] for one in told], axis=0) for name in told[0]}

    return of


def over_folds(folds: Sequence[tuple[int, Scores]]) -> Scores:
    """The mean over folds, each of its own pictures; weights are those of all folds, one behind another."""
    ends = np.cumsum([n for n, _ in folds])

    def of(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        parts = np.split(weights, ends[:-1], axis=1)
        told = [arm(part) for (_, arm), part in zip(folds, parts, strict=True)]
        return {name: np.mean([one[name] for one in told], axis=0) for name in told[0]}

    return of


def measured(arm: Scores, n: int, draws: int = DRAWS) -> dict[str, dict[str, float | None]]:
    """Every score with its bootstrap interval over ``n`` pictures, as plain values."""
    return {name: estimate.to_dict() for name, estimate in estimates(arm, n, draws=draws).items()}


def apart(mine: Scores, theirs: Scores, n: int, draws: int = DRAWS) -> dict[str, dict[str, float | None]]:
    """Every score of one arm minus that of the other on the same draws, as plain values."""
    found = estimates(difference(mine, theirs), n, draws=draws, bounds=(-1.0, 1.0))
    return {name: estimate.to_dict() for name, estimate in found.items()}


def evaluation_of(out: Path, part: str = "test") -> SceneEvaluation:
    """What an Assay run measured itself, with every answer."""
    return SceneEvaluation.load(out / "evaluation" / f"{part}.json")


def found_of_run(evaluation: SceneEvaluation) -> Found:
    """Detections of an Assay run, every score from 0.01 on."""
    of = evaluation.material
    return {Path(path).stem: found for path, found in zip(of.paths, of.found, strict=True)}


def found_of_results(file: Path, truth: Path) -> Found:
    """Detections of a COCO result list that follows the numbers of the file ``truth``."""
    coco = read_coco(truth)
    order = sorted(coco.names)  # Assay's classes stand in the order of their numbers
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in json.loads(file.read_text("utf-8")):
        rows.setdefault(row["image_id"], []).append(row)
    return {p.path.stem: _detections(rows.get(p.id, []), order) for p in coco.pictures["test"]}


def _detections(rows: Sequence[Mapping[str, Any]], order: Sequence[int]) -> Detections:
    xywh = as_boxes([row["bbox"] for row in rows])
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    labels = np.array([order.index(row["category_id"]) for row in rows], np.int64)
    return Detections(boxes, labels, np.array([row["score"] for row in rows], np.float32))


def box_scores(part: Dataset, found: Found) -> Scores:
    """AP of boxes; ``part`` gives the pictures, their order and the truth.

    Raises
    ------
    ValueError : a picture was not answered.
    """
    samples = list(part)
    missing = [s.path.stem for s in samples if s.path.stem not in found]
    if missing:
        raise ValueError(f"{len(missing)} of {len(samples)} pictures have no answer: {missing[:3]}")
    answers = [found[s.path.stem] for s in samples]
    return ap_scores(match_detections([s.objects for s in samples], answers, part.object_classes))


def by_class(part: Dataset, found: Found) -> dict[str, float | None]:
    """Class -> AP50."""
    from assay.metrics.detect import score_detections  # noqa: PLC0415 - hotcoco, for those who ask

    samples = list(part)
    told = score_detections(
        [s.objects for s in samples], [found[s.path.stem] for s in samples], part.object_classes
    )
    return {row["name"]: row["ap50"] for row in (one.to_dict() for one in told.per_class)}


def tag_scores_of(evaluation: SceneEvaluation) -> Scores:
    """Mean average precision of the tags."""
    of = evaluation.material
    whole = tag_scores(TagAnswers(of.tags, of.tag_scores))
    return _only(whole, lambda name: name in ("map", "f1", "f1_all"))


def pixel_counts_of(evaluation: SceneEvaluation) -> PixelCounts:
    """Pixels of an Assay run, counted by its own evaluation.

    Raises
    ------
    ValueError : the run tells no pixels.
    """
    counts = evaluation.material.pixels
    if counts is None:
        raise ValueError(f"{evaluation.model} tells no pixels")
    return counts


def pixel_counts_of_masks(part: Dataset, folder: Path) -> PixelCounts:
    """Pixels of predicted masks ``folder/STEM.png`` of the pictures' own size."""
    pairs = ((read_pixels(s.pixels), read_pixels(folder / f"{s.path.stem}.png")) for s in part if s.pixels)
    return count_pixels(pairs, part.pixel_classes)


def pixel_scores_of(counts: PixelCounts, background: str = "background") -> Scores:
    """mIoU with and without the background, IoU of foreground against background, accuracy, boundary F1."""
    whole, place = pixel_scores(counts, background), counts.classes.position(background)
    own, given = counts.truth, counts.predicted
    all_truth, all_given = own.sum(1), given.sum(1)
    # foreground is everything but the background; what both call foreground counts, whatever class they give it
    both = all_truth - own[:, place] - given[:, place] + counts.hits[:, place]
    either = all_truth - counts.hits[:, place]
    assert np.array_equal(all_truth, all_given)

    def of(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        told = whole(weights)
        return {**told, "foreground_iou": (weights @ both) / (weights @ either)}

    return of


def same_pictures(materials: Sequence[SceneMaterial]) -> int:
    """The number of pictures, which must be the same in the same order.

    Raises
    ------
    ValueError : they are not.
    """
    names = {tuple(Path(path).name for path in of.paths) for of in materials}
    if len(names) != 1:
        raise ValueError("runs answered different pictures")
    return len(next(iter(names)))


def _only(scores: Scores, wanted: Callable[[str], bool]) -> Scores:
    def of(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {name: values for name, values in scores(weights).items() if wanted(name)}

    return of
