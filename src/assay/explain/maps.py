"""From scores at some cells to a map of the picture: (B, h, w) -> (B, H, W) float32 in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CALM = 0.995
"""Share of pixels below what counts as the most, for maps of single pixels: one bright dot must not dim the rest."""


def finish(scores: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Scores (B, h, w) of cells -> (B, H, W) in [0, 1]: evidence against is cut off, the rest is smooth.

    Zero stays zero and the greatest score becomes 1, picture by picture; a picture without evidence has an empty map.
    """
    return unit(resize(torch.nan_to_num(scores.float(), 0.0, 0.0, 0.0).clamp(min=0), size_hw))


def resize(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(B, h, w) -> (B, H, W), bilinear between the centres of cells."""
    return F.interpolate(maps.unsqueeze(1), size_hw, mode="bilinear", align_corners=False).squeeze(1)


def unit(maps: Tensor, calm: float = 1.0) -> Tensor:
    """(B, H, W) of zero or more -> [0, 1]: divided by the greatest value, or by the quantile ``calm``."""
    flat = maps.flatten(1)
    top = flat.amax(1) if calm >= 1 else torch.quantile(flat, calm, dim=1)
    top = torch.where(top > 0, top, flat.amax(1))
    scaled = flat / torch.where(top > 0, top, torch.ones_like(top)).unsqueeze(1)
    return scaled.clamp(0, 1).reshape(maps.shape)


def pool(maps: Tensor, grid: int) -> Tensor:
    """(B, H, W) -> (B, grid, grid): the mean of each cell."""
    return F.adaptive_avg_pool2d(maps.unsqueeze(1), grid).squeeze(1)


def blur(x: Tensor, sigma: float) -> Tensor:
    """(B, C, H, W) blurred by a Gaussian of ``sigma`` pixels, the border repeated.

    A product with a matrix for each axis: for the wide blurs that are needed here quicker than a convolution.
    """
    if sigma <= 0:
        return x
    rows, columns = (_smear(int(side), sigma).to(x) for side in x.shape[2:])
    return rows @ x @ columns.T


def _smear(side: int, sigma: float) -> Tensor:
    """(side, side): how much each pixel of a line takes of each other one; rows add up to 1."""
    reach = max(1, round(3 * sigma))
    steps = torch.arange(-reach, reach + 1)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    sources = (torch.arange(side).unsqueeze(1) + steps).clamp(0, side - 1)  # side, 2 reach + 1
    return torch.zeros(side, side).scatter_add_(1, sources, (weights / weights.sum()).expand(side, -1))


def centre_map(size_hw: tuple[int, int], share: float = 0.25) -> Tensor:
    """(H, W) in [0, 1]: a Gaussian at the centre whose sigma is ``share`` of each side.

    People put what they photograph in the middle, so this map is right surprisingly often: an honest rival.
    """
    sides = [torch.arange(n, dtype=torch.float32) for n in size_hw]
    rows, columns = (
        torch.exp(-0.5 * ((at - (n - 1) / 2) / (share * n)) ** 2)
        for at, n in zip(sides, size_hw, strict=True)
    )
    return rows.unsqueeze(1) * columns.unsqueeze(0)
