"""How large a network is: parameters, multiply-adds, and a table of its layers.

Counted are the layers that do nearly all of the work: convolutions, linear layers and recurrent ones, and layers of
our own that say themselves what they do (``multiply_adds``: a scan, a product with a fixed matrix). Norms,
activations, pooling and the gates' own elementwise products are left out, for every network alike.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_COUNTED = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.RNNBase


@dataclass(frozen=True)
class Layer:
    """A counted layer as met in one forward pass. ``output`` is (C, H, W), (F,), or (..., T, F) of sequences."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Description:
    """``macs`` counts multiply-adds of the counted layers for one picture of ``size_hw``.

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

    A network whose work depends on what it finds says with ``at_most(x)`` what it runs when it finds as much as it may.

    Raises
    ------
    ModelError : the network takes no pictures of this size.
    """
    size_hw = (size, size) if isinstance(size, int) else size
    twin = copy.deepcopy(model).to("meta").eval()
    layers: list[Layer] = []
    for name, module in twin.named_modules():
        if isinstance(module, _COUNTED) or hasattr(module, "multiply_adds"):
            module.register_forward_hook(_note(name, layers))
    with torch.no_grad():
        getattr(twin, "at_most", twin)(torch.empty(1, channels, *size_hw, device="meta"))
    parameters = list(model.parameters())
    return Description(
        size_hw=size_hw,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layers),
    )


def _note(name: str, layers: list[Layer]) -> Any:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        count = sum(p.numel() for p in module.parameters())
        states: Tensor = output[0] if isinstance(module, nn.RNNBase) else output
        # sequences of one picture (its rows, its windows) may lie side by side on the first axis
        shape = tuple(states.shape) if states.shape[0] > 1 else tuple(states.shape[1:])
        layers.append(Layer(name, _kind(module), shape, count, _multiply_adds(module, inputs, states)))

    return hook


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        kind = f"conv {module.kernel_size[0]}x{module.kernel_size[1]}"
        kind += f" /{module.stride[0]}" if module.stride[0] > 1 else ""
        return kind + (f" groups {module.groups}" if module.groups > 1 else "")
    if isinstance(module, nn.ConvTranspose2d):
        return f"conv {module.kernel_size[0]}x{module.kernel_size[1]} *{module.stride[0]}"
    if isinstance(module, nn.RNNBase):
        return module.mode.lower() + (", both ways" if module.bidirectional else "")
    return "linear" if isinstance(module, nn.Linear) else type(module).__name__


def _multiply_adds(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    """For one picture: a weight is used once for each output position, of a map or of the tokens of a sequence.

    A transposed convolution's is used once for each position that comes in.
    """
    if isinstance(module, nn.Conv2d):
        return output[:, 0].numel() * module.weight.numel()
    if isinstance(module, nn.ConvTranspose2d):
        return inputs[0][:, 0].numel() * module.weight.numel()
    if isinstance(module, nn.Linear):
        return output.numel() // output.shape[-1] * module.weight.numel()
    if isinstance(module, nn.RNNBase):
        matrices = sum(p.numel() for p in module.parameters() if p.ndim > 1)
        return output.numel() // output.shape[-1] * matrices
    counted: int = module.multiply_adds(inputs, output)  # type: ignore[operator]
    return counted


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join([*left, *right])
