"""Pictures as sequences, without a convolution: rows, or patches, each to be projected by one matrix.

A network is built without knowing the size of its pictures, and progressive training changes it. A row of 96 pixels
and one of 160 cannot go through the same matrix, so every row is brought to a fixed number of columns first; a patch
has a fixed side, and a larger picture has more of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Rows(nn.Module):
    """(B, C, H, W) -> (B, H, C * columns): each row of the picture, brought to ``columns`` by area, as one step.

    A column is the mean over the stretch of the row that it covers, parts of pixels counted by their share; where
    the picture has fewer pixels, several columns repeat one. It is a product with a fixed matrix (W, columns).
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, H, C * columns)."""
        side = int(x.shape[-1])
        if side != self.columns:
            x = x @ area_matrix(side, self.columns).to(x)  # B C H N
        return x.transpose(1, 2).flatten(2)

    def multiply_adds(self, inputs: tuple[Tensor, ...], output: Tensor) -> int:
        """Of the product with the fixed matrix; none where the picture has as many columns."""
        side = inputs[0].shape[-1]
        return 0 if side == self.columns else side * output.numel()


def area_matrix(pixels: int, columns: int) -> Tensor:
    """(pixels, columns) float32: share of each pixel in each column; every column adds up to 1."""
    edges = torch.arange(columns + 1, dtype=torch.float64) * pixels / columns
    left = torch.arange(pixels, dtype=torch.float64).unsqueeze(1)
    overlap = torch.minimum(edges[1:], left + 1) - torch.maximum(edges[:-1], left)
    return (overlap.clamp(min=0.0) * columns / pixels).float()


def patches(x: Tensor, side: int) -> Tensor:
    """(B, H, W, C) -> (B, ceil(H / side), ceil(W / side), side * side * C), zeros where the picture ends early."""
    height, width = int(x.shape[1]), int(x.shape[2])
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    if (rows * side, columns * side) != (height, width):
        x = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
    x = x.unflatten(1, (rows, side)).unflatten(3, (columns, side))  # B H' s W' s C
    return x.transpose(2, 3).flatten(3)


def serpentine(x: Tensor) -> Tensor:
    """(B, H, W, F) with every second row turned around, so that flattened rows follow one path.

    Neighbours on the path are neighbours in the picture. Its own inverse.
    """
    rows = x.shape[1]
    odd = (torch.arange(rows, device=x.device) % 2 == 1).reshape(1, rows, 1, 1)
    return torch.where(odd, x.flip(2), x)


def init_recurrent(rnn: nn.LSTM | nn.GRU) -> None:
    """Xavier for what comes in, orthogonal for what goes round (Saxe et al. 2014), gate by gate.

    Biases are zero, but the forget gate of an LSTM and the update gate of a GRU begin at 1: they keep what they
    have (Jozefowicz et al. 2015, section 2.2).
    """
    gates, keep = (4 if isinstance(rnn, nn.LSTM) else 3), 1
    for name, parameter in rnn.named_parameters():
        for i, gate in enumerate(parameter.detach().chunk(gates)):
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(gate)
            elif name.startswith("weight_ih"):
                nn.init.xavier_uniform_(gate)
            else:
                nn.init.constant_(gate, 1.0 if i == keep and name.startswith("bias_ih") else 0.0)
