"""One update of the weights, as the loop and the probes both do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.configs import PreprocessConfig

Loss = Callable[[Tensor, Tensor], Tensor]


class Learn(Protocol):
    """What a step minimises."""

    @property
    def parts(self) -> dict[str, Tensor]:
        """What the loss of the last batch was made of, detached, by name; may be empty."""
        ...

    def __call__(self, model: nn.Module, batch: Any, *, bf16: bool) -> Tensor:
        """The loss of a batch, a scalar with a graph."""
        ...

    def images(self, batch: Any) -> Tensor:
        """(B, C, S, S) float32: what the network is shown."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Whether it takes in what it sees; as ``nn.Module.train``."""
        ...

    def eval(self) -> Any:
        """As ``nn.Module.eval``."""
        ...


class LearnClasses(nn.Module):
    """Cross-entropy and its kin of the network's logits, over batches of ``images`` and ``targets``."""

    def __init__(self, loss: nn.Module, to_tensors: ToTensors) -> None:
        super().__init__()
        self.loss, self._to_tensors = loss, to_tensors
        self.parts: dict[str, Tensor] = {}

    def forward(self, model: nn.Module, batch: Any, *, bf16: bool) -> Tensor:
        """As ``Learn``."""
        x = self.images(batch)
        y = torch.from_numpy(batch.targets).to(x.device)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            logits = model(x)
        value: Tensor = self.loss(logits.float(), y)
        return value

    def images(self, batch: Any) -> Tensor:
        """As ``Learn``."""
        return self._to_tensors(batch.images)


class ToTensors:
    """Normalises on the device as Preprocess does: (B, S, S, C) uint8 -> (B, C, S, S) float32."""

    def __init__(self, config: PreprocessConfig, channels: int, device: torch.device) -> None:
        mean = torch.tensor(config.mean).reshape(-1)
        std = torch.tensor(config.std).reshape(-1)
        if len(mean) != channels:
            mean, std = mean.mean().expand(channels), std.mean().expand(channels)
        self._device = device
        self._shift = mean.reshape(1, -1, 1, 1).to(device)
        self._scale = 1.0 / std.reshape(1, -1, 1, 1).to(device)

    def __call__(self, images: NDArray[np.uint8]) -> Tensor:
        """On the device; a permuted B S S C is channels_last already."""
        x = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2)  # B C S S
        return x.float().mul_(1 / 255).sub_(self._shift).mul_(self._scale)


def channels_last(model: nn.Module) -> nn.Module:
    """The network in the memory layout that CPUs and tensor cores like."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for torch's generator (dropout, drop path) that depends on the step alone."""
    return (seed * 1_000_003 + step * 97 + rank * 1_000_000_007) % 2**63


def clip_scale(parameters: Sequence[nn.Parameter], clip: float) -> Tensor | None:
    """Norm of the gradient before clipping it to ``clip``; None when clipping is off."""
    return torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True) if clip else None
