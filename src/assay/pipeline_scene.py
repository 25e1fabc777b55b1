"""The answer corridor of networks with several heads: class, tags, boxes with masks, and pixels, from one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.image import DEFAULT_LIMITS, ImageLimits
from assay.photos import Source
from assay.pipeline import NOT_FINITE, Alone, Corridor, Prepared, walk_any
from assay.postprocess_boxes import LEAST_SCORE, Frame
from assay.postprocess_scene import read_scene
from assay.preprocess import Preprocess
from assay.types import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card

SceneEngine = Callable[["NDArray[np.float32]"], Mapping[str, "NDArray[Any]"]]
"""(B, C, S, S) float32 -> the arrays of ``models.outputs.Outputs.named``, each with the axis of the batch."""

EVERY_SCORE = 0.01
"""Least score where all that was found is wanted, as for average precision."""


def told_from(card: Card) -> float:
    """The score from which a found thing is told: the one that was picked on validation, where there is one."""
    return float(card.thresholds.get("boxes", {}).get("score", LEAST_SCORE))


def answer_scenes(
    sources: Iterable[Source],
    engine: SceneEngine,
    card: Card,
    *,
    least_score: float | None = None,
    masks: bool = True,
    pixels: bool = True,
    batch: int = 8,
    workers: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
    alone: Alone | None = None,
    embed: bool = False,
) -> Iterator[Prediction]:
    """One Prediction a source, in order, as ``pipeline.answer``.

    Parameters
    ----------
    engine : called from the consuming thread, one batch at a time.
    least_score : below which no thing is told; ``told_from(card)`` when not given.
    masks, pixels : False leaves out what is costly and not wanted.
    embed : fills ``Prediction.embedding``, where the network has one.

    Raises
    ------
    ConfigError : batch or workers below 1.
    """
    score = told_from(card) if least_score is None else least_score
    corridor = SceneCorridor(
        engine, card, Preprocess(card.preprocess), limits, card, score, masks, pixels, embed
    )
    return walk_any(corridor, sources, alone, batch, workers)


@dataclass(frozen=True)
class SceneCorridor(Corridor):
    """Everything that a network of several heads tells; ``whole`` is its card."""

    whole: Card
    least_score: float
    masks: bool
    pixels: bool
    embed: bool = False

    def read(self, items: list[Prepared], pixels: NDArray[np.uint8]) -> list[Prediction]:
        """As ``Corridor.read``."""
        outputs = self.engine(self.preprocess.normalise(pixels))
        finite = np.logical_and.reduce([_finite(value) for value in outputs.values()])
        return [
            self._prediction(item, {name: value[i] for name, value in outputs.items()})
            if finite[i]
            else self.broken(item, NOT_FINITE)
            for i, item in enumerate(items)
        ]

    def _prediction(self, item: Prepared, outputs: Mapping[str, NDArray[Any]]) -> Prediction:
        card = self.whole
        found = read_scene(
            outputs,
            Frame.of(card.preprocess, item.size_hw),
            card.preprocess.size,
            temperature=card.temperature,
            least_score=self.least_score,
            masks=self.masks,
            pixels=self.pixels,
        )
        return Prediction(
            item.path,
            card.classes,
            np.empty(0, np.float32) if found.probs is None else found.probs,
            item.size_hw,
            tags=found.tags,
            boxes=found.boxes,
            pixels=found.pixels,
            object_classes=card.object_classes,
            pixel_classes=card.pixel_classes,
            embedding=np.array(outputs["embedding"]) if self.embed and "embedding" in outputs else None,
        )


def _finite(value: NDArray[Any]) -> NDArray[np.bool_]:
    """(B,) whether everything of a picture is a finite number."""
    return np.asarray(np.isfinite(value).reshape(len(value), -1).all(axis=1))


__all__ = ["EVERY_SCORE", "SceneCorridor", "SceneEngine", "answer_scenes", "told_from"]
