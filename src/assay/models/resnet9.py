"""``resnet9``: a dense residual network of nine layers for small pictures, up to about 64 px.

After David Page's network of DAWNBench (2018; "How to Train Your ResNet", myrtle.ai): it spends its time in a few
wide 3x3 convolutions at high resolution, which small pictures need and processors run well. One convolution at full
size; then stages that double the channels and halve the side, every other one followed by a residual block; the
maximum over space; one linear layer.

What differs from Page's: ReLU and batch norm as published first, without the whitened input and the scaled logits of
later versions; pooling rounds up, so that no picture is too small.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.blocks import DropPath, build_head, conv_norm, init_convolutions
from assay.models.build import refuse_timm_options
from assay.models.classifier import Classifier, parameter_blocks
from assay.models.sizes import whole_depth, whole_width

WIDTH, DEPTH, MOST_STAGES, MOST_CHANNELS = 32, 3, 5, 4096


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the sum is not passed through an activation again."""

    def __init__(self, channels: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels, act=nn.ReLU)
        self.second = conv_norm(channels, channels, act=nn.ReLU)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = x + self.drop_path(self.second(self.first(x)))
        return y


class Resnet9(Classifier):
    """A convolution at full size, stages at strides 2, 4, 8, ..., the maximum over space, dropout, linear.

    Parameters
    ----------
    classes : K, the number of logits.
    channels : of the pictures: 3 (RGB) or 1 (gray).
    width : channels of the first convolution; each stage doubles them.
    depth : stages after it; the first, third and fifth have a residual block.
    """

    def __init__(
        self,
        classes: int,
        channels: int = 3,
        width: int = WIDTH,
        depth: int = DEPTH,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = conv_norm(channels, width, act=nn.ReLU)
        self.stages = nn.ModuleList()
        for i in range(depth):
            before, after = width * 2**i, width * 2 ** (i + 1)
            layers = [conv_norm(before, after, act=nn.ReLU), nn.MaxPool2d(2, ceil_mode=True)]
            if i % 2 == 0:
                layers.append(Residual(after, drop_path * (i + 1) / depth))
            self.stages.append(nn.Sequential(*layers))
        self.linear = build_head(width * 2**depth, classes, dropout)
        init_convolutions(self)

    def _maps(self, x: Tensor) -> list[Tensor]:
        """One map a stage, at strides 2, 4, 8, ..."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the maximum of the last map over space."""
        return self._maps(x)[-1].amax((2, 3))

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The maps at strides 4, 8, 16 and 32, those that exist."""
        return self._maps(x)[1:]

    @property
    def head(self) -> nn.Module:
        """Dropout and the linear layer."""
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        """The first convolution, a block a stage, the head."""
        return parameter_blocks([self.stem, *self.stages], self.linear)


def build_resnet9(config: ModelConfig, classes: int, channels: int = 3) -> Resnet9:
    """Dense residual network for small pictures (up to 64 px); width: of the first stage, depth: stages.

    Raises
    ------
    ConfigError : width or depth is no whole number or too large, or an option does not apply.
    """
    refuse_timm_options(config)
    width = whole_width(config, WIDTH, 1024)
    depth = whole_depth(config, DEPTH, MOST_STAGES, least=2)
    if width * 2**depth > MOST_CHANNELS:
        raise ConfigError(
            f"resnet9 has at most {MOST_CHANNELS} channels in the last stage",
            got=f"width {width}, depth {depth}: {width * 2**depth} channels",
            fix="lower width or depth",
        )
    return Resnet9(classes, channels, width, depth, config.dropout, config.drop_path)
