"""What a recipe leaves open is decided here, from whether there are weights to start from; the answer is recorded."""

from __future__ import annotations

import math
from dataclasses import replace

from assay.configs import Recipe
from assay.cores import usable_cores
from assay.errors import ConfigError

DEFAULT_MINUTES = 10.0

# Peak learning rates at 64 pictures an update: (from scratch, from weights). The adaptive ones scale with the
# square root of the batch (Malladi et al. 2022), the others linearly (Goyal et al. 2017).
PEAK_LR = {
    "adamw": (2e-3, 1.4e-3),
    "adam": (2e-3, 1.4e-3),
    "nadam": (2e-3, 1.4e-3),
    "radam": (2e-3, 1.4e-3),
    "sgd": (0.1, 0.01),
    "rmsprop": (2e-3, 2e-4),
}

SCENE_FACTOR = {True: 2.0, False: 4.0}
"""On top of these for networks that find things or tell pixels, with weights to start from and without. Each picture
teaches them at hundreds of points, so a batch of pictures is a far larger batch of examples (docs/architecture.md has
the figures)."""


def settle(recipe: Recipe, processes: int = 1) -> Recipe:
    """The recipe with every None of its training section decided, but precision (which is measured).

    ``processes`` train together: an update sees that many batches.

    Raises
    ------
    ConfigError : options that contradict each other.
    """
    train, started = recipe.train, bool(recipe.model.weights or recipe.model.pretrained)
    if train.epochs is not None and train.minutes is not None:
        raise ConfigError(
            "both epochs and minutes are given",
            got=f"{train.epochs} and {train.minutes:g}",
            fix="give one of them",
        )
    if train.transfer in ("frozen", "probe-then-all") and not started:
        raise ConfigError(
            f"transfer={train.transfer} needs weights to start from",
            fix="give --weights FILE or --pretrained",
        )
    scene = recipe.model.heads not in (None, ("class",))
    if scene and train.transfer in ("frozen", "probe-then-all"):
        raise ConfigError(
            f"transfer={train.transfer} is for a classifier alone",
            got=f"heads {', '.join(recipe.model.heads or ())}",
            fix="leave it out: all of the network learns",
        )
    if train.patience and train.epochs is None:
        raise ConfigError(
            "patience is for runs with --epochs; a time-boxed schedule always completes", fix="give --epochs"
        )
    minutes = DEFAULT_MINUTES if train.epochs is None and train.minutes is None else train.minutes
    settled = replace(
        train,
        minutes=minutes,
        lr=_peak(recipe, train.batch * train.accumulate * processes, started=started),
        transfer=train.transfer or ("probe-then-all" if started and not scene else "all"),
        layer_decay=train.layer_decay or (0.85 if started else 1.0),
        progressive=minutes is not None if train.progressive is None else train.progressive,
        workers=train.workers or usable_cores(),
    )
    return replace(recipe, train=settled)


def _peak(recipe: Recipe, pictures: int, *, started: bool) -> float:
    """The learning rate that was asked for, or that of the recipe."""
    if recipe.train.lr is not None:
        return recipe.train.lr
    peak = peak_lr(recipe.train.optimiser, pictures, started=started)
    return peak * SCENE_FACTOR[started] if is_dense(recipe.model.heads) else peak


def is_dense(heads: tuple[str, ...] | None) -> bool:
    """Whether some head learns at many points of a picture."""
    return bool({"boxes", "pixels"} & set(heads or ()))


def peak_lr(optimiser: str, pictures: int, *, started: bool) -> float:
    """Peak learning rate for so many pictures an update."""
    base = PEAK_LR[optimiser][int(started)]
    scale = pictures / 64 if optimiser == "sgd" else math.sqrt(pictures / 64)
    return base * scale
