"""Neighbours in the space of features: pictures that carry a label and look alike, and pictures that have none near.

Outliers by the mean distance to the k nearest neighbours (Ramaswamy, Rastogi and Shim 2000), against the spread of
that distance over all pictures (median absolute deviation of its logarithm), and by how undecided the probabilities
are. Of large sets a sample serves as the neighbours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.audit.vectors import Vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float32]

SHOWN = 3
_NEAREST, _REFERENCE, _BLOCK = 5, 8000, 1024
_VERY_FAR, _LEAST_RATIO = 4.5, 1.3
_FAR, _STRANGE, _UNDECIDED = 1.0, 3.0, 2.3
"""Deviations from which a picture counts as far; deviations and indecision that together count as strange."""


def nearest_of_class(vectors: Vectors, places: Ints, wanted: Ints, most: int = SHOWN) -> list[Ints]:
    """For each of ``places`` (R,), the places of the nearest pictures of class ``wanted[i]`` (R,).

    Pictures whose own label is in doubt are no help: only those that are told right count, where there are some.
    """
    found: list[Ints] = [np.empty(0, np.int64)] * len(places)
    for label in np.unique(wanted):
        members = np.flatnonzero((vectors.targets == label) & vectors.right)
        if not len(members):
            members = np.flatnonzero(vectors.targets == label)
        asked = np.flatnonzero(wanted == label)
        likeness = _unit(vectors.features[places[asked]]) @ _unit(vectors.features[members]).T
        likeness[places[asked][:, None] == members[None, :]] = -np.inf
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :most]
        for i, nearest in zip(asked, order, strict=True):
            found[i] = members[nearest]
    return found


def find_outliers(vectors: Vectors, *, knows: bool, seed: int = 0) -> tuple[Ints, Floats]:
    """((O,) places of pictures that look like none of the classes, (O,) times the usual distance), the worst first.

    ``knows``: the features are of a network that has seen the world. Then a picture that is rather far from all others
    counts where the probabilities cannot decide either. Hand-made features place a picture of something else among the
    others, so by them only what is very far counts.
    """
    distances = neighbour_distances(vectors.features, seed)
    logs = np.log(np.maximum(distances, 1e-6))
    middle = float(np.median(logs))
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), 0.02)
    far = (logs - middle) / spread
    score = far + _UNDECIDED * _entropy(vectors.probs)
    marked = (far > _VERY_FAR) & (logs > middle + np.log(_LEAST_RATIO))
    if knows:
        marked |= (far > _FAR) & (score > _STRANGE)
    found = np.flatnonzero(marked)
    found = found[np.argsort(-score[found], kind="stable")]
    ratios: Floats = np.exp(logs[found] - middle).astype(np.float32)
    return found, ratios


def _entropy(probs: Floats) -> Floats:
    """(M,) 0 where one class is certain, 1 where all are equally likely."""
    present = np.maximum(probs, 1e-9)
    found: Floats = -(present * np.log(present)).sum(axis=1) / np.log(max(2, probs.shape[1]))
    return found


def neighbour_distances(features: Floats, seed: int = 0) -> Floats:
    """(M,) mean distance to the nearest others of a sample; copies at no distance at all are passed over."""
    count = len(features)
    chosen = np.arange(count)
    if count > _REFERENCE:
        chosen = np.sort(np.random.default_rng(seed).choice(count, _REFERENCE, replace=False))
    reference = np.asarray(features[chosen])
    norms = (reference**2).sum(axis=1)
    found = np.empty(count, np.float32)
    k = min(_NEAREST, max(1, len(chosen) - 1))
    for start in range(0, count, _BLOCK):
        block = np.asarray(features[start : start + _BLOCK])
        squared = (block**2).sum(axis=1)[:, None] + norms[None, :] - 2 * block @ reference.T
        squared[np.arange(start, start + len(block))[:, None] == chosen[None, :]] = np.inf
        nearest = np.partition(squared, min(k, len(chosen)) - 1, axis=1)[:, :k]
        nearest = np.where(np.isfinite(nearest), np.maximum(nearest, 0), 0)
        found[start : start + len(block)] = np.sqrt(nearest).mean(axis=1)
    return found


def _unit(values: Floats) -> Floats:
    found: Floats = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
    return found
