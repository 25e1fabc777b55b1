"""A run folder as a Predictor: the checkpoint answers through the same corridor as a Bundle does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from assay.bundle import Card
from assay.configs import ModelConfig
from assay.errors import ConfigError, ModelError
from assay.labels import ClassNames
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.models.scene_models import build_scene_model
from assay.pipeline import answer
from assay.train.checkpoint import load_tensors
from assay.train.scene_heads import count_heads
from assay.train.scene_predictor import ScenePredictor
from assay.train.step import channels_last
from assay.types import Prediction

if TYPE_CHECKING:
    from assay.decide.abstention import Abstention
    from assay.pipeline import Doubter


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

    @cached_property
    def abstention(self) -> Abstention | None:
        """The thresholds in the run folder, if any. Raises BundleError when they are damaged."""
        from assay.decide.stored import load_abstention  # noqa: PLC0415 - rarely asked for

        return load_abstention(self.folder, self.classes)

    def __call__(self, photo: str | Path, *, abstain: bool = False) -> Prediction:
        """The Prediction of one picture."""
        return next(self.predict([photo], abstain=abstain))

    def predict(
        self,
        sources: Iterable[str | Path],
        *,
        batch: int | None = None,
        workers: int | None = None,
        abstain: bool = False,
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order; with ``abstain`` each says whether it should be held back.

        Arguments and errors are those of a Bundle's predictor, but ``sources`` is a list of paths.
        """
        size = self.batch if batch is None else batch
        if not abstain:
            return answer(sources, self.engine, self.card, batch=size, workers=workers)
        if self.abstention is None:
            raise ConfigError(
                f"{self.folder} has no thresholds, so it cannot abstain",
                fix=f"run `assay calibrate {self.folder}`",
            )
        return answer(sources, self.outputs, self.card, doubt=self.abstention, batch=size, workers=workers)

    def observe(self, sources: Iterable[str | Path], doubter: Doubter) -> Iterator[Prediction]:
        """One Prediction a source, in order; ``doubter`` is shown logits and embedding of each batch."""
        return answer(sources, self.outputs, self.card, doubt=doubter, batch=self.batch)

    def engine(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, S, S) float32 -> logits (B, K) float32."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            x = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
            return self.model(x).float().cpu().numpy()

    def outputs(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, C, S, S) float32 -> logits (B, K) and embedding (B, F) float32, from one pass."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            x = torch.from_numpy(images).to(device).contiguous(memory_format=torch.channels_last)
            embedding = self.model.embed(x)
            return self.model.head(embedding).float().cpu().numpy(), embedding.float().cpu().numpy()


def load_run(path: str | Path) -> CheckpointPredictor | ScenePredictor:
    """The finished run in a folder: a ScenePredictor where its card says so.

    Raises
    ------
    ConfigError : the folder is not a run, or the run has not finished.
    ModelError : its weights are damaged.
    """
    folder = Path(path)
    require_finished(folder)
    card = Card.load(folder / "card.json")
    values = dict(card.model)
    channels = int(values.pop("channels", 3))
    config = ModelConfig.from_dict({**values, "weights": None, "pretrained": False})
    model: nn.Module
    if card.task == "scene":
        model = build_scene_model(config, count_heads(card, card.heads), channels)
    else:
        model = build_model(config, len(card.classes), channels)
    tensors, _ = load_tensors(folder / "model.safetensors")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{folder}/model.safetensors does not fit its card", got=str(error)) from error
    channels_last(model.eval())
    if isinstance(model, Classifier):
        return CheckpointPredictor(model, card, folder)
    return ScenePredictor(model, card, folder)


def require_finished(folder: Path) -> None:
    """Raise ConfigError unless the folder holds a finished run."""
    if not (folder / "card.json").is_file():
        unfinished = (folder / "run.json").is_file()
        raise ConfigError(
            f"{folder} is not a finished run",
            got="a run that was interrupted" if unfinished else "no card.json in it",
            fix=f"go on with `assay train --resume --out {folder}`"
            if unfinished
            else "give the folder of `assay train --out`",
        )


def load_classifier(path: str | Path) -> CheckpointPredictor:
    """The finished run of a classifier, for those who look inside it.

    Raises
    ------
    ConfigError : as ``load_run``; or the run tells more than a class.
    """
    found = load_run(path)
    if isinstance(found, ScenePredictor):
        raise ConfigError(
            f"{path} is no classifier",
            got=f"a network that tells {', '.join(found.card.heads)}",
            fix="this works with runs that learned the class of pictures alone",
        )
    return found
