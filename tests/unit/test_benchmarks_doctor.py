"""The doctor's benchmark: what is planted is what the truth says, and scores are counted rightly."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import doctor  # noqa: E402
from benchmarks.data import plant_faults  # noqa: E402

from assay.data.read import read_dataset  # noqa: E402
from assay.errors import ImageError  # noqa: E402
from assay.image import read_image, read_size  # noqa: E402


def told(*findings):
    return {
        "findings": [
            {
                "code": code,
                "level": level,
                "items": [{"paths": paths, "figures": {}} for paths in places],
                "figures": {},
            }
            for code, level, *places in findings
        ]
    }


def test_recall_and_false_alarms():
    found = told(
        ("truncated", "error", ["a.jpg"], ["z.jpg"]),
        ("exact-duplicates", "warning", ["c.jpg", "b.jpg"], ["y.jpg", "x.jpg"]),
        ("turned", "note", ["q.jpg"]),
    )
    truth = {"truncated": [["a.jpg"], ["d.jpg"]], "exact copy": [["b.jpg", "c.jpg"]], "turned": [["q.jpg"]]}
    score = doctor.score_planted(found, truth)
    assert score["recall"] == {
        "truncated": {"found": 1, "of": 2},
        "exact copy": {"found": 1, "of": 1},
        "turned": {"found": 1, "of": 1},
    }
    assert score["false_alarms"] == {"truncated": 1, "exact-duplicates": 1}


def test_every_kind_that_is_planted_has_a_code():
    assert set(plant_faults.NEAR) <= set(doctor.CODES)


def test_memory_counts_this_process():
    assert doctor.memory_mib(os.getpid()) > 10
    assert doctor.memory_mib(2**22 + 1) == 0


@pytest.mark.slow
def test_what_is_planted_is_there(tmp_path):
    table = plant_faults.plant(tmp_path, n=300, seed=3, k=1, size=96, workers=1)
    folder = table.parent
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert set(truth) == set(doctor.CODES)
    rows = {row["path"]: row for row in read_dataset(table).table.to_pylist()}
    for kind in ("truncated", "empty", "not a picture", "missing"):
        with pytest.raises(ImageError):
            read_image(folder / truth[kind][0][0])
    one, other = (rows[path] for path in truth["leak, exact"][0])
    assert (one["part"], other["part"]) == ("train", "test")
    assert (folder / one["path"]).read_bytes() == (folder / other["path"]).read_bytes()
    one, other = (rows[path] for path in truth["copy with another label"][0])
    assert one["label"] != other["label"]
    assert min(read_size(folder / truth["tiny"][0][0])) < 32
    assert not [r for r in rows.values() if r["label"] == plant_faults.UNTESTED and r["part"] == "test"]
    clean = read_dataset(tmp_path / "clean" / "labels.csv")
    assert all(sample.path.is_file() for sample in clean)
