"""What a step of a network with several heads minimises: the losses of its tasks, brought to one scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assay.losses.balance import Balance, Mean
from assay.losses.multitask import TASKS, MultiTaskLoss
from assay.models.multitask import Heads
from assay.train.step import ToTensors


class LearnScenes(nn.Module):
    """As ``step.Learn``, over batches of ``images`` and ``losses.targets.Targets``.

    The scales of the tasks are part of the checkpoint, and the same in all processes: ``mean`` is ``Balance``'s.
    With one task there is nothing to balance.
    """

    def __init__(
        self, heads: Heads, loss: MultiTaskLoss, to_tensors: ToTensors, *, mean: Mean | None = None
    ) -> None:
        super().__init__()
        self._to_tensors, self.loss = to_tensors, loss
        self.tasks = tuple(name for name in TASKS if name in heads.names)
        self.balance = Balance(self.tasks, mean=mean)
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
        value: Tensor = self.balance(losses)
        return value

    def images(self, batch: Any) -> Tensor:
        """As ``step.Learn``."""
        return self._to_tensors(batch.images)

    def after(self, progress: float, warmup: float) -> None:
        """The end of warm-up freezes the scales."""
        if progress >= warmup and len(self.tasks) > 1 and not bool(self.balance.frozen):
            self.balance.freeze()
