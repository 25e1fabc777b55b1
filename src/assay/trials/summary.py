"""What the runs show together: a summary a network, and paired tests between them.

Two kinds of chance are kept apart. The *seed spread* says how much a network's score moves when it is trained anew;
the *interval* says how much it may move on other pictures. A summary has both side by side. A paired difference has an
interval over pictures alone, and one over pictures and seeds together; the verdict is drawn from the wider one and
from a p that Holm's method corrects for the number of networks.

The best network is chosen on validation, and tested on the test part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.errors import DatasetError
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate, group_numbers, mcnemar, proportion
from assay.metrics.paired import difference_over_seeds, flip_test, holm, mean_differences

DOUBT = 0.05


@dataclass(frozen=True)
class Spread:
    """A metric over the S seeds of a network: mean, least, most, and standard deviation (None for one seed)."""

    mean: float
    least: float
    most: float
    sd: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value; the standard deviation is that of a sample (S - 1)."""
    mean = math.fsum(values) / len(values)
    sd = (
        math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else None
    )
    return Spread(mean, min(values), max(values), sd)


@dataclass(frozen=True)
class PartScore:
    """A network on one part: the seed spread of every metric, and the interval over pictures of the ``main`` one.

    ``interval`` is Wilson's of the mean over seeds of right and wrong by picture, n pictures (groups shrink them);
    of networks of several heads it is a bootstrap's of their mean score.
    """

    n: int
    interval: Estimate
    metrics: Mapping[str, Spread]
    main: str = "accuracy"

    @property
    def score(self) -> Spread | None:
        """The main metric; None where a seed has none."""
        return self.metrics.get(self.main)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        metrics = {name: value.to_dict() for name, value in self.metrics.items()}
        return {"n": self.n, "interval": self.interval.to_dict(), "metrics": metrics, "main": self.main}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        metrics = {name: Spread(**value) for name, value in values["metrics"].items()}
        main = values.get("main", "accuracy")  # not told by the first comparisons
        return cls(values["n"], Estimate.from_dict(values["interval"]), metrics, main)


@dataclass(frozen=True)
class PairTest:
    """Network ``a`` against ``b`` on the same pictures, over their seeds; A minus B.

    ``pictures`` is the paired interval over pictures, ``wide`` the one over pictures and seeds. ``p`` is the sign-flip
    test of each picture's (or group's) mean difference, ``p_holm`` the same corrected for all tests against ``b``,
    ``p_mcnemar`` McNemar's test of what the majority of seeds answers; of networks of several heads p is the
    bootstrap's, and ``p_mcnemar`` None. ``by_seed`` are the seeds' own differences.
    """

    a: str
    b: str
    pictures: Estimate
    wide: Estimate
    p: float
    p_mcnemar: float | None
    p_holm: float = 1.0
    by_seed: tuple[float, ...] = ()

    @property
    def better(self) -> str | None:
        """Which of the two these runs show to be better; None where they do not show it."""
        if self.p_holm >= DOUBT or self.wide.low <= 0 <= self.wide.high:
            return None
        return self.a if self.wide.value > 0 else self.b

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        estimates = {name: plain[name].to_dict() for name in ("pictures", "wide")}
        return {**plain, **estimates, "by_seed": list(self.by_seed), "better": self.better}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        plain = {name: value for name, value in values.items() if name != "better"}
        estimates = {name: Estimate.from_dict(plain[name]) for name in ("pictures", "wide")}
        return cls(**{**plain, **estimates, "by_seed": tuple(plain["by_seed"])})


@dataclass(frozen=True)
class Rights:
    """Of one part: (S, N) zeros and ones of every network, their pictures in one order, and the groups of these."""

    by_network: dict[str, NDArray[np.float64]]
    groups: NDArray[np.int64] | None = None
    seeds: dict[str, list[int]] = field(default_factory=dict)


def gather_rights(found: Mapping[str, Mapping[int, Evaluation]]) -> Rights:
    """Who is right where, from the evaluations of one part by network and seed.

    Raises
    ------
    DatasetError : two runs were not measured on the same pictures.
    """
    first = next(e for seeds in found.values() for e in seeds.values())
    places = {path: i for i, path in enumerate(first.paths)}
    by_network: dict[str, NDArray[np.float64]] = {}
    for name, seeds in found.items():
        by_network[name] = np.stack([_in_order(e, places, name, seed) for seed, e in sorted(seeds.items())])
    return Rights(by_network, group_numbers(first.groups, first.n), {n: sorted(s) for n, s in found.items()})


def _in_order(e: Evaluation, places: Mapping[str, int], name: str, seed: int) -> NDArray[np.float64]:
    if len(e.paths) != len(places) or any(path not in places for path in e.paths):
        raise DatasetError(
            f"{name} with seed {seed} was measured on other pictures than the first run",
            got=f"{len(set(e.paths) ^ set(places)):,} pictures differ",
            fix="start the comparison anew in another folder",
        )
    right = np.empty(len(places))
    right[[places[path] for path in e.paths]] = e.right
    return right


def score_part(evaluations: Sequence[Evaluation], right: NDArray[np.float64], rights: Rights) -> PartScore:
    """The summary of one network on one part; ``right`` (S, N) is its own of ``rights``."""
    names = [name for name in evaluations[0].metrics if all(name in e.metrics for e in evaluations)]
    values = {name: [e.metrics[name].value for e in evaluations] for name in names}
    metrics = {name: spread(of) for name, of in values.items() if all(math.isfinite(v) for v in of)}
    return PartScore(right.shape[1], proportion(right.mean(0), rights.groups), metrics)


def paired_tests(rights: Rights, against: str, *, draws: int = 2000) -> list[PairTest]:
    """Every network against one of them, Holm-corrected as one family; the strongest opponent first."""
    found = [pair_test(rights, name, against, draws=draws) for name in rights.by_network if name != against]
    corrected = holm([test.p for test in found])
    plain = [PairTest(**{**test.__dict__, "p_holm": p}) for test, p in zip(found, corrected, strict=True)]
    return sorted(plain, key=lambda test: -test.wide.value)


def pair_test(rights: Rights, a: str, b: str, *, draws: int = 2000) -> PairTest:
    """One network against another; p not yet corrected."""
    of_a, of_b, groups = rights.by_network[a], rights.by_network[b], rights.groups
    difference = of_a.mean(0) - of_b.mean(0)
    both = [seed for seed in rights.seeds[a] if seed in rights.seeds[b]]
    by_seed = (
        float(of_a[rights.seeds[a].index(seed)].mean() - of_b[rights.seeds[b].index(seed)].mean())
        for seed in both
    )
    p = flip_test(difference, groups)
    return PairTest(
        a,
        b,
        pictures=mean_differences(difference[:, None], draws=draws, groups=groups)[0],
        wide=difference_over_seeds(of_a, of_b, draws=draws, groups=groups),
        p=p,
        p_mcnemar=mcnemar(of_a.mean(0) > 0.5, of_b.mean(0) > 0.5),
        p_holm=p,
        by_seed=tuple(by_seed),
    )
