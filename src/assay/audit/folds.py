"""Folds for out-of-fold answers: every class in every fold as far as it goes, the pictures of a group in one fold.

Dealing is scikit-learn's (StratifiedKFold, StratifiedGroupKFold). What is added: classes and groups may be fewer than
folds, groups that hold one picture each are none, and no warning is raised for what the checkups tell in words.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def make_folds(targets: Ints, folds: int, *, groups: Ints | None = None, seed: int = 0) -> Ints:
    """(M,) the fold of each picture, 0 to at most ``folds`` - 1; no fold is empty.

    Parameters
    ----------
    targets : (M,) class of each picture.
    groups : (M,) number of each picture's group; a group lies in one fold. There may be fewer folds than asked for,
        where there are few groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # noqa: PLC0415 - half a second

    count = len(targets)
    units = count if groups is None else len(np.unique(groups))
    largest = int(np.bincount(targets).max()) if count else 0
    wanted = min(folds, units, max(2, largest))
    if wanted < 2 or largest < 2:
        return np.arange(count, dtype=np.int64) % max(1, min(folds, count))
    if groups is not None and units < count:
        dealer: Any = StratifiedGroupKFold(wanted, shuffle=True, random_state=seed)
    else:
        dealer = StratifiedKFold(wanted, shuffle=True, random_state=seed)
    found = np.zeros(count, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class is smaller than the number of folds
        for number, (_, held_out) in enumerate(dealer.split(np.zeros((count, 1)), targets, groups)):
            found[held_out] = number
    return renumbered(found)


def renumbered(values: NDArray[Any]) -> Ints:
    """(M,) the same partition, numbered 0, 1, 2, ... without gaps."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def joined(first: Ints | None, second: Ints | None) -> Ints | None:
    """(M,) the finest partition that both respect: two pictures that share a group in either share one here."""
    if first is None or second is None:
        return first if second is None else second
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    a, b = renumbered(first), renumbered(second)
    n = int(a.max()) + 1
    size = n + int(b.max()) + 1
    graph = coo_array((np.ones(len(a), np.int8), (a, b + n)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1]
    return renumbered(labels[a])
