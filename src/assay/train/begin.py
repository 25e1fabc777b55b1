"""The beginning of a run: short measurements of a network that is built, and the plan."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from assay.configs import Recipe
from assay.errors import ModelError
from assay.models.classifier import Classifier
from assay.models.outputs import Ends
from assay.train.batch import Moment, Stream
from assay.train.ema import WeightAverage
from assay.train.folder import checkpoint_of, read_json
from assay.train.judge import Judging
from assay.train.loop import JUDGEMENTS, Fit, restore_place
from assay.train.narrow_maps import wrong_in_bf16
from assay.train.optim import build_optimiser, parameter_groups
from assay.train.plan import Plan, plan_seconds, plan_steps, stage_sizes
from assay.train.probe import choose_precision, find_lr, seconds_a_step
from assay.train.record import Recorder
from assay.train.step import Learn
from assay.train.watch import JUDGING_SHARE

RESERVE_SHARE, RESERVE_S = 0.02, 6.0
"""Time kept for the end of a time-boxed run beside the measured cost of its evaluations: report, bootstrap."""


@dataclass(frozen=True)
class Parts:
    """What a job brings to the loop.

    ``judge`` is None where there is no validation part. ``final`` are pictures that the final evaluation answers,
    ``compared`` gives further ones that are looked at before it, from the
    seconds that each takes. ``channels`` are those of the network's input.
    """

    batches: Stream
    learn: Learn
    judge: Judging | None
    channels: int
    final: int
    compared: Callable[[float], int] = lambda _: 0


def begin_fit(
    model: Any,
    recipe: Recipe,
    parts: Parts,
    recorder: Recorder,
    accelerator: Accelerator,
    folder: Path,
    *,
    elapsed: float,
) -> Fit:
    """Everything the loop needs; from the checkpoint where there is one."""
    begin = time.monotonic()
    config = recipe.train
    model.to(accelerator.device)
    batches = parts.batches
    _check_sides(model, recipe, parts.channels, batches.batch)
    resumed = checkpoint_of(folder).exists()
    recorder.stage("measure")
    measured = _Measured(str(config.precision), config.lr or 0.0)
    if resumed:
        measured.precision = str(read_json(folder / "run.json")["resolved"]["precision"])
    else:
        measured = _measure(model, parts, recipe, recorder)
    measured = broadcast_object_list([measured])[0]
    groups = parameter_groups(model.blocks(), config.weight_decay, config.layer_decay or 1.0)
    prepared, optimiser = accelerator.prepare(model, build_optimiser(groups, config, measured.lr))
    f = Fit(
        model=prepared,
        plain=model,
        batches=batches,
        learn=parts.learn,
        optimiser=optimiser,
        plan=Plan((), config.schedule, config.warmup),
        config=config,
        lr=measured.lr,
        accelerator=accelerator,
        recorder=recorder,
        folder=folder,
        average=WeightAverage(model) if config.ema else None,
        judge=parts.judge,
        frozen_trunk=config.transfer == "frozen",
        bf16=measured.precision == "bf16",
    )
    if resumed:
        restore_place(f)
    else:
        _make_plan(f, recipe, parts, elapsed + time.monotonic() - begin, measured.step_s)
        first = batches.make(0, Moment(f.plan.size_at(0)))
        recorder.pictures(first.images, 0)
        example = parts.learn.images(first)[:1]
        recorder.graph(model if isinstance(model, Classifier) else Ends(model, example), example)
    f.spent = elapsed + time.monotonic() - begin
    if config.minutes is not None:
        f.seconds_left = config.minutes * 60 - f.spent - _reserve(f, recipe, parts)
    return f


def stages_of(recipe: Recipe, model: nn.Module) -> list[tuple[int, float]]:
    """(side in px, share of the time); a network of a fixed input size has one stage."""
    fixed = getattr(model, "fixed_hw", None) is not None
    progressive = bool(recipe.train.progressive) and not fixed
    return stage_sizes(recipe.preprocess.size, progressive=progressive)


def _check_sides(model: nn.Module, recipe: Recipe, channels: int, batch: int) -> None:
    """Fail before any measuring where the network cannot take the planned pictures.

    Raises
    ------
    ModelError : naming the side, or a batch of one for a network with batch norms.
    """
    name = recipe.model.model
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if batch == 1 and norms and recipe.train.transfer != "frozen":
        few = recipe.train.batch > 1
        raise ModelError(
            f"{name} has batch norms, which need at least 2 pictures a step",
            got="fewer than two training pictures a process" if few else "--batch 1",
            fix="add pictures to the training part" if few else "use --batch 2 or more",
        )
    parameter = next(model.parameters())
    for side, _ in stages_of(recipe, model):
        try:
            with torch.inference_mode():
                model.eval()(torch.zeros(1, channels, side, side, device=parameter.device))
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError, ValueError) as error:
            raise ModelError(
                f"{name} cannot take pictures of {side} px",
                got=str(error).splitlines()[0] if str(error) else type(error).__name__,
                fix="use another --size, or --no-progressive",
            ) from error


@dataclass
class _Measured:
    """What short measurements decided; ``step_s`` is the time of a step at the final size, if it was taken."""

    precision: str
    lr: float
    step_s: float | None = None


def _measure(model: nn.Module, parts: Parts, recipe: Recipe, recorder: Recorder) -> _Measured:
    """Choose precision and, where it is asked for, the learning rate."""
    config, size = recipe.train, recipe.preprocess.size
    found = _Measured(str(config.precision), config.lr or 0.0)
    sides = [side for side, _ in stages_of(recipe, model)]
    narrow = wrong_in_bf16(model, recipe.model.model, config.precision, min(sides), parts.channels)
    if config.precision is None and hasattr(model, "losses"):
        found.precision = "fp32"  # losses of its own run in fp32 in any case
    elif config.precision is None and narrow:
        found.precision = "fp32"
        recorder.log("note", text="precision", chosen="fp32", wrong_in_bf16=narrow)
    elif config.precision is None:
        found.precision, timed = choose_precision(model, parts.batches, parts.learn, size=size)
        found.step_s = timed.get(found.precision)
        recorder.log("note", text="precision", chosen=found.precision, seconds_a_step=timed)
    if config.find_lr:
        bf16 = found.precision == "bf16"
        found.lr, curve = find_lr(model, parts.batches, parts.learn, config, size=size, bf16=bf16)
        recorder.log("lr-range", lr=found.lr, curve=curve)
    return found


def _make_plan(f: Fit, recipe: Recipe, parts: Parts, elapsed: float, measured: float | None) -> None:
    """Set plan, seconds a step at each size (``measured``: that of the final size, if known), cost of judging."""
    config = recipe.train
    sizes = stages_of(recipe, f.plain)
    if config.epochs is not None:
        total = max(1, config.epochs * f.batches.steps_per_epoch // config.accumulate)
        f.plan = plan_steps(total, sizes, config.schedule, config.warmup)
        return
    begin = time.monotonic()
    if f.judge is not None:
        f.judge_s = f.judge.seconds(f.plain)
    known = {} if measured is None else {recipe.preprocess.size: measured}
    f.step_s = {
        size: config.accumulate
        * (known.get(size) or seconds_a_step(f.plain, f.batches, f.learn, size=size, bf16=f.bf16))
        for size, _ in sizes
    }
    spent = elapsed + time.monotonic() - begin
    seconds = (config.minutes or 0.0) * 60 - spent - _reserve(f, recipe, parts)
    seconds -= min(JUDGEMENTS * f.judge_s, JUDGING_SHARE * seconds)
    f.plan = plan_seconds(max(seconds, 1.0), sizes, f.step_s, config.schedule, config.warmup)
    f.plan, f.step_s, f.judge_s = broadcast_object_list([f.plan, f.step_s, f.judge_s])
    f.recorder.log("note", text="plan", seconds=seconds, step_s={str(k): v for k, v in f.step_s.items()})


def _reserve(f: Fit, recipe: Recipe, parts: Parts) -> float:
    """Seconds to keep for choosing weights, calibration, thresholds, final evaluation and the report."""
    judged = len(f.judge) if f.judge is not None else 0
    a_picture = f.judge_s / judged if judged else 0.01
    minutes = recipe.train.minutes or 0.0
    share = min(RESERVE_S, 0.05 * minutes * 60) + RESERVE_SHARE * minutes * 60
    return (
        share
        + 3 * f.judge_s
        + 1.2 * (parts.final * (a_picture + 0.003) + parts.compared(a_picture) * a_picture)
    )
