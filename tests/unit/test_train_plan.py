from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.train.plan import Plan, lr_factor, plan_seconds, plan_steps, stage_sizes


def test_progressive_sides_are_multiples_of_32_and_end_at_the_final_one() -> None:
    assert stage_sizes(160, progressive=True) == [(96, 0.40), (128, 0.35), (160, 0.25)]
    assert stage_sizes(160, progressive=False) == [(160, 1.0)]
    assert stage_sizes(48, progressive=True) == [(48, 1.0)]


def test_a_time_boxed_plan_fills_its_seconds() -> None:
    step_s = {96: 0.1, 128: 0.2, 160: 0.4}
    plan = plan_seconds(100.0, stage_sizes(160, progressive=True), step_s, "cosine", 0.05)
    assert [stage.steps for stage in plan.stages] == [400, 175, 62]
    assert plan.progress(400) == pytest.approx(0.4)
    assert plan.size_at(399) == 96
    assert plan.size_at(400) == 128
    assert plan.progress(plan.total) == 1.0


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle", "step", "constant"])
def test_every_schedule_rises_then_never_rises_again(schedule: str) -> None:
    values = [lr_factor(schedule, i / 200, 0.05) for i in range(201)]
    peak = values.index(max(values))
    assert max(values) == pytest.approx(1.0)
    assert all(a <= b for a, b in itertools.pairwise(values[: peak + 1]))
    assert all(a >= b for a, b in itertools.pairwise(values[peak:]))
    assert values[0] == pytest.approx(0.04)


@given(total=st.integers(3, 500), step=st.integers(0, 500), factor=st.floats(0.1, 4.0))
def test_a_revision_keeps_the_past_and_still_ends_at_one(total: int, step: int, factor: float) -> None:
    plan = plan_steps(total, stage_sizes(160, progressive=True), "cosine", 0.05)
    step = min(step, plan.total - 1)
    revised = plan.revised(step, factor)
    for past in range(step + 1):
        assert revised.progress(past) == pytest.approx(plan.progress(past))
    assert revised.progress(revised.total) == pytest.approx(1.0)
    assert revised.total > step


def test_a_plan_travels_through_plain_values() -> None:
    plan = plan_steps(20, stage_sizes(160, progressive=True), "step", 0.1)
    assert Plan.from_dict(plan.to_dict()) == plan
