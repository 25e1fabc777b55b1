"""All prints within a few bits of given ones, without comparing each with each.

Multi-index hashing (Norouzi, Punjani and Fleet, Fast Exact Search in Hamming Space with Multi-Index Hashing, 2014,
section 3): 64 bits are cut into m bands. Prints that differ in at most r bits differ in at most r // m bits in one
of the bands, so all neighbours lie in the buckets so near to the query's own. Exact, and as vectorised numpy over
all queries for one bucket distance after the other. A pair is taken only in the first band that shows it, so none is
told twice and nothing has to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]

_FEW = 4096
"""Up to so many prints each is compared with each, which is faster."""

_AT_ONCE = 1 << 21
"""Comparisons that are held in memory."""


def near_prints(queries: NDArray[np.uint64], targets: NDArray[np.uint64], bits: int) -> Iterator[Found]:
    """Blocks of (query, target, distance) with distance <= ``bits``; each pair once, in no order.

    Parameters
    ----------
    queries, targets : (Q,) and (T,) prints. ``bits`` : 0 to 16.
    """
    if len(targets) <= _FEW:
        yield from _each_with_each(queries, targets, bits)
        return
    bands = _bands(bits)
    reach = bits // len(bands)
    for number, (shift, width) in enumerate(bands):
        yield from _in_band(queries, targets, bits, (shift, width), bands[:number], reach)


def _each_with_each(queries: NDArray[np.uint64], targets: NDArray[np.uint64], bits: int) -> Iterator[Found]:
    step = max(1, _AT_ONCE // max(1, len(targets)))
    for start in range(0, len(queries), step):
        apart = np.bitwise_count(queries[start : start + step, None] ^ targets[None])
        query, target = np.nonzero(apart <= bits)
        yield query + start, target, apart[query, target]


def _bands(bits: int) -> list[tuple[int, int]]:
    """(shift, width) of the fewest bands in one of which two neighbours differ by at most two bits."""
    count = bits // 3 + 1
    edges = np.linspace(0, 64, max(count, 3) + 1).round().astype(int).tolist()
    return [(low, high - low) for low, high in pairwise(edges)]


def _in_band(
    queries: NDArray[np.uint64],
    targets: NDArray[np.uint64],
    bits: int,
    band: tuple[int, int],
    earlier: list[tuple[int, int]],
    reach: int,
) -> Iterator[Found]:
    keys, wanted = _cut_out(targets, band), _cut_out(queries, band)
    order = np.argsort(keys, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << band[1]))]).astype(np.int32)
    by_key = np.argsort(wanted, kind="stable")  # neighbours in memory are asked for together
    wanted = wanted[by_key]
    for flips in _masks(band[1], reach):
        bucket = wanted ^ flips
        for place, goal in _expand(starts[bucket], starts[bucket + 1], order):
            difference = queries[by_key[place]] ^ targets[goal]
            apart = np.bitwise_count(difference)
            new = np.flatnonzero(apart <= bits)
            new = new[~_seen_before(difference[new], earlier, reach)]
            yield by_key[place[new]], goal[new], apart[new]


def _cut_out(values: NDArray[np.uint64], band: tuple[int, int]) -> NDArray[np.int64]:
    shift, width = band
    return ((values >> np.uint64(shift)) & np.uint64((1 << width) - 1)).astype(np.int64)


def _masks(width: int, reach: int) -> Iterator[int]:
    for count in range(reach + 1):
        for places in combinations(range(width), count):
            yield sum(1 << place for place in places)


def _expand(
    starts: NDArray[np.int32], ends: NDArray[np.int32], order: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(query, target) for every target of each query's bucket, a bounded number at a time."""
    hit = np.flatnonzero(ends > starts)
    counts = (ends - starts)[hit].astype(np.int64)
    total = np.cumsum(counts)
    first = 0
    while first < len(hit):
        before = total[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(total, before + _AT_ONCE, side="right")))
        part, number = hit[first:last], counts[first:last]
        within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
        yield np.repeat(part, number), order[np.repeat(starts[part], number) + within]
        first = last


def _seen_before(
    difference: NDArray[np.uint64], earlier: list[tuple[int, int]], reach: int
) -> NDArray[np.bool_]:
    seen = np.zeros(len(difference), bool)
    for band in earlier:
        seen |= np.bitwise_count(_cut_out(difference, band)) <= reach
    return seen
