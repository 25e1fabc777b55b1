"""The parts that Assay's own networks are made of: convolution + norm + activation, CSP stage, SPPF.

Dense 3x3 convolutions throughout: on a CPU they run two to four times more multiply-adds a second than
depthwise ones, which wait for memory.

Activation: Hardswish (Howard et al. 2019, MobileNetV3, section 5.2), SiLU without the exponential. A training step of
csp-nano (128 px, batch 32, one AVX-512 core, channels_last) in pictures a second, fp32 / bf16:
ReLU 459 / 545, Hardswish 442 / 548, SiLU 435 / 498, leaky ReLU 443 / 518.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def conv_norm(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, act: type[nn.Module] = nn.Hardswish
) -> nn.Sequential:
    """Convolution without bias, batch norm, activation; "same" padding for odd kernels."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), act()
    )


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): in training, drops a sample's branch with chance ``rate``."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...), kept samples scaled so that the expectation stays."""
        if not self.training or self.rate == 0.0:
            return x
        shape = (x.shape[0], *(1 for _ in range(x.ndim - 1)))
        kept = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(1 - self.rate)
        return x * (kept / (1 - self.rate))

    def extra_repr(self) -> str:
        """The rate."""
        return f"{self.rate:.3f}"


class Bottleneck(nn.Module):
    """Two dense 3x3 convolutions beside a shortcut. The last norm starts at zero, so the block starts as identity."""

    def __init__(self, channels: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels)
        self.second = conv_norm(channels, channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        y: Tensor = x + self.drop_path(self.second(self.first(x)))
        return y


class CspStage(nn.Module):
    """A cross-stage partial stage (Wang et al. 2020, CSPNet, section 3.2).

    A 1x1 convolution splits into two halves; one goes through the bottlenecks; both are fused by a 1x1
    convolution. Half the width at the 3x3 convolutions, all gradients kept on the short way.
    """

    def __init__(self, channels: int, depth: int, drop_paths: list[float]) -> None:
        super().__init__()
        half = channels // 2
        self.split = conv_norm(channels, 2 * half, 1)
        self.deep = nn.Sequential(*(Bottleneck(half, drop_paths[i]) for i in range(depth)))
        self.fuse = conv_norm(2 * half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        short, deep = self.split(x).chunk(2, dim=1)
        y: Tensor = self.fuse(torch.cat((short, self.deep(deep)), dim=1))
        return y


class Sppf(nn.Module):
    """Spatial pyramid pooling by three 5x5 maxima in a row (He et al. 2015; the fast form from YOLOv5's design).

    Widens the field of view at the last stage for next to nothing.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.squeeze = conv_norm(channels, half, 1)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.fuse = conv_norm(4 * half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        maps = [self.squeeze(x)]
        for _ in range(3):
            maps.append(self.pool(maps[-1]))
        y: Tensor = self.fuse(torch.cat(maps, dim=1))
        return y


def init_convolutions(module: nn.Module) -> None:
    """He et al. 2015 for convolutions before ReLU; zero for the last norm of each bottleneck (Goyal et al. 2017)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    for part in module.modules():
        if isinstance(part, Bottleneck):
            # zero in front of an activation with a slope at zero; ReLU would leave it there for ever
            nn.init.zeros_(part.second[1].weight)  # type: ignore[arg-type]


def build_head(features: int, classes: int, dropout: float) -> nn.Sequential:
    """Dropout and a linear layer whose first logits are near zero, so that the first loss is log K."""
    linear = nn.Linear(features, classes)
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.Dropout(dropout), linear)
