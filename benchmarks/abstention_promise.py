"""Are the promises kept? Calibrations drawn again and again from pictures that the network has never seen.

Two ways of drawing, each by sender and by picture:

*halves*: a random half of the senders (pictures) calibrates, the other half measures: what a user meets, with the noise
of the measuring half in it, so that more splits can look broken than are.

*redrawn*: the whole pool is taken for the world. Calibrations of half its size are drawn from it with replacement, and
the risk is that of the whole pool, known exactly. Here the share of broken promises must not be above 1 - confidence.

A third unit, *naive*, draws senders and calibrates as if their pictures were exchangeable: what groups are for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.conformal import fit_sets, unit_weights
from assay.decide.threshold import fit_threshold
from assay.decide.unknown import Unknown, combine, energy, fit_unknown
from benchmarks.abstention_pool import Pool

CONFIDENCE, COVERAGE, FALSE_ALARM = 0.9, 0.9, 0.05
Drawn = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class World:
    """A pool as arrays of what the promises are about."""

    sure: NDArray[np.float64]
    right: NDArray[np.bool_]
    probs: NDArray[np.float32]
    targets: NDArray[np.int64]
    strange: NDArray[np.float64]
    groups: NDArray[np.int64]
    spread: tuple[float, float]


def world_of(pool: Pool, reference: Pool) -> World:
    """The pool's answers, and how strange each picture is beside the reference."""
    probs = pool.probs
    groups = np.unique(pool.groups, return_inverse=True)[1].astype(np.int64)
    compared = fit_unknown(
        pool.logits,
        pool.embedding,
        reference=reference.embedding,
        reference_logits=reference.logits,
        false_alarm=FALSE_ALARM,
    )
    strange = combine(compared.distances(pool.embedding), energy(pool.logits), compared.spread)
    right = probs.argmax(1) == pool.targets
    return World(probs.max(1).astype(float), right, probs, pool.targets, strange, groups, compared.spread)


def promises_kept(
    world: World, *, unit: str, how: str, risk: float, splits: int, seed: int
) -> dict[str, Any]:
    """What was promised and found over so many drawings; shares are over drawings that promised something."""
    rng = np.random.default_rng(seed)
    rows = [_one(world, draw(world.groups, unit, how, rng), unit, risk) for _ in range(splits)]
    found = {key: np.array([row[key] for row in rows], dtype=float) for key in rows[0]}
    given = ~np.isnan(found["risk"])
    counted = found["risk_by_group"] if unit == "group" else found["risk"]
    broken = given & (counted > risk + 1e-12)
    return {
        "unit": unit,
        "how": how,
        "promised": risk,
        "confidence": CONFIDENCE,
        "splits": splits,
        "promising": float(given.mean()),
        "broken": float(broken.mean()),
        "found": _spread(counted[given]),
        "found_by_picture": _spread(found["risk"][given]),
        "coverage": _spread(found["coverage"][given]),
        "least_risk": _spread(found["least"]),
        "set_coverage": _spread(found["holds"]),
        "set_size": _spread(found["size"]),
        "false_alarm": _spread(found["alarm"]),
        "calibration_units": int(np.median(found["units"])),
    }


def draw(groups: NDArray[np.int64], unit: str, how: str, rng: np.random.Generator) -> Drawn:
    """(rows that calibrate, their groups, rows that measure, their groups); a group drawn twice is two groups."""
    keys = np.arange(len(groups)) if unit == "picture" else groups
    count = int(keys.max()) + 1
    if how == "halves":
        mine = np.isin(keys, rng.permutation(count)[: count // 2])
        calibrating, measuring = np.flatnonzero(mine), np.flatnonzero(~mine)
        return calibrating, _numbers(keys[calibrating]), measuring, groups[measuring]
    parts = None if unit == "picture" else [np.flatnonzero(keys == key) for key in range(count)]
    chosen = rng.integers(count, size=count // 2)
    rows = chosen if parts is None else np.concatenate([parts[int(key)] for key in chosen])
    sizes = [1] * len(chosen) if parts is None else [len(parts[int(key)]) for key in chosen]
    return rows, np.repeat(np.arange(len(chosen)), sizes), np.arange(len(keys)), groups


def _one(world: World, drawn: Drawn, unit: str, risk: float) -> dict[str, float]:
    rows, numbers, others, others_groups = drawn
    groups = numbers if unit == "group" else None
    unknown = _unknown(world, rows, groups)
    known = world.strange[rows] < unknown.cut()
    fitted = fit_threshold(
        world.sure[rows], world.right[rows], risk=risk, level=CONFIDENCE, groups=groups, known=known
    )
    sets = fit_sets(world.probs[rows], world.targets[rows], coverage=COVERAGE, groups=groups)
    weight = unit_weights(len(others), _numbers(others_groups) if unit == "group" else None)
    weight = weight / weight.sum()
    held = sets.sets(world.probs[others])
    fine = world.strange[others] <= unknown.cut()
    given, right = fitted.accepts(world.sure[others]) & fine, world.right[others]
    least = fitted.least_risk
    return {
        "units": float(len(np.unique(numbers))),
        "risk": float((~right[given]).mean()) if given.any() else np.nan,
        "risk_by_group": float((weight * (given & ~right)).sum() / (weight * given).sum())
        if given.any()
        else np.nan,
        "coverage": float((weight * given).sum()),
        "least": np.nan if least is None else least,
        "holds": float((weight * held[np.arange(len(others)), world.targets[others]]).sum()),
        "size": float((weight * held.sum(1)).sum()),
        "alarm": float((weight * ~fine).sum()),
    }


def _unknown(world: World, rows: NDArray[np.int64], groups: NDArray[np.int64] | None) -> Unknown:
    order = np.argsort(world.strange[rows], kind="stable")
    weights = unit_weights(len(rows), groups)[order]
    empty = np.zeros((1, 1), np.float16)
    return Unknown(empty, 1, world.spread, world.strange[rows][order], weights, FALSE_ALARM)


def _numbers(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _spread(values: NDArray[np.float64]) -> dict[str, float] | None:
    """Mean and quantiles over the drawings."""
    kept = values[~np.isnan(values)]
    if not len(kept):
        return None
    low, middle, high = np.quantile(kept, [0.05, 0.5, 0.95])
    return {"mean": float(kept.mean()), "q05": float(low), "median": float(middle), "q95": float(high)}
