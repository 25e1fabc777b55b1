"""Made worlds whose true risk is known: how often do calibrations break their promise, and when does the brake trip?

A world is a number of scores with the share of photos that have each and the chance that such a photo is answered
wrongly, so the true risk from any threshold on is a sum. A promise is broken where a threshold is given from which on
the true risk is above the accepted one. Some worlds are honest, most are as bad as we could make them: the risk lies
just above the accepted one where the procedure might fall for it.

The brake: audited answers one after another, looked at after each. Without a shift the risk is the accepted one, from
the first answer or later; or wrong answers come in twos, which the test does not allow for. With a shift a good time
comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.bets import clopper_pearson
from assay.decide.monitor import Watch
from assay.decide.threshold import GRID, STARTS, fit_threshold

Floats = NDArray[np.float64]
Line = dict[str, Any]
ABOVE = 1e-9
"""By how much the risk of an adversary's world is above the accepted one."""
ATOMS = np.array(sorted(GRID, reverse=True))
"""One score for each threshold that is tried, the surest first."""


@dataclass(frozen=True, eq=False)
class World:
    """``share`` of photos and chance of ``wrong`` at each of ``ATOMS``."""

    name: str
    share: Floats
    wrong: Floats

    def draw(self, rng: np.random.Generator, n: int) -> tuple[Floats, NDArray[np.bool_]]:
        """(N,) scores, and whether each answer is right."""
        at = rng.choice(len(ATOMS), n, p=self.share)
        return ATOMS[at], rng.random(n) >= self.wrong[at]

    @property
    def risks(self) -> Floats:
        """The true risk from each of ``ATOMS`` on."""
        mass = np.cumsum(self.share)
        return np.asarray(np.cumsum(self.share * self.wrong) / np.where(mass > 0, mass, 1.0))

    def risk(self, threshold: float) -> float:
        """The true risk from a threshold on."""
        return float(self.risks[np.flatnonzero(threshold <= ATOMS)[-1]])


def worlds(accepted: float) -> Iterator[World]:
    """Honest ones, and those of an adversary who knows the procedure and the accepted risk."""
    top = accepted * (1 + ABOVE)
    even = np.full(len(ATOMS), 1 / len(ATOMS))
    yield World("honest: each score is the chance of being right", even, np.minimum(0.9, 1 - ATOMS))
    yield World("just above everywhere", even, np.full(len(ATOMS), top))
    yield World("one score alone, just above", _normed(np.eye(1, len(ATOMS))[0]), np.full(len(ATOMS), top))
    starts = [int(np.abs(ATOMS - start).argmin()) for start in STARTS]
    steps = np.zeros(len(ATOMS))
    steps[starts] = 2.0 ** np.arange(len(starts))
    yield World("just above, nearly another sample at each start", _normed(steps), np.full(len(ATOMS), top))
    yield _cliff("fine but for the last photos", even, len(ATOMS) - 1, accepted)
    yield _cliff("fine for the surer half, a cliff below", even, len(ATOMS) // 2, accepted)
    surest = np.where(np.arange(len(ATOMS)) < len(ATOMS) // 4, 3.6 * accepted, 0.0)
    yield World("the surest are wrong most", even, surest)


def _cliff(name: str, share: Floats, at: int, accepted: float) -> World:
    """No answer above ``at`` is wrong; from there down the risk is just above the accepted one at each threshold."""
    share = share.copy()
    share[at] = 1.0  # many, so that the last step alone decides
    share = _normed(share)
    wrong = np.full(len(ATOMS), accepted * (1 + ABOVE))
    wrong[:at] = 0.0
    wrong[at] = accepted * (1 + ABOVE) * share[: at + 1].sum() / share[at]
    return World(name, share, wrong)


def random_world(rng: np.random.Generator, accepted: float) -> World:
    """Steps of risk just above the accepted one between steps far below it, and photos anywhere."""
    share = _normed(rng.dirichlet(np.full(len(ATOMS), 10.0 ** rng.uniform(-2, 1))) + 1e-9)
    mass, wrong, failures = np.cumsum(share), np.zeros(len(ATOMS)), 0.0
    bad = np.cumsum(rng.random(len(ATOMS)) < 0.1) % 2 == rng.integers(2)
    for i in range(len(ATOMS)):
        target = accepted * (1 + ABOVE if bad[i] else rng.uniform(0, 0.5)) * mass[i]
        wrong[i] = min(1.0, max(0.0, target - failures) / share[i])
        failures += wrong[i] * share[i]
    return World("the worst of a search", share, wrong)


def worst_world(accepted: float, n: int, tried: int, seed: int = 0) -> World:
    """Of so many random worlds the one that 100 calibrations break most often; it is to be judged by others."""
    rng = np.random.default_rng(seed)
    found = [random_world(rng, accepted) for _ in range(tried)]
    broken = [calibrations(world, accepted, n, 100, seed)["broken"] for world in found]
    return found[int(np.argmax(broken))]


def calibrations(world: World, accepted: float, n: int, draws: int, seed: int, level: float = 0.95) -> Line:
    """What became of so many calibrations with ``n`` labels each."""
    rng = np.random.default_rng([seed, n])
    risks: list[float] = []
    covered = []
    for _ in range(draws):
        found = fit_threshold(*world.draw(rng, n), risk=accepted, level=level)
        if found.threshold is not None:
            risks.append(world.risk(found.threshold))
            covered.append(float(world.share[found.threshold <= ATOMS].sum()))
    broken = sum(risk > accepted for risk in risks)
    interval = clopper_pearson(broken, draws)
    return {
        "world": world.name,
        "promised": accepted,
        "confidence": level,
        "labels": n,
        "draws": draws,
        "promising": len(risks),
        "broken": broken,
        "broken_low": interval.low,
        "broken_high": interval.high,
        "risk": float(np.mean(risks)) if risks else None,
        "automatic": float(np.mean(covered)) if covered else 0.0,
    }


Stream = Callable[[np.random.Generator, float, int], NDArray[np.bool_]]
"""(N,) which of the next answers are wrong, for an accepted risk and a number of answers."""


def at_the_limit(rng: np.random.Generator, accepted: float, n: int) -> NDArray[np.bool_]:
    """Each answer is wrong with just the accepted risk: the most that the promise allows."""
    return np.asarray(rng.random(n) < accepted)


def limit_late(rng: np.random.Generator, accepted: float, n: int) -> NDArray[np.bool_]:
    """No answer of the first fifth is wrong, then just the accepted risk."""
    return at_the_limit(rng, accepted, n) & (np.arange(n) >= n // 5)


def half_in_pairs(rng: np.random.Generator, accepted: float, n: int) -> NDArray[np.bool_]:
    """Half of the accepted risk, but wrong answers come in twos, as from one sender: the assumption is broken."""
    return np.repeat(rng.random(n // 2 + 1) < accepted / 2, 2)[:n]


def follow(watch: Watch, wrong: NDArray[np.bool_]) -> Watch:
    """The watch after these answers, or after the one that withdraws it."""
    for missed in wrong.tolist():
        watch = watch.answered(not missed)
        if watch.withdrawn_at is not None:
            break
    return watch


def false_trips(accepted: float, stream: Stream, runs: int, most: int, seed: int) -> Line:
    """How often the brake trips although the risk is not above the accepted one."""
    rng = np.random.default_rng(seed)
    start = Watch("accept", "all", accepted, 0.95)
    ended = [follow(start, stream(rng, accepted, most)) for _ in range(runs)]
    tripped = sum(watch.withdrawn_at is not None for watch in ended)
    interval = clopper_pearson(tripped, runs)
    return {
        "accepted": accepted,
        "confidence": 0.95,
        "risk": stream.__name__,
        "runs": runs,
        "looks": most,
        "tripped": tripped,
        "tripped_low": interval.low,
        "tripped_high": interval.high,
    }


def time_to_trip(accepted: float, good: int, times: float, runs: int, most: int, seed: int) -> Line:
    """Audited answers between a shift to ``times`` the accepted risk and the brake, after ``good`` answers at half."""
    rng = np.random.default_rng(seed)
    start = Watch("accept", "all", accepted, 0.95)
    needed, early = [], 0
    for _ in range(runs):
        before = follow(start, at_the_limit(rng, accepted / 2, good))
        if before.withdrawn_at is not None:
            early += 1
            continue
        after = follow(before, at_the_limit(rng, times * accepted, most))
        needed.append(np.inf if after.withdrawn_at is None else after.withdrawn_at - good)
    middle, late = (float(v) for v in np.quantile(needed, [0.5, 0.9], method="higher"))
    return {
        "accepted": accepted,
        "confidence": 0.95,
        "good": good,
        "shifted_to": times * accepted,
        "runs": runs,
        "most": most,
        "early": early,
        "tripped": int(np.isfinite(needed).sum()),
        "median": middle if np.isfinite(middle) else None,
        "q90": late if np.isfinite(late) else None,
    }


def _normed(share: Floats) -> Floats:
    return np.asarray(share / share.sum(), np.float64)
