"""The plan of a run: how many steps at which picture size, and the learning rate along the way.

Progress runs from 0 to 1 in shares of *time*, so a stage of small pictures takes many quick steps and moves the
learning rate as far as its time is worth. A time-boxed run may be revised while it runs, when the machine turns
out slower or faster than the probe said; the revised plan is stored with the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

STAGE_SHARES = ((0.6, 0.40), (0.8, 0.35), (1.0, 0.25))
"""Progressive resolution: (share of the final side, share of the time)."""


@dataclass(frozen=True)
class Stage:
    """``steps`` steps at ``size`` px that move the progress from ``begin`` to ``end``."""

    size: int
    steps: int
    begin: float
    end: float


@dataclass(frozen=True)
class Plan:
    """Stages in order, and the shape of the learning rate."""

    stages: tuple[Stage, ...]
    schedule: str
    warmup: float

    @property
    def total(self) -> int:
        """Number of steps of the whole run."""
        return sum(stage.steps for stage in self.stages)

    def _locate(self, step: int) -> tuple[Stage, int]:
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        return self.stages[-1], self.stages[-1].steps

    def size_at(self, step: int) -> int:
        """Side of the pictures at a step, in px."""
        return self._locate(step)[0].size

    def progress(self, step: int) -> float:
        """Share of the run that lies before a step, 0 to 1."""
        stage, inside = self._locate(step)
        return stage.begin + (stage.end - stage.begin) * inside / stage.steps

    def lr_factor(self, step: int) -> float:
        """Factor on the peak learning rate at a step, 0 to 1."""
        return lr_factor(self.schedule, self.progress(step), self.warmup)

    def revised(self, step: int, factor: float) -> Plan:
        """The same plan with the number of steps from ``step`` on multiplied by ``factor``."""
        done: list[Stage] = []
        rest: list[Stage] = []
        for stage in self.stages:
            inside = min(max(step, 0), stage.steps)
            step -= stage.steps
            middle = stage.begin + (stage.end - stage.begin) * inside / stage.steps
            if inside:
                done.append(Stage(stage.size, inside, stage.begin, middle))
            if inside < stage.steps:
                steps = max(1, round((stage.steps - inside) * factor))
                rest.append(Stage(stage.size, steps, middle, stage.end))
        return Plan((*done, *rest), self.schedule, self.warmup)

    def seconds_from(self, step: int, step_s: Mapping[int, float]) -> float:
        """Seconds that the steps from ``step`` on take, where one at ``size`` px takes ``step_s[size]``."""
        total = 0.0
        for stage in self.stages:
            total += max(0, stage.steps - max(0, step)) * step_s[stage.size]
            step -= stage.steps
        return total

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        stages = tuple(Stage(**stage) for stage in values["stages"])
        return cls(stages, values["schedule"], values["warmup"])


def lr_factor(schedule: str, progress: float, warmup: float) -> float:
    """The learning rate's shape over a run.

    ``cosine`` (Loshchilov and Hutter 2017) falls to 0.1 %; ``one-cycle`` (Smith and Topin 2018) rises along a
    cosine for at least 30 % of the run; ``step`` divides by ten at a half and at three quarters.
    """
    rise = max(warmup, 0.3) if schedule == "one-cycle" else warmup
    if progress < rise:
        share = progress / rise
        return 0.04 + 0.96 * (share if schedule != "one-cycle" else (1 - math.cos(math.pi * share)) / 2)
    share = (progress - rise) / max(1.0 - rise, 1e-9)
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
    return 0.001 + 0.999 * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def stage_sizes(size: int, *, progressive: bool) -> list[tuple[int, float]]:
    """(side in px, share of the time) of each stage; sides are multiples of 32 where the final one allows."""
    if not progressive or size < 64:
        return [(size, 1.0)]
    grain = 32 if size >= 128 else 8
    sides = [min(size, max(grain, round(size * share / grain) * grain)) for share, _ in STAGE_SHARES]
    sides[-1] = size
    return [(side, share) for side, (_, share) in zip(sides, STAGE_SHARES, strict=True)]


def plan_steps(total: int, sizes: Sequence[tuple[int, float]], schedule: str, warmup: float) -> Plan:
    """A plan of ``total`` steps; the shares of ``sizes`` count steps."""
    if total < len(sizes):
        sizes = [(sizes[-1][0], 1.0)]
    counts = [max(1, round(total * share)) for _, share in sizes]
    counts[-1] = max(1, total - sum(counts[:-1]))
    return _staged([size for size, _ in sizes], counts, [share for _, share in sizes], schedule, warmup)


def plan_seconds(
    seconds: float,
    sizes: Sequence[tuple[int, float]],
    step_s: Mapping[int, float],
    schedule: str,
    warmup: float,
) -> Plan:
    """A plan that fills ``seconds``, where a step at ``size`` px takes ``step_s[size]`` seconds."""
    counts = [max(1, int(seconds * share / step_s[size])) for size, share in sizes]
    return _staged([size for size, _ in sizes], counts, [share for _, share in sizes], schedule, warmup)


def _staged(sizes: list[int], counts: list[int], shares: list[float], schedule: str, warmup: float) -> Plan:
    stages, begin = [], 0.0
    for size, steps, share in zip(sizes, counts, shares, strict=True):
        end = min(1.0, begin + share)
        stages.append(Stage(size, steps, begin, end))
        begin = end
    return Plan(tuple(stages), schedule, warmup)
