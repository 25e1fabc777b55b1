"""Copies: files of the same bytes, and pictures of the same scene.

Four steps, each on what the one before leaves: equal bytes (by their 128-bit BLAKE2 digest) become one; of pictures
with one print, or with one quarter of it in common with many, those that show the same scene become one; prints
within a few bits of each other, also of the mirrored and the slightly cropped picture, are candidates; candidates are
laid over each other (``same_scene``). So a hundred thousand frames of a camera that does not move cost no more than as
many different pictures, and time and memory are bounded by a number of comparisons and candidates a picture. Where a
set has more of them, fewer bits are allowed, and ``Copies.bits`` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from assay.audit.facts import BLANK_CONTRAST, Facts
from assay.audit.fingerprint import prints, to_grey
from assay.audit.near_prints import TooManyError, fewer_bits, near_prints
from assay.audit.same_scene import CUTS, Way, closeness

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

Progress = Callable[[str, int, int], None]

_WAYS = (
    *(Way(cut, mirrored=False) for cut in CUTS),
    Way("whole", mirrored=True),
    Way("centre", mirrored=True),
)
_CANDIDATES_EACH = 6
_CANDIDATES_LEAST = 500_000
_OF_ONE_PRINT = 24
_QUARTER, _CROWD = 16, 64
_COMPARISONS_EACH = 4000
_COMPARISONS_LEAST = 100_000_000
_BLOCK = 8192


class Pairs(NamedTuple):
    """Pictures of the same scene, the closest first: (P,) rows left and right, closeness up to 1, whether mirrored."""

    left: Rows
    right: Rows
    closeness: NDArray[np.float32]
    mirrored: NDArray[np.bool_]


@dataclass(frozen=True)
class Copies:
    """Which rows of a data set are copies of others.

    ``exact`` (N,) is the first row whose file has the same bytes, the row itself where there is none. ``pairs`` are
    near-duplicates among these first rows: enough of them to connect what belongs together, not all that could be
    named. ``bits`` is how many bits of their prints were allowed to differ.
    """

    exact: Rows
    pairs: Pairs
    bits: int

    @cached_property
    def scene(self) -> Rows:
        """(N,) the first row that shows the same scene, through any chain of copies; itself where there is none."""
        n = len(self.exact)
        rows = np.concatenate([np.arange(n), self.pairs.left])
        others = np.concatenate([self.exact, self.pairs.right])
        graph = coo_array((np.ones(len(rows), np.int8), (rows, others)), shape=(n, n))
        labels = connected_components(graph, directed=False)[1]
        first = np.full(n, n, np.int64)
        np.minimum.at(first, labels, np.arange(n))
        scene: Rows = first[labels]
        return scene


def groups_of(first: Rows) -> list[Rows]:
    """The groups of two and more rows that share a first row, in order."""
    order = np.argsort(first, kind="stable")
    starts = np.flatnonzero(np.diff(first[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    several = sizes > 1
    return [order[start : start + size] for start, size in zip(starts[several], sizes[several], strict=True)]


def find_copies(facts: Facts, near_bits: int, progress: Progress = lambda *_: None) -> Copies:
    """Exact and near duplicates among the readable pictures.

    Parameters
    ----------
    near_bits : most bits of 64 in which two prints differ; see ``AuditConfig``.
    progress : called with ("comparing pictures", done, of how many).
    """
    exact = _same_bytes(facts)
    contrast = facts.column("contrast")
    rows = np.flatnonzero(facts.readable & (exact == np.arange(len(exact))) & (contrast >= BLANK_CONTRAST))
    found = _Found(facts.thumbs)
    marks = facts.column("print")
    rows = _join_equal(rows, marks, found, many=1, drop=True)
    for shift in range(0, 64, _QUARTER):
        quarter = (marks >> np.uint64(shift)) & np.uint64((1 << _QUARTER) - 1)
        rows = _join_equal(rows, quarter, found, many=_CROWD, drop=False)
    bits = _join_near_prints(rows, facts, near_bits, found, progress)
    return Copies(exact, found.pairs(), bits)


def _same_bytes(facts: Facts) -> Rows:
    n = len(facts)
    first = np.arange(n)
    rows = np.flatnonzero(facts.readable)
    if not len(rows):
        return first
    digests = np.ascontiguousarray(facts.column("digest")[rows]).view("<u8")  # R 2
    order = np.lexsort((rows, digests[:, 1], digests[:, 0]))
    new = np.append(True, np.any(digests[order][1:] != digests[order][:-1], axis=1))
    leaders = rows[order][np.flatnonzero(new)]
    first[rows[order]] = leaders[np.cumsum(new) - 1]
    return first


class _Found:
    """Collects pairs that were laid over each other and agree."""

    def __init__(self, thumbs: NDArray[np.uint8]) -> None:
        self._thumbs = thumbs
        self._blocks: list[tuple[Rows, Rows, NDArray[np.float32], NDArray[np.bool_]]] = []

    def check(self, left: Rows, right: Rows, way: Way) -> NDArray[np.bool_]:
        """(P,) which of the pairs show the same scene; they are kept."""
        close = closeness(self._thumbs, left, right, way)
        same = close > 0
        mirrored = np.full(same.sum(), way.mirrored)
        self._blocks.append(
            (np.minimum(left, right)[same], np.maximum(left, right)[same], close[same], mirrored)
        )
        return same

    def pairs(self) -> Pairs:
        """Each pair once, as it agrees best, the closest first."""
        empty = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, bool))
        left, right, close, mirrored = (
            np.concatenate([empty[i], *(block[i] for block in self._blocks)]) for i in range(4)
        )
        order = np.lexsort((mirrored, -close, right, left))
        left, right, close, mirrored = (values[order] for values in (left, right, close, mirrored))
        new = np.append(True, (np.diff(left) != 0) | (np.diff(right) != 0))[: len(left)]
        best = np.flatnonzero(new)
        best = best[np.lexsort((right[best], left[best], -close[best]))]
        return Pairs(left[best], right[best], close[best], mirrored[best])


def _join_equal(rows: Rows, marks: NDArray[np.uint64], found: _Found, *, many: int, drop: bool) -> Rows:
    """The rows without those that show the same scene as an earlier one with the same mark.

    Only marks of more than ``many`` rows are looked at. ``drop``: of a mark that stands for too many scenes, only the
    first ones stay.
    """
    order = rows[np.argsort(marks[rows], kind="stable")]
    starts = np.flatnonzero(np.append(True, np.diff(marks[order]) != 0)[: len(order)])
    sizes = np.diff(np.append(starts, len(order)))
    crowded = sizes > many
    kept = [order[np.repeat(~crowded, sizes)]]
    for start, size in zip(starts[crowded], sizes[crowded], strict=True):
        leaders, others = _leaders(order[start : start + size], found)
        kept += [leaders] if drop else [leaders, others]
    return np.sort(np.concatenate(kept))


def _leaders(rows: Rows, found: _Found) -> tuple[Rows, Rows]:
    """One of each scene among these rows, up to so many scenes; and the rows that show none of them."""
    leaders: list[int] = []
    while len(rows) and len(leaders) < _OF_ONE_PRINT:
        leader, rows = int(rows[0]), rows[1:]
        leaders.append(leader)
        rows = rows[~found.check(np.full(len(rows), leader), rows, Way("whole", mirrored=False))]
    return np.array(leaders, np.int64), rows


def _join_near_prints(rows: Rows, facts: Facts, bits: int, found: _Found, progress: Progress) -> int:
    """Checks all candidates; how many bits were allowed in the end."""
    targets = facts.column("print")[rows]
    most = max(_CANDIDATES_LEAST, _CANDIDATES_EACH * len(rows))
    for done, way in enumerate(_WAYS):
        progress("comparing pictures", done, len(_WAYS))
        queries = _prints_by_way(facts, rows, way)
        left, right, bits = _candidates(queries, targets, bits, most, both_ways=way.cut != "whole")
        found.check(rows[left], rows[right], way)
    progress("comparing pictures", len(_WAYS), len(_WAYS))
    return bits


def _prints_by_way(facts: Facts, rows: Rows, way: Way) -> NDArray[np.uint64]:
    if way.cut == "whole":
        marks: NDArray[np.uint64] = facts.column("print_flipped" if way.mirrored else "print")[rows]
        return marks
    blocks = (rows[i : i + _BLOCK] for i in range(0, len(rows), _BLOCK))
    cut = CUTS[way.cut][0]
    found = [prints(to_grey(facts.thumbs[block]), cut)[int(way.mirrored)] for block in blocks]
    return np.concatenate([np.empty(0, np.uint64), *found])


def _candidates(
    queries: NDArray[np.uint64], targets: NDArray[np.uint64], bits: int, most: int, *, both_ways: bool
) -> tuple[Rows, Rows, int]:
    """(query, target) of prints within ``bits``, or within the fewer bits that ``most`` pairs allow."""
    while bits >= 0:
        try:
            return _collect(queries, targets, bits, most, both_ways)
        except TooManyError:
            bits = fewer_bits(bits)
    return np.empty(0, np.int64), np.empty(0, np.int64), 0


def _collect(
    queries: NDArray[np.uint64], targets: NDArray[np.uint64], bits: int, most: int, both_ways: bool
) -> tuple[Rows, Rows, int]:
    blocks: list[tuple[Rows, Rows, NDArray[np.uint8]]] = []
    held = 0
    for query, target, apart in _new_ones(queries, targets, bits, both_ways):
        near = apart <= bits
        blocks.append((query[near], target[near], apart[near]))
        held += int(near.sum())
        if held > most:
            blocks, bits = _tighten(blocks, bits, most)
            held = len(blocks[0][0])
    left = np.concatenate([np.empty(0, np.int64), *(block[0] for block in blocks)])
    right = np.concatenate([np.empty(0, np.int64), *(block[1] for block in blocks)])
    return left, right, bits


def _new_ones(
    queries: NDArray[np.uint64], targets: NDArray[np.uint64], bits: int, both_ways: bool
) -> Iterator[tuple[Rows, Rows, NDArray[np.uint8]]]:
    most = max(_COMPARISONS_LEAST, _COMPARISONS_EACH * len(targets))
    for query, target, apart in near_prints(queries, targets, bits, most):
        other = query != target if both_ways else query < target
        yield query[other], target[other], apart[other]


def _tighten(
    blocks: list[tuple[Rows, Rows, NDArray[np.uint8]]], bits: int, most: int
) -> tuple[list[tuple[Rows, Rows, NDArray[np.uint8]]], int]:
    left, right, apart = (np.concatenate([block[i] for block in blocks]) for i in range(3))
    within = np.cumsum(np.bincount(apart, minlength=bits + 1))
    bits = max(0, min(bits - 1, int(np.searchsorted(within, most, side="right")) - 1))
    kept = np.flatnonzero(apart <= bits)[:most]
    return [(left[kept], right[kept], apart[kept])], bits
