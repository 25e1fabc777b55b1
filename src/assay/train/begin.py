"""The beginning of a run: the network with its first weights, short measurements, and the plan."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from assay.configs import Recipe
from assay.errors import ModelError
from assay.losses.classify import build_loss
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.models.norms import has_folded_norms, reopen_norms
from assay.models.weights import load_weights
from assay.preprocess import Preprocess, scaled
from assay.train.batch import Batches, Shard, sampling_weights
from assay.train.cache import PictureCache
from assay.train.ema import WeightAverage
from assay.train.folder import checkpoint_of, read_json
from assay.train.judge import Judge
from assay.train.loop import JUDGEMENTS, Fit, restore_place
from assay.train.material import Material, class_counts
from assay.train.narrow_maps import wrong_in_bf16
from assay.train.optim import build_optimiser, parameter_groups
from assay.train.plan import Plan, plan_seconds, plan_steps, stage_sizes
from assay.train.probe import choose_precision, find_lr, seconds_a_step
from assay.train.record import Recorder
from assay.train.reference import reference_count
from assay.train.step import Loss, ToTensors, channels_last
from assay.train.transfer import last_linear, probe_head
from assay.train.watch import JUDGING_SHARE

RESERVE_SHARE, RESERVE_S = 0.02, 6.0
"""Time kept for the end of a time-boxed run beside the measured cost of its evaluations: report, bootstrap."""


def build(
    recipe: Recipe, material: Material, recorder: Recorder, device: torch.device, *, fresh: bool
) -> tuple[Classifier, dict[str, Any]]:
    """(network, facts for the record): built, with its first weights where it starts from some."""
    recorder.stage("build")
    classes, channels = len(material.dataset.classes), material.preprocess.channels
    config = recipe.model if fresh else replace(recipe.model, weights=None, pretrained=False)
    model = build_model(config, classes, channels)
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    if config.weights is not None:
        path = Path(config.weights)
        report = load_weights(model, path, name=recipe.model.model)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        facts["weights"] = {"file": path.name, "sha256": digest, "summary": report.summary()}
        recorder.log("note", text=report.summary())
    if recipe.train.channels_last:
        channels_last(model)
    if not (config.weights or config.pretrained):
        return model, facts
    if config.pretrained:
        published = getattr(model, "published", {})
        facts["weights"] = {"summary": f"published by timm for {config.model}", "published": published}
    model.to(device)
    preprocess = Preprocess(scaled(recipe.preprocess, _first_side(recipe, model)))
    if has_folded_norms(model):
        recorder.stage("reopen norms")
        reopen_norms(model, _evaluation_batches(material.train_pixels, preprocess, 4, device))
        facts.setdefault("weights", {})["norms"] = (
            "were folded into the convolutions; reopened on training pictures"
        )
    if recipe.train.transfer in ("frozen", "probe-then-all"):
        recorder.stage("linear probe")
        held = None
        if material.validation is not None and material.validation_pixels is not None:
            held = (material.validation_pixels, material.validation.targets)
        train = (material.train_pixels, material.train.targets)
        facts["probe"] = probe_head(model, train, held, classes, preprocess, device)
        recorder.log("note", text=f"linear probe: {facts['probe']}")
    return model, facts


def _stages(recipe: Recipe, model: Classifier) -> list[tuple[int, float]]:
    """(side in px, share of the time); a network of a fixed input size has one stage."""
    fixed = getattr(model, "fixed_hw", None) is not None
    progressive = bool(recipe.train.progressive) and not fixed
    return stage_sizes(recipe.preprocess.size, progressive=progressive)


def _first_side(recipe: Recipe, model: Classifier) -> int:
    """The side to probe at: that of the first stage, which is cheaper and what the head meets first.

    A head that is all that learns is fitted at the final side.
    """
    frozen = recipe.train.transfer == "frozen"
    return recipe.preprocess.size if frozen else _stages(recipe, model)[0][0]


def _check_sides(model: Classifier, recipe: Recipe, channels: int, batch: int) -> None:
    """Fail before any measuring where the network cannot take the planned pictures.

    Raises
    ------
    ModelError : naming the side, or a batch of one for a network with batch norms.
    """
    name = recipe.model.model
    norms = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if batch == 1 and norms and recipe.train.transfer != "frozen":
        raise ModelError(
            f"{name} has batch norms, which need at least 2 pictures a step", fix="use --batch 2 or more"
        )
    parameter = next(model.parameters())
    for side, _ in _stages(recipe, model):
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


def _evaluation_batches(
    cache: PictureCache, preprocess: Preprocess, count: int, device: torch.device, batch: int = 32
) -> Iterator[torch.Tensor]:
    rows = np.random.default_rng(0).permutation(len(cache))[: count * batch]
    for start in range(0, len(rows), batch):
        chunk = rows[start : start + batch]
        pixels = np.stack([preprocess.pixels(cache[int(row)]) for row in chunk])
        yield torch.from_numpy(preprocess.normalise(pixels)).to(device)


def begin_fit(
    model: Classifier,
    recipe: Recipe,
    material: Material,
    recorder: Recorder,
    accelerator: Accelerator,
    folder: Path,
    *,
    elapsed: float,
) -> Fit:
    """Everything the loop needs; from the checkpoint where there is one."""
    begin = time.monotonic()
    config, device = recipe.train, accelerator.device
    model.to(device)
    batches = _batches(recipe, material, Shard(accelerator.process_index, accelerator.num_processes))
    to_tensors = ToTensors(recipe.preprocess, material.preprocess.channels, device)
    loss: Loss = build_loss(config, class_counts(material.train)).to(device)
    _check_sides(model, recipe, material.preprocess.channels, batches.batch)
    if config.transfer == "frozen":
        _freeze_trunk(model)
    resumed = checkpoint_of(folder).exists()
    recorder.stage("measure")
    measured = _Measured(str(config.precision), config.lr or 0.0)
    if resumed:
        measured.precision = str(read_json(folder / "run.json")["resolved"]["precision"])
    else:
        channels = material.preprocess.channels
        measured = _measure(model, batches, to_tensors, loss, recipe, recorder, channels=channels)
    measured = broadcast_object_list([measured])[0]
    groups = parameter_groups(model.blocks(), config.weight_decay, config.layer_decay or 1.0)
    prepared, optimiser = accelerator.prepare(model, build_optimiser(groups, config, measured.lr))
    f = Fit(
        model=prepared,
        plain=model,
        batches=batches,
        to_tensors=to_tensors,
        loss=loss,
        optimiser=optimiser,
        plan=Plan((), config.schedule, config.warmup),
        config=config,
        lr=measured.lr,
        accelerator=accelerator,
        recorder=recorder,
        folder=folder,
        average=WeightAverage(model) if config.ema else None,
        judge=_judge_of(material, device),
        frozen_trunk=config.transfer == "frozen",
        bf16=measured.precision == "bf16",
    )
    if resumed:
        restore_place(f)
    else:
        _make_plan(f, recipe, material, elapsed + time.monotonic() - begin, measured.step_s)
        first = batches.make(0, f.plan.size_at(0))
        recorder.pictures(first.images, 0)
        recorder.graph(model, to_tensors(first)[0][:1])
    f.spent = elapsed + time.monotonic() - begin
    if config.minutes is not None:
        f.seconds_left = config.minutes * 60 - f.spent - _reserve(f, recipe, material)
    return f


@dataclass
class _Measured:
    """What short measurements decided; ``step_s`` is the time of a step at the final size, if it was taken."""

    precision: str
    lr: float
    step_s: float | None = None


def _measure(
    model: Classifier,
    batches: Batches,
    to_tensors: ToTensors,
    loss: Loss,
    recipe: Recipe,
    recorder: Recorder,
    *,
    channels: int,
) -> _Measured:
    """Choose precision and, where it is asked for, the learning rate."""
    config, size = recipe.train, recipe.preprocess.size
    found = _Measured(str(config.precision), config.lr or 0.0)
    sides = [side for side, _ in _stages(recipe, model)]
    narrow = wrong_in_bf16(model, recipe.model.model, config.precision, min(sides), channels)
    if config.precision is None and narrow:
        found.precision = "fp32"
        recorder.log("note", text="precision", chosen="fp32", wrong_in_bf16=narrow)
    elif config.precision is None:
        found.precision, timed = choose_precision(model, batches, to_tensors, loss, size=size)
        found.step_s = timed.get(found.precision)
        recorder.log("note", text="precision", chosen=found.precision, seconds_a_step=timed)
    if config.find_lr:
        bf16 = found.precision == "bf16"
        found.lr, curve = find_lr(model, batches, to_tensors, loss, config, size=size, bf16=bf16)
        recorder.log("lr-range", lr=found.lr, curve=curve)
    return found


def _judge_of(material: Material, device: torch.device) -> Judge | None:
    if material.validation is None or material.validation_pixels is None:
        return None
    return Judge(material.validation_pixels, material.validation.targets, material.preprocess, device)


def _batches(recipe: Recipe, material: Material, shard: Shard) -> Batches:
    config, targets = recipe.train, material.train.targets
    classes = len(material.dataset.classes)
    return Batches(
        material.train_pixels,
        targets,
        classes,
        recipe.augment,
        batch=config.batch,
        seed=config.seed,
        channels=material.preprocess.channels,
        workers=config.workers or 2,
        weights=sampling_weights(targets, classes) if config.imbalance == "sampling" else None,
        shard=shard,
    )


def _freeze_trunk(model: Classifier) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in last_linear(model).parameters():
        parameter.requires_grad_(True)


def _make_plan(f: Fit, recipe: Recipe, material: Material, elapsed: float, measured: float | None) -> None:
    """Set plan, seconds a step at each size (``measured``: that of the final size, if known), cost of judging."""
    config = recipe.train
    sizes = _stages(recipe, f.plain)
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
        * (
            known.get(size)
            or seconds_a_step(f.plain, f.batches, f.to_tensors, f.loss, size=size, bf16=f.bf16)
        )
        for size, _ in sizes
    }
    spent = elapsed + time.monotonic() - begin
    seconds = (config.minutes or 0.0) * 60 - spent - _reserve(f, recipe, material)
    seconds -= min(JUDGEMENTS * f.judge_s, JUDGING_SHARE * seconds)
    f.plan = plan_seconds(max(seconds, 1.0), sizes, f.step_s, config.schedule, config.warmup)
    f.plan, f.step_s, f.judge_s = broadcast_object_list([f.plan, f.step_s, f.judge_s])
    f.recorder.log("note", text="plan", seconds=seconds, step_s={str(k): v for k, v in f.step_s.items()})


def _reserve(f: Fit, recipe: Recipe, material: Material) -> float:
    """Seconds to keep for choosing weights, calibration, thresholds, final evaluation and the report."""
    judged = len(f.judge) if f.judge is not None else 0
    a_picture = f.judge_s / judged if judged else 0.01
    final = judged + (len(material.test) if material.test is not None else 0)
    minutes = recipe.train.minutes or 0.0
    share = min(RESERVE_S, 0.05 * minutes * 60) + RESERVE_SHARE * minutes * 60
    compared = reference_count(len(material.train), recipe.train.minutes, a_picture) if judged else 0
    return share + 3 * f.judge_s + 1.2 * (final * (a_picture + 0.003) + compared * a_picture)
