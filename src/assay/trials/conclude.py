"""From finished runs to what they show: every network summed up, the best chosen, the others tested against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.metrics.scene_evaluation import SceneEvaluation
from assay.trials.evaluations import AnyEvaluation
from assay.trials.row import Row, read_evaluations
from assay.trials.scene_summary import Drawn, draw_scores, scene_tests, score_scenes
from assay.trials.summary import PairTest, PartScore, Rights, gather_rights, paired_tests, score_part
from assay.trials.trials import Network, Trials

BySeed = dict[str, dict[int, AnyEvaluation]]
"""Network -> seed -> evaluation of one part."""
Gathered = Rights | Drawn
"""The networks of one part beside each other, picture by picture or drawing by drawing."""


def conclude(trials: Trials) -> Trials:
    """The same trials with scores, best network and tests. Failed and waiting runs are in none of them.

    Raises
    ------
    DatasetError : two runs were not measured on the same pictures.
    """
    found = _evaluations(trials)
    gathered = {part: _gather(by_network) for part, by_network in found.items()}
    networks = tuple(_summed(network, trials.rows, found, gathered) for network in trials.networks)
    part = "test" if "test" in found else "validation"
    trials = replace(trials, networks=networks, part=part)
    if not found:
        return trials
    best = trials.ranked[0].name
    return replace(trials, best=best, tests=_tests(gathered.get(part), best, trials.request.get("reference")))


def _evaluations(trials: Trials) -> dict[str, BySeed]:
    """Part -> network -> seed -> evaluation, of the finished runs."""
    found: dict[str, BySeed] = {}
    for row in trials.rows:
        if row.is_finished:
            for part, evaluation in read_evaluations(trials.folder / row.run).items():
                found.setdefault(part, {}).setdefault(row.network, {})[row.seed] = evaluation
    return found


def _gather(found: Mapping[str, Mapping[int, Any]]) -> Gathered:
    """All runs of a comparison have the same heads, so their evaluations are of one kind."""
    first = next(e for seeds in found.values() for e in seeds.values())
    return draw_scores(found) if isinstance(first, SceneEvaluation) else gather_rights(found)


def _score(name: str, evaluations: Sequence[Any], gathered: Gathered) -> PartScore:
    if isinstance(gathered, Drawn):
        return score_scenes(evaluations, name, gathered)
    return score_part(evaluations, gathered.by_network[name], gathered)


def _summed(
    network: Network, rows: tuple[Row, ...], found: Mapping[str, BySeed], gathered: Mapping[str, Gathered]
) -> Network:
    mine = [row for row in rows if row.network == network.name and row.is_finished]
    if not mine:
        reasons = [row.reason for row in rows if row.network == network.name and row.reason]
        return replace(network, failed=network.failed or (reasons[0] if reasons else ""))
    scores: dict[str, PartScore] = {}
    for part, by_network in found.items():
        if network.name in by_network:
            evaluations = [e for _, e in sorted(by_network[network.name].items())]
            scores[part] = _score(network.name, evaluations, gathered[part])
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


def _tests(gathered: Gathered | None, best: str, reference: str | None) -> dict[str, tuple[PairTest, ...]]:
    if gathered is None:
        return {}
    against = {"best": best, "reference": reference}
    known = gathered.observed if isinstance(gathered, Drawn) else gathered.by_network
    return {
        key: tuple(_tested(gathered, name))
        for key, name in against.items()
        if name is not None and name in known and not (key == "reference" and name == best)
    }


def _tested(gathered: Gathered, against: str) -> list[PairTest]:
    return scene_tests(gathered, against) if isinstance(gathered, Drawn) else paired_tests(gathered, against)
