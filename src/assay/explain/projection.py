"""A map of features in two dimensions, and how far it may be believed.

t-SNE (van der Maaten and Hinton 2008) of scikit-learn, after PCA to 50 dimensions as its authors do; PCA alone for a
few pictures. Distances between far groups and the sizes of groups mean nothing in such a map. So it carries three
numbers: trustworthiness (Venna and Kaski 2001: are neighbours on the map neighbours in truth?), and the share of
pictures that their nearest neighbours would put into the right class, in the full space and on the map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.explain.neighbours import unit_length

MOST = 2000
FEW = 30
"""Below so many pictures there are no neighbourhoods for t-SNE to keep."""
_COMPONENTS, _PERPLEXITY, _K = 50, 30.0, 10


@dataclass(frozen=True)
class Projection:
    """M of N pictures on a map.

    ``rows`` (M,) int64 are their numbers, ``xy`` (M, 2) float32 in -1 to 1, centred. ``method`` is "t-SNE", "PCA",
    or "none" where all vectors are equal. The scores are NaN where there are too few pictures; ``knn_full`` and
    ``knn_map`` are shares, each picture asked of its ``k`` nearest others, None without labels.
    """

    rows: NDArray[np.int64]
    xy: NDArray[np.float32]
    method: str
    total: int
    trustworthiness: float = float("nan")
    knn_full: float | None = None
    knn_map: float | None = None
    k: int = 0

    def scores(self) -> dict[str, Any]:
        """Plain values for JSON."""
        trust = None if np.isnan(self.trustworthiness) else round(self.trustworthiness, 4)
        return {
            "method": self.method,
            "shown": len(self.rows),
            "total": self.total,
            "trustworthiness": trust,
            "knn_full": self.knn_full,
            "knn_map": self.knn_map,
            "k": self.k,
        }


def project(
    vectors: NDArray[np.float32],
    labels: list[str | None] | None = None,
    *,
    most: int = MOST,
    seed: int = 0,
) -> Projection:
    """A map of (N, F) vectors.

    Parameters
    ----------
    vectors : (N, F) float32.
    labels : the class of each, for an even choice and for the scores.
    most : most pictures on the map, chosen evenly over the classes.
    seed : of the choice and of t-SNE; the same seed gives the same map on one machine.

    Raises
    ------
    ConfigError : no vectors, or most below 1.
    """
    if not len(vectors) or most < 1:
        raise ConfigError("a map needs at least one picture", got=f"{len(vectors)} vectors, most {most}")
    rows = choose_evenly(labels or [None] * len(vectors), most, seed)
    chosen = unit_length(vectors[rows])
    kept = None if labels is None else [labels[int(row)] for row in rows]
    xy, method = _place(chosen, seed)
    k = max(0, min(_K, (len(rows) - 1) // 2))
    if method == "none" or k < 1:
        return Projection(rows, xy, method, len(vectors))
    return Projection(
        rows,
        xy,
        method,
        len(vectors),
        _trust(chosen, xy, k),
        knn_share(chosen, kept, k),
        knn_share(xy, kept, k),
        k,
    )


def choose_evenly(labels: list[str | None], most: int, seed: int) -> NDArray[np.int64]:
    """At most ``most`` row numbers in order: one of each class, then a second of each, while there is room."""
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    met: dict[str | None, int] = {}
    rank = np.empty(len(labels), np.int64)
    for row in shuffled:
        label = labels[int(row)]
        rank[row] = met.get(label, 0)
        met[label] = int(rank[row]) + 1
    order = shuffled[np.argsort(rank[shuffled], kind="stable")]
    return np.sort(order[:most])


def _place(unit: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float32], str]:
    """(M, F) -> (M, 2) in -1 to 1, and how."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 - seconds to import
    from sklearn.manifold import TSNE  # noqa: PLC0415

    n, f = unit.shape
    if n < 3 or float(unit.var(axis=0).sum()) < 1e-9:
        return np.zeros((n, 2), np.float32), "none"
    if n < FEW:
        xy = PCA(min(2, f), random_state=seed).fit_transform(unit)
        return _centred(xy), "PCA"
    flat = unit
    if f > _COMPONENTS and n > _COMPONENTS:
        flat = PCA(_COMPONENTS, random_state=seed, svd_solver="randomized").fit_transform(unit)
    start = "pca" if flat.shape[1] >= 2 else "random"
    perplexity = min(_PERPLEXITY, (n - 1) / 3)
    found = TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(flat)
    return _centred(found), "t-SNE"


def _centred(xy: NDArray[Any]) -> NDArray[np.float32]:
    """The middle at 0, the farther axis from -1 to 1, proportions kept; one dimension gets a second of zeros."""
    plane = xy if xy.shape[1] == 2 else np.column_stack([xy, np.zeros(len(xy))])
    low, high = plane.min(0), plane.max(0)
    half = max(float((high - low).max()) / 2, 1e-12)
    return np.asarray((plane - (low + high) / 2) / half, dtype=np.float32)


def _trust(unit: NDArray[np.float32], xy: NDArray[np.float32], k: int) -> float:
    from sklearn.manifold import trustworthiness  # noqa: PLC0415

    return float(trustworthiness(unit, xy, n_neighbors=k))


def knn_share(points: NDArray[np.float32], labels: list[str | None] | None, k: int) -> float | None:
    """Share of labelled points whose ``k`` nearest other labelled points agree with them; None without labels.

    Ties go to the class of the nearest.
    """
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    if labels is None:
        return None
    rows = [i for i, label in enumerate(labels) if label is not None]
    if len(rows) < 3 or len({labels[i] for i in rows}) < 2:
        return None
    k = min(k, len(rows) - 1)
    names = [labels[i] for i in rows]
    near = NearestNeighbors(n_neighbors=k).fit(points[rows]).kneighbors(return_distance=False)
    right = 0
    for own, others in zip(names, near, strict=True):
        votes = [names[int(i)] for i in others]
        right += max(votes, key=lambda name: (votes.count(name), -votes.index(name))) == own
    return round(right / len(rows), 4)
