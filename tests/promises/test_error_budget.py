"""The promise: the error budget holds. At most the stated share of calibrations fails; a planted shift trips the brake.

Here with so few draws that it takes seconds; `python -m benchmarks.error_budget --simulate` does 1,000 of each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import error_budget_worlds as made  # noqa: E402

ACCEPTED, LABELS, DRAWS = 0.05, 1000, 100
WORLDS = {world.name: world for world in made.worlds(ACCEPTED)}


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_at_most_one_calibration_in_twenty_breaks_its_promise(name):
    found = made.calibrations(WORLDS[name], ACCEPTED, LABELS, DRAWS, seed=0)
    assert found["broken_low"] <= 0.05, f"{found['broken']} of {DRAWS} are above the promise"
    if name.startswith(("honest", "fine")):
        assert found["promising"] > DRAWS / 2  # it is no promise to say nothing


@pytest.mark.parametrize("risk", [made.at_the_limit, made.limit_late])
def test_the_brake_keeps_still_while_the_risk_is_accepted(risk):
    found = made.false_trips(ACCEPTED, risk, runs=60, most=500, seed=0)
    assert found["tripped_low"] <= 0.05, f"{found['tripped']} of 60 were withdrawn"


@pytest.mark.parametrize("good", [0, 300])
def test_a_planted_shift_trips_the_brake(good):
    found = made.time_to_trip(ACCEPTED, good, times=5, runs=20, most=500, seed=0)
    assert found["tripped"] == 20 - found["early"]
    assert found["median"] < 100
