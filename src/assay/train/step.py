"""One update of the weights, as the loop and the probes both do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from assay.configs import PreprocessConfig
from assay.train.batch import Batch

Loss = Callable[[Tensor, Tensor], Tensor]


class ToTensors:
    """Puts a batch on the device and normalises it as Preprocess does: (B, S, S, C) uint8 -> (B, C, S, S) float32."""

    def __init__(self, config: PreprocessConfig, channels: int, device: torch.device) -> None:
        mean = torch.tensor(config.mean).reshape(-1)
        std = torch.tensor(config.std).reshape(-1)
        if len(mean) != channels:
            mean, std = mean.mean().expand(channels), std.mean().expand(channels)
        self._device = device
        self._shift = mean.reshape(1, -1, 1, 1).to(device)
        self._scale = 1.0 / std.reshape(1, -1, 1, 1).to(device)

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(images, targets) on the device; a permuted B S S C is channels_last already."""
        x = torch.from_numpy(batch.images).to(self._device).permute(0, 3, 1, 2)  # B C S S
        x = x.float().mul_(1 / 255).sub_(self._shift).mul_(self._scale)
        return x, torch.from_numpy(batch.targets).to(self._device)


def channels_last(model: nn.Module) -> nn.Module:
    """The network in the memory layout that CPUs and tensor cores like."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A seed for torch's generator (dropout, drop path) that depends on the step alone."""
    return (seed * 1_000_003 + step * 97 + rank * 1_000_000_007) % 2**63


def clip_scale(parameters: Sequence[nn.Parameter], clip: float) -> Tensor | None:
    """Norm of the gradient before clipping it to ``clip``; None when clipping is off."""
    return torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True) if clip else None
