"""How a photo lies to the genuine references of its item and to known fakes, in the eyes of a network.

Two p-values of the hypothesis "this is one more genuine photo like the enrolled ones", both exact for any network, as
long as the photo and the references are exchangeable under it (Vovk, Gammerman and Shafer, *Algorithmic Learning in a
Random World*, 2005, section 2.2):

- *unlike*: its distance to the nearest reference, ranked among those of the references, each to the nearest of all
  others and of the photo (full conformal prediction). Small where the photo stands apart.
- *like a fake*: its distance to the nearest known fake, ranked among those of the references. Small where none of them
  is so near to a fake.

So of genuine photos at most a share of a is called either at p <= a; nothing is said of how many fakes are found. With
N references no p is below 1 / (N + 1): too few of them, and nothing is ever claimed. References from one seller's one
session make every other genuine photo look strange; enrol photos as they will come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TIE = 1e-3
"""Cosine distances that count as equal: engines differ by rounding. It can only raise a p-value."""
_CHUNK = 512


class Told(NamedTuple):
    """``nearest`` is a row of the genuine, or of the fakes; ``p`` one of the p-values, of ``among`` + 1 photos."""

    nearest: int
    distance: float
    p: float
    among: int


@dataclass(frozen=True, eq=False)
class Likeness:
    """Embeddings of one item on the unit sphere: (N, F) of genuine references, (M, F) of known fakes.

    ``apart`` (N,) is the distance of each reference to its nearest other, ``from_fakes`` (N,) to its nearest fake; both
    are 2 where there is none.
    """

    genuine: Floats
    fakes: Floats
    apart: Floats
    from_fakes: Floats

    def with_genuine(self, embedding: Any) -> Likeness:
        """One reference more."""
        point = on_sphere(embedding)[None]
        away = _distances(self.genuine, point)[:, 0]
        return replace(
            self,
            genuine=np.concatenate([self.genuine, point]),
            apart=np.append(np.minimum(self.apart, away), away.min(initial=2.0)).astype(np.float32),
            from_fakes=np.append(self.from_fakes, _nearest(point, self.fakes)),
        )

    def with_fake(self, embedding: Any) -> Likeness:
        """One fake more."""
        point = on_sphere(embedding)[None]
        away = _distances(self.genuine, point)[:, 0]
        return replace(
            self,
            fakes=np.concatenate([self.fakes, point]),
            from_fakes=np.minimum(self.from_fakes, away),
        )

    def unlike(self, embedding: Any) -> Told | None:
        """How far the photo stands apart from the references; None where there are fewer than two."""
        if len(self.genuine) < 2:
            return None
        away = _distances(self.genuine, on_sphere(embedding)[None])[:, 0]
        nearest = int(away.argmin())
        others = np.minimum(self.apart, away)
        return self._told(nearest, away[nearest], int((others >= away[nearest] - TIE).sum()))

    def like_fake(self, embedding: Any) -> Told | None:
        """How near the photo is to a known fake; None where there is no fake, or fewer than two references."""
        if len(self.genuine) < 2 or not len(self.fakes):
            return None
        away = _distances(self.fakes, on_sphere(embedding)[None])[:, 0]
        nearest = int(away.argmin())
        return self._told(nearest, away[nearest], int((self.from_fakes <= away[nearest] + TIE).sum()))

    def _told(self, nearest: int, distance: float, as_extreme: int) -> Told:
        n = len(self.genuine)
        return Told(nearest, round(float(distance), 6), round((1 + as_extreme) / (n + 1), 6), n)


def likeness_of(genuine: Any, fakes: Any) -> Likeness:
    """Of (N, F) and (M, F) embeddings, each with a direction."""
    own, other = on_sphere(genuine), on_sphere(fakes)
    apart = np.full(len(own), 2.0, np.float32)
    for start in range(0, len(own), _CHUNK):
        away = _distances(own[start : start + _CHUNK], own)
        away[np.arange(len(away)), np.arange(start, start + len(away))] = 2.0
        apart[start : start + _CHUNK] = away.min(axis=1, initial=2.0)
    return Likeness(own, other, apart, _nearest(own, other))


def on_sphere(embedding: Any) -> Floats:
    """(..., F) float32 of length 1; zeros and what is not finite become zeros."""
    values = np.nan_to_num(np.asarray(embedding, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    length = np.linalg.norm(values.astype(np.float64), axis=-1, keepdims=True)
    return np.asarray(values / np.where(length > 0, length, 1.0), np.float32)


def _distances(some: Floats, others: Floats) -> Floats:
    """(A, F) and (B, F) -> (A, B) cosine distances, 0 to 2."""
    return np.asarray(np.clip(1 - some @ others.T, 0.0, 2.0), np.float32)


def _nearest(some: Floats, others: Floats) -> Floats:
    """(A,) distance to the nearest; 2 where there is none."""
    found = [
        _distances(some[i : i + _CHUNK], others).min(axis=1, initial=2.0) for i in range(0, len(some), _CHUNK)
    ]
    return np.concatenate([np.empty(0, np.float32), *found]).astype(np.float32)
