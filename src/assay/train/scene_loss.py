"""What a step of a network with several heads minimises: the losses of its tasks, added up as they are.

Each is a mean over its own items, so all of them are of the order of 1. Dividing them by what they were at the end of
warm-up was tried and gained nothing (docs/architecture.md has the figures).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assay.losses.multitask import MultiTaskLoss
from assay.train.step import ToTensors


class LearnScenes(nn.Module):
    """As ``step.Learn``, over batches of ``images`` and ``losses.targets.Targets``."""

    def __init__(self, loss: MultiTaskLoss, to_tensors: ToTensors) -> None:
        super().__init__()
        self._to_tensors, self.loss = to_tensors, loss
        self.parts: dict[str, Tensor] = {}

    def forward(self, model: nn.Module, batch: Any, *, bf16: bool) -> Tensor:
        """As ``step.Learn``."""
        x = self.images(batch)
        targets = batch.targets.to(x.device)
        if hasattr(getattr(model, "module", model), "losses"):  # a network that brings its own
            losses = model(x, targets)
        else:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
                outputs = model(x)
            losses = self.loss(outputs, targets).tasks
        self.parts = {name: value.detach() for name, value in losses.items()}
        return torch.stack(list(losses.values())).sum()

    def images(self, batch: Any) -> Tensor:
        """As ``step.Learn``."""
        return self._to_tensors(batch.images)
