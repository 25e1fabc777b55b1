"""Several views' scores into one probability a class: logistic regression over the scores, out of fold.

Stacking (Wolpert 1992) and calibration in one: the regression sees nothing but out-of-fold scores, and is itself
fitted on the other folds. Of large sets a sample of the rows is enough for its few weights.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float32]

_ROWS = 12_000
_SCALE = 5.0
"""Ridge scores lie between 0 and 1; logits do not."""
FLOOR = 1e-6


def stacked(scores: list[Floats], targets: Ints, classes: int, folds: Ints, seed: int = 0) -> Floats:
    """(M, K) calibrated out-of-fold probabilities.

    Parameters
    ----------
    scores : (M, K) out-of-fold scores of each view.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - half a second
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    inputs = np.concatenate([_SCALE * s for s in scores], axis=1)
    found = np.full((len(targets), classes), FLOOR, np.float32)
    rng = np.random.default_rng(seed)
    for fold in range(int(folds.max()) + 1):
        inside = np.flatnonzero(folds != fold)
        if len(inside) > _ROWS:
            inside = np.sort(rng.choice(inside, _ROWS, replace=False))
        held_out = np.flatnonzero(folds == fold)
        known = np.unique(targets[inside])
        if len(known) < 2:
            found[np.ix_(held_out, known)] = 1.0
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=0.5, max_iter=150).fit(inputs[inside], targets[inside])
        found[np.ix_(held_out, model.classes_)] = model.predict_proba(inputs[held_out])
    found = np.maximum(found, FLOOR)
    found /= found.sum(axis=1, keepdims=True)
    return found
