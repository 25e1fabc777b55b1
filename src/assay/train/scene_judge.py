"""Validation of scenes during a run: answers of any weights, scored in the pictures' own pixels.

It walks the steps that a Bundle walks (``Preprocess``, ``read_scene``), so what is chosen here is what will be served.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from assay.configs import PreprocessConfig
from assay.detections import Detections
from assay.labels import ClassNames
from assay.metrics.detect import DetectionScores, score
from assay.metrics.pool import pool
from assay.metrics.segment import confusion_of, iou_of
from assay.objects import Objects
from assay.pipeline_scene import EVERY_SCORE
from assay.pixel_masks import read_pixels
from assay.postprocess_boxes import Frame
from assay.postprocess_scene import SceneAnswer, read_scene
from assay.preprocess import Preprocess
from assay.train.cache import PictureCache
from assay.train.scene_source import Known

BATCH = 16


@dataclass
class Found:
    """What was answered: of the rows where somebody knows better, per head."""

    classes: list[tuple[NDArray[np.float32], int]] = field(default_factory=list)
    tags: list[tuple[NDArray[np.float32], tuple[int, ...]]] = field(default_factory=list)
    boxes: dict[int, Detections] = field(default_factory=dict)
    cells: NDArray[np.int64] | None = None


class SceneJudge:
    """Measures weights on the labelled pictures of one part.

    Parameters
    ----------
    pixels : what ``Preprocess.pixels`` gave for each row, (S, S, C) uint8.
    known : what is known of each row.
    object_classes, pixel_classes : of the network.
    """

    def __init__(
        self,
        pixels: PictureCache,
        known: Sequence[Known],
        preprocess: PreprocessConfig,
        object_classes: ClassNames,
        pixel_classes: ClassNames,
        device: torch.device,
        rows: Sequence[int] | None = None,
    ) -> None:
        self._pixels, self._known = pixels, known
        self._config, self._preprocess, self._device = preprocess, Preprocess(preprocess), device
        self._object_classes, self._pixel_classes = object_classes, pixel_classes
        self._rows = list(range(len(known))) if rows is None else list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def seconds(self, model: nn.Module, sample: int = 32) -> float:
        """Seconds that one look at all pictures takes, from a sample over all of them: they differ in what is known."""
        few = SceneJudge(
            self._pixels,
            self._known,
            self._config,
            self._object_classes,
            self._pixel_classes,
            self._device,
            self._rows[:: -(-len(self) // sample)],
        )
        few.score(model)  # once for first-time costs: of torch, and of imports that take seconds
        begin = time.monotonic()
        few.score(model)
        return (time.monotonic() - begin) * len(self) / len(few)

    def rank(self, score: Mapping[str, float]) -> tuple[float, ...]:
        """By the mean of the tasks' scores."""
        return (score["score"],)

    def score(self, model: nn.Module, weights: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """The main score of every task that can be measured, their mean as "score", and 1 - mean as "loss"."""
        found = self.look(model, weights)
        scores: dict[str, float] = {}
        if found.classes:
            scores["accuracy"] = float(np.mean([probs.argmax() == label for probs, label in found.classes]))
        if found.tags:
            scores["tags_map"] = _tags_map(found.tags)
        if found.boxes:
            scores |= self._box_scores(found)
        if found.cells is not None:
            scores["miou"] = _mean_iou(found.cells)
        main = [scores[name] for name in MAIN if name in scores and np.isfinite(scores[name])]
        mean = float(np.mean(main)) if main else 0.0
        return {"loss": 1 - mean, "score": mean, **{k: v for k, v in scores.items() if np.isfinite(v)}}

    def _box_scores(self, found: Found) -> dict[str, float]:
        boxes = self._ap(found, sorted(found.boxes), "boxes")
        scores = {"ap50": boxes.ap50, "ap50_95": boxes.ap50_95}
        outlined = [row for row in sorted(found.boxes) if _outlined(self._known[row].objects)]
        if any(self._known[row].objects for row in outlined):  # finding nothing spares no weights this score
            scores["mask_ap50_95"] = self._ap(found, outlined, "masks").ap50_95
        return scores

    def _ap(self, found: Found, rows: Sequence[int], kind: str) -> DetectionScores:
        truth, answers = [self._known[row].objects for row in rows], [found.boxes[row] for row in rows]
        return score(pool(truth, answers, self._object_classes, kind=kind))

    def class_logits(self, model: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(N, K) logits and (N,) labels of the rows with a class."""
        rows = [row for row in self._rows if self._known[row].label is not None]
        logits = [outputs["class_logits"] for _, outputs in self._outputs(model, None, rows)]
        return np.stack(logits), np.array([self._known[row].label for row in rows], np.int64)

    def look(self, model: nn.Module, weights: Mapping[str, Tensor] | None = None) -> Found:
        """Answers to all pictures; ``weights`` stand in for the network's own where given."""
        found = Found()
        for row, outputs in self._outputs(model, weights, self._rows):
            known = self._known[row]
            answer = read_scene(
                outputs,
                Frame.of(self._config, known.size_hw),
                self._config.size,
                least_score=EVERY_SCORE,
                masks=_outlined(known.objects),
                pixels=known.pixels is not None,
            )
            self._take(found, row, known, answer)
        return found

    def _take(self, found: Found, row: int, known: Known, answer: SceneAnswer) -> None:
        if answer.probs is not None and known.label is not None:
            found.classes.append((answer.probs, known.label))
        if answer.tags is not None and known.tags is not None:
            found.tags.append((answer.tags, known.tags))
        if answer.boxes is not None and known.objects is not None:
            found.boxes[row] = answer.boxes
        if answer.pixels is not None and known.pixels is not None:
            cells = confusion_of(read_pixels(known.pixels), answer.pixels, len(self._pixel_classes))
            found.cells = cells if found.cells is None else found.cells + cells

    @torch.inference_mode()
    def _outputs(
        self, model: nn.Module, weights: Mapping[str, Tensor] | None, rows: Sequence[int]
    ) -> Iterator[tuple[int, dict[str, NDArray[np.float32]]]]:
        """(row, named arrays of one picture)."""
        was_training = model.training
        model.eval()
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            x = torch.from_numpy(self._preprocess.normalise(np.stack([self._pixels[i] for i in some])))
            x = x.to(self._device).contiguous(memory_format=torch.channels_last)
            outputs = functional_call(model, dict(weights), (x,)) if weights else model(x)
            arrays = {name: value.float().cpu().numpy() for name, value in outputs.named().items()}
            for i, row in enumerate(some):
                yield row, {name: value[i] for name, value in arrays.items()}
        model.train(was_training)


def _outlined(objects: Objects | None) -> bool:
    """Whether all things of a picture have their masks; a picture without things has."""
    return objects is not None and all(mask is not None for mask in objects.masks)


MAIN = ("accuracy", "tags_map", "ap50_95", "mask_ap50_95", "miou")
"""One score a task; their mean chooses the weights."""


def _mean_iou(cells: NDArray[np.int64]) -> float:
    values = iou_of(np.diag(cells), cells.sum(1), cells.sum(0))
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _tags_map(found: Sequence[tuple[NDArray[np.float32], tuple[int, ...]]]) -> float:
    """Mean over tags of the average precision of ranking pictures by the tag."""
    from sklearn.metrics import average_precision_score  # noqa: PLC0415 - a second to import

    probs = np.stack([p for p, _ in found])
    truth = np.zeros(probs.shape, bool)
    for row, (_, tags) in enumerate(found):
        truth[row, list(tags)] = True
    there = truth.any(axis=0) & ~truth.all(axis=0)
    values = [average_precision_score(truth[:, k], probs[:, k]) for k in np.flatnonzero(there)]
    return float(np.mean(values)) if values else float("nan")
