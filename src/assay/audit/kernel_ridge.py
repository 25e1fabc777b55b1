"""Out-of-fold scores by kernel ridge regression on a Nystroem map: closed form, so that many label columns cost little.

Nystroem: Williams and Seeger 2001 (Gaussian kernel, landmarks drawn at random, Cholesky of their kernel matrix). The
sums of a fold are subtracted from the sums of all to leave it out; one factorisation a fold then serves every class
and every permutation of the labels. Rows go by in blocks; memory is that of the landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

LANDMARKS = 1000
WIDTH = 1.5
"""The kernel falls to 1/e at this power of the median squared distance: exp(-WIDTH d^2 / median)."""
PENALTIES = (0.1, 0.3, 1.0, 3.0)
_BLOCK = 2048
_KEPT = 60_000_000


class KernelMap:
    """Pictures as rows whose inner products are the kernel's, as far as the landmarks span it.

    ``features`` (M, D). ``blocks()`` gives (slice, (B, L + 1) float32), the last column ones.
    """

    def __init__(self, features: NDArray[np.float32], *, landmarks: int = LANDMARKS, seed: int = 0) -> None:
        count = len(features)
        chosen = np.random.default_rng(seed).choice(count, min(landmarks, count), replace=False)
        self._features = features
        self._points = features[np.sort(chosen)].astype(np.float64)
        self._norms = (self._points**2).sum(axis=1)
        distances = _squared(self._points, self._norms, self._points, self._norms)
        apart = distances[np.triu_indices(len(distances), 1)]
        median = float(np.median(apart)) if len(apart) else 0.0
        self._rate = WIDTH / median if median > 0 else 1.0
        kernel = np.exp(-self._rate * distances)
        kernel[np.diag_indices_from(kernel)] += 1e-5
        self._factor = np.linalg.cholesky(kernel)
        self.width = len(self._points) + 1
        kept = count * self.width <= _KEPT
        self._kept = [(b, self._map(features[b])) for b in self._slices()] if kept else None

    def __len__(self) -> int:
        return len(self._features)

    def blocks(self) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """All rows, block by block."""
        if self._kept is not None:
            yield from self._kept
            return
        for block in self._slices():
            yield block, self._map(self._features[block])

    def _slices(self) -> list[slice]:
        return [slice(s, min(s + _BLOCK, len(self))) for s in range(0, len(self), _BLOCK)]

    def _map(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        x = rows.astype(np.float64)
        near = np.exp(-self._rate * _squared(x, (x**2).sum(axis=1), self._points, self._norms))
        mapped = solve_triangular(self._factor, near.T, lower=True).T
        return np.concatenate([mapped, np.ones((len(x), 1))], axis=1).astype(np.float32)


def _squared(a: Floats, a_norms: Floats, b: Floats, b_norms: Floats) -> Floats:
    return np.maximum(a_norms[:, None] + b_norms[None, :] - 2 * (a @ b.T), 0.0)


class FoldRidge:
    """Ridge regression that leaves out one fold at a time. ``folds`` (M,) are numbered from 0 without gaps."""

    def __init__(self, mapped: KernelMap, folds: Ints) -> None:
        self._mapped, self.folds = mapped, folds
        self._count = int(folds.max()) + 1
        self._grams = np.zeros((self._count, mapped.width, mapped.width))
        for block, rows in mapped.blocks():
            for fold in range(self._count):
                inside = rows[folds[block] == fold]
                self._grams[fold] += inside.T @ inside

    def scores(self, values: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
        """(M, P) columns of what is to be told -> (M, P) what the other folds tell of each row."""
        weights = self._weights(values, penalty)
        found = np.empty(values.shape, np.float32)
        for block, rows in self._mapped.blocks():
            told, places = found[block], self.folds[block]
            for fold in range(self._count):
                told[places == fold] = rows[places == fold] @ weights[fold]
        return found

    def _weights(self, values: NDArray[np.float32], penalty: float) -> list[NDArray[np.float32]]:
        width = self._mapped.width
        sums = np.zeros((self._count, width, values.shape[1]))
        for block, rows in self._mapped.blocks():
            for fold in range(self._count):
                inside = self.folds[block] == fold
                sums[fold] += rows[inside].T @ values[block][inside]
        ridge = np.full(width, penalty)
        ridge[-1] = 1e-3  # the constant is not shrunk
        gram, total = self._grams.sum(axis=0) + np.diag(ridge), sums.sum(axis=0)
        return [
            cho_solve(cho_factor(gram - self._grams[f]), total - sums[f]).astype(np.float32)
            for f in range(self._count)
        ]


def one_hot(targets: Ints, classes: int) -> NDArray[np.float32]:
    """(M,) -> (M, K) of 0 and 1."""
    found = np.zeros((len(targets), classes), np.float32)
    found[np.arange(len(targets)), targets] = 1.0
    return found


def best_scores(ridge: FoldRidge, targets: Ints, classes: int) -> tuple[NDArray[np.float32], float]:
    """((M, K) out-of-fold scores, penalty): of the PENALTIES, the one whose scores tell the labels best."""
    wanted = one_hot(targets, classes)
    tried = [(ridge.scores(wanted, penalty), penalty) for penalty in PENALTIES]
    return min(tried, key=lambda found: float(np.square(found[0] - wanted, dtype=np.float64).mean()))
