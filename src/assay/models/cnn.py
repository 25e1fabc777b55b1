"""``cnn``: the plain convolutional classifier of the textbooks (after Simonyan and Zisserman 2015).

One 3x3 convolution a stage, with 32, 64, 128, ... channels, and a 2x2 maximum between stages. What differs from VGG:
one convolution where VGG has two or more (at full size they cost most of the time), batch norm, and global average
pooling before one linear layer where VGG has three wide ones.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.blocks import build_head, conv_norm, init_convolutions
from assay.models.build import refuse_timm_options
from assay.models.classifier import Classifier, parameter_blocks
from assay.models.sizes import whole_depth, whole_width

WIDTH, DEPTH, MOST_STAGES, MOST_CHANNELS = 32, 4, 8, 4096


class Cnn(Classifier):
    """Stages of width, 2 x width, 4 x width, ... channels at strides 1, 2, 4, ...; pool, dropout, linear.

    Parameters
    ----------
    classes : K, the number of logits.
    channels : of the pictures: 3 (RGB) or 1 (gray).
    width : channels of the first stage.
    depth : number of stages.
    """

    def __init__(
        self, classes: int, channels: int = 3, width: int = WIDTH, depth: int = DEPTH, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(depth)]
        self.stages = nn.ModuleList(
            conv_norm(before, after, act=nn.ReLU)
            for before, after in zip([channels, *widths], widths, strict=False)
        )
        # ceil_mode: a side of one pixel stays one pixel, so no picture is too small
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.linear = build_head(widths[-1], classes, dropout)
        init_convolutions(self)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """One map a stage, at strides 1, 2, 4, ..."""
        maps: list[Tensor] = []
        for stage in self.stages:
            x = stage(self.pool(x) if maps else x)
            maps.append(x)
        return maps

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the mean of the last map over space."""
        return self._maps(x)[-1].mean((2, 3))

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The maps at strides 4, 8, 16 and 32, those that exist."""
        return self._maps(x)[2:6]

    @property
    def head(self) -> nn.Module:
        """Dropout and the linear layer."""
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        """A block a stage, then the head."""
        return parameter_blocks(list(self.stages), self.linear)


def build_cnn(config: ModelConfig, classes: int, channels: int = 3) -> Cnn:
    """Plain 3x3 convolutions and pooling, as in the textbooks; width: of the first stage, depth: stages.

    Raises
    ------
    ConfigError : width or depth is no whole number or too large, or an option does not apply.
    """
    refuse_timm_options(config)
    if config.drop_path:
        raise ConfigError("cnn has no shortcuts, so drop_path does not apply", fix="use dropout")
    width, depth = whole_width(config, WIDTH, 1024), whole_depth(config, DEPTH, MOST_STAGES)
    if width * 2 ** (depth - 1) > MOST_CHANNELS:
        last = width * 2 ** (depth - 1)
        raise ConfigError(
            f"cnn has at most {MOST_STAGES} stages and {MOST_CHANNELS} channels in the last one",
            got=f"width {width}, depth {depth}: {last} channels",
            fix="lower width or depth",
        )
    return Cnn(classes, channels, width, depth, config.dropout)
