"""Folds for out-of-fold answers: every class in every fold as far as it goes, the pictures of a group in one fold.

Dealing is scikit-learn's (StratifiedKFold, StratifiedGroupKFold). What is added: classes and groups may be fewer than
folds, pictures without company are dealt quickly by themselves, and no warning is raised for what the checkups tell
in words.
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
    count = len(targets)
    members = (
        np.ones(count, np.int64) if groups is None else np.bincount(renumbered(groups))[renumbered(groups)]
    )
    alone, together = np.flatnonzero(members == 1), np.flatnonzero(members > 1)
    found = np.zeros(count, np.int64)
    found[alone] = _deal(targets[alone], folds, None, seed)
    if len(together) and groups is not None:
        dealt = _deal(targets[together], folds, renumbered(groups[together]), seed)
        # where few groups fill only the first folds, the single pictures should not add to these first
        found[together] = folds - 1 - dealt
    return renumbered(found)


def _deal(targets: Ints, folds: int, groups: Ints | None, seed: int) -> Ints:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # noqa: PLC0415 - half a second

    count = len(targets)
    units = count if groups is None else int(groups.max()) + 1
    largest = int(np.bincount(targets).max()) if count else 0
    if units < folds or largest < folds:
        order = np.random.default_rng(seed).permutation(max(units, 1))
        dealt: Ints = order[np.arange(count) if groups is None else groups] % folds
        return dealt
    if groups is None:
        dealer: Any = StratifiedKFold(folds, shuffle=True, random_state=seed)
    else:
        dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = np.zeros(count, np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class is smaller than the number of folds
        for number, (_, held_out) in enumerate(dealer.split(np.zeros((count, 1)), targets, groups)):
            found[held_out] = number
    return found


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
