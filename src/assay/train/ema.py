"""A moving average of the weights, judged beside the raw ones (Polyak and Juditsky 1992; Izmailov et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of all parameters and floating buffers of a network.

    The decay is ``0.5 ** (1 / half_life)`` with the half-life in steps, rising from 0 at the start
    (``(1 + t) / (10 + t)``), so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module) -> None:
        self.values: dict[str, Tensor] = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module, half_life: float) -> None:
        """Take one step towards the network's weights; ``half_life`` in steps."""
        self.updates += 1
        decay = min(0.5 ** (1.0 / max(half_life, 1e-6)), (1 + self.updates) / (10 + self.updates))
        mine: list[Tensor] = []
        theirs: list[Tensor] = []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                mine.append(self.values[name])
                theirs.append(value.detach())
            else:
                self.values[name].copy_(value)
        torch._foreach_lerp_(mine, theirs, 1.0 - decay)
