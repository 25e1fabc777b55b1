"""Pairs of a thing and a point of a whole batch, in one flat list.

Most points are in no thing, so what is worked out for pairs alone costs a tenth of what matrices of things by points
cost, and a batch takes as many steps as one picture. A point is named by its place in the batch, picture x P + point.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

INF = float("inf")


class Pairs(NamedTuple):
    """M pairs of N things and Q places, by thing and then by place.

    Attributes
    ----------
    thing, place : (M,) of each pair.
    start : (N,) the first pair of each thing.
    width : the most pairs that a thing has.
    places : how many places there are.
    rivals : the most things that a picture has.
    """

    thing: Int64[Tensor, " M"]
    place: Int64[Tensor, " M"]
    start: Int64[Tensor, " N"]
    width: int
    places: int
    rivals: int

    def table(self, values: Float[Tensor, " M"], fill: float) -> Float[Tensor, "N width"]:
        """A row for each thing with the values of its pairs, then ``fill``."""
        rows = values.new_full((len(self.start) * self.width,), fill)
        column = torch.arange(len(self.thing), device=values.device) - self.start.index_select(0, self.thing)
        rows[self.thing * self.width + column] = values
        return rows.view(len(self.start), self.width)


def pair_up(may: Bool[Tensor, "N P"], picture: Int64[Tensor, " N"], pictures: int) -> Pairs:
    """The pairs for which ``may`` is true. ``picture`` says whose each thing is."""
    thing, point = may.nonzero().unbind(1)
    place = picture.index_select(0, thing) * may.shape[1] + point
    counts = thing.bincount(minlength=len(may))
    width, rivals = (int(n.max()) if len(may) else 0 for n in (counts, picture.bincount()))
    return Pairs(thing, place, counts.cumsum(0) - counts, width, pictures * may.shape[1], rivals)


def rank_in_run(groups: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """How many of the same group come before, where each group lies together."""
    _, counts = groups.unique_consecutive(return_counts=True)
    start = (counts.cumsum(0) - counts).repeat_interleave(counts, output_size=len(groups))
    return torch.arange(len(groups), device=groups.device) - start


def rank_in_group(groups: Int64[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """How many of the same group come before, wherever they lie."""
    order = groups.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = rank_in_run(groups[order])
    return rank


def is_least(offer: Float[Tensor, " n"], place: Int64[Tensor, " n"], places: int) -> Bool[Tensor, " n"]:
    """Which offers are the least at their place, of equals the first; none that is not finite."""
    least = offer.new_full((places,), INF).scatter_reduce(0, place, offer, "amin")
    best = offer.isfinite() & (offer == least.index_select(0, place))
    index = torch.arange(len(offer), device=offer.device)
    first = index.new_full((places,), len(offer))
    first.scatter_reduce_(0, place, index.where(best, len(offer)), "amin")
    return first.index_select(0, place) == index
