"""Several views' scores into one probability a class: logistic regression over the scores, out of fold.

Stacking (Wolpert 1992) and calibration in one: the regression sees nothing but out-of-fold scores, and is itself
fitted on the other folds. Of large sets a sample of the rows is enough for its few weights.

Where rows, or groups of rows, are few for that many weights, each view gets one weight for each class, and none below
0 (the reasoning of Breiman 1996, "Stacked regressions"). A free regression would learn there that out-of-fold scores of
pure noise lean away from the label, turn them round, and find classes where there are none.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float32]

FLOOR = 1e-6
_ROWS = 12_000
_ROWS_A_WEIGHT = 10
_SCALE = 5.0
"""Ridge scores lie between 0 and 1; logits do not."""
_SHRINK = 1e-3


def stacked(
    scores: list[Floats], targets: Ints, classes: int, folds: Ints, seed: int = 0, units: int | None = None
) -> Floats:
    """(M, K) calibrated out-of-fold probabilities.

    Parameters
    ----------
    scores : (M, K) out-of-fold scores of each view.
    units : how many groups the rows make, where they make some: rows of one group are no independent witnesses.
    """
    inputs = np.stack([_SCALE * s for s in scores], axis=1)  # M V K
    found = np.full((len(targets), classes), FLOOR, np.float32)
    rng = np.random.default_rng(seed)
    free = (len(targets) if units is None else units) >= _ROWS_A_WEIGHT * len(scores) * classes**2
    for fold in range(int(folds.max()) + 1):
        inside = np.flatnonzero(folds != fold)
        if len(inside) > _ROWS:
            inside = np.sort(rng.choice(inside, _ROWS, replace=False))
        held_out = np.flatnonzero(folds == fold)
        known = np.unique(targets[inside])
        if len(known) < 2:
            found[np.ix_(held_out, known)] = 1.0
            continue
        told = (_free if free else _scaled)(inputs[inside], targets[inside], inputs[held_out])
        found[np.ix_(held_out, known)] = told[:, known] if told.shape[1] == classes else told
    found = np.maximum(found, FLOOR)
    found /= found.sum(axis=1, keepdims=True)
    return found


def _free(inputs: Floats, targets: Ints, asked: Floats) -> NDArray[Any]:
    """(A, K') probabilities of the classes that occur: every score may speak for or against every class."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - half a second
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=0.5, max_iter=150).fit(inputs.reshape(len(inputs), -1), targets)
    found: NDArray[Any] = model.predict_proba(asked.reshape(len(asked), -1))
    return found


def _scaled(inputs: Floats, targets: Ints, asked: Floats) -> NDArray[Any]:
    """(A, K) probabilities: one weight from 0 up a view and class, one offset a class."""
    from scipy.optimize import minimize  # noqa: PLC0415 - half a second
    from scipy.special import log_softmax, softmax  # noqa: PLC0415

    count, views, classes = inputs.shape
    wanted = np.eye(classes)[targets]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, offsets = values[:-classes].reshape(views, classes), values[-classes:]
        logs = log_softmax((inputs * weights).sum(axis=1) + offsets, axis=1)
        slope = (np.exp(logs) - wanted) / count
        gradient = np.concatenate([(inputs * slope[:, None]).sum(axis=0).ravel(), slope.sum(axis=0)])
        total = -(logs * wanted).sum() / count + _SHRINK / 2 * (values**2).sum()
        return float(total), gradient + _SHRINK * values

    start = np.concatenate([np.full(views * classes, 1 / views), np.zeros(classes)])
    bounds = [(0, None)] * (views * classes) + [(None, None)] * classes
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 150}).x
    weights, offsets = best[:-classes].reshape(views, classes), best[-classes:]
    found: NDArray[Any] = softmax((asked * weights).sum(axis=1) + offsets, axis=1)
    return found
