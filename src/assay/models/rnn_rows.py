"""``rnn-bilstm`` and ``rnn-bigru``: the rows of the picture, read as a sequence from the top and from the bottom.

The textbook's recurrent classifier: long short-term memory (Hochreiter and Schmidhuber 1997, forget gates after Gers
et al. 2000) or gated recurrent units (Cho et al. 2014), bidirectional (Schuster and Paliwal 1997). A row of pixels,
brought to 64 columns, is one step; the first layer's input matrix is its projection. There is no convolution
anywhere, so what these networks know of pictures is the order of rows alone: nothing tells them that neighbouring
columns belong together or that a thing may stand further left. That makes the comparison with a CNN an honest one.

The embedding is the mean over the rows of the last layer's states, beside their maximum. The last states alone, which
textbooks take, come from the picture's border, where photos hold the least; and the mean lets a heat map say which
rows counted.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.blocks import build_head
from assay.models.build import refuse_timm_options
from assay.models.classifier import Classifier, parameter_blocks
from assay.models.sizes import whole_depth, whole_width
from assay.models.tokens import Rows, init_recurrent

COLUMNS = 64
DEPTH, MOST_LAYERS, MOST_UNITS = 2, 8, 1024
CELLS: dict[str, tuple[type[nn.LSTM] | type[nn.GRU], int]] = {
    "rnn-bilstm": (nn.LSTM, 112),
    "rnn-bigru": (nn.GRU, 128),
}
"""Name -> (cell, hidden units of each direction): about as many parameters as csp-nano."""


class RecurrentLayer(nn.Module):
    """One bidirectional layer, with layer norm (Ba et al. 2016) over the states of both directions."""

    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU], inputs: int, width: int) -> None:
        super().__init__()
        self.rnn = cell(inputs, width, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * width)
        init_recurrent(self.rnn)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, F) -> (B, T, 2 width): the state of both directions at each step."""
        states: Tensor = self.norm(self.rnn(x)[0])
        return states


class RowNetwork(Classifier):
    """Rows -> recurrent layers -> mean and maximum over the rows -> dropout, linear.

    Parameters
    ----------
    cell : nn.LSTM or nn.GRU.
    classes : K, the number of logits.
    channels : of the pictures: 3 (RGB) or 1 (gray).
    width : hidden units of each direction.
    depth : layers.
    """

    def __init__(
        self,
        cell: type[nn.LSTM] | type[nn.GRU],
        classes: int,
        channels: int,
        width: int,
        depth: int = DEPTH,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rows = Rows(COLUMNS)
        inputs = [channels * COLUMNS, *([2 * width] * (depth - 1))]
        self.layers = nn.ModuleList(RecurrentLayer(cell, n, width) for n in inputs)
        self.linear = build_head(4 * width, classes, dropout)

    def _states(self, x: Tensor) -> Tensor:
        x = self.rows(x)  # B H F
        for layer in self.layers:
            x = layer(x)
        return x

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, 4 width): mean, then maximum, of the last states over the rows."""
        states = self._states(x)
        return torch.cat((states.mean(1), states.amax(1)), dim=1)

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """One map (B, 2 width, H, 1): the last states, one for each row of the picture."""
        return [self._states(x).transpose(1, 2).unsqueeze(3)]

    @property
    def head(self) -> nn.Module:
        """Dropout and the linear layer."""
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        """A block a layer, then the head."""
        return parameter_blocks(list(self.layers), self.linear)


def build_bilstm(config: ModelConfig, classes: int, channels: int = 3) -> RowNetwork:
    """Rows of the picture read both ways by an LSTM; width: hidden units of a direction, depth: layers.

    Raises
    ------
    ConfigError : width or depth is no whole number or too large, or an option does not apply.
    """
    return _build("rnn-bilstm", config, classes, channels)


def build_bigru(config: ModelConfig, classes: int, channels: int = 3) -> RowNetwork:
    """Rows of the picture read both ways by gated units; width: hidden units of a direction, depth: layers.

    Raises
    ------
    ConfigError : width or depth is no whole number or too large, or an option does not apply.
    """
    return _build("rnn-bigru", config, classes, channels)


def _build(name: str, config: ModelConfig, classes: int, channels: int) -> RowNetwork:
    refuse_timm_options(config)
    if config.drop_path:
        raise ConfigError(f"{name} has no shortcuts, so drop_path does not apply", fix="use dropout")
    cell, width = CELLS[name]
    width = whole_width(config, width, MOST_UNITS)
    depth = whole_depth(config, DEPTH, MOST_LAYERS)
    return RowNetwork(cell, classes, channels, width, depth, config.dropout)
