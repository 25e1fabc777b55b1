"""The edits of the matching benchmark, and its tables."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.matching_edits import EDITS, save  # noqa: E402
from benchmarks.matching_summary import table  # noqa: E402


@pytest.mark.parametrize("name", EDITS)
def test_edits_give_pictures_and_the_same_numbers_the_same_ones(name):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    first, second = (save(EDITS[name](picture, np.random.default_rng(1))) for _ in range(2))
    assert first == second
    assert first != save(picture)
    assert first.startswith(b"\xff\xd8")


def test_there_are_thirty_edits_and_more():
    assert len(EDITS) >= 30


def test_tables_show_the_test_alone():
    told = {
        "kind": "recall",
        "edit": "grey",
        "n": 10,
        "found": 9,
        "recall": 0.9,
        "low": 0.6,
        "high": 0.98,
        "others": 0,
        "perhaps": 10,
    }
    false = {
        "kind": "false",
        "data": "rendered",
        "n": 1000,
        "enrolled": 7,
        "false": 0,
        "perhaps": 2,
        "high": 0.004,
    }
    lines = [
        {"job": "validation/rendered/grey", "part": "validation", "data": "rendered", "enrolled": 7, **told},
        {"job": "test/rendered/grey", "part": "test", "data": "rendered", "enrolled": 7, **told},
        {
            "job": "test/clothing/grey",
            "part": "test",
            "data": "clothing",
            "enrolled": 5,
            **told,
            "recall": 0.8,
        },
        {"job": "test/rendered/others", "part": "test", **false},
        {"job": "time/x", "part": "time", "kind": "time", "name": "prints", "value": 1.25, "unit": "ms"},
    ]
    text = "\n".join(table(lines))
    assert "| grey | **90.0** | [60.0, 98.0] | 100.0 | **80.0** | [60.0, 98.0] | 100.0 |" in text
    assert "| rendered | 1,000 | 7 | **0** | 0.400 % of photos | 2 |" in text
    assert (
        "rendered: 9 of 10 edited photos found (90.00 %; 100.00 % found or shown to a person) among 7 enrolled"
        in text
    )
    assert "| prints | 1.2 ms |" in text
    assert table([]) == []
