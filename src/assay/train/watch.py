"""Keeps the clock of a run: logs every step, moves the bar, and holds a time-boxed plan against real time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping

from assay.train.plan import Plan
from assay.train.record import Recorder

JUDGING_SHARE = 0.08
"""Most of a time-boxed run's time that goes into looking at validation."""

DRIFT = 0.04
"""A time-boxed plan is revised when steps take longer or shorter than planned by more than this share."""

SETTLE, WINDOW = 4, 24
"""Steps not counted after a change of size (torch prepares its kernels), and steps that a rate is taken over."""


class Watch:
    """The clock of one process's part of a run.

    Parameters
    ----------
    pictures : pictures that one step trains on, over all processes.
    seconds_left : the time-boxed run's remaining seconds of training, or None.
    """

    def __init__(self, recorder: Recorder, pictures: int, seconds_left: float | None) -> None:
        self._recorder, self._pictures = recorder, pictures
        self._deadline = None if seconds_left is None else time.monotonic() + seconds_left
        self._every = 0.0 if seconds_left is None else 0.02 * seconds_left
        self._checked_at = time.monotonic()
        self._size, self._unsettled = 0, SETTLE
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._losses: deque[float] = deque(maxlen=50)

    def step(self, facts: dict[str, float], seconds: float) -> None:
        """Log one step. Every step is logged: a resumed run is compared with an unbroken one by its losses."""
        self._recorder.log("step", **facts, rate=round(self._pictures / max(seconds, 1e-9), 2))
        self._losses.append(facts["loss"])
        mean = sum(self._losses) / len(self._losses)
        if facts["size"] != self._size:
            self._size, self._unsettled = int(facts["size"]), SETTLE
            self._times.clear()
        if self._unsettled:
            self._unsettled -= 1
        else:
            self._times.append(seconds)
        rate = self._pictures / max(self._usual() or seconds, 1e-9)
        self._recorder.advance(facts["progress"], f"loss {mean:.3f}  {rate:5.0f} pictures/s  {self._size} px")

    def _usual(self) -> float | None:
        """Mean seconds of the recent steps without the slowest tenth; None while there are too few."""
        if len(self._times) < 8:
            return None
        kept = sorted(self._times)[: -max(1, len(self._times) // 10)]
        return sum(kept) / len(kept)

    def drift(self, plan: Plan, step: int, step_s: Mapping[int, float], judging_s: float) -> float | None:
        """Factor on the remaining steps that would fill the remaining time; None where the plan holds.

        ``step_s`` are planned seconds a step by size, ``judging_s`` the seconds of all looks at validation.
        """
        now, usual = time.monotonic(), self._usual()
        if self._deadline is None or usual is None or now - self._checked_at < self._every:
            return None
        self._checked_at = now
        rest = plan.seconds_from(step, step_s) * usual / step_s[self._size]
        left = max(0.0, self._deadline - now)
        judging = min((1 - plan.progress(step)) * judging_s, JUDGING_SHARE * left)
        factor = (left - judging) / max(rest, 1e-9)
        return None if abs(factor - 1) < DRIFT else min(2.0, factor)
