"""Which point learns which thing, in all pictures of a batch at once.

One-to-many: dynamic assignment (Ge et al. 2021, "YOLOX", section 2.1, SimOTA; Ge et al. 2021, "OTA"). Each thing takes
as many points as the IoUs of its best ones add up to, those of least cost:

    cost = soft BCE - 3 log IoU + 10^(d - 3),  d = strides from the point to the middle of the box

with labels softened by the IoU and the middle as a soft prior (Lyu et al. 2022, "RTMDet", section 3.3). One-to-one: the
pairs of least cost, each point and each thing once (Sun et al. 2021, "What Makes for End-to-End Object Detection?").

What differs. A thing has a point of its own that no other can take, where the usual resolving of conflicts can leave a
crowded one without any: one-to-many begins with the one-to-one pairs, and a thing that finds all its points taken goes
to a free one at most a stride away (a head's distances reach that far outside). Of tiny things that clump on fewer
points than they are, some have none. Which points a thing may take at all: ``losses.reach``.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import pad, softplus

from assay.losses.overlap import paired_iou
from assay.losses.pairs import INF, is_least, rank_in_group
from assay.losses.reach import Reach

TOP = 10
"""Points whose IoUs say how many a thing takes; YOLOX's choice."""
IOU_WEIGHT = 3.0
LEAST_IOU = 1e-6


def costs(
    logits: Float[Tensor, "Q K"], found: Float[Tensor, "Q 4"], within: Reach
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Cost and IoU of every pair.

    ``found`` are the boxes that the points give now. The BCE over all classes against a label of the IoU at the thing's
    class is sum_c softplus(x_c) - IoU x_label, which needs no (M, K).
    """
    (_, boxes, labels, _), (thing, place, *_) = within.things, within.pairs
    iou = paired_iou(found.index_select(0, place), boxes.index_select(0, thing))
    own = logits.flatten().index_select(0, place * logits.shape[1] + labels.index_select(0, thing))
    bce = softplus(logits).sum(1).index_select(0, place) - iou * own
    return bce - IOU_WEIGHT * iou.clamp_min(LEAST_IOU).log() + within.prior, iou


def cheapest(
    cost: Float[Tensor, " M"], within: Reach, allowed: Bool[Tensor, " M"], most: int
) -> tuple[Float[Tensor, "N k"], Int64[Tensor, "N k"]]:
    """Costs and indices of each thing's cheapest pairs, ``most`` at most, cheapest first; infinite: it has no more."""
    rows = within.pairs.table(cost.where(allowed & cost.isfinite(), INF), INF)
    price, column = rows.topk(min(most, within.pairs.width), largest=False)
    return price, (within.pairs.start[:, None] + column).clamp_max(len(cost) - 1)


def match_one(price: Float[Tensor, "N k"], pair: Int64[Tensor, "N k"], within: Reach) -> Int64[Tensor, " n"]:
    """The n pairs in which each thing and each point is at most once: the cheapest, then the cheapest of what is left,
    and so on, of each thing's candidates (``cheapest``).

    Found by asking: each thing asks for its cheapest point, a point takes the cheapest that asks, of equals the first,
    and who is refused asks for its next. Both sides go by the same costs, so the one stable matching that this finds
    (Gale and Shapley 1962) is the greedy one. Of things with the same costs everywhere (a box drawn twice) the first is
    preferred by all points, so the second begins with its second choice.
    """
    place = pad(within.pairs.place[pair], (0, 1))
    price = pad(price, (0, 1), value=INF)  # the last column: asks no more
    asks = _twins_before(price, within).clamp_max(pair.shape[1])[:, None]
    while True:
        offer, at = price.gather(1, asks).squeeze(1), place.gather(1, asks).squeeze(1)
        taken = is_least(offer, at, within.pairs.places)
        refused = offer.isfinite() & ~taken
        if not bool(refused.any()):
            return pair[taken].gather(1, asks[taken]).squeeze(1)
        asks = asks + refused[:, None]


def _twins_before(price: Float[Tensor, "N k"], within: Reach) -> Int64[Tensor, " N"]:
    """How many that ask too have the same box, class and picture and come before."""
    asking = price[:, 0].isfinite().nonzero().squeeze(1)
    before = torch.zeros(len(price), dtype=torch.int64, device=price.device)
    before[asking] = rank_in_group(within.same[asking])
    return before


def match_own(
    cost: Float[Tensor, " M"], within: Reach, candidates: tuple[Tensor, Tensor] | None = None
) -> Int64[Tensor, " n"]:
    """The n pairs of things with a point of their own: as ``match_one`` among the points inside; those that are left
    without then choose among the free ones, which lie a stride outside.

    ``candidates`` are ``cheapest`` of the points inside, as many as a picture has things: so many are enough, as each
    of the others can take one point from a thing.
    """
    pairs = within.pairs
    price, pair = candidates or cheapest(cost, within, within.inside, pairs.rivals)
    own = match_one(price, pair, within)
    without = torch.ones(len(price), dtype=torch.bool, device=cost.device)
    without[pairs.thing[own]] = False
    if bool(without.any()):
        free = torch.ones(pairs.places, dtype=torch.bool, device=cost.device)
        free[pairs.place[own]] = False
        allowed = free.index_select(0, pairs.place) & without.index_select(0, pairs.thing)
        own = torch.cat((own, match_one(*cheapest(cost, within, allowed, pairs.rivals), within)))
    return own


def match_many(cost: Float[Tensor, " M"], iou: Float[Tensor, " M"], within: Reach) -> Int64[Tensor, " n"]:
    """The n positive pairs, no two at a point; every thing that finds a free point within a stride has one."""
    pairs = within.pairs
    price, pair = cheapest(cost, within, within.inside, max(TOP, pairs.rivals))
    own = match_own(cost, within, (price[:, : pairs.rivals], pair[:, : pairs.rivals]))
    best = pairs.table(iou.where(within.inside, 0.0), 0.0)
    takes = best.topk(min(TOP, pairs.width)).values.sum(1).int().clamp_min(1)  # N
    price, pair = price[:, :TOP], pair[:, :TOP]
    wanted = torch.arange(price.shape[1], device=cost.device) < takes[:, None]
    offer = price.where(wanted, INF).flatten()
    # what is a thing's own is not for sale
    mine = torch.zeros(pairs.places, dtype=torch.bool, device=cost.device)
    mine[pairs.place[own]] = True
    place = pairs.place[pair.flatten()]
    more = is_least(offer, place, pairs.places) & ~mine[place]
    return torch.cat((own, pair.flatten()[more]))


@torch.no_grad()
def assign(
    logits: Float[Tensor, "B P K"], found: Float[Tensor, "B P 4"], within: Reach, *, one_to_one: bool = False
) -> Int64[Tensor, "B P"]:
    """Which of the N things of a batch each point learns, -1 for none."""
    owner = torch.full((within.pairs.places,), -1, dtype=torch.int64, device=logits.device)
    if len(within.pairs.thing):
        cost, iou = costs(logits.flatten(0, 1), found.flatten(0, 1), within)
        chosen = match_own(cost, within) if one_to_one else match_many(cost, iou, within)
        owner[within.pairs.place[chosen]] = within.pairs.thing[chosen]
    return owner.view(logits.shape[:2])
