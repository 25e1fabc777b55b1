"""One class against all others, by one family of file traces: a small tree, out of fold, and what it says in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.examination import Examination
from assay.audit.file_traces import Family, Trace
from assay.audit.folds import make_folds
from assay.audit.rows import group_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Matrix = NDArray[np.float32]

_FOLDS, _DEPTH, _LEAST_LEAF = 3, 3, 4
_ROWS, _CLASSES, _LEAST_CLASS = 4000, 40, 8
_SHOWN = 6


@dataclass(frozen=True)
class GiveAway:
    """A class that a family tells from all others. ``caught`` is the share of its pictures that are told, ``wrongly``
    the share of others that are taken for it, ``score`` the balanced accuracy, all out of fold. ``rule`` says in words
    what sets it apart; ``examples`` are rows of the data set.
    """

    family: Family
    label: int
    score: float
    caught: float
    wrongly: float
    p: float
    rule: str
    examples: Ints


def give_aways(
    family: Family,
    traces: list[Trace],
    examination: Examination,
    rows: Ints,
    *,
    least: float,
    doubt: float,
) -> list[GiveAway]:
    """The classes that the family gives away: balanced accuracy of ``least`` or more, p of ``doubt`` or less."""
    if not traces:
        return []
    seed = examination.config.seed
    targets = examination.dataset.targets[rows]
    kept = _sample(targets, seed)
    matrix = np.stack([trace.values for trace in traces], axis=1)
    groups = group_codes(examination.dataset)[0][rows]
    found = []
    for label in _asked(np.bincount(targets[kept]), len(kept)):
        is_class = targets[kept] == label
        if _best_possible(matrix[kept], is_class) < least:
            continue
        folds = make_folds(is_class.astype(np.int64), _FOLDS, groups=_apart(groups[kept]), seed=seed)
        told = _held_out(matrix[kept], is_class, folds)
        caught, wrongly = float(told[is_class].mean()), float(told[~is_class].mean())
        score, p = (caught + 1 - wrongly) / 2, _p_value(told, is_class)
        if score >= least and p <= doubt:
            rule = _rule(traces, matrix, targets == label)
            examples = rows[np.flatnonzero(targets == label)[:_SHOWN]]
            found.append(GiveAway(family, int(label), score, caught, wrongly, p, rule, examples))
    return found


def _asked(counts: Ints, total: int) -> Ints:
    """The classes that are asked about: large enough, the largest first; of two classes the smaller one."""
    large = np.flatnonzero((counts >= _LEAST_CLASS) & (total - counts >= _LEAST_CLASS))
    order: Ints = large[np.argsort(-counts[large], kind="stable")]
    return order[-1:] if (counts > 0).sum() == 2 else order[:_CLASSES]


def _sample(targets: Ints, seed: int) -> Ints:
    """At most about _ROWS rows; small classes whole."""
    if len(targets) <= _ROWS:
        return np.arange(len(targets))
    rng = np.random.default_rng(seed)
    counts = np.bincount(targets)
    cap = max(_LEAST_CLASS, int(np.sort(counts)[-1]))
    while np.minimum(counts, cap).sum() > _ROWS and cap > _LEAST_CLASS:
        cap = int(cap * 0.8)
    picked = [rng.permutation(np.flatnonzero(targets == label))[:cap] for label in np.flatnonzero(counts)]
    return np.sort(np.concatenate(picked))


def _apart(groups: Ints) -> Ints | None:
    if not (groups >= 0).any():
        return None
    found: Ints = np.where(groups >= 0, groups, groups.max() + 1 + np.arange(len(groups)))
    return found


def _best_possible(matrix: Matrix, is_class: NDArray[np.bool_]) -> float:
    """What a tree reaches on its own pictures: where this is too little, no folds are needed."""
    found = _tree().fit(matrix, is_class).predict(matrix)
    return float((found[is_class].mean() + 1 - found[~is_class].mean()) / 2)


def _held_out(matrix: Matrix, is_class: NDArray[np.bool_], folds: Ints) -> NDArray[np.bool_]:
    """(R,) whether the trees of the other folds take each picture for one of the class."""
    found = np.zeros(len(is_class), bool)
    for fold in range(int(folds.max()) + 1):
        inside = folds != fold
        if is_class[inside].any() and not is_class[inside].all():
            found[~inside] = _tree().fit(matrix[inside], is_class[inside]).predict(matrix[~inside])
    return found


def _p_value(found: NDArray[np.bool_], is_class: NDArray[np.bool_]) -> float:
    """Fisher's exact test: how often held-out answers fit labels as well that are dealt anew. One-sided."""
    from scipy.stats import hypergeom  # noqa: PLC0415 - half a second

    caught = int((found & is_class).sum())
    return float(hypergeom.sf(caught - 1, len(found), int(is_class.sum()), int(found.sum())))


def _tree() -> Any:
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415 - half a second

    return DecisionTreeClassifier(
        max_depth=_DEPTH, min_samples_leaf=_LEAST_LEAF, class_weight="balanced", random_state=0
    )


def _rule(traces: list[Trace], matrix: Matrix, is_class: NDArray[np.bool_]) -> str:
    """The plainest thing that is so of this class and not of the others, with both shares."""
    ranked = sorted(
        (_plain(trace, matrix[:, i], is_class) for i, trace in enumerate(traces)), key=lambda told: -told[0]
    )
    return ranked[0][1]


def _plain(trace: Trace, values: Matrix, is_class: NDArray[np.bool_]) -> tuple[float, str]:
    """(how well one value or one range sets the class apart, the sentence)."""
    if trace.word is not None:
        inside = values > 0.5
        share, others = float(inside[is_class].mean()), float(inside[~is_class].mean())
        if share >= others:
            return share - others, _shares(f"{trace.name} {trace.word or 'without one'!r}", share, others)
        return others - share, _shares(
            f"{trace.name} other than {trace.word or 'none'!r}", 1 - share, 1 - others
        )
    exact = _one_value(trace, values, is_class)
    middle = np.quantile(values[is_class], [0.02, 0.98])
    inside = (values >= middle[0]) & (values <= middle[1])
    share, others = float(inside[is_class].mean()), float(inside[~is_class].mean())
    low, high = (_number(v, trace.unit) for v in middle)
    text = f"{trace.name} {low}" if low == high else f"{trace.name} from {low} to {high}"
    ranged = share - others, _shares(text, share, others)
    return max(exact, ranged, key=lambda told: told[0])


def _one_value(trace: Trace, values: Matrix, is_class: NDArray[np.bool_]) -> tuple[float, str]:
    found, counts = np.unique(values[is_class], return_counts=True)
    value = found[counts.argmax()]
    share, others = float(counts.max() / is_class.sum()), float((values[~is_class] == value).mean())
    # a little more than a range of the same worth: one value is plainer
    return share - others + 0.02, _shares(f"{trace.name} {_number(value, trace.unit)}", share, others)


def _shares(text: str, share: float, others: float) -> str:
    mine = "all of its pictures have" if share == 1 else f"{share:.0%} of its pictures have"
    rest = "none" if others == 0 else "all" if others == 1 else f"{others:.1%}"
    return f"{mine} {text}, {rest} of the others"


def _number(value: float, unit: str) -> str:
    if value < 0:
        return "none"
    return f"{value:,.0f}{unit}" if value >= 10 or value == int(value) else f"{value:.2f}{unit}"
