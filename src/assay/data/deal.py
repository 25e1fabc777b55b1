"""Dealing rows to parts by hash: where a row goes depends on its own key and a salt, on nothing else.

So adding pictures never moves an old one, and the rows of a group (one key) stay together. A plain hash split
leaves the shares of small classes to chance; here the salt is the one of many candidates under which every class
comes closest to the wished shares, so the split is stratified and stable at once. Counts stream: memory depends
on candidates x classes, never on rows.

Hash: BLAKE2b (RFC 7693) of the key, 64 bits; the salt is mixed in by the finaliser of SplitMix64 (Steele, Lea and
Flood 2014, "Fast splittable pseudorandom number generators", section 4), whose every output bit depends on
every input bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assay.data.names import nfc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORK = 1 << 25
"""Rows x candidates that are worth looking at; and the most candidates x classes held in memory."""


@dataclass(frozen=True)
class Shares:
    """The wished shares of validation and test; train is the rest."""

    validation: float
    test: float

    @property
    def wished(self) -> NDArray[np.float64]:
        """(3,) shares in the order of ``types.PARTS``."""
        return np.array([1 - self.validation - self.test, self.validation, self.test])


def hash_keys(keys: pa.Array) -> NDArray[np.uint64]:
    """(N,) 64-bit hashes of strings, equal for names that differ only in Unicode form."""
    coded = keys.dictionary_encode()
    digests = (
        hashlib.blake2b(nfc(key).encode(), digest_size=8).digest() for key in coded.dictionary.to_pylist()
    )
    table = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
    hashes: NDArray[np.uint64] = table[coded.indices.to_numpy()]
    return hashes


def mix(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """(N,) hashes under a salt: the finaliser of SplitMix64."""
    with np.errstate(over="ignore"):
        z = hashes + np.uint64((int(_GOLDEN) * (salt + 1)) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
        return mixed


def deal(hashes: NDArray[np.uint64], salt: int, shares: Shares) -> NDArray[np.int8]:
    """(N,) part of each row as an index into ``types.PARTS``.

    Test takes the lowest hashes and validation the next, so another share of validation leaves test as it is.
    """
    mixed = mix(hashes, salt)
    test, both = (np.uint64(int(s * 2**64)) for s in (shares.test, shares.test + shares.validation))
    return (mixed < both).astype(np.int8) + (mixed < test).astype(np.int8)


@dataclass
class Tally:
    """Counts of every candidate salt: ``of_class`` (S, 2, K) pictures in validation and test, ``of_all`` (S, 2)."""

    shares: Shares
    of_class: NDArray[np.int64]
    of_all: NDArray[np.int64]
    classes: NDArray[np.int64]
    rows: int = 0

    @classmethod
    def empty(cls, rows: int, classes: int, shares: Shares) -> Tally:
        """Room for as many candidates as the number of rows and classes makes worth while: 8 to 1024."""
        n = int(np.clip(_WORK // max(1, rows), 64, 1024))
        n = int(np.clip(_WORK // 4 // max(1, classes), 8, n))
        return cls(
            shares,
            np.zeros((n, 2, classes), np.int64),
            np.zeros((n, 2), np.int64),
            np.zeros(classes, np.int64),
        )

    def add(self, hashes: NDArray[np.uint64], owner: NDArray[np.int64], label: NDArray[np.int64]) -> None:
        """Count some rows. Label ``label[j]`` (a class index) belongs to row ``owner[j]``."""
        k = len(self.classes)
        self.rows += len(hashes)
        self.classes += np.bincount(label, minlength=k)
        for salt in range(len(self.of_all)):
            part = deal(hashes, salt, self.shares)
            self.of_all[salt] += np.bincount(part, minlength=3)[1:]
            of_label = part[owner]
            for i in (0, 1):
                self.of_class[salt, i] += np.bincount(label[of_label == i + 1], minlength=k)

    def best(self) -> int:
        """The salt under which the fewest classes miss a part (train above all) and shares come closest."""
        faults = np.array([self._faults(salt) for salt in range(len(self.of_all))])
        return int(np.lexsort((faults[:, 2], faults[:, 1], faults[:, 0]))[0])

    def _faults(self, salt: int) -> tuple[float, float, float]:
        """(classes without train, class-part pairs without a picture, distance from the wished shares)."""
        wished = self.shares.wished[:, None]
        counts = _with_train(self.of_class[salt], self.classes)  # 3 K
        missing = (counts == 0) & (wished > 0) & (self.classes >= np.count_nonzero(wished))
        overall = _with_train(self.of_all[salt][:, None], np.array([self.rows]))
        distance = _distance(counts, wished, self.classes) + _distance(overall, wished, np.array([self.rows]))
        return float(missing[0].sum()), float(missing.sum()), distance


def _with_train(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([totals[None] - counts.sum(axis=0, keepdims=True), counts])


def _distance(counts: NDArray[Any], wished: NDArray[np.float64], totals: NDArray[np.int64]) -> float:
    """Pearson's chi-square of counts against wished shares, averaged over classes."""
    expected = wished * totals
    held = expected > 0
    squares = (counts - expected)[held] ** 2 / expected[held]
    return float(squares.sum() / max(1, len(totals)))


def best_salt(
    batches: Iterable[tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]], tally: Tally
) -> int:
    """Stream (hashes, owner, label) triples through ``tally`` and choose the salt."""
    for hashes, owner, label in batches:
        tally.add(hashes, owner, label)
    return tally.best()
