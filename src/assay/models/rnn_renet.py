"""``rnn-renet``: four recurrent sweeps a layer instead of a convolution (Visin et al. 2015, ReNet).

Each layer cuts its input into patches, reads every column of patches from the top and from the bottom, and then every
row of the result from the left and from the right (section 2). So each position of a layer's map knows the whole
picture, where a convolution knows its neighbourhood. Layers are stacked, the patches of each being 2 x 2 of the
positions below.

What differs from the paper: the first patches are 4 x 4 pixels, for photos rather than digits; layer norm after each
layer; and the mean over space with one linear layer at the end, as our CNNs have it, for wide fully connected ones.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.blocks import build_head
from assay.models.build import refuse_timm_options
from assay.models.classifier import Classifier, parameter_blocks
from assay.models.sizes import whole_depth, whole_width
from assay.models.tokens import init_recurrent, patches

FIRST_PATCH, PATCH = 4, 2
WIDTH, DEPTH, MOST_LAYERS, MOST_UNITS = 56, 3, 4, 1024


class RenetLayer(nn.Module):
    """Patches, columns down and up, rows to the right and to the left, layer norm."""

    def __init__(self, inputs: int, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.columns = nn.GRU(inputs * patch**2, width, batch_first=True, bidirectional=True)
        self.rows = nn.GRU(2 * width, width, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(2 * width)
        init_recurrent(self.columns)
        init_recurrent(self.rows)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, ceil(H / patch), ceil(W / patch), 2 width)."""
        x = patches(x, self.patch)
        x = _sweep(self.columns, x.transpose(1, 2)).transpose(1, 2)
        states: Tensor = self.norm(_sweep(self.rows, x))
        return states


def _sweep(rnn: nn.GRU, x: Tensor) -> Tensor:
    """(B, N, T, C) -> (B, N, T, 2 width): N sequences of T steps in each picture."""
    lines = x.shape[1]
    states: Tensor = rnn(x.flatten(0, 1))[0]
    return states.unflatten(0, (-1, lines))


class Renet(Classifier):
    """Layers at strides 4, 8, 16, ..., the mean over space, dropout, linear.

    Parameters
    ----------
    classes : K, the number of logits.
    channels : of the pictures: 3 (RGB) or 1 (gray).
    width : hidden units of each direction.
    depth : layers.
    """

    def __init__(
        self, classes: int, channels: int = 3, width: int = WIDTH, depth: int = DEPTH, dropout: float = 0.0
    ) -> None:
        super().__init__()
        first = RenetLayer(channels, width, FIRST_PATCH)
        self.layers = nn.ModuleList([first, *(RenetLayer(2 * width, width, PATCH) for _ in range(depth - 1))])
        self.linear = build_head(2 * width, classes, dropout)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """One map (B, H / s, W / s, F) a layer."""
        x = x.permute(0, 2, 3, 1)
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the mean of the last map over space."""
        return self._maps(x)[-1].mean((1, 2))

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The layers' maps at strides 4, 8, 16 and 32, those that exist."""
        return [states.permute(0, 3, 1, 2) for states in self._maps(x)]

    @property
    def head(self) -> nn.Module:
        """Dropout and the linear layer."""
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        """A block a layer, then the head."""
        return parameter_blocks(list(self.layers), self.linear)


def build_renet(config: ModelConfig, classes: int, channels: int = 3) -> Renet:
    """Gated units that sweep over columns and rows both ways; width: hidden units of a direction, depth: layers.

    Raises
    ------
    ConfigError : width or depth is no whole number or too large, or an option does not apply.
    """
    refuse_timm_options(config)
    if config.drop_path:
        raise ConfigError("rnn-renet has no shortcuts, so drop_path does not apply", fix="use dropout")
    width = whole_width(config, WIDTH, MOST_UNITS)
    return Renet(classes, channels, width, whole_depth(config, DEPTH, MOST_LAYERS), config.dropout)
