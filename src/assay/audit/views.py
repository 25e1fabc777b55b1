"""Views: what is known of all pictures from one side (edges, colours, a network's features), in few dimensions.

A view is brought to its principal components (from a sample of rows, so that memory does not grow with the data) and
to a mean squared length of 1, so that views can stand side by side and a kernel's width means the same in each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

BLOCK = 512
_SAMPLE = 6000


@dataclass(frozen=True)
class View:
    """``values`` (M, D) float32, centred, with a mean squared length of 1."""

    name: str
    values: Floats


def make_view(name: str, rows: Callable[[slice], Floats], count: int, dims: int, seed: int = 0) -> View:
    """The view of ``count`` pictures.

    Parameters
    ----------
    rows : gives the raw features (B, F) of a block of pictures; called more than once.
    dims : most principal components that are kept.
    """
    mean, basis = _principal(_sampled(rows, count, seed), dims)
    values = np.empty((count, basis.shape[1]), np.float32)
    total = 0.0
    for start in range(0, count, BLOCK):
        block = slice(start, min(start + BLOCK, count))
        values[block] = (rows(block) - mean) @ basis
        total += float(np.square(values[block], dtype=np.float64).sum())
    values *= np.float32((count / total) ** 0.5 if total > 0 else 0.0)
    return View(name, values)


def _sampled(rows: Callable[[slice], Floats], count: int, seed: int) -> Floats:
    """About _SAMPLE rows, in whole blocks spread over all of them."""
    starts = np.arange(0, count, BLOCK)
    wanted = -(-_SAMPLE // BLOCK)
    if len(starts) > wanted:
        starts = np.sort(np.random.default_rng(seed).choice(starts, wanted, replace=False))
    return np.concatenate([rows(slice(int(s), min(int(s) + BLOCK, count))) for s in starts])


def _principal(sample: Floats, dims: int) -> tuple[Floats, Floats]:
    """(mean (F,), basis (F, D)): D directions of greatest spread, those that carry some."""
    mean = sample.mean(axis=0)
    centred = (sample - mean).astype(np.float64)
    if len(sample) < sample.shape[1]:
        spread, left = np.linalg.eigh(centred @ centred.T)
        basis = centred.T @ left / np.sqrt(np.maximum(spread, 1e-12))
    else:
        spread, basis = np.linalg.eigh(centred.T @ centred)
    kept = np.argsort(-spread)[:dims]
    kept = kept[spread[kept] > 1e-9 * max(float(spread.max(initial=0.0)), 1e-12)]
    if not len(kept):  # all pictures are equal
        kept = np.array([0])
        return mean, np.zeros((sample.shape[1], 1), np.float32)
    return mean, basis[:, kept].astype(np.float32)


def side_by_side(views: list[View], weights: dict[str, float]) -> Floats:
    """(M, D) all views, each times its weight (1 where none is given)."""
    return np.concatenate([v.values * np.float32(weights.get(v.name, 1.0)) for v in views], axis=1)
