"""Which points a thing may take, of all pictures at once; the same for both answers of a network.

A thing that covers no point of the finest level may also take the nearest one there, so tiny things are learned.
Matrices are (N, P): things by points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from assay.losses.pairs import Pairs, pair_up

PRIOR_BASE, PRIOR_STRIDES = 10.0, 3.0
FARTHEST = 8.0
"""Strides beyond which the middle's prior rises no more: 10^5 keeps the order of what else is in a cost."""


class Things(NamedTuple):
    """N things of a batch of ``pictures``: their picture, their corners in pixels, their class."""

    picture: Int64[Tensor, " N"]
    boxes: Float[Tensor, "N 4"]
    labels: Int64[Tensor, " N"]
    pictures: int


class Reach(NamedTuple):
    """The M pairs of a thing and a point that it may take.

    Attributes
    ----------
    pairs : those inside (``reachable``), and those at most a stride outside.
    inside : (M,) which are inside.
    prior : (M,) part of the cost that grows with the way to the middle.
    same : (N,) a number for each thing, equal for those with the same picture, box and class: they have the same costs.
    """

    things: Things
    pairs: Pairs
    inside: Bool[Tensor, " M"]
    prior: Float[Tensor, " M"]
    same: Int64[Tensor, " N"]


def reachable(
    apart: Float[Tensor, "N P"],
    points: Float[Tensor, "P 2"],
    strides: Float[Tensor, " P"],
    boxes: Float[Tensor, "N 4"],
) -> Bool[Tensor, "N P"]:
    """Which points a thing may take: those inside its box, where ``apart``, as ``outside`` tells it, is below 0.

    A box that holds none of the finest level may also take the nearest of that level.
    """
    inside = apart < 0
    fine = (strides == strides.min()).nonzero().squeeze(1)
    lost = (apart.index_select(1, fine).amin(1) >= 0).nonzero().squeeze(1)
    if len(lost):
        inside[lost, fine[_nearest(points[fine], boxes[lost])]] = True
    return inside


def _nearest(points: Float[Tensor, "p 2"], boxes: Float[Tensor, "n 4"]) -> Int64[Tensor, " n"]:
    """The point nearest to each box, of those equally near the one nearest to its middle."""
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    off = torch.maximum(low - points, points - high).clamp_min(0)
    apart = off.square().sum(-1) + 1e-6 * (points - (low + high) / 2).square().sum(-1)
    return apart.argmin(1)


def outside(points: Float[Tensor, "P 2"], boxes: Float[Tensor, "N 4"]) -> Float[Tensor, "N P"]:
    """How far each point is outside each box along x or y, the greater of both, in pixels; below 0 inside."""
    x, y = points.T.contiguous()  # neighbours in memory: six times as fast
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    apart = left - x
    torch.maximum(apart, x - right, out=apart)
    torch.maximum(apart, top - y, out=apart)
    return torch.maximum(apart, y - bottom, out=apart)


@torch.no_grad()
def reach(points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], things: Things) -> Reach:
    """The pairs of a batch whose pictures all have these points."""
    boxes, apart = things.boxes, outside(points, things.boxes)
    inside = reachable(apart, points, strides, boxes)
    margin = strides.where(strides == strides.min(), -float("inf"))  # the finest level only
    pairs = pair_up(inside | (apart <= margin), things.picture, things.pictures)
    point = pairs.place % len(points)
    return Reach(
        things,
        pairs,
        inside.flatten().index_select(0, pairs.thing * len(points) + point),
        _prior(points.index_select(0, point), strides.index_select(0, point), boxes[pairs.thing]),
        _same(things),
    )


def _prior(
    points: Float[Tensor, "M 2"], strides: Float[Tensor, " M"], boxes: Float[Tensor, "M 4"]
) -> Float[Tensor, " M"]:
    apart = (points - (boxes[:, :2] + boxes[:, 2:]) / 2).norm(dim=-1) / strides
    return PRIOR_BASE ** (apart.clamp_max(FARTHEST) - PRIOR_STRIDES)


def _same(things: Things) -> Int64[Tensor, " N"]:
    rows = torch.cat((things.picture[:, None], things.labels[:, None], things.boxes), 1)
    return rows.unique(dim=0, return_inverse=True)[1]
