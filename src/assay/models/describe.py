"""How large a network is: parameters, multiply-adds, and a table of its layers."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer as met in one forward pass. ``output`` is (C, H, W) or (F,)."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Description:
    """``macs`` counts multiply-adds of convolutions and linear layers for one picture of ``size_hw``.

    Attention's own products are not in it.
    """

    size_hw: tuple[int, int]
    parameters: int
    trainable: int
    macs: int
    layers: tuple[Layer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Sizes as plain values for JSON, without the layers."""
        return {
            "parameters": self.parameters,
            "trainable": self.trainable,
            "macs": self.macs,
            "size_hw": list(self.size_hw),
        }

    def table(self) -> str:
        """A line a layer, and the sums."""
        rows = [("layer", "kind", "output", "parameters", "MMACs")]
        for layer in self.layers:
            shape = " x ".join(str(side) for side in layer.output)
            rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.macs / 1e6:.2f}"))
        shape = f"{self.size_hw[0]} x {self.size_hw[1]} px in"
        rows.append(("all", "", shape, f"{self.parameters:,}", f"{self.macs / 1e6:.2f}"))
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        return "\n".join(_line(row, widths) for row in rows)


def describe(model: nn.Module, size: int | tuple[int, int] = 160, channels: int = 3) -> Description:
    """Run one empty picture through a copy of ``model`` on torch's meta device: no arithmetic, no memory.

    Raises
    ------
    ModelError : the network takes no pictures of this size.
    """
    size_hw = (size, size) if isinstance(size, int) else size
    twin = copy.deepcopy(model).to("meta").eval()
    layers: list[Layer] = []
    for name, module in twin.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(_note(name, layers))
    with torch.no_grad():
        twin(torch.empty(1, channels, *size_hw, device="meta"))
    parameters = list(model.parameters())
    return Description(
        size_hw=size_hw,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layers),
    )


def _note(name: str, layers: list[Layer]) -> Any:
    def hook(module: nn.Conv2d | nn.Linear, _: tuple[Tensor, ...], output: Tensor) -> None:
        # a weight is used once for each output position: of the map, or of the tokens before the last axis
        positions = (
            output[0, 0].numel() if isinstance(module, nn.Conv2d) else output[0].numel() // output.shape[-1]
        )
        kind = "linear"
        if isinstance(module, nn.Conv2d):
            kind = f"conv {module.kernel_size[0]}x{module.kernel_size[1]}"
            kind += f" /{module.stride[0]}" if module.stride[0] > 1 else ""
            kind += f" groups {module.groups}" if module.groups > 1 else ""
        count = sum(p.numel() for p in module.parameters())
        layers.append(Layer(name, kind, tuple(output.shape[1:]), count, positions * module.weight.numel()))

    return hook


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right])
