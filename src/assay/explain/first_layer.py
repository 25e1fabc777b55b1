"""The first layer of a network as pictures: what each of its units looks for in the colours of pixels.

Only the first layer can be shown so, as only its weights stand for pixels. A convolution's weights are small pictures
(Krizhevsky et al. 2012, figure 3); of a network that reads patches, so are the weights of its first matrix; of one that
reads rows they are rows. Recurrent layers have several matrices: shown is the one of the candidate state, which says
what is written down, not when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from assay.explain.target import frozen
from assay.models.classifier import Classifier
from assay.models.tokens import Rows

BAND = 4
"""A row is drawn this many times wider than high."""

Form = Literal["squares", "rows"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """``weights`` (F, C, h, w) of the module ``name``; h is 1 for a network that reads rows."""

    name: str
    form: Form
    weights: Floats

    def order(self) -> NDArray[np.int64]:
        """(F,) the strongest first."""
        return np.argsort(-np.square(self.weights).sum((1, 2, 3)), kind="stable")

    def pictures(self, most: int) -> list[NDArray[np.uint8]]:
        """The strongest as (h, w, 3) uint8: grey is no weight; each has its own scale. Rows are drawn as bands."""
        found = [_picture(self.weights[i]) for i in self.order()[:most]]
        if self.form == "squares":
            return found
        return [row.repeat(max(1, row.shape[1] // BAND), axis=0) for row in found]


def find_first_layer(model: Classifier, x: Tensor) -> FirstLayer | None:
    """The first module whose weights stand for pixels of x (B, C, H, W); None where there is none."""
    channels = int(x.shape[1])
    rows = next((m.columns for m in model.modules() if isinstance(m, Rows)), None)
    met: list[tuple[str, nn.Module]] = []

    def meet(name: str) -> object:
        return lambda module, _: met.append((name, module))

    hooks = [m.register_forward_pre_hook(meet(name)) for name, m in model.named_modules()]
    try:
        with frozen(model), torch.inference_mode():
            model(x[:1])
    finally:
        for hook in hooks:
            hook.remove()
    for name, module in met:
        weights = _weights(module)
        if weights is None:
            continue
        found = _as_pixels(weights.detach().double().cpu(), channels, rows)
        return None if found is None else FirstLayer(name, *found)
    return None


def _weights(module: nn.Module) -> Tensor | None:
    """The matrix that meets what comes in, or None for a module without one."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        return module.weight
    if isinstance(module, nn.LSTM | nn.GRU):
        gates = 4 if isinstance(module, nn.LSTM) else 3
        weight: Tensor = module.weight_ih_l0  # type: ignore[assignment]
        return weight.chunk(gates)[2]  # input, forget, candidate, output; reset, update, candidate
    return None


def _as_pixels(weights: Tensor, channels: int, rows: int | None) -> tuple[Form, Floats] | None:
    """Weights as (F, C, h, w); None where they do not stand for pixels."""
    if weights.ndim == 4:
        fits = weights.shape[1] == channels and min(weights.shape[2:]) > 1
        return ("squares", weights.numpy()) if fits else None
    inputs = int(weights.shape[1])
    if rows is not None:
        if inputs != channels * rows:
            return None
        return "rows", weights.unflatten(1, (channels, 1, rows)).numpy()
    side = math.isqrt(inputs // channels)
    if inputs != channels * side * side or side < 2:
        return None
    return "squares", weights.unflatten(1, (side, side, channels)).permute(0, 3, 1, 2).numpy()


def _picture(weights: Floats) -> NDArray[np.uint8]:
    """(C, h, w) -> (h, w, 3): half grey is zero, the greatest weight full."""
    top = np.abs(weights).max() or 1.0
    pixels = (127.5 + 127.5 * weights / top).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels[:, :, :1].repeat(3, axis=2))


def describe_first_layer(layer: FirstLayer | None) -> str:
    """A sentence or two for a general reader."""
    if layer is None:
        return (
            "This network's first weights do not stand for pixels, so they cannot be shown as pictures. "
            "What its stages answer to is shown below."
        )
    count = len(layer.weights)
    if layer.form == "rows":
        return (
            f"This network reads a picture row by row. Each strip is one of {count} patterns that it looks for in a "
            "row: where it is bright or coloured, the row should be so at that place. It has no patterns of height, as "
            "it sees one row at a time; shapes appear only in what it remembers from row to row."
        )
    colour = colour_share(layer.weights)
    dots = int((colour > 0.5).sum()) if layer.weights.shape[1] == 3 else 0
    told = (
        f"Each square is one of {count} patterns of {layer.weights.shape[2]} x {layer.weights.shape[3]} pixels that "
        "the first layer looks for everywhere in a picture: grey means that a pixel does not matter."
    )
    if not dots:
        return f"{told} They look for light against dark: edges and dots."
    return f"{told} About {dots} of them compare colours, the other {count - dots} light with dark: edges and dots."


def colour_share(weights: Floats) -> Floats:
    """(F, C, h, w) -> (F,): how much of a pattern's strength tells colours apart, from 0 (grey) to 1."""
    grey = weights.mean(1, keepdims=True)
    whole = np.square(weights).sum((1, 2, 3))
    return np.asarray(np.square(weights - grey).sum((1, 2, 3)) / np.where(whole > 0, whole, 1.0))
