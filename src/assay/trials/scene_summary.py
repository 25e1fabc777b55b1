"""What runs of networks of several heads show together: a summary a network, and paired tests of their mean scores.

A network's score is the mean of its heads' main scores (``SceneEvaluation.score``). Average precision and IoU are of
all pictures together, so there is no right or wrong a picture to test: pictures (or groups) are drawn anew instead, for
all networks alike, and every score is worked out from each drawing. p is how often a drawing strays from what was
observed by as much as that lies from zero, and at least that of all units pointing one way, as drawings of a few
pictures are too sure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from assay.errors import DatasetError
from assay.metrics import average_precision, segment
from assay.metrics.interval import Estimate, Floats, bootstrap_weights, centred_interval
from assay.metrics.paired import holm, redrawn
from assay.metrics.resample import mean_known, share
from assay.metrics.scene_evaluation import SceneEvaluation
from assay.metrics.scene_measure import tag_answers
from assay.metrics.scene_tags import average_precisions
from assay.trials.summary import PairTest, PartScore, spread

DRAWS = 1000
SCORE = "score"
"""The name of the mean of the main scores among a network's metrics."""

BySeed = Mapping[str, Mapping[int, SceneEvaluation]]


@dataclass(frozen=True)
class Drawn:
    """Of one part with ``n`` pictures in ``units`` that were drawn (groups, or single pictures): mean scores by
    network, (S,) as observed and (S, D) in D drawings.
    """

    n: int
    units: int
    observed: dict[str, Floats]
    drawn: dict[str, Floats]
    seeds: dict[str, list[int]] = field(default_factory=dict)


def draw_scores(found: BySeed, *, draws: int = DRAWS, seed: int = 0) -> Drawn:
    """The scores of all networks in the same drawings of pictures, from their evaluations by network and seed.

    Raises
    ------
    DatasetError : two runs were not measured on the same pictures, or not in the same heads.
    """
    first = next(e for seeds in found.values() for e in seeds.values())
    for name, seeds in found.items():
        for number, e in seeds.items():
            _require_same(first, e, name, number)
    places = {path: i for i, path in enumerate(first.material.paths)}
    scorers = {name: [_scorer(e, places) for _, e in sorted(seeds.items())] for name, seeds in found.items()}
    groups = first.material.groups_of(np.arange(first.n))
    blocks: dict[str, list[Floats]] = {name: [] for name in found}
    for weights in bootstrap_weights(first.n, draws, seed, groups):
        for name, scores in scorers.items():
            blocks[name].append(np.stack([score(weights) for score in scores]))
    ones = np.ones((1, first.n))
    return Drawn(
        first.n,
        first.n if groups is None else int(groups.max()) + 1,
        {name: np.array([score(ones)[0] for score in scores]) for name, scores in scorers.items()},
        {name: np.concatenate(parts, axis=1) for name, parts in blocks.items()},
        {name: sorted(seeds) for name, seeds in found.items()},
    )


def _require_same(first: SceneEvaluation, e: SceneEvaluation, name: str, seed: int) -> None:
    others = set(e.material.paths) ^ set(first.material.paths)
    heads = [", ".join(one.main_scores()) for one in (e, first)]
    if others or heads[0] != heads[1]:
        raise DatasetError(
            f"{name} with seed {seed} was measured on other pictures, or in other heads, than the first run",
            got=f"{len(others):,} pictures differ" if others else f"{heads[0]}; the first {heads[1]}",
            fix="start the comparison anew in another folder",
        )


def _scorer(e: SceneEvaluation, places: Mapping[str, int]) -> Callable[[Floats], Floats]:
    """From weights (D, N) of the pictures in the common order to the mean of the main scores (D,)."""
    of = e.material
    order = np.array([places[path] for path in of.paths], np.int64)
    heads: list[tuple[NDArray[np.int64], Callable[[Floats], Floats]]] = []
    if e.classify is not None:
        rows = np.flatnonzero(of.targets >= 0)
        right = (of.probs[rows].argmax(1) == of.targets[rows]).astype(np.float64)
        heads.append((rows, lambda w: share(w @ right, w.sum(1))))
    if e.tags is not None:
        answers, rows = tag_answers(of)
        ranking = average_precisions(answers)
        heads.append((rows, lambda w: mean_known(np.stack([*ranking(w).values()], axis=1))))
    for kind in ("boxes", "masks"):
        if getattr(e, kind) is not None:
            matches = getattr(of, kind)
            precision = average_precision.scores(matches)
            heads.append((matches.pool.rows, lambda w, p=precision: p(w)["ap50_95"]))  # type: ignore[misc]
    if of.pixels is not None:
        overlap = segment.scores(of.pixels)
        heads.append((of.pixels.rows, lambda w: overlap(w)["miou"]))

    def score(weights: Floats) -> Floats:
        own = weights[:, order]
        return mean_known(np.stack([measure(own[:, rows]) for rows, measure in heads], axis=1))

    return score


def score_scenes(evaluations: Sequence[SceneEvaluation], name: str, drawn: Drawn) -> PartScore:
    """The summary of one network on one part: the spread of every number over its seeds, ``SCORE`` among them."""
    names = [one for one in evaluations[0].metrics if all(one in e.metrics for e in evaluations)]
    values = {one: [e.metrics[one].value for e in evaluations] for one in names}
    values[SCORE] = [e.score for e in evaluations]
    metrics = {one: spread(of) for one, of in values.items() if all(math.isfinite(v) for v in of)}
    interval = centred_interval(float(drawn.observed[name].mean()), drawn.drawn[name].mean(0))
    return PartScore(drawn.n, interval, metrics, main=SCORE)


def scene_tests(drawn: Drawn, against: str) -> list[PairTest]:
    """Every network against one of them, Holm-corrected as one family; the strongest opponent first."""
    found = [_test(drawn, name, against) for name in drawn.observed if name != against]
    corrected = holm([test.p for test in found])
    tests = [replace(test, p_holm=p) for test, p in zip(found, corrected, strict=True)]
    return sorted(tests, key=lambda test: -test.wide.value)


def _test(drawn: Drawn, a: str, b: str) -> PairTest:
    value = float(drawn.observed[a].mean() - drawn.observed[b].mean())
    apart = drawn.drawn[a].mean(0) - drawn.drawn[b].mean(0)
    rng = np.random.default_rng(1)
    wide = redrawn(drawn.drawn[a].T, rng) - redrawn(drawn.drawn[b].T, rng)
    seeds = drawn.seeds
    both = [seed for seed in seeds[a] if seed in seeds[b]]
    by_seed = (
        float(drawn.observed[a][seeds[a].index(s)] - drawn.observed[b][seeds[b].index(s)]) for s in both
    )
    p = max(_chance(value, apart), 0.5 ** (drawn.units - 1))
    return PairTest(a, b, _interval(value, apart), _interval(value, wide), p, None, p, tuple(by_seed))


def _interval(value: float, drawn: Floats) -> Estimate:
    return centred_interval(value, drawn, bounds=(-1.0, 1.0))


def _chance(value: float, drawn: Floats) -> float:
    """Two-sided p that the difference is 0, from how far drawings stray from what was observed."""
    known = drawn[np.isfinite(drawn)]
    if not len(known) or not value:
        return 1.0
    return float((1 + (np.abs(known - value) >= abs(value) - 1e-12).sum()) / (1 + len(known)))
