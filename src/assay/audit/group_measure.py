"""One guess of groups, measured: accuracy by random folds and by grouped folds, their difference, and chance.

Chance is tested on the level of groups, as the pictures of one group are no independent witnesses: by flipping the
sign of each group's lead over a constant answer (Fisher's randomisation test).

Holding out a large group takes much of its class away, and what is left makes the others likelier: with two or three
groups a class, grouped folds would score below chance on pure noise, which looks like a leak. So each fold's scores are
brought back to the shares of the classes in all the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.folds import make_folds, renumbered
from assay.audit.group_guesses import Guess, whole_groups
from assay.audit.kernel_ridge import FoldRidge, KernelMap, one_hot
from assay.audit.vectors import Vectors
from assay.metrics.interval import Estimate, bootstrap, proportion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

MOST_ROWS = 4000
FOLDS, REPEATS = 5, 4
_LANDMARKS, _PENALTY = 600, 0.3
_FLIPS, _MANY = 9999, 2000
DOUBT = 0.05
_LEAK, _LEAK_LOW = 0.03, 0.01


@dataclass(frozen=True)
class Measured:
    """One guess, measured. ``random`` and ``grouped`` are accuracies, ``lead`` the first minus the second.

    ``chance`` is the share of the commonest class and ``p`` how likely the grouped accuracy is by chance alone.
    ``rows`` (R,) are places among the vectors' rows, ``groups`` (R,) their groups; ``count`` groups in all.
    """

    guess: Guess
    rows: Ints
    groups: Ints
    random: Estimate
    grouped: Estimate
    lead: Estimate
    chance: float
    p: float

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1

    @property
    def leaks(self) -> bool:
        """Whether random folds score clearly higher, and above chance: those that tell nothing have nothing to leak."""
        return self.lead.value >= _LEAK and self.lead.low > _LEAK_LOW and self.random.low > self.chance

    @property
    def at_chance(self) -> bool:
        """Whether the grouped accuracy may well be chance."""
        return self.p > DOUBT


def measure(guess: Guess, vectors: Vectors, seed: int) -> Measured | None:
    """Both accuracies of one guess; None where too few groups of a class are left to measure with."""
    groups = whole_groups(guess, vectors.rows)
    rows = _eligible(groups, vectors.targets)
    rows = _some_groups(rows, groups, seed)
    if len(rows) < 20 or len(np.unique(groups[rows])) < FOLDS or len(np.unique(vectors.targets[rows])) < 2:
        return None
    groups, targets = renumbered(groups[rows]), renumbered(vectors.targets[rows])
    classes = int(targets.max()) + 1
    mapped = KernelMap(np.asarray(vectors.features[rows]), landmarks=_LANDMARKS, seed=seed)
    random, grouped = np.zeros(len(rows)), np.zeros(len(rows))
    for repeat in range(REPEATS):
        apart = make_folds(targets, FOLDS, seed=seed + repeat)
        whole = make_folds(targets, FOLDS, groups=groups, seed=seed + repeat)
        random += (_answers(mapped, apart, targets, classes) == targets) / REPEATS
        grouped += (_answers(mapped, whole, targets, classes) == targets) / REPEATS
    return Measured(
        guess,
        rows,
        groups,
        proportion(random, groups),
        proportion(grouped, groups),
        bootstrap(_mean_of(random - grouped), len(rows), draws=2000, seed=seed, groups=groups),
        float(np.bincount(targets).max() / len(targets)),
        _p_value(grouped, targets, groups, seed),
    )


def _eligible(groups: Ints, targets: Ints) -> Ints:
    """Rows of classes that occur in two groups or more: of others grouped folds could never know."""
    pairs = np.unique(np.stack([targets, groups]), axis=1)
    spread = np.bincount(pairs[0], minlength=int(targets.max()) + 1)
    return np.flatnonzero(spread[targets] >= 2)


def _some_groups(rows: Ints, groups: Ints, seed: int) -> Ints:
    """At most about MOST_ROWS of the rows, whole groups at a time."""
    if len(rows) <= MOST_ROWS:
        return rows
    numbers, members = np.unique(groups[rows], return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(numbers))
    sizes = np.bincount(members.reshape(-1))[order]
    kept = order[np.cumsum(sizes) <= MOST_ROWS]
    return rows[np.isin(members.reshape(-1), kept)]


def _answers(mapped: KernelMap, folds: Ints, targets: Ints, classes: int) -> Ints:
    """(R,) what the other folds say of each row, their shares of the classes replaced by those of all rows."""
    wanted = one_hot(targets, classes)
    scores = FoldRidge(mapped, folds).scores(wanted, _PENALTY).astype(np.float64)
    held = np.stack(
        [wanted[folds == fold].sum(axis=0, dtype=np.float64) for fold in range(int(folds.max()) + 1)]
    )
    total = held.sum(axis=0)
    priors = (total - held) / np.maximum((total - held).sum(axis=1, keepdims=True), 1.0)
    scores += (total / total.sum() - priors)[folds]
    return np.asarray(scores.argmax(axis=1))


def _mean_of(values: Floats) -> Any:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _p_value(right: Floats, targets: Ints, groups: Ints, seed: int) -> float:
    """How often chance does as well as the grouped accuracy, one-sided; every class counts the same.

    Each group leads over "always the commonest class" by some pictures, weighted by class. Were there nothing to
    learn, the lead might as well have the other sign in each group.
    """
    counts = np.bincount(targets)
    weights = 1.0 / counts[targets]
    lead = weights * (right - (targets == counts.argmax()))
    sums = np.bincount(groups, weights=lead)
    rng, total = np.random.default_rng(seed), sums.sum()
    if len(sums) > _MANY:  # the sum of many flips is normal
        draws = rng.normal(0.0, np.sqrt((sums**2).sum()), _FLIPS)
    else:
        draws = rng.choice(np.array([-1.0, 1.0]), (_FLIPS, len(sums))) @ sums
    return float((1 + (draws >= total - 1e-12).sum()) / (1 + _FLIPS))
