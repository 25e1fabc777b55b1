"""The abstention benchmark's own arithmetic: tables, AUROC, drawings, and the summary of its lines."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.abstention import auroc  # noqa: E402
from benchmarks.abstention_promise import World, promises_kept  # noqa: E402
from benchmarks.abstention_summary import SCORES, tables, write_plot  # noqa: E402
from benchmarks.data.make_abstention import hold_out_senders, leave_out_classes  # noqa: E402


def rows(senders=40):
    return [
        {"path": f"{s}-{i}.jpg", "label": f"class {i % 9}", "group": str(s), "part": "train"}
        for s in range(senders)
        for i in range(1 + s % 5)
    ]


def test_senders_are_in_one_part_and_half_are_held_out():
    dealt = hold_out_senders(rows())
    parts = {}
    for row in dealt:
        assert parts.setdefault(row["group"], row["part"]) == row["part"]
    assert sorted(parts.values()).count("test") == 20
    assert sorted(parts.values()).count("validation") == 4
    assert dealt == hold_out_senders(rows())


def test_every_fourth_class_is_unseen():
    known, unseen = leave_out_classes(rows())
    assert {row["label"] for row in unseen} == {"class 0", "class 4"}
    assert not {row["label"] for row in known} & {row["label"] for row in unseen}
    assert len(known) + len(unseen) == len(rows())


def test_auroc_by_hand():
    assert auroc(np.array([1.0, 2, 3]), np.array([4.0])) == 1
    assert auroc(np.array([1.0, 2, 3]), np.array([2.0])) == 0.5
    assert auroc(np.array([1.0, 2, 3]), np.array([0.0])) == 0


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    n = 600
    sure = 1 / (1 + np.exp(-(3 + 2 * rng.standard_normal(n))))
    probs = np.stack([sure, 1 - sure], axis=1).astype(np.float32)
    targets = (rng.random(n) >= sure).astype(np.int64)
    right = probs.argmax(1) == targets
    return World(
        probs.max(1).astype(float), right, probs, targets, rng.random(n), np.arange(n) // 3, (1.0, 1.0)
    )


@pytest.mark.parametrize("how", ["redrawn", "halves"])
@pytest.mark.parametrize("unit", ["picture", "group", "naive"])
def test_drawings_keep_the_promise(world, how, unit):
    found = promises_kept(world, unit=unit, how=how, risk=0.1, splits=8, seed=0)
    assert found["promising"] > 0.5
    assert found["broken"] <= 0.4
    assert found["set_coverage"]["mean"] > 0.86
    assert found["false_alarm"]["mean"] < 0.08
    assert found["calibration_units"] == (300 if unit == "picture" else pytest.approx(100, abs=1))


def test_the_summary_is_made_of_lines_alone(world, tmp_path):
    lines = []
    for unit, risk in (("picture", 0.1), ("group", 0.1), ("group", 0.001)):
        found = promises_kept(world, unit=unit, how="redrawn", risk=risk, splits=5, seed=0)
        lines.append(
            {
                "job": f"promise/redrawn/{unit}/{risk}",
                "pictures": 600,
                "senders": 200,
                "accuracy": 0.9,
                **found,
            }
        )
    told = {"auroc": {"value": 0.9, "low": 0.8, "high": 0.95}, "through": 0.2}
    lines.append({"job": "unknown/clothing/bccd", "known": 10, "unknown": 5, **dict.fromkeys(SCORES, told)})
    part = {"accuracy": 0.8, "risk_from_0.8": 0.1, "risk_from_0.9": 0.05, "risk_from_0.95": 0.01}
    lines.append({"job": "optimism", "validation": part, "test": part})
    text = "\n".join(tables(lines))
    assert "| redrawn | picture | 10.0 %" in text
    assert "| clothing | bccd | 10 / 5 | 0.900 [0.800, 0.950] (20.0 %)" in text
    assert "| validation | 80.0 % | 10.0 %" in text
    write_plot(lines, tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text()
