"""Which point learns which thing.

One-to-many: dynamic assignment (Ge et al. 2021, "YOLOX", section 2.1, SimOTA; Ge et al. 2021, "OTA"). Each thing takes
as many points as the IoUs of its best ones add up to, those of least cost:

    cost = soft BCE - 3 log IoU + 10^(d - 3),  d = strides from the point to the middle of the box

with labels softened by the IoU and the middle as a soft prior (Lyu et al. 2022, "RTMDet", section 3.3). One-to-one: the
pairs of least cost, each point and each thing once (Sun et al. 2021, "What Makes for End-to-End Object Detection?").

What differs. A thing that covers no point of the finest level may also take the nearest one there, so tiny things are
learned. A thing has a point of its own that no other can take, where the usual resolving of conflicts can leave a
crowded one without any: one-to-many begins with the one-to-one pairs, and a thing that finds all its points taken goes
to a free one at most a stride away (a head's distances reach that far outside). Of tiny things that clump on fewer
points than they are, some have none. All matrices are (P, G): points by things.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import softplus

from assay.losses.overlap import pairwise_iou

TOP = 10
"""Points whose IoUs say how many a thing takes; YOLOX's choice."""
IOU_WEIGHT = 3.0
PRIOR_BASE, PRIOR_STRIDES = 10.0, 3.0
FARTHEST = 8.0
"""Strides beyond which the middle's prior rises no more: 10^5 keeps the order of what else is in a cost."""
LEAST_IOU = 1e-6


def reachable(
    points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], boxes: Float[Tensor, "G 4"]
) -> Bool[Tensor, "P G"]:
    """Which points a thing may take: those inside its box.

    A box that holds none of the finest level may also take the nearest of that level.
    """
    if not len(boxes):
        return torch.zeros(len(points), 0, dtype=torch.bool, device=points.device)
    outside = _outside(points, boxes)
    inside = (outside < 0).all(-1)
    fine = strides == strides.min()
    lost = ~(inside & fine[:, None]).any(0)  # G
    outside = outside.clamp_min(0)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    apart = outside.square().sum(-1) + 1e-6 * (points[:, None] - middle[None]).square().sum(-1)
    nearest = apart.masked_fill(~fine[:, None], float("inf")).argmin(0)  # G
    inside[nearest[lost], lost.nonzero().squeeze(1)] = True
    return inside


def nearby(
    points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], boxes: Float[Tensor, "G 4"]
) -> Bool[Tensor, "P G"]:
    """Points of the finest level at most a stride outside a box along x and y."""
    fine = strides == strides.min()
    return fine[:, None] & (_outside(points, boxes) <= strides[:, None, None]).all(-1)


def _outside(points: Float[Tensor, "P 2"], boxes: Float[Tensor, "G 4"]) -> Float[Tensor, "P G 2"]:
    """How far each point is outside each box along x and y, in pixels; below 0 inside."""
    return torch.maximum(boxes[None, :, :2] - points[:, None], points[:, None] - boxes[None, :, 2:])


def costs(
    logits: Float[Tensor, "P K"],
    found: Float[Tensor, "P 4"],
    points: Float[Tensor, "P 2"],
    strides: Float[Tensor, " P"],
    boxes: Float[Tensor, "G 4"],
    labels: Int64[Tensor, " G"],
) -> tuple[Float[Tensor, "P G"], Float[Tensor, "P G"]]:
    """Cost and IoU of every point with every thing.

    ``found`` are the boxes that the points give now. The BCE over all classes against a label of the IoU at the thing's
    class is sum_c softplus(x_c) - IoU x_label, which needs no (P, G, K).
    """
    iou = pairwise_iou(found, boxes)
    bce = softplus(logits).sum(1, keepdim=True) - iou * logits[:, labels]
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    apart = (points[:, None] - middle[None]).norm(dim=-1) / strides[:, None]  # P G
    prior = PRIOR_BASE ** (apart.clamp_max(FARTHEST) - PRIOR_STRIDES)
    return bce - IOU_WEIGHT * iou.clamp_min(LEAST_IOU).log() + prior, iou


def match_one(cost: Float[Tensor, "P G"], allowed: Bool[Tensor, "P G"]) -> Int64[Tensor, " P"]:
    """(P,) the thing of each point, -1 for none: the cheapest pair, then the cheapest of what is left, and so on.

    Found in rounds: every pair in which both are each other's cheapest belongs to that answer, so a round settles all
    of them at once (Preis 1999, locally heaviest edges). Of things with the same costs everywhere (a box drawn twice)
    the first takes the cheapest point, the second the next, as long as these points prefer them, in the same round.
    """
    left = cost.masked_fill(~allowed, float("inf")).nan_to_num(nan=float("inf"), posinf=float("inf"))
    owner = torch.full((len(cost),), -1, dtype=torch.int64, device=cost.device)
    things = torch.arange(cost.shape[1], device=cost.device)
    while left.numel() and bool(left.isfinite().any()):
        point, settled = _mutual(left, things)
        if not bool(settled.any()):  # equal costs that lead in a circle
            first = left.argmin()
            point, settled = (first // left.shape[1]).expand_as(point), things == first % left.shape[1]
        owner[point[settled]] = things[settled]
        left[point[settled]] = float("inf")
        left[:, settled] = float("inf")
    return owner


def _mutual(left: Float[Tensor, "P G"], things: Int64[Tensor, " G"]) -> tuple[Tensor, Tensor]:
    """A point for each thing (G,), and whether that pair belongs to the answer (G,)."""
    prefers = left.argmin(1)  # P
    first = _first_of_equals(left, prefers[left.argmin(0)], things)
    order = first.argsort(stable=True)
    _, counts = first[order].unique_consecutive(return_counts=True)
    turn = torch.empty_like(first)  # G: how many equals come before
    turn[order] = things - (counts.cumsum(0) - counts).repeat_interleave(counts)
    least, rows = left.topk(min(int(turn.max()) + 1, len(left)), dim=0, largest=False)  # T G
    rows = rows[:, first]  # one order for all equals
    is_theirs = (first[prefers[rows]] == first) & least.isfinite()
    settled = is_theirs.cumprod(0).bool()
    place = turn.clamp_max(len(rows) - 1)[None]
    return rows.gather(0, place)[0], settled.gather(0, place)[0] & (turn < len(rows))


def _first_of_equals(
    left: Float[Tensor, "P G"], rival: Int64[Tensor, " G"], things: Int64[Tensor, " G"]
) -> Int64[Tensor, " G"]:
    """(G,) the thing's rival where both cost the same at every point, else the thing itself."""
    least = left.amin(0)
    asked = ((rival != things) & (least == least[rival]) & least.isfinite()).nonzero().squeeze(1)
    equal = (left[:, asked] == left[:, rival[asked]]).all(0)
    first = things.clone()
    first[asked[equal]] = rival[asked[equal]]
    return first


def match_own(
    cost: Float[Tensor, "P G"], allowed: Bool[Tensor, "P G"], near: Bool[Tensor, "P G"]
) -> Int64[Tensor, " P"]:
    """As ``match_one``; then those without a point choose among the free ones that are near."""
    own = match_one(cost, allowed)
    things = torch.arange(cost.shape[1], device=cost.device)
    without = things[~torch.isin(things, own)]
    if not len(without):
        return own
    more = match_one(cost[:, without], near[:, without] & (own < 0)[:, None])
    return torch.where(more >= 0, without[more.clamp_min(0)], own)


def match_many(
    cost: Float[Tensor, "P G"],
    iou: Float[Tensor, "P G"],
    allowed: Bool[Tensor, "P G"],
    near: Bool[Tensor, "P G"],
) -> Int64[Tensor, " P"]:
    """(P,) the thing of each point, -1 for none; every thing that finds a free point within a stride has one."""
    own = match_own(cost, allowed, near)
    if not cost.numel():
        return own
    top = min(TOP, len(cost))
    takes = iou.masked_fill(~allowed, 0.0).topk(top, dim=0).values.sum(0).int().clamp_min(1)  # G
    cost = cost.masked_fill(~allowed, float("inf"))
    least, rows = cost.topk(top, dim=0, largest=False)  # T G, cheapest first
    chosen = torch.arange(top, device=cost.device)[:, None] < takes[None]
    wanted = torch.full_like(cost, float("inf"))
    wanted.scatter_(0, rows, least.masked_fill(~chosen, float("inf")))
    price, owner = wanted.min(1)
    owner = owner.masked_fill(~price.isfinite(), -1)
    return torch.where(own >= 0, own, owner)


class Reach(NamedTuple):
    """Of one picture's G things the p points that any of them may take: ``rows`` (p,) of all points, and which may be
    taken by which (p, G), inside and a stride outside (``reachable``, ``nearby``). Most points are in no thing, so
    all else is worked out on these alone.
    """

    rows: Int64[Tensor, " p"]
    allowed: Bool[Tensor, "p G"]
    near: Bool[Tensor, "p G"]


@torch.no_grad()
def reach(points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], boxes: Float[Tensor, "G 4"]) -> Reach:
    """The points that things may take; the same for both answers of a network."""
    allowed, near = reachable(points, strides, boxes), nearby(points, strides, boxes)
    rows = (allowed | near).any(1).nonzero().squeeze(1)
    return Reach(rows, allowed[rows], near[rows])


@torch.no_grad()
def assign(
    logits: Float[Tensor, "P K"],
    found: Float[Tensor, "P 4"],
    points: Float[Tensor, "P 2"],
    strides: Float[Tensor, " P"],
    boxes: Float[Tensor, "G 4"],
    labels: Int64[Tensor, " G"],
    *,
    one_to_one: bool = False,
    within: Reach | None = None,
) -> Int64[Tensor, " P"]:
    """(P,) which of one picture's G things each point learns, -1 for none. ``within`` is ``reach`` of the things."""
    rows, allowed, near = reach(points, strides, boxes) if within is None else within
    cost, iou = costs(logits[rows], found[rows], points[rows], strides[rows], boxes, labels)
    own = match_own(cost, allowed, near) if one_to_one else match_many(cost, iou, allowed, near)
    owner = torch.full((len(points),), -1, dtype=torch.int64, device=points.device)
    owner[rows] = own
    return owner
