"""Finds things without anchors: each point of three maps says what is there and how far its sides are.

- points and distances: Tian et al. 2019, "FCOS", section 3;
- convolutions shared over the levels, norms of their own: Lyu et al. 2022, "RTMDet", section 3.2;
- mask coefficients beside the distances: Bolya et al. 2019, "YOLACT", section 3.2;
- a twin that is taught one point a thing and needs no suppression: Wang et al. 2024, "YOLOv10", section 3.1;
- first class scores of 1 %: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.3.

What differs: one convolution common to both towers and one each; the twin stands on the towers, detached, so it can
neither help nor harm them, and costs one convolution; distances may reach a stride below zero, since the points next to
a thing smaller than a cell lie that far outside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from assay.models.blocks import init_convolutions
from assay.models.outputs import BoxOutputs

PRIOR = 0.01
"""What the first class scores are: nearly all points are background."""
FIRST_DISTANCE = 2.0
"""Strides from a point to each side of its box before anything is learned."""
OUTSIDE = 1.0
"""Strides that a point may lie outside its box."""


class SharedConv(nn.Module):
    """One 3x3 convolution for all levels, then a norm for each (their statistics differ), then Hardswish."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(levels))
        self.act = nn.Hardswish()

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """[(B, D, h_i, w_i)] -> the same shapes."""
        return [self.act(norm(self.conv(x))) for norm, x in zip(self.norms, maps, strict=True)]


class Answers(nn.Module):
    """1x1 convolutions from the towers to class logits, distances and mask coefficients."""

    def __init__(self, channels: int, classes: int, coefficients: int) -> None:
        super().__init__()
        self.classes = _last(channels, classes, bias=-math.log((1 - PRIOR) / PRIOR))
        self.distances = _last(channels, 4, bias=math.log(math.expm1(FIRST_DISTANCE + OUTSIDE)))
        self.coefficients = _last(channels, coefficients, bias=0.0) if coefficients else None

    def forward(self, class_maps: Sequence[Tensor], box_maps: Sequence[Tensor]) -> BoxOutputs:
        """Maps of the two towers -> one row a point, the finest level first."""
        coefficients = None if self.coefficients is None else _rows(self.coefficients, box_maps)
        distances = softplus(_rows(self.distances, box_maps)) - OUTSIDE
        return BoxOutputs(_rows(self.classes, class_maps), distances, coefficients)


class BoxHead(nn.Module):
    """Maps of the neck -> answers for each point, twice: many points a thing, and one point a thing.

    Parameters
    ----------
    channels : D, of every map.
    classes : K.
    coefficients : M, prototypes of the masks; 0 for boxes alone.
    levels : number of maps.
    """

    def __init__(self, channels: int, classes: int, coefficients: int = 0, levels: int = 3) -> None:
        super().__init__()
        self.stem = SharedConv(channels, levels)
        self.class_tower = SharedConv(channels, levels)
        self.box_tower = SharedConv(channels, levels)
        self.twin_tower: SharedConv | None = SharedConv(channels, levels)
        init_convolutions(self)
        self.one_to_many: Answers | None = Answers(channels, classes, coefficients)
        self.one_to_one: Answers | None = Answers(channels, classes, coefficients)

    def drop_one_to_one(self) -> None:
        """For those who suppress duplicates themselves."""
        self.twin_tower = self.one_to_one = None

    def drop_one_to_many(self) -> None:
        """For export without suppression. It cannot be trained any more: the twin teaches no tower."""
        self.one_to_many = None

    def drop_masks(self) -> None:
        """Boxes alone from here on."""
        for answers in (self.one_to_many, self.one_to_one):
            if answers is not None:
                answers.coefficients = None

    def forward(
        self, maps: Sequence[Float[Tensor, "B D _ _"]]
    ) -> tuple[BoxOutputs | None, BoxOutputs | None]:
        """[(B, D, h_i, w_i)], finest first -> one-to-many and one-to-one answers; None where dropped."""
        maps = self.stem(maps)
        class_maps, box_maps = self.class_tower(maps), self.box_tower(maps)
        many = None if self.one_to_many is None else self.one_to_many(class_maps, box_maps)
        if self.one_to_one is None or self.twin_tower is None:
            return many, None
        class_maps = self.twin_tower([x.detach() for x in class_maps])
        return many, self.one_to_one(class_maps, [x.detach() for x in box_maps])


def points_of(
    maps: Sequence[Tensor], strides: Sequence[int]
) -> tuple[Float[Tensor, "P 2"], Float[Tensor, " P"]]:
    """Centres (P, 2) of all cells in pixels of the network's input, and their strides (P,); finest level first."""
    centres, steps = [], []
    for level, stride in zip(maps, strides, strict=True):
        height, width = level.shape[-2:]
        rows = (torch.arange(height, device=level.device, dtype=torch.float32) + 0.5) * stride
        columns = (torch.arange(width, device=level.device, dtype=torch.float32) + 0.5) * stride
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres.append(torch.stack((x, y), dim=-1).reshape(-1, 2))
        steps.append(torch.full((height * width,), float(stride), device=level.device))
    return torch.cat(centres), torch.cat(steps)


def _rows(layer: nn.Module, maps: Sequence[Tensor]) -> Tensor:
    """[(B, D, h_i, w_i)] -> (B, P, n): the layer's answer at each point."""
    return torch.cat([layer(x).flatten(2).transpose(1, 2) for x in maps], dim=1)


def _last(channels: int, outputs: int, bias: float) -> nn.Conv2d:
    layer = nn.Conv2d(channels, outputs, 1)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]
    return layer
