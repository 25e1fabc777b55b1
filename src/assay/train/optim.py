"""Optimisers by name, with the parameter groups that recipes agree on.

Norms, biases and other vectors are never decayed; with layer-wise decay each block learns slower than the one
above it (Clark et al. 2020, Bao et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from assay.configs import TrainConfig


def parameter_groups(
    blocks: Sequence[Sequence[nn.Parameter]], weight_decay: float, layer_decay: float
) -> list[dict[str, Any]]:
    """Groups with ``weight_decay`` and ``lr_scale`` (1 for the last block, ``layer_decay`` less for each below).

    ``blocks`` run from the input to the head. Frozen parameters are left out.
    """
    groups: list[dict[str, Any]] = []
    for depth, block in enumerate(blocks):
        scale = layer_decay ** (len(blocks) - 1 - depth)
        learning = [p for p in block if p.requires_grad]
        for params, decay in (
            ([p for p in learning if p.ndim > 1], weight_decay),
            ([p for p in learning if p.ndim <= 1], 0.0),
        ):
            if params:
                groups.append({"params": params, "weight_decay": decay, "lr_scale": scale})
    return groups


def build_optimiser(groups: list[dict[str, Any]], config: TrainConfig, lr: float) -> Optimizer:
    """The named optimiser of torch over ``groups``, at peak learning rate ``lr``."""
    if layer_free(groups):
        groups = _merged(groups)
    for group in groups:
        group["lr"] = lr * group["lr_scale"]
    name = config.optimiser
    if name == "sgd":
        return torch.optim.SGD(
            groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=True
        )
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=lr, momentum=config.momentum, alpha=0.9, eps=1e-3)
    if name in ("adam", "adamw"):
        family = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
        return family(groups, lr=lr, betas=(0.9, 0.99), fused=True)
    return {"nadam": torch.optim.NAdam, "radam": torch.optim.RAdam}[name](groups, lr=lr)


def layer_free(groups: list[dict[str, Any]]) -> bool:
    """Whether all groups learn at one rate, so that they can be merged into fewer."""
    return len({group["lr_scale"] for group in groups}) == 1


def _merged(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged: dict[float, dict[str, Any]] = {}
    for group in groups:
        home = merged.setdefault(group["weight_decay"], {**group, "params": []})
        home["params"] = [*home["params"], *group["params"]]
    return list(merged.values())


def set_lr(optimiser: Optimizer, lr: float) -> None:
    """Give every group ``lr`` times its own scale."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_scale"]
