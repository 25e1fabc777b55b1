"""Find the thresholds of a policy: its networks answer labelled photos, and ``decide.budgets`` does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.configs import ReadConfig
from assay.data.read import read_dataset
from assay.decide.budgets import Budgets, Truth, automatic_share, fit_budgets, thresholds_path
from assay.errors import PolicyError
from assay.runtime.screening import Screener, load_screener

if TYPE_CHECKING:
    from assay.decide.evidence import Evidence
    from assay.decide.policy import Policy
    from assay.types import Dataset, Sample

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CalibratedPolicy:
    """The thresholds, where they were written, and what becomes of the same photos with them.

    ``shares``: verdict -> share of the labelled photos. ``cost`` is what 1,000 photos cost with these thresholds by the
    policy's costs, ``cost_of_people`` where people see all of them; None where the policy names no costs.
    """

    budgets: Budgets
    path: Path
    shares: Mapping[str, float]
    unreadable: int
    unknown: int
    cost: float | None
    cost_of_people: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **self.budgets.to_dict(),
            "path": str(self.path),
            "shares": dict(self.shares),
            "unreadable": self.unreadable,
            "unknown": self.unknown,
            "cost": self.cost,
            "cost_of_people": self.cost_of_people,
        }


def calibrate_policy(
    path: str | Path,
    data: str | Path,
    *,
    part: str | None = None,
    read: ReadConfig | None = None,
    engine: str = "onnxruntime",
    precision: str = "fp32",
    on_progress: Progress | None = None,
) -> CalibratedPolicy:
    """Answer labelled photos, find the thresholds, and write them beside the policy.

    Parameters
    ----------
    data : photos with a column for each question (its ``truth``) and perhaps groups; none of the policy's networks may
        have been trained on them.
    part : the part of the data that counts; all when not given.

    Raises
    ------
    PolicyError : a mistake in the policy; no column with the truth of a question; no photo that counts.
    ConfigError, DatasetError, BundleError : as ``load_screener`` and ``read_dataset``.
    """
    screener = load_screener(path, engine=engine, precision=precision, budgets=False)
    dataset = read_dataset(data, read or ReadConfig())
    dataset = dataset if part is None else dataset.part(part)
    _require_truths(screener.policy, dataset)
    samples, evidence = list(dataset), []
    for one in screener.evidence(sample.path for sample in samples):
        evidence.append(one)
        if on_progress is not None:
            on_progress(len(evidence), len(samples))
    truths = [_truth(screener.policy, dataset, sample) for sample in samples]
    groups = [sample.group for sample in samples]
    budgets = fit_budgets(
        screener.policy,
        evidence,
        truths,
        groups if any(groups) else None,
        classes=screener.classes,
        models=screener.digests,
    )
    beside = thresholds_path(Path(path))
    budgets.save(beside)
    return _told(screener, budgets, beside, evidence)


def _told(screener: Screener, budgets: Budgets, path: Path, evidence: Sequence[Evidence]) -> CalibratedPolicy:
    shares = automatic_share(screener.policy, budgets, evidence)
    costs = screener.policy.costs
    cost = people = None
    if costs:
        people = 1000 * costs.get("review", 0.0)
        wrong = sum(
            costs.get(kind.verdict, 0.0) * kind.labels * kind.kept * (kind.found or 0.0)
            for kind in budgets.kinds
        )
        cost = people * shares.get("review", 0.0) + 1000 * wrong / max(1, len(evidence))
    unreadable = sum(one.error is not None for one in evidence)
    unknown = sum(bool(one.unknown) for one in evidence)
    return CalibratedPolicy(budgets, path, shares, unreadable, unknown, cost, people)


def _require_truths(policy: Policy, dataset: Dataset) -> None:
    """Every question has a column; Raises PolicyError."""
    columns = [name for name in dataset.table.column_names if name != "path"]
    for question in policy:
        if question.truth not in columns:
            raise PolicyError(
                f"{dataset.name} has no column {question.truth!r}, the truth of {question.name}",
                got=f"columns {', '.join(columns)}",
                fix=f"write truth: COLUMN below {question.name} in {policy.path}",
            )


def _truth(policy: Policy, dataset: Dataset, sample: Sample) -> Truth:
    found: dict[str, str | None] = {}
    for question in policy:
        if question.truth == "label":
            value: Any = None if sample.label is None else dataset.classes[sample.label]
        elif question.truth == "group":
            value = sample.group
        else:
            value = sample.extra.get(question.truth)
        found[question.name] = None if value is None or value == "" else str(value)
    return found
