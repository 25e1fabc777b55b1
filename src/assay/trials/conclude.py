"""From finished runs to what they show: every network summed up, the best chosen, the others tested against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from assay.metrics.evaluation import Evaluation
from assay.trials.row import Row, read_evaluations
from assay.trials.summary import PairTest, PartScore, Rights, gather_rights, paired_tests, score_part
from assay.trials.trials import Network, Trials

BySeed = dict[str, dict[int, Evaluation]]
"""Network -> seed -> evaluation of one part."""


def conclude(trials: Trials) -> Trials:
    """The same trials with scores, best network and tests. Failed and waiting runs are in none of them.

    Raises
    ------
    DatasetError : two runs were not measured on the same pictures.
    """
    found = _evaluations(trials)
    rights = {part: gather_rights(by_network) for part, by_network in found.items()}
    networks = tuple(_summed(network, trials.rows, found, rights) for network in trials.networks)
    part = "test" if "test" in found else "validation"
    trials = replace(trials, networks=networks, part=part)
    if not found:
        return trials
    best = trials.ranked[0].name
    return replace(trials, best=best, tests=_tests(rights.get(part), best, trials.request.get("reference")))


def _evaluations(trials: Trials) -> dict[str, BySeed]:
    """Part -> network -> seed -> evaluation, of the finished runs."""
    found: dict[str, BySeed] = {}
    for row in trials.rows:
        if row.is_finished:
            for part, evaluation in read_evaluations(trials.folder / row.run).items():
                found.setdefault(part, {}).setdefault(row.network, {})[row.seed] = evaluation
    return found


def _summed(
    network: Network, rows: tuple[Row, ...], found: Mapping[str, BySeed], rights: Mapping[str, Rights]
) -> Network:
    mine = [row for row in rows if row.network == network.name and row.is_finished]
    if not mine:
        reasons = [row.reason for row in rows if row.network == network.name and row.reason]
        return replace(network, failed=network.failed or (reasons[0] if reasons else ""))
    scores: dict[str, PartScore] = {}
    for part, by_network in found.items():
        if network.name in by_network:
            evaluations = [e for _, e in sorted(by_network[network.name].items())]
            right = rights[part].by_network[network.name]
            scores[part] = score_part(evaluations, right, rights[part])
    return replace(
        network,
        parameters=mine[0].parameters or network.parameters,
        seeds=tuple(row.seed for row in mine),
        minutes=_mean([row.minutes for row in mine]),
        pictures=_mean([row.pictures for row in mine]),
        epochs=_mean([row.epochs for row in mine]),
        scores=scores,
    )


def _mean(values: list[float | None] | list[int | None] | list[float]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _tests(rights: Rights | None, best: str, reference: str | None) -> dict[str, tuple[PairTest, ...]]:
    if rights is None:
        return {}
    against = {"best": best, "reference": reference}
    return {
        key: tuple(paired_tests(rights, name))
        for key, name in against.items()
        if name is not None and name in rights.by_network and not (key == "reference" and name == best)
    }
