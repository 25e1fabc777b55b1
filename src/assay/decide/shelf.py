"""Prints of many enrolled photos, searched one and all: no index that could miss one, and nothing to build.

A print is four words of 64 bits, the lowest frequencies first. They bear edits best, so a difference of their bits is
counted first, over all prints at once; the other three words are only looked at where that is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.decide.prints import Bits

MOST_BITS, MOST_LOW_BITS = 78, 20
"""Bits of 256, and of the 64 lowest, in which a candidate may differ; without relation, 128 and 32 of them differ."""
MOST_CANDIDATES = 8
"""The nearest so many photos are looked at."""
_AT_ONCE = 32768
"""Rows that are gone through at a time, so that they stay in the processor's cache."""
_LEAST_ROOM = 1024


class Candidate(NamedTuple):
    """An enrolled photo that may be the one: ``slot`` names it, ``bits`` is how many differ.

    ``asked`` is the row of what was asked, ``frame`` and ``view`` are of the enrolled photo.
    """

    slot: int
    bits: int
    asked: int
    frame: int
    view: int


class Shelf:
    """Rows of prints in the order of coming. Readers need no lock while one writer adds."""

    def __init__(self) -> None:
        self._words = np.empty((4, 0), np.uint64)
        self._marks = np.empty((3, 0), np.int32)  # slot, frame, view
        self.count = 0

    def add(self, slot: int, bits: Bits, frames: NDArray[np.int16], views: NDArray[np.int16]) -> None:
        """Put (V, 4) prints of one photo behind the others."""
        end = self.count + len(bits)
        if end > self._words.shape[1]:
            room = max(_LEAST_ROOM, 2 * end)
            words, marks = np.empty((4, room), np.uint64), np.empty((3, room), np.int32)
            words[:, : self.count] = self._words[:, : self.count]
            marks[:, : self.count] = self._marks[:, : self.count]
            self._words, self._marks = words, marks
        self._words[:, self.count : end] = bits.T
        self._marks[:, self.count : end] = np.stack([np.full(len(bits), slot), frames, views])
        self.count = end  # last: a reader who sees the number sees the rows

    def remove(self, slot: int) -> None:
        """Let nothing be found of one photo any more. Its rows stay."""
        slots = self._marks[0, : self.count]
        slots[slots == slot] = -1

    def rows(self, slot: int) -> tuple[Bits, NDArray[np.int16], NDArray[np.int16]]:
        """What was added for one photo."""
        own = np.flatnonzero(self._marks[0, : self.count] == slot)
        frames, views = self._marks[1:, own].astype(np.int16)
        return np.ascontiguousarray(self._words[:, own].T), frames, views

    def near(self, asked: Bits) -> list[Candidate]:
        """The enrolled photos that come nearest to one of (Q, 4) prints, the nearest first, each once."""
        count, words, marks = self.count, self._words, self._marks
        desk = np.empty(min(count, _AT_ONCE), np.uint64), np.empty(min(count, _AT_ONCE), np.uint8)
        found = [np.empty((3, 0), np.int64)]
        for start in range(0, count, _AT_ONCE):
            found += _near(asked, words[:, start : min(start + _AT_ONCE, count)], start, *desk)
        rows = np.concatenate(found, axis=1)
        rows = rows[:, marks[0, rows[1]] >= 0]
        rows = rows[:, np.lexsort((rows[1], rows[2]))]  # by bits, then by row
        _, first = np.unique(marks[0, rows[1]], return_index=True)
        nearest = rows[:, np.sort(first)[:MOST_CANDIDATES]]
        return [
            Candidate(int(marks[0, row]), int(bits), int(query), int(marks[1, row]), int(marks[2, row]))
            for query, row, bits in nearest.T
        ]


def _near(
    asked: Bits, words: NDArray[np.uint64], start: int, differ: NDArray[np.uint64], low: NDArray[np.uint8]
) -> Iterator[NDArray[np.int64]]:
    """(3, n) query, row and bits of the pairs that are near enough; ``differ`` and ``low`` are room to work in."""
    differ, low = differ[: words.shape[1]], low[: words.shape[1]]
    for query, own in enumerate(asked):
        np.bitwise_count(np.bitwise_xor(words[0], own[0], out=differ), out=low)
        row = np.flatnonzero(low <= MOST_LOW_BITS)
        bits = low[row].astype(np.int64)
        for word in (1, 2, 3):
            bits += np.bitwise_count(words[word, row] ^ own[word])
        kept = bits <= MOST_BITS
        if kept.any():
            yield np.stack([np.full(int(kept.sum()), query), row[kept] + start, bits[kept]])
