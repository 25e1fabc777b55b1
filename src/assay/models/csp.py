"""Assay's own trunk: dense cross-stage partial stages (Wang et al. 2020, CSPNet), small enough for two CPU cores.

Stem to 1/4 of the side, then a CSP stage each at 1/4, 1/8, 1/16 and 1/32, and spatial pyramid pooling at the end.
The same trunk carries boxes and pixels (``multitask``), so it is a module of its own that gives all four maps.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from assay.configs import ModelConfig
from assay.errors import ConfigError
from assay.models.blocks import CspStage, Sppf, build_head, conv_norm, init_convolutions
from assay.models.build import refuse_timm_options
from assay.models.classifier import Classifier

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "csp-nano": ((24, 48, 96, 160), (1, 1, 2, 1)),
    "csp-small": ((48, 96, 192, 288), (1, 1, 2, 1)),
    "csp-base": ((64, 128, 256, 448), (1, 1, 2, 1)),
}
"""Name -> (channels, bottlenecks) of the stages at strides 4, 8, 16, 32."""


class CspTrunk(nn.Module):
    """Picture -> four maps.

    Attributes
    ----------
    channels : channels of each map.
    strides : (4, 8, 16, 32).
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self, widths: tuple[int, ...], depths: tuple[int, ...], channels: int = 3, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.channels = widths
        rates = _drop_path_rates(drop_path, sum(depths))
        self.stem = nn.Sequential(
            conv_norm(channels, widths[0] // 2, stride=2), conv_norm(widths[0] // 2, widths[0], stride=2)
        )
        self.stages = nn.ModuleList()
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            layers: list[nn.Module] = [conv_norm(widths[i - 1], width, stride=2)] if i else []
            layers.append(CspStage(width, depth, [rates.pop(0) for _ in range(depth)]))
            if i == len(widths) - 1:
                layers.append(Sppf(width))
            self.stages.append(nn.Sequential(*layers))
        init_convolutions(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> [(B, C_i, ceil(H / s_i), ceil(W / s_i))] for the four strides."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def blocks(self) -> list[list[nn.Parameter]]:
        """The stem and the four stages."""
        return [list(part.parameters()) for part in (self.stem, *self.stages)]


class CspClassifier(Classifier):
    """The trunk, a mean over space, dropout and a linear layer."""

    def __init__(self, trunk: CspTrunk, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.trunk = trunk
        self.linear = build_head(trunk.channels[-1], classes, dropout)

    def embed(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """(B, C, H, W) -> (B, F): the mean of the last map over space."""
        last: Tensor = self.trunk(x)[-1]
        return last.mean((2, 3))

    def features(self, x: Float[Tensor, "B C H W"]) -> list[Float[Tensor, "B _ _ _"]]:
        """The trunk's maps at strides 4, 8, 16 and 32."""
        maps: list[Tensor] = self.trunk(x)
        return maps

    @property
    def head(self) -> nn.Module:
        """Dropout and the linear layer."""
        return self.linear

    def blocks(self) -> list[list[nn.Parameter]]:
        """The stem, the four stages, the head."""
        return [*self.trunk.blocks(), list(self.linear.parameters())]


def build_csp_nano(config: ModelConfig, classes: int, channels: int = 3) -> CspClassifier:
    """Assay's dense CSP trunk, the smallest: widths 24 to 160; width and depth are factors."""
    return _build("csp-nano", config, classes, channels)


def build_csp_small(config: ModelConfig, classes: int, channels: int = 3) -> CspClassifier:
    """Assay's dense CSP trunk, the middle one: widths 48 to 288; width and depth are factors."""
    return _build("csp-small", config, classes, channels)


def build_csp_base(config: ModelConfig, classes: int, channels: int = 3) -> CspClassifier:
    """Assay's dense CSP trunk, the largest: widths 64 to 448; width and depth are factors."""
    return _build("csp-base", config, classes, channels)


def _build(name: str, config: ModelConfig, classes: int, channels: int) -> CspClassifier:
    refuse_timm_options(config)
    widths, depths = SIZES[name]
    width, depth = config.width or 1.0, config.depth or 1.0
    if max(width, depth) > 16:
        raise ConfigError(
            f"width and depth of {name} are factors on its own sizes, at most 16",
            got=f"width {width:g}, depth {depth:g}",
            fix="e.g. --width 1.5",
        )
    widths = tuple(max(8, 8 * round(w * width / 8)) for w in widths)
    depths = tuple(max(1, round(d * depth)) for d in depths)
    return CspClassifier(CspTrunk(widths, depths, channels, config.drop_path), classes, config.dropout)


def _drop_path_rates(most: float, blocks: int) -> list[float]:
    """Rising linearly from 0 at the first block to ``most`` at the last."""
    return [most * i / max(blocks - 1, 1) for i in range(blocks)]
