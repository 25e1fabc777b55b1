"""Networks of several heads are trained beside each other, and two of the runs are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.drawn_scenes import write_scenes

SMALL: dict[str, Any] = {
    "epochs": 1,
    "size": 32,
    "batch": 4,
    "precision": "fp32",
    "seeds": 1,
    "latency": False,
}
NETWORKS = ["csp-nano:width=0.25", "csp-nano:width=0.4"]


@pytest.mark.slow
def test_networks_of_several_heads_are_compared(tmp_path: Path) -> None:
    from assay.report.trials_page import write_trials
    from assay.trials.compare import compare_models
    from assay.trials.pair import read_pair
    from assay.trials.scene_pair import SceneComparison

    scenes = write_scenes(tmp_path / "scenes")
    trials = compare_models(scenes, NETWORKS, tmp_path / "out", heads=("boxes", "pixels"), **SMALL)
    assert [row.status for row in trials.rows] == ["finished", "finished"], trials.rows
    assert trials.heads == ("boxes", "pixels")
    assert trials.best in NETWORKS
    assert (
        trials.rows[0].parameters == trials.networks[0].parameters
    )  # counted with the heads that are trained
    assert trials.rows[0].curve
    assert {"score", "boxes.ap50_95", "pixels.miou"} <= set(trials.rows[0].scores["test"])
    again = compare_models(scenes, NETWORKS, tmp_path / "out", heads=("boxes", "pixels"), **SMALL)
    assert [row.minutes for row in again.rows] == [row.minutes for row in trials.rows]
    assert "Scores by head" in write_trials(again).read_text()
    pair = read_pair(*(tmp_path / "out" / row.run for row in trials.rows), draws=50)
    assert isinstance(pair.comparison, SceneComparison)
    assert list(pair.comparison.heads) == ["boxes", "pixels"]
    assert "width" in [name for name, *_ in pair.settings]
    json.dumps(pair.comparison.to_dict(), allow_nan=False)
