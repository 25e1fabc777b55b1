"""Validation during a run: pixels prepared once by the Bundle's own Preprocess, then logits of any weights."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import functional_call

from assay.metrics.classify import accuracy, macro_f1
from assay.metrics.reliability import nll
from assay.models.classifier import Classifier
from assay.postprocess import probabilities
from assay.preprocess import Preprocess
from assay.train.cache import PictureCache
from assay.train.reference import Ends, ends_of, join


class Judging(Protocol):
    """What the loop asks of validation."""

    def __len__(self) -> int:
        """Pictures that are looked at."""
        ...

    def seconds(self, model: Any) -> float:
        """Seconds that one look at all pictures takes, from a sample of them."""
        ...

    def score(self, model: Any, weights: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """Named scores of the weights, "loss" among them; ``weights`` stand in for the network's own where given."""
        ...

    def rank(self, score: Mapping[str, float]) -> tuple[float, ...]:
        """Greater is better."""
        ...


class Judge:
    """Measures weights on the labelled pictures of one part.

    Parameters
    ----------
    pixels : what ``Preprocess.pixels`` gave for each row, (S, S, C) uint8.
    targets : (N,) class indices.
    """

    def __init__(
        self, pixels: PictureCache, targets: NDArray[np.int64], preprocess: Preprocess, device: torch.device
    ) -> None:
        self._pixels, self.targets, self._preprocess, self._device = pixels, targets, preprocess, device

    def __len__(self) -> int:
        return len(self.targets)

    @torch.inference_mode()
    def logits(
        self, model: Classifier, weights: Mapping[str, Tensor] | None = None, batch: int = 32
    ) -> NDArray[np.float32]:
        """(N, K) logits in evaluation mode; ``weights`` stand in for the network's own where given."""
        was_training = model.training
        model.eval()
        parts = []
        for x in self._inputs(batch):
            out = functional_call(model, dict(weights), (x,)) if weights else model(x)
            parts.append(out.float().cpu().numpy())
        model.train(was_training)
        return np.concatenate(parts)

    @torch.inference_mode()
    def ends(self, model: Classifier, batch: int = 32) -> Ends:
        """(N, K) logits and (N, F) embedding of the network's own weights, from one pass."""
        was_training = model.training
        model.eval()
        parts = [ends_of(model, x) for x in self._inputs(batch)]
        model.train(was_training)
        return join(parts)

    def _inputs(self, batch: int) -> Iterator[Tensor]:
        for start in range(0, len(self), batch):
            rows = range(start, min(start + batch, len(self)))
            x = torch.from_numpy(self._preprocess.normalise(np.stack([self._pixels[i] for i in rows])))
            yield x.to(self._device).contiguous(memory_format=torch.channels_last)

    def seconds(self, model: Classifier, sample: int = 64) -> float:
        """Seconds that one look at all pictures takes, from a sample of them."""
        few = Judge(self._pixels, self.targets[:sample], self._preprocess, self._device)
        few.logits(model, batch=sample // 2)  # once for torch's first-time costs
        begin = time.monotonic()
        few.logits(model)
        return (time.monotonic() - begin) * len(self) / len(few)

    def rank(self, score: Mapping[str, float]) -> tuple[float, ...]:
        """By accuracy, and among equals by the loss."""
        return score["accuracy"], -score["loss"]

    def score(self, model: Classifier, weights: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """{"loss", "accuracy", "macro_f1"} of the weights on these pictures."""
        probs = probabilities(self.logits(model, weights))
        return {
            "loss": float(nll(probs, self.targets)),
            "accuracy": float(accuracy(probs, self.targets)),
            "macro_f1": float(macro_f1(probs, self.targets)),
        }
