"""What one network of several heads costs beside separate ones: parameters, multiply-adds and time of a picture.

Every run is exported, and its Bundle loaded without torch. Engines are called in turn, A B C D, A B C D, ..., on one
picture, so that whatever else the machine does meets all of them alike; told are medians. *network*: the graph alone.
*whole*: from the file to the Prediction, decoding and reading of the outputs included; three separate networks are
asked one after another and decode three times, as three programs would.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import assay
from assay.data.read import read_dataset
from benchmarks.machine import median

ROUNDS, WARM = 60, 5
MULTI = "multi"


def costs(folders: Mapping[str, Path], table: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """Arm -> cost, and the share of ``multi`` in the sum of the others.

    Raises
    ------
    subprocess.CalledProcessError : a run could not be exported.
    """
    bundles = {arm: exported(folder) for arm, folder in folders.items()}
    predictors = {arm: assay.load(path) for arm, path in bundles.items()}
    photos = [s.path for s in read_dataset(table).part("test")]
    size = {arm: one.card.preprocess.size for arm, one in predictors.items()}
    x = {arm: np.zeros((1, 3, side, side), np.float32) for arm, side in size.items()}
    calls: dict[str, Callable[[int], Any]] = {}
    for arm, one in predictors.items():
        calls[f"network {arm}"] = lambda _i, one=one, arm=arm: one.engine.scene(x[arm])
        calls[f"whole {arm}"] = lambda i, one=one: one(photos[i % len(photos)])
    times = interleaved(calls, rounds)
    told: dict[str, Any] = {
        arm: {
            "parameters": json.loads((folder / "run.json").read_text("utf-8"))["parameters"],
            "exported_parameters": graph_parameters(predictors[arm]),
            "bundle_bytes": bundles[arm].stat().st_size,
            "side": size[arm],
            **{f"{kind}_ms": round(1000 * times[f"{kind} {arm}"], 3) for kind in ("network", "whole")},
        }
        for arm, folder in folders.items()
    }
    names = ("parameters", "exported_parameters", "bundle_bytes", "network_ms", "whole_ms")
    sums = {name: sum(told[arm][name] for arm in told if arm != MULTI) for name in names}
    shares = {name: round(told[MULTI][name] / sums[name], 4) for name in names}
    return {"rounds": rounds, "arms": told, "share_of_sum": shares}


def exported(folder: Path) -> Path:
    """The Bundle of a run, written anew beside it."""
    bundle = folder.with_name(f"{folder.name}.bundle")
    bundle.unlink(missing_ok=True)
    program = str(Path(sys.executable).with_name("assay"))
    subprocess.run([program, "export", str(folder), "--out", str(bundle)], check=True, capture_output=True)
    return bundle


def graph_parameters(predictor: Any) -> int:
    """Numbers in the weights of the exported graph: what a user of the Bundle has in memory."""
    import onnx  # noqa: PLC0415 - only here

    from assay.bundle import GRAPH, load_bundle  # noqa: PLC0415

    graph = onnx.load_from_string(load_bundle(predictor.path).member(GRAPH)).graph
    return int(sum(np.prod(weights.dims) for weights in graph.initializer))


def interleaved(calls: Mapping[str, Callable[[int], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, which is told the number of its round."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(-WARM, rounds):
        for name, call in calls.items():
            begun = time.perf_counter()
            call(i % max(1, rounds))
            if i >= 0:
                seconds[name].append(time.perf_counter() - begun)
    return {name: median(values) for name, values in seconds.items()}
