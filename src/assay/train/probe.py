"""Short measurements before a run: seconds a step, the faster arithmetic, a learning rate that works."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from assay.configs import TrainConfig
from assay.train.batch import Moment, Stream
from assay.train.optim import build_optimiser, parameter_groups
from assay.train.step import Learn

WARM_UP, TIMED = 2, 3


def seconds_a_step(model: nn.Module, batches: Stream, learn: Learn, *, size: int, bf16: bool) -> float:
    """Median seconds of a training step at ``size`` px, loading included, on a copy of the network."""
    twin = copy.deepcopy(model).train()
    optimiser = torch.optim.SGD(twin.parameters(), lr=0.0)
    times = []
    learn.eval()  # what is only tried teaches the loss nothing
    stream = batches.stream(0, lambda _: Moment(size))
    for _ in range(WARM_UP + TIMED):
        begin = time.perf_counter()
        _update(twin, next(stream), learn, optimiser, bf16=bf16)
        times.append(time.perf_counter() - begin)
    stream.close()
    learn.train()
    return sorted(times[WARM_UP:])[TIMED // 2]


def choose_precision(
    model: nn.Module, batches: Stream, learn: Learn, *, size: int
) -> tuple[str, dict[str, float]]:
    """("bf16" | "fp32", seconds a step of each): bf16 only where it is at least 5 % faster.

    It doubles dense networks on CPUs with bf16 units, and slows depthwise ones down.
    """
    if torch.cuda.is_available():
        return ("bf16" if torch.cuda.is_bf16_supported() else "fp32"), {}
    seconds = {
        name: seconds_a_step(model, batches, learn, size=size, bf16=name == "bf16")
        for name in ("fp32", "bf16")
    }
    return ("bf16" if seconds["bf16"] < 0.95 * seconds["fp32"] else "fp32"), seconds


def find_lr(
    model: nn.Module,
    batches: Stream,
    learn: Learn,
    config: TrainConfig,
    *,
    size: int,
    bf16: bool,
    steps: int = 60,
) -> tuple[float, list[tuple[float, float]]]:
    """Learning-rate range test (Smith 2017): (suggestion, [(lr, smoothed loss)]).

    The rate grows tenfold every ``steps / 6`` steps from 1e-6. The suggestion is the rate of steepest descent of
    the smoothed loss, not more than a third of the rate at which the loss blew up.
    """
    twin = copy.deepcopy(model).train()
    optimiser = build_optimiser(parameter_groups([list(twin.parameters())], 0.0, 1.0), config, 1e-6)
    curve: list[tuple[float, float]] = []
    smooth, best = 0.0, math.inf
    learn.eval()
    stream = batches.stream(0, lambda _: Moment(size))
    for i in range(steps):
        lr = 1e-6 * 10 ** (6 * i / (steps - 1))
        for group in optimiser.param_groups:
            group["lr"] = lr
        value = _update(twin, next(stream), learn, optimiser, bf16=bf16)
        smooth = 0.9 * smooth + 0.1 * value
        fair = smooth / (1 - 0.9 ** (i + 1))
        if not math.isfinite(fair) or (i > 10 and fair > 3 * best):
            break
        best = min(best, fair)
        curve.append((lr, fair))
    stream.close()
    learn.train()
    return steepest(curve), curve


def steepest(curve: list[tuple[float, float]]) -> float:
    """The rate where the loss falls fastest against log(lr), at most a third of the last rate tried."""
    if len(curve) < 8:
        return 1e-3
    falls = [(curve[i + 3][1] - curve[i - 3][1], curve[i][0]) for i in range(3, len(curve) - 3)]
    return min(min(falls)[1], curve[-1][0] / 3)


def _update(
    model: nn.Module, batch: Any, learn: Learn, optimiser: torch.optim.Optimizer, *, bf16: bool
) -> float:
    value = learn(model, batch, bf16=bf16)
    optimiser.zero_grad()
    value.backward()
    optimiser.step()
    return float(value.detach())


def seconds_a_picture(model: nn.Module, examples: Iterable[torch.Tensor]) -> float:
    """Seconds of evaluating one picture, fp32, after one warm-up batch."""
    counted, spent = 0, 0.0
    model.eval()
    with torch.inference_mode():
        for i, x in enumerate(examples):
            begin = time.perf_counter()
            model(x)
            if i:
                counted, spent = counted + len(x), spent + time.perf_counter() - begin
    return spent / max(counted, 1)
