"""Two models on the same pictures: is one really better, or was it luck?

The difference is taken picture by picture, which sees much smaller differences than two separate intervals
do (McNemar 1947; Dietterich 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import DatasetError
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate, group_numbers, mcnemar, paired_difference

DOUBT = 0.05
"""A verdict needs a p below this beside an interval off zero: with a few pictures the bootstrap is too sure."""


@dataclass(frozen=True)
class Comparison:
    """Model A beside model B on the same N pictures.

    ``difference`` is accuracy of A minus accuracy of B with its paired interval; ``p`` that of McNemar's
    exact test; ``only_a`` and ``only_b`` count the pictures that only one of them answers right.
    """

    a: str
    b: str
    n: int
    accuracy_a: Estimate
    accuracy_b: Estimate
    difference: Estimate
    p: float
    only_a: int
    only_b: int

    @property
    def verdict(self) -> str:
        """One plain sentence."""
        points = f"{100 * abs(self.difference.value):.1f} points"
        if self.difference.low > 0 and self.p < DOUBT:
            return f"{self.a} is better than {self.b} by {points}"
        if self.difference.high < 0 and self.p < DOUBT:
            return f"{self.b} is better than {self.a} by {points}"
        return f"{self.n} pictures do not show which of {self.a} and {self.b} is better"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {key: v.to_dict() if isinstance(v, Estimate) else v for key, v in values.items()}
        return {**plain, "verdict": self.verdict}


def compare(a: Evaluation, b: Evaluation, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """Compare two evaluations of the same pictures; rows are matched by path, classes by name.

    Raises
    ------
    DatasetError : the pictures or their labels differ.
    """
    rows = _matching_rows(a, b)
    _same_labels(a, b, rows)
    right_a, right_b = a.right, b.right[rows]
    groups = group_numbers(a.groups, a.n)
    return Comparison(
        a=a.model,
        b=b.model if b.model != a.model else f"{b.model} (second)",
        n=a.n,
        accuracy_a=a.metrics["accuracy"],
        accuracy_b=b.metrics["accuracy"],
        difference=paired_difference(right_a, right_b, draws=draws, seed=seed, groups=groups),
        p=mcnemar(right_a, right_b),
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((right_b & ~right_a).sum()),
    )


def _matching_rows(a: Evaluation, b: Evaluation) -> NDArray[np.int64]:
    places = {path: i for i, path in enumerate(b.paths)}
    missing = [path for path in a.paths if path not in places]
    if missing or a.n != b.n:
        only_b = len(set(b.paths) - set(a.paths))
        raise DatasetError(
            "two models are compared on the same pictures",
            got=f"{len(missing)} pictures only in {a.model}'s evaluation, {only_b} only in {b.model}'s",
            fix="evaluate both on the same part of the same split",
        )
    return np.array([places[path] for path in a.paths], dtype=np.int64)


def _same_labels(a: Evaluation, b: Evaluation, rows: NDArray[np.int64]) -> None:
    for i, j in enumerate(rows):
        mine, theirs = a.classes[int(a.targets[i])], b.classes[int(b.targets[j])]
        if mine != theirs:
            raise DatasetError(
                f"{a.paths[i]} has two labels in the two evaluations",
                got=f"{mine!r} and {theirs!r}",
                fix="evaluate both models on the same data",
            )
