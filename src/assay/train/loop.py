"""The training loop. It reads top to bottom: `fit` is one run, `_update` is one step.

accelerate carries it over processes, devices and precisions; everything else is in plain sight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.optim import Optimizer

from assay.configs import TrainConfig
from assay.errors import ModelError
from assay.train.batch import Moment, Stream
from assay.train.checkpoint import load_tensors, pack, save_tensors, unpack
from assay.train.ema import WeightAverage
from assay.train.folder import checkpoint_of, go_on
from assay.train.interrupt import Interrupt
from assay.train.judge import Judging
from assay.train.optim import set_lr
from assay.train.plan import Plan
from assay.train.record import Recorder
from assay.train.step import Learn, clip_scale, step_seed
from assay.train.watch import JUDGING_SHARE, Watch

JUDGEMENTS = 12
"""How often a time-boxed run looks at the validation part; an epoch run looks after every epoch."""


@dataclass
class Place:
    """Where a run stands: all that a checkpoint holds beside tensors and plan.

    ``seconds`` are those of all work so far, ``stale`` the looks at validation since the last better one.
    """

    step: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = -1
    stale: int = 0
    stopped: bool = False


@dataclass
class Fit:
    """Everything the loop works with. ``model`` is prepared by accelerate, ``plain`` is the network inside it."""

    model: nn.Module
    plain: Any
    batches: Stream
    learn: Learn
    optimiser: Optimizer
    plan: Plan
    config: TrainConfig
    lr: float
    accelerator: Accelerator
    recorder: Recorder
    folder: Path
    average: WeightAverage | None = None
    judge: Judging | None = None
    seconds_left: float | None = None
    step_s: dict[int, float] = field(default_factory=dict)
    judge_s: float = 0.0
    judged_at: float = field(default_factory=time.monotonic)
    frozen_trunk: bool = False
    bf16: bool = False
    spent: float = 0.0
    place: Place = field(default_factory=Place)

    @property
    def last(self) -> Path:
        """The checkpoint that --resume goes on from."""
        return checkpoint_of(self.folder)

    @property
    def best(self) -> Path:
        """The weights that did best on validation so far."""
        return self.folder / "checkpoints" / "best.safetensors"


def fit(f: Fit) -> None:
    """Train from ``f.place`` to the end of the plan.

    Raises
    ------
    ModelError : the loss is no longer a number, or a checkpoint cannot be written.
    KeyboardInterrupt : Ctrl-C; a checkpoint was written first.
    """
    place, begun = f.place, time.monotonic()
    saved_at = begun
    pictures = f.batches.batch * f.config.accumulate * f.accelerator.num_processes
    watch = Watch(f.recorder, pictures, f.seconds_left)
    stream = _stream(f)
    with Interrupt() as interrupt:
        while place.step < f.plan.total and not place.stopped:
            at = time.monotonic()
            value, norm = _update(f, stream)
            place.step += 1
            place.seconds = f.spent + time.monotonic() - begun
            watch.step(_facts(f, value, norm), time.monotonic() - at)
            if _should_judge(f):
                _judge(f)
            asked, broken, place.stopped = _agreed(f, interrupt.asked, value)
            if broken:
                raise ModelError(
                    f"the loss is no number at step {place.step}",
                    got=str(value),
                    fix=f"lower --lr (now {f.lr:g}), or keep --clip above 0",
                )
            factor = _drift(f, watch)
            if factor is not None:
                f.plan = f.plan.revised(place.step, factor)
                f.recorder.log("plan", step=place.step, factor=round(factor, 4), total=f.plan.total)
                stream.close()
                stream = _stream(f)
            if asked or time.monotonic() - saved_at >= f.config.checkpoint_s:
                save_place(f)
                saved_at = time.monotonic()
            if asked:
                stream.close()
                raise KeyboardInterrupt(go_on(f.folder))
    stream.close()
    if place.stopped:
        f.recorder.log("stop", step=place.step, why=f"no better for {place.stale} epochs")
    save_place(f)


def _stream(f: Fit) -> Generator[Any]:
    def moment(i: int) -> Moment:
        step = i // f.config.accumulate
        return Moment(f.plan.size_at(step), f.plan.progress(step))

    return f.batches.stream(_first_batch(f), moment)


def _agreed(f: Fit, asked: bool, loss: float) -> tuple[bool, bool, bool]:
    """(asked to stop, loss broken, out of patience), the same in every process, so that none waits for another."""
    tired = bool(f.config.patience) and f.place.stale >= (f.config.patience or 0)
    signs = [asked, not math.isfinite(loss), tired and f.accelerator.is_main_process]
    if f.accelerator.num_processes > 1:
        mine = torch.tensor(signs, dtype=torch.float32, device=f.accelerator.device)
        signs = [bool(value) for value in f.accelerator.reduce(mine, "sum").tolist()]
    return signs[0], signs[1], signs[2]


def _update(f: Fit, stream: Any) -> tuple[float, float]:
    """One update of the weights from ``accumulate`` batches; (mean loss, norm of the gradient)."""
    _train_mode(f)
    set_lr(f.optimiser, f.lr * f.plan.lr_factor(f.place.step))
    torch.manual_seed(step_seed(f.config.seed, f.place.step, f.accelerator.process_index))
    total, share = 0.0, 1.0 / f.config.accumulate
    for i in range(f.config.accumulate):
        last = i == f.config.accumulate - 1
        with nullcontext() if last else f.accelerator.no_sync(f.model):
            value = f.learn(f.model, next(stream), bf16=f.bf16)
            f.accelerator.backward(value * share)
        total += float(value.detach()) * share
    norm = clip_scale(list(f.model.parameters()), f.config.clip)
    f.optimiser.step()
    f.optimiser.zero_grad()
    if f.average is not None:
        f.average.update(f.plain, f.config.ema_half_life * f.plan.total)
    return total, 0.0 if norm is None else float(norm)


def _drift(f: Fit, watch: Watch) -> float | None:
    """What the clock wants of the plan; several processes follow the main one, so that none runs ahead."""
    judging = f.judge_s * JUDGEMENTS if f.judge else 0.0
    if f.accelerator.num_processes == 1:
        return watch.drift(f.plan, f.place.step, f.step_s, judging)
    if f.seconds_left is None or f.place.step % 25:
        return None
    mine = watch.drift(f.plan, f.place.step, f.step_s, judging)
    agreed: float | None = broadcast_object_list([mine])[0]
    return agreed


def _facts(f: Fit, loss: float, norm: float) -> dict[str, float]:
    """What is logged of the step just made."""
    step = f.place.step
    return {
        "step": step,
        "epoch": round(step * f.config.accumulate / f.batches.steps_per_epoch, 3),
        "loss": loss,
        **{name: round(float(part), 5) for name, part in f.learn.parts.items()},
        "lr": f.lr * f.plan.lr_factor(step - 1),
        "norm": round(norm, 4),
        "size": f.plan.size_at(step - 1),
        "progress": round(f.plan.progress(step), 6),
    }


def _train_mode(f: Fit) -> None:
    f.model.train()
    if f.frozen_trunk:  # its norms must keep the statistics that its features were learned with
        f.plain.eval()
        f.plain.head.train()


def _first_batch(f: Fit) -> int:
    return f.place.step * f.config.accumulate


def _should_judge(f: Fit) -> bool:
    if f.judge is None or f.place.step == f.plan.total:  # the end is judged by `choose`
        return False
    if f.config.minutes is None:
        return f.place.step * f.config.accumulate % f.batches.steps_per_epoch < f.config.accumulate
    if time.monotonic() - f.judged_at < f.judge_s / JUDGING_SHARE:
        return False
    before, now = f.plan.progress(f.place.step - 1), f.plan.progress(f.place.step)
    return int(before * JUDGEMENTS) < int(now * JUDGEMENTS)


def _judge(f: Fit) -> None:
    """Look at validation with the averaged weights (the raw ones where there is no average); keep the best."""
    assert f.judge is not None
    begin = time.monotonic()
    weights = f.average.values if f.average is not None else None
    score = f.judge.score(f.plain, weights)
    f.judged_at = time.monotonic()
    f.judge_s = min(f.judge_s or math.inf, f.judged_at - begin)
    best = f.place.best
    better = not best or f.judge.rank(score) > f.judge.rank(best)
    lower = not best or score["loss"] < best["lowest_loss"]
    f.place.stale = 0 if better or lower else f.place.stale + 1
    lowest = min(score["loss"], best.get("lowest_loss", math.inf))
    f.place.best = {**(score if better else best), "lowest_loss": lowest}
    if better:
        f.place.best_step = f.place.step
        if f.accelerator.is_main_process:
            save_tensors(f.best, weights or f.plain.state_dict(), {"step": f.place.step, **score})
    epoch = _first_batch(f) / f.batches.steps_per_epoch
    f.recorder.log(
        "epoch",
        step=f.place.step,
        epoch=round(epoch, 3),
        validation=score,
        ema=weights is not None,
        best=better,
    )


def choose(f: Fit) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights to keep: last raw, last averaged, or the best of the run, by what the judge ranks on validation.

    Without a validation part the averaged ones are kept. Returns (weights, {"kept", "candidates"}).
    """
    raw = {k: v.detach().clone() for k, v in f.plain.state_dict().items()}
    candidates: dict[str, dict[str, Tensor]] = {"last": raw}
    if f.average is not None:
        candidates = {"average": f.average.values, "last": raw}
    if f.judge is None:
        kept = next(iter(candidates))
        return candidates[kept], {"kept": kept, "candidates": {}}
    if f.best.exists() and f.place.best_step >= 0:
        best = load_tensors(f.best)[0]
        candidates["best"] = {name: value.to(f.accelerator.device) for name, value in best.items()}
    judge = f.judge
    scores = {name: judge.score(f.plain, weights) for name, weights in candidates.items()}
    kept = max(scores, key=lambda name: judge.rank(scores[name]))
    epoch = round(_first_batch(f) / f.batches.steps_per_epoch, 3)
    f.recorder.log("epoch", step=f.place.step, epoch=epoch, validation=scores[kept], ema=kept == "average")
    return candidates[kept], {"kept": kept, "candidates": scores}


def save_place(f: Fit) -> None:
    """Write the checkpoint that `restore_place` goes on from."""
    if f.accelerator.is_main_process:
        state = {
            "place": asdict(f.place),
            "plan": f.plan.to_dict(),
            "lr": f.lr,
            "updates": f.average.updates if f.average else 0,
            "step_s": {str(k): v for k, v in f.step_s.items()},
            "judge_s": f.judge_s,
        }
        save_tensors(f.last, pack(f.plain, f.average, f.optimiser), state)


def restore_place(f: Fit) -> None:
    """Take weights, average, optimiser, plan and place from the checkpoint."""
    tensors, state = load_tensors(f.last)
    unpack(tensors, f.plain, f.average, f.optimiser)
    f.plan, f.place, f.lr = Plan.from_dict(state["plan"]), Place(**state["place"]), state["lr"]
    f.step_s = {int(k): v for k, v in state["step_s"].items()}
    f.judge_s = state["judge_s"]
    if f.average is not None:
        f.average.updates = state["updates"]
