"""How long each network takes for one picture: its exported graph on the engine that a Bundle runs on, batch of 1.

The networks take turns in short rounds, so that whatever else the machine does hits all of them alike; the medians of
the rounds are told with their spread. The time is that of the network alone: reading and resizing come on top, and are
the same for all of one picture size.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from assay.runtime.predictor import BundlePredictor
from assay.runtime.scene_predictor import BundleScenePredictor

Predictor = BundlePredictor | BundleScenePredictor

ROUNDS, ROUND_S, MOST_CALLS = 15, 0.03, 50
_WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one picture: median of the rounds, and the middle 80 % of them."""

    median_ms: float
    low_ms: float
    high_ms: float
    rounds: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def measure_latency(predictors: Mapping[str, Predictor], rounds: int = ROUNDS) -> dict[str, Latency]:
    """The latency of every network, measured in turns."""
    inputs = {name: _noise(predictor) for name, predictor in predictors.items()}
    calls = {name: _calls(predictor, inputs[name]) for name, predictor in predictors.items()}
    found: dict[str, list[float]] = {name: [] for name in predictors}
    for turn in range(rounds):
        names = list(predictors)
        for name in names if turn % 2 else reversed(names):  # nobody always follows the same neighbour
            found[name].append(_seconds(predictors[name], inputs[name], calls[name]))
    return {name: _summary(times) for name, times in found.items()}


def _noise(predictor: Predictor) -> Any:
    side, channels = predictor.card.preprocess.size, predictor.preprocess.channels
    return np.random.default_rng(0).standard_normal((1, channels, side, side), dtype=np.float32)


def _calls(predictor: Predictor, x: Any) -> int:
    """Calls that fill a round."""
    _seconds(predictor, x, _WARM_UP)
    return max(1, min(MOST_CALLS, round(ROUND_S / max(1e-6, _seconds(predictor, x, _WARM_UP)))))


def _seconds(predictor: Predictor, x: Any, calls: int) -> float:
    """Seconds a call."""
    call = predictor.engine.scene if isinstance(predictor, BundleScenePredictor) else predictor.engine
    begun = time.perf_counter()
    for _ in range(calls):
        call(x)
    return (time.perf_counter() - begun) / calls


def _summary(times: list[float]) -> Latency:
    low, middle, high = (round(1000 * float(t), 4) for t in np.quantile(times, [0.1, 0.5, 0.9]))
    return Latency(middle, low, high, len(times))
