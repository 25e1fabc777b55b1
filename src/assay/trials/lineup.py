"""The networks of a comparison as they will be trained: options put together, sizes measured and made equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.configs import ModelConfig, Recipe
from assay.errors import AssayError, ConfigError, ModelError
from assay.models.multitask import Heads
from assay.models.scene_models import is_others
from assay.preprocess import Preprocess
from assay.train.jobs import SCENE_DEFAULTS
from assay.trials.entrant import Entrant
from assay.trials.request import Request
from assay.trials.scale import Ends, fit_width, macs_of, measure_by, own_size, parameters_of

UNITS = {"params": "parameters", "flops": "multiply-adds"}


@dataclass(frozen=True)
class Contender:
    """A network with the options of ``train`` that it gets (all but the seed), its size, and what there is to say.

    ``note`` says where the wished size could not be had; ``failed`` why the network cannot be built at all.
    """

    entrant: Entrant
    options: dict[str, Any]
    parameters: int | None = None
    macs: int | None = None
    note: str = ""
    failed: str = ""

    @property
    def name(self) -> str:
        """The network's name in tables."""
        return self.entrant.name


def line_up(request: Request, ends: Ends) -> list[Contender]:
    """The networks with their sizes, all of which end in ``ends``.

    One that takes no such pictures is told in its place; the others go on.

    Raises
    ------
    ConfigError : a network is unknown or does not know one of its options, or the first one shall give the common size
        and cannot be built.
    """
    target = common_size(request, ends)
    return [_contend(request, entrant, ends, target) for entrant in request.entrants]


def recipe_of(options: Mapping[str, Any], ends: Ends) -> Recipe:
    """The recipe of these options, with what a network of several heads takes for granted."""
    return Recipe.from_options({**SCENE_DEFAULTS, **options} if isinstance(ends, Heads) else options)


def check_networks(request: Request, ends: Ends | None = None) -> None:
    """Raise ConfigError for an unknown network, or an option that it does not know, before the data is read.

    With ``ends``, which the data tells, also for a network that cannot end so.
    """
    for entrant in request.entrants:
        if ends is None and is_others(entrant.model):
            continue
        config = recipe_of(request.options_of(entrant), ends or 2).model
        try:
            parameters_of(config, ends or 2, 3)
        except ConfigError as error:
            raise ConfigError(f"{entrant.name}: {error.what}", got=error.got, fix=error.fix) from error


def common_size(request: Request, ends: Ends) -> int | None:
    """What all shall have; None where sizes are as they are. Raises as ``line_up``."""
    if request.equal not in UNITS:
        return None
    wished = request.params if request.equal == "params" else request.flops
    first = request.entrants[0]
    config, measure = measure_of(request, request.options_of(first), ends)
    try:
        return own_size(config, wished, measure)
    except AssayError as error:
        raise ConfigError(
            f"{first.name}, which gives all networks their size, cannot be built",
            got=error.what,
            fix=f"name another network first, or give --{request.equal} N",
        ) from error


def measure_of(
    request: Request, options: dict[str, Any], ends: Ends
) -> tuple[ModelConfig, Callable[[ModelConfig], int]]:
    """(the network of these options, what is made equal as a function of the network)."""
    recipe = recipe_of(options, ends)
    channels = Preprocess(recipe.preprocess).channels
    return recipe.model, measure_by(request.equal or "params", ends, channels, recipe.preprocess.size)


def _contend(request: Request, entrant: Entrant, ends: Ends, target: int | None) -> Contender:
    options = request.options_of(entrant)
    try:
        note = ""
        if target is not None:
            options, note = resized(request, options, ends, target)
        return sized(Contender(entrant, options, note=note), ends)
    except ModelError as error:
        return Contender(entrant, options, failed=str(error).replace("\n  ", "; "))


def resized(request: Request, options: dict[str, Any], ends: Ends, target: int) -> tuple[dict[str, Any], str]:
    """(options with the width that brings the network to ``target``, what there is to say about it)."""
    config, measure = measure_of(request, options, ends)
    found = fit_width(config, target, measure, UNITS[request.equal or "params"])
    return (options if found.width is None else {**options, "width": found.width}), found.note


def sized(contender: Contender, ends: Ends) -> Contender:
    """With parameters and, where the network takes such pictures, multiply-adds. Raises as ``build_model``."""
    recipe = recipe_of(contender.options, ends)
    channels, side = Preprocess(recipe.preprocess).channels, recipe.preprocess.size
    parameters = parameters_of(recipe.model, ends, channels)
    try:
        macs: int | None = macs_of(recipe.model, ends, channels, side)
    except AssayError:  # training will say why
        macs = None
    return Contender(contender.entrant, contender.options, parameters, macs, contender.note)
