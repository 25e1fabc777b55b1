"""Convolutions whose weights get wrong gradients in bf16 on a CPU: those that stride over maps one pixel wide.

torch 2.13 with oneDNN reads memory there that nobody wrote. The gradient of a 3x3 convolution of stride 2 over a map of
width 1 then holds whatever lay in that memory: often nothing, sometimes 10^12 or no number at all. In fp32 it is right,
and so it is over maps two pixels wide. Found by training csp-nano on pictures of 16 px; shown again by filling freed
memory (``MALLOC_PERTURB_=170``) and comparing both precisions, layer by layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import ModelError


def strides_over_one_pixel(model: nn.Module, side: int, channels: int) -> list[str]:
    """Names of the convolutions that stride over a map of width 1 where pictures have ``side`` px."""
    found: list[str] = []

    def look(name: str) -> Any:
        def hook(layer: nn.Conv2d, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            if inputs[0].shape[3] == 1 and layer.stride[1] > 1 and layer.kernel_size[1] > 1:
                found.append(name)

        return hook

    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_hook(look(name)) for name, layer in layers]
    was_training = model.training
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, channels, side, side, device=device))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    return found


def wrong_in_bf16(model: nn.Module, name: str, precision: str | None, side: int, channels: int) -> list[str]:
    """Layers that this device would teach wrongly in bf16 from pictures of ``side`` px; none but on a CPU.

    Raises
    ------
    ModelError : bf16 is asked for, and there are some.
    """
    if precision == "fp32" or next(model.parameters()).device.type != "cpu":
        return []
    narrow = strides_over_one_pixel(model, side, channels)
    if narrow and precision == "bf16":
        raise ModelError(
            f"{name} cannot learn in bf16 on this CPU from pictures of {side} px",
            got=f"{narrow[0]} strides over a map one pixel wide, where torch's gradients in bf16 are wrong",
            fix="use larger pictures (--size), or --precision fp32",
        )
    return narrow
