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


class TooManyError(Exception):
    """More prints share parts than may be compared."""


def fewer_bits(bits: int) -> int:
    """The most bits for which far fewer buckets have to be looked at; -1 where there are none."""
    return len(_bands(bits)) * (bits // len(_bands(bits))) - 1


def near_prints(
    queries: NDArray[np.uint64], targets: NDArray[np.uint64], bits: int, most: int | None = None
) -> Iterator[Found]:
    """Blocks of (query, target, distance) with distance <= ``bits``; each pair once, in no order.

    Parameters
    ----------
    queries, targets : (Q,) and (T,) prints. ``bits`` : 0 to 16. ``most`` : comparisons that may be made.

    Raises
    ------
    TooManyError : ``most`` comparisons are not enough.
    """
    if len(targets) <= _FEW:
        yield from _each_with_each(queries, targets, bits)
        return
    bands = _bands(bits)
    reach = bits // len(bands)
    left = most
    for number, band in enumerate(bands):
        for count, found in _Bucketed(queries, targets, band).compare(bits, bands[:number], reach):
            if left is not None and (left := left - count) < 0:
                raise TooManyError
            yield from found


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


class _Bucketed:
    """Queries and targets by the bits of one band."""

    def __init__(
        self, queries: NDArray[np.uint64], targets: NDArray[np.uint64], band: tuple[int, int]
    ) -> None:
        keys, self._wanted = _cut_out(targets, band), _cut_out(queries, band)
        self._order = np.argsort(keys, kind="stable")
        ends = np.cumsum(np.bincount(keys, minlength=1 << band[1]))
        self._starts = np.concatenate([[0], ends]).astype(np.int32)
        self._by_key = np.argsort(self._wanted, kind="stable")  # neighbours in memory are asked for together
        self._wanted = self._wanted[self._by_key]
        self._queries, self._targets, self._width = queries, targets, band[1]

    def compare(
        self, bits: int, earlier: list[tuple[int, int]], reach: int
    ) -> Iterator[tuple[int, Iterator[Found]]]:
        """For each distance and direction of buckets: how many comparisons it takes, and what they find."""
        for flips in _masks(self._width, reach):
            bucket = self._wanted ^ flips
            starts, ends = self._starts[bucket], self._starts[bucket + 1]
            count = int((ends - starts).sum(dtype=np.int64))
            yield count, self._compare(starts, ends, bits, earlier, reach)

    def _compare(
        self,
        starts: NDArray[np.int32],
        ends: NDArray[np.int32],
        bits: int,
        earlier: list[tuple[int, int]],
        reach: int,
    ) -> Iterator[Found]:
        for place, goal in _expand(starts, ends, self._order):
            difference = self._queries[self._by_key[place]] ^ self._targets[goal]
            apart = np.bitwise_count(difference)
            new = np.flatnonzero(apart <= bits)
            new = new[~_seen_before(difference[new], earlier, reach)]
            yield self._by_key[place[new]], goal[new], apart[new]


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
