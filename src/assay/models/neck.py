"""Mixes a trunk's maps over scales: P3, P4 and P5 at strides 8, 16 and 32, all of one width.

Down from coarse to fine (Lin et al. 2017, "Feature Pyramid Networks", section 3), then up again (Liu et al. 2018,
"Path Aggregation Network", section 3.1). What differs: maps are added, not joined, which halves the inputs of each
fusing convolution; every lateral has its norm and activation. A network that reads P3 alone (pixels without boxes)
leaves the way up out.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from assay.models.blocks import conv_norm, init_convolutions


class Neck(nn.Module):
    """Three maps in, three maps out, or the finest alone.

    Parameters
    ----------
    channels : of the maps at strides 8, 16 and 32.
    width : channels of each map that comes out.
    all_levels : False gives P3 alone and has no parameters for the others.
    """

    def __init__(self, channels: Sequence[int], width: int, *, all_levels: bool = True) -> None:
        super().__init__()
        coarser = len(channels) - 1
        self.laterals = nn.ModuleList(conv_norm(c, width, 1) for c in channels)
        self.fuse_down = nn.ModuleList(conv_norm(width, width) for _ in range(coarser))
        self.shrink = nn.ModuleList(conv_norm(width, width, stride=2) for _ in range(coarser))
        self.fuse_up = nn.ModuleList(conv_norm(width, width) for _ in range(coarser))
        init_convolutions(self)
        if not all_levels:
            self.keep_finest()

    def keep_finest(self) -> None:
        """Drops the way up: what comes out is P3 alone."""
        self.shrink, self.fuse_up = nn.ModuleList(), nn.ModuleList()

    def forward(self, maps: Sequence[Float[Tensor, "B _ _ _"]]) -> list[Float[Tensor, "B D _ _"]]:
        """[(B, C_i, h_i, w_i)], finest first -> [(B, D, h_i, w_i)]."""
        levels = self._down([lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)])
        mixed = levels[:1]
        for shrink, fuse, level in zip(self.shrink, self.fuse_up, levels[1:], strict=False):
            mixed.append(fuse(level + shrink(mixed[-1])))
        return mixed

    def _down(self, levels: list[Tensor]) -> list[Tensor]:
        """Each level with all coarser ones added; the coarsest stays."""
        mixed = [levels[-1]]
        for fuse, level in zip(self.fuse_down, reversed(levels[:-1]), strict=True):
            mixed.append(fuse(level + interpolate(mixed[-1], size=level.shape[-2:])))
        return mixed[::-1]
