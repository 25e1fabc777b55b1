"""A run folder as a Predictor: the checkpoint answers through the same corridor as a Bundle does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assay.bundle import Card
from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.labels import ClassNames
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.pipeline import answer
from assay.train.checkpoint import load_tensors
from assay.train.step import channels_last
from assay.types import Prediction


@dataclass(frozen=True)
class CheckpointPredictor:
    """A trained network with its card; ``predict`` gives calibrated Predictions in fp32."""

    model: Classifier
    card: Card
    folder: Path
    batch: int = 32

    @property
    def classes(self) -> ClassNames:
        """The classes, in the order of ``Prediction.probs``."""
        return self.card.classes

    @property
    def name(self) -> str:
        """The run's name."""
        return self.card.name

    def __call__(self, photo: str | Path) -> Prediction:
        """The Prediction of one picture."""
        return next(self.predict([photo]))

    def predict(self, sources: Iterable[str | Path]) -> Iterator[Prediction]:
        """One Prediction a source, in order."""
        return answer(sources, self.engine, self.card, batch=self.batch)

    def engine(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, S, S) float32 -> logits (B, K) float32."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            x = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
            return self.model(x).float().cpu().numpy()


def load_run(path: str | Path) -> CheckpointPredictor:
    """The finished run in a folder.

    Raises
    ------
    ConfigError : the folder is not a run, or the run has not finished.
    ModelError : its weights are damaged.
    """
    folder = Path(path)
    if not (folder / "card.json").is_file():
        unfinished = (folder / "run.json").is_file()
        raise ConfigError(
            f"{folder} is not a finished run",
            got="a run that was interrupted" if unfinished else "no card.json in it",
            fix=f"go on with `assay train --resume --out {folder}`"
            if unfinished
            else "give the folder of `assay train --out`",
        )
    card = Card.load(folder / "card.json")
    values = dict(card.model)
    channels = int(values.pop("channels", 3))
    config = ModelConfig.from_dict({**values, "weights": None, "pretrained": False})
    model = build_model(config, len(card.classes), channels)
    tensors, _ = load_tensors(folder / "model.safetensors")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{folder}/model.safetensors does not fit its card", got=str(error)) from error
    channels_last(model.eval())
    return CheckpointPredictor(model, card, folder)
