"""The run folder of a network with several heads as a predictor: it answers through the corridor of a Bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from assay.bundle import Card
from assay.labels import ClassNames
from assay.pipeline_scene import answer_scenes
from assay.types import Prediction


@dataclass(frozen=True)
class ScenePredictor:
    """A trained network with its card; ``predict`` gives Predictions with whatever its heads tell, in fp32."""

    model: nn.Module
    card: Card
    folder: Path
    batch: int = 8

    @property
    def classes(self) -> ClassNames:
        """The classes of pictures and tags."""
        return self.card.classes

    @property
    def name(self) -> str:
        """The run's name."""
        return self.card.name

    def __call__(self, photo: str | Path) -> Prediction:
        """The Prediction of one picture."""
        return next(self.predict([photo]))

    def predict(
        self,
        sources: Iterable[str | Path],
        *,
        least_score: float | None = None,
        masks: bool = True,
        pixels: bool = True,
        batch: int | None = None,
        workers: int | None = None,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order, as ``pipeline_scene.answer_scenes``."""
        return answer_scenes(
            sources,
            self.engine,
            self.card,
            least_score=least_score,
            masks=masks,
            pixels=pixels,
            batch=self.batch if batch is None else batch,
            workers=workers,
        )

    def engine(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """(B, C, S, S) float32 -> the arrays of ``models.outputs.Outputs.named``."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            x = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
            outputs = self.model(x)
        return {name: value.float().cpu().numpy() for name, value in outputs.named().items()}
