"""Networks brought to one size: the width at which each has so many parameters, or so many multiply-adds.

Networks are built on torch's meta device for this, which holds no numbers, so a width costs milliseconds. A width in
whole channels moves the size in steps; where the nearest step is more than 5 % off, that is told and the rest is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from assay.configs import ModelConfig
from assay.errors import AssayError, ConfigError, ModelError
from assay.models.build import build_model
from assay.models.classifier import Classifier
from assay.models.describe import describe
from assay.models.multitask import Heads
from assay.models.scene_models import SceneModel, build_scene_model

Ends = int | Heads
"""What networks end in: so many classes, or several heads."""

TOLERANCE = 0.05
LEAST_WIDTH, MOST_WIDTH = 0.1, 1024.0
_FINE = 1.001  # a real-valued width is searched to a tenth of a percent


@dataclass(frozen=True)
class Size:
    """How large a network is: parameters, and multiply-adds of one picture (None: not asked for)."""

    parameters: int
    macs: int | None = None


@dataclass(frozen=True)
class Fitted:
    """The width that was found (None: the network's own), what it gives, and why it is off, if it is."""

    width: float | None
    size: int
    note: str = ""


def parameters_of(config: ModelConfig, ends: Ends, channels: int) -> int:
    """Number of parameters of the network that ``config`` describes.

    Raises
    ------
    ConfigError, ModelError : as ``build_model`` and ``build_scene_model`` do.
    """
    model = _built(config, ends, channels)
    return sum(p.numel() for p in model.parameters())


def macs_of(config: ModelConfig, ends: Ends, channels: int, side: int) -> int:
    """Multiply-adds of one picture of ``side`` x ``side`` px.

    Raises
    ------
    ConfigError, ModelError : the network cannot be built, or takes no pictures of this size.
    """
    model = _built(config, ends, channels)
    try:
        return describe(model, side, channels).macs
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{config.model} cannot take pictures of {side} px", got=reason) from error


def _built(config: ModelConfig, ends: Ends, channels: int) -> Classifier | SceneModel:
    bare = replace(config, weights=None, pretrained=False)
    with torch.device("meta"):
        if isinstance(ends, Heads):
            return build_scene_model(bare, ends, channels)
        return build_model(bare, ends, channels)


def measure_by(equal: str, ends: Ends, channels: int, side: int) -> Callable[[ModelConfig], int]:
    """What ``equal`` (params or flops) makes equal, as a function of the network."""
    if equal == "params":
        return lambda config: parameters_of(config, ends, channels)
    return lambda config: macs_of(config, ends, channels, side)


def fit_width(config: ModelConfig, target: int, measure: Callable[[ModelConfig], int], unit: str) -> Fitted:
    """The width at which ``measure`` comes nearest to ``target``.

    ``unit`` is what is measured, for messages. A network without a width of its own keeps its size.

    Raises
    ------
    ConfigError, ModelError : the network cannot be built at all.
    """
    own = measure(config)
    seen: dict[float | None, int] = {None: own}
    whole = _counts_in_whole(config, measure)
    if whole is None:
        return _told(Fitted(None, own), target, unit, f"{config.model}: no width to change; it")
    _search(config, target, measure, seen, whole=whole)
    width = min(seen, key=lambda w: (abs(math.log(max(1, seen[w]) / target)), w or 0))
    sizes = sorted(seen.values())
    why = "the nearest width that it can have"
    if target < sizes[0] or target > sizes[-1]:
        why = f"its {'smallest' if target < sizes[0] else 'largest'}"
    return _told(
        Fitted(_short(config, width, seen, measure), seen[width]), target, unit, f"{config.model}: {why}"
    )


def _short(
    config: ModelConfig,
    width: float | None,
    seen: dict[float | None, int],
    measure: Callable[[ModelConfig], int],
) -> float | None:
    """The same network by a width that can be read aloud."""
    for digits in range(1, 5):
        rounded = None if width is None else round(width, digits)
        if rounded is not None and _size_at(config, rounded, measure) == seen[width]:
            return rounded
    return width


def _told(found: Fitted, target: int, unit: str, why: str) -> Fitted:
    off = found.size / target - 1
    if abs(off) <= TOLERANCE:
        return found
    beside = (
        f"{100 * abs(off):,.{0 if abs(off) > 0.2 else 1}f} % {'more' if off > 0 else 'fewer'} than {target:,}"
    )
    return replace(found, note=f"{why} has {found.size:,} {unit}, {beside}")


def _counts_in_whole(config: ModelConfig, measure: Callable[[ModelConfig], int]) -> bool | None:
    """Whether widths are whole numbers; None where the network has none."""
    if _size_at(config, 1.0, measure) is None:
        return None
    return _size_at(config, 1.5, measure) is None


def _size_at(config: ModelConfig, width: float, measure: Callable[[ModelConfig], int]) -> int | None:
    try:
        return measure(replace(config, width=width))
    except AssayError:
        return None


def _search(
    config: ModelConfig,
    target: int,
    measure: Callable[[ModelConfig], int],
    seen: dict[Any, int],
    *,
    whole: bool,
) -> None:
    """Bisection of the width, noting in ``seen`` what each gives; a width that is refused is too large."""

    def is_enough(width: float) -> bool:
        size = _size_at(config, width, measure)
        if size is not None:
            seen[width] = size
        return size is None or size >= target

    low = 1.0 if whole else LEAST_WIDTH
    if is_enough(low):
        return
    high = low
    while not is_enough(high := min(2 * high, MOST_WIDTH)):
        low = high
        if high == MOST_WIDTH:
            return
    while (high - low > 1) if whole else (high / low > _FINE):
        middle = float((low + high) // 2) if whole else math.sqrt(low * high)
        if is_enough(middle):
            high = middle
        else:
            low = middle


def own_size(config: ModelConfig, target: int | None, measure: Callable[[ModelConfig], int]) -> int:
    """The common size: ``target``, or that of the first network as it is.

    Raises
    ------
    ConfigError : the target is not above 0.
    """
    if target is None:
        return measure(config)
    if target < 1:
        raise ConfigError(f"a network of size {target} cannot be", fix="give a number above 0")
    return target
