from __future__ import annotations

import pytest

from assay.train import watch
from assay.train.plan import Plan, plan_seconds
from assay.train.record import Recorder
from assay.train.watch import SETTLE, Watch

SIZES = [(96, 0.5), (160, 0.5)]
STEP_S = {96: 0.1, 160: 0.4}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """``time.monotonic`` under the test's hand."""
    now = [1000.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    return now


def walk(w: Watch, clock: list[float], plan: Plan, steps: int, seconds: float) -> None:
    for step in range(1, steps + 1):
        clock[0] += seconds
        facts = {"step": step, "loss": 1.0, "size": plan.size_at(step - 1), "progress": plan.progress(step)}
        w.step(facts, seconds)


def test_a_plan_that_holds_is_left_alone(clock: list[float]) -> None:
    plan = plan_seconds(100.0, SIZES, STEP_S, "cosine", 0.05)
    w = Watch(Recorder(None), 32, 100.0)
    walk(w, clock, plan, 100, 0.1)
    assert w.drift(plan, 100, STEP_S, 0.0) is None


def test_a_machine_half_as_fast_halves_the_remaining_steps(clock: list[float]) -> None:
    plan = plan_seconds(100.0, SIZES, STEP_S, "cosine", 0.05)
    w = Watch(Recorder(None), 32, 100.0)
    walk(w, clock, plan, 100, 0.2)  # 20 s gone instead of 10; 90 s planned are 180 s now, 80 s are left
    assert w.drift(plan, 100, STEP_S, 0.0) == pytest.approx(80 / 180)


def test_the_first_slow_steps_of_a_size_do_not_count(clock: list[float]) -> None:
    plan = plan_seconds(100.0, SIZES, STEP_S, "cosine", 0.05)
    w = Watch(Recorder(None), 32, 100.0)
    walk(w, clock, plan, SETTLE, 3.0)
    assert w.drift(plan, SETTLE, STEP_S, 0.0) is None  # nothing measured yet
    walk(w, clock, plan, 20, 0.1)
    assert w.drift(plan, 24, STEP_S, 0.0) == pytest.approx((100 - 12 - 2) / (47.6 + 50), rel=0.02)


def test_a_run_by_epochs_is_never_revised(clock: list[float]) -> None:
    plan = plan_seconds(100.0, SIZES, STEP_S, "cosine", 0.05)
    w = Watch(Recorder(None), 32, None)
    walk(w, clock, plan, 50, 1.0)
    assert w.drift(plan, 50, STEP_S, 0.0) is None
