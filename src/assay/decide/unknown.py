"""How unlike the known pictures a picture is: two scores, one share with a promise on false alarms.

*Neighbours* (Sun, Ming, Zhu and Li 2022): distance of the embedding, on the unit sphere, to its k-th nearest among
stored embeddings of training pictures. *Energy* (Liu et al. 2020): minus the log of the summed exponentials of the
logits, high where no class speaks up. The two are added, each divided by its spread over the stored training pictures
(distances there leave the picture itself out). The spread comes from training pictures alone, so the sum is a fixed
function for the held-out ones, and its rank among these is a conformal p-value: ``known``, the share of known pictures
that look at least as strange. Calling "unknown" where ``known`` <= a is a false alarm in at most a of known pictures
(Bates et al. 2023, *Testing for outliers with conformal p-values*). Over groups each group counts once, as in
``assay.decide.conformal``. Nothing is promised of how many unknown pictures are found: nobody has seen them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.conformal import unit_weights
from assay.errors import ConfigError

Floats = NDArray[np.float64]

MOST = 2000
"""Most stored embeddings: at 1,280 features of 2 bytes each, 5 MB."""

TIE = 1e-3
"""Scores, in spreads, that count as equal: engines differ by rounding, and a held-out picture shall be as known by one
as by another. It can only make a picture more known, so false alarms stay within their promise."""

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Unknown:
    """Reference embeddings and the scores of held-out known pictures.

    ``reference`` (R, F) float16 on the unit sphere; ``spread`` of distance and of energy over the training pictures;
    ``scores`` (N,) float64 rising, of held-out pictures, and ``weights`` (N,) that add up to the number of units.
    """

    reference: NDArray[np.float16]
    neighbours: int
    spread: tuple[float, float]
    scores: Floats
    weights: Floats
    false_alarm: float

    @cached_property
    def _sphere(self) -> NDArray[np.float32]:
        return self.reference.astype(np.float32)

    @cached_property
    def _mass(self) -> Floats:
        """(N + 1,) weight of the held-out scores from each place on."""
        return np.append(np.cumsum(self.weights[::-1])[::-1], 0.0)

    @property
    def units(self) -> int:
        """Held-out pictures, or groups."""
        return round(float(self.weights.sum()))

    @property
    def can_alarm(self) -> bool:
        """Whether there are enough held-out units to call anything unknown at this rate of false alarms."""
        return self.false_alarm * (self.units + 1) >= 1 - 1e-9

    def distances(self, embedding: Any) -> Floats:
        """(B,) distance to the k-th neighbour, 0 to 2."""
        return neighbour_distances(_on_sphere(embedding), self._sphere, self.neighbours)

    def strangeness(self, logits: Any, embedding: Any) -> Floats:
        """(B,) sum of both scores, higher is stranger; NaN where the embedding is not finite or has no length."""
        return combine(self.distances(embedding), energy(logits), self.spread)

    def known(self, logits: Any, embedding: Any) -> Floats:
        """(B,) share of known pictures that look at least as strange: a conformal p-value. 0 where undefined."""
        score = self.strangeness(logits, embedding)
        place = np.searchsorted(self.scores, np.nan_to_num(score, nan=math.inf) - TIE, "left")
        p = (1 + self._mass[place]) / (self.units + 1)
        return np.where(np.isnan(score), 0.0, np.minimum(1.0, p))

    def cut(self) -> float:
        """The score below which a picture is known for certain; infinity where nothing can be called unknown."""
        p = (1 + self._mass[:-1]) / (self.units + 1)
        fine = np.flatnonzero(p > self.false_alarm + 1e-12)
        return float(self.scores[fine[-1]]) if self.can_alarm and len(fine) else math.inf


def fit_unknown(
    logits: Any,
    embedding: Any,
    *,
    reference: Any,
    reference_logits: Any,
    false_alarm: float,
    neighbours: int = 10,
    groups: NDArray[np.int64] | None = None,
) -> Unknown:
    """Fit on held-out known pictures: logits (N, K), embedding (N, F).

    ``reference`` (R, F) and ``reference_logits`` (R, K) are of training pictures; see ``choose_reference``.

    Raises
    ------
    ConfigError : no reference or no held-out picture, or shapes that do not fit.
    """
    stored, held = np.asarray(reference), np.asarray(embedding)
    if (
        stored.ndim != 2
        or held.ndim != 2
        or stored.shape[1:] != held.shape[1:]
        or not len(stored)
        or not len(held)
    ):
        raise ConfigError(
            "unknown-ness needs embeddings (R, F) and (N, F)", got=f"{stored.shape} and {held.shape}"
        )
    sphere = _on_sphere(stored)
    usable = np.isfinite(sphere).all(axis=1)
    if not usable.any():
        raise ConfigError("no reference embedding has a length", got="zeros or NaN")
    small = sphere[usable].astype(np.float16)
    k = min(neighbours, len(small))
    spread = _spreads(small.astype(np.float32), np.asarray(reference_logits)[usable], k)
    apart = neighbour_distances(_on_sphere(held), small.astype(np.float32), k)
    score = np.nan_to_num(combine(apart, energy(logits), spread), nan=math.inf)
    order = np.argsort(score, kind="stable")
    weights = unit_weights(len(score), groups)
    return Unknown(small, k, spread, score[order], weights[order], false_alarm)


def choose_reference(targets: Any, most: int = MOST, seed: int = 0) -> NDArray[np.int64]:
    """Rows of at most ``most`` pictures, evenly over classes: small classes whole, the rest shared among the large."""
    truth = np.asarray(targets)
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    order = shuffled[np.argsort(truth[shuffled], kind="stable")]
    firsts = np.searchsorted(truth[order], truth[order], "left")
    turn = np.arange(len(order)) - firsts  # how many of its class come before
    kept = order[np.argsort(turn, kind="stable")][:most]
    return np.asarray(np.sort(kept), dtype=np.int64)


def energy(logits: Any) -> Floats:
    """(B,) minus log-sum-exp of the logits at temperature 1."""
    values = np.asarray(logits, dtype=np.float64)
    top = values.max(axis=1)
    return np.asarray(-(top + np.log(np.exp(values - top[:, None]).sum(axis=1))))


def neighbour_distances(
    points: NDArray[np.float32], sphere: NDArray[np.float32], k: int, *, skip_self: bool = False
) -> Floats:
    """(B,) distance on the unit sphere to the k-th nearest of ``sphere``; NaN for points without a direction."""
    place = min(k + int(skip_self), len(sphere))
    found = [np.empty(0)]
    for start in range(0, len(points), _CHUNK):
        close = points[start : start + _CHUNK] @ sphere.T  # B R
        nearest = np.partition(close, len(sphere) - place, axis=1)[:, len(sphere) - place]
        found.append(np.sqrt(np.maximum(0.0, 2 - 2 * nearest.astype(np.float64))))
    return np.concatenate(found)


def combine(distance: Floats, energies: Floats, spread: tuple[float, float]) -> Floats:
    """(B,) the sum of both scores in units of their spread."""
    return np.asarray(distance / spread[0] + energies / spread[1])


def _spreads(sphere: NDArray[np.float32], logits: NDArray[Any], k: int) -> tuple[float, float]:
    apart = neighbour_distances(sphere, sphere, k, skip_self=True)
    return _spread(apart), _spread(energy(logits))


def _spread(values: Floats) -> float:
    """Half the range that holds the middle two thirds: a standard deviation that a few strays do not move."""
    low, high = np.quantile(values, [1 / 6, 5 / 6])
    spread = float(high - low) / 2
    return spread if spread > 1e-6 else 1.0


def _on_sphere(embedding: Any) -> NDArray[np.float32]:
    """(B, F) float32 of length 1; NaN where there is no direction."""
    values = np.asarray(embedding, dtype=np.float32)
    length = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values / np.where(length > 0, length, np.nan), dtype=np.float32)
