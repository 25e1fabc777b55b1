"""What tuning may turn: depth and size of a network, optimiser, learning rate and weight decay. What is given stays.

Every dial is told beside the recipe's own setting (a factor of 1, the network's own depth), so the recipe itself is a
point of the search, and the same search suits networks whose widths mean different things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from assay.configs import ModelConfig
from assay.errors import AssayError
from assay.train.settle import peak_lr
from assay.trials.lineup import UNITS, common_size, measure_of, recipe_of, resized
from assay.trials.request import Request
from assay.trials.scale import Ends, fit_width, parameters_of

if TYPE_CHECKING:
    import optuna

OPTIMISERS = ("adamw", "sgd", "nadam")
LR_FACTORS, DECAY_FACTORS, SIZE_FACTORS = (0.1, 5.0), (0.02, 4.0), (0.4, 2.5)
L2_DECAY = 5e-4
"""Weight decay that factor 1 stands for where it is L2 and not decoupled (all but adamw)."""
_DEPTHS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
_FACTORS = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Dials:
    """The search space of one network: its own options, and which of them may be turned.

    ``depths`` are those to choose from, the network's own among them (``depth``); empty where it has none. ``size``
    is the number of parameters that a size factor of 1 stands for; None where the size is fixed.
    """

    request: Request
    options: dict[str, Any]
    ends: Ends
    depths: tuple[float, ...] = ()
    depth: float | None = None
    size: int | None = None

    @property
    def own(self) -> dict[str, Any]:
        """The point of the search that is the recipe itself."""
        point: dict[str, Any] = {}
        if "optimiser" not in self.options:
            point["optimiser"] = "adamw"
        if "lr" not in self.options:
            point["lr_factor"] = 1.0
        if "weight_decay" not in self.options:
            point["decay_factor"] = 1.0
        if self.depths:
            point["depth"] = self.depth
        if self.size is not None:
            point["size_factor"] = 1.0
        return point

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """A point of the search: what Optuna suggests for every dial."""
        point: dict[str, Any] = {}
        for name in self.own:
            if name == "optimiser":
                point[name] = trial.suggest_categorical(name, OPTIMISERS)
            elif name == "depth":
                point[name] = trial.suggest_categorical(name, self.depths)
            else:
                bounds = {"lr_factor": LR_FACTORS, "decay_factor": DECAY_FACTORS, "size_factor": SIZE_FACTORS}
                point[name] = trial.suggest_float(name, *bounds[name], log=True)
        return point

    def options_at(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The options of ``train`` at a point; at the recipe's own point those that were given.

        Raises
        ------
        AssayError : no network can be built there.
        """
        if dict(point) == self.own:
            return self.options
        options, train = dict(self.options), recipe_of(self.options, self.ends).train
        optimiser = point.get("optimiser", train.optimiser)
        if "optimiser" in point:
            options["optimiser"] = optimiser
        if "lr_factor" in point:
            started = bool(options.get("weights") or options.get("pretrained"))
            peak = peak_lr(optimiser, train.batch * train.accumulate, started=started)
            options["lr"] = float(f"{peak * point['lr_factor']:.3g}")
        if "decay_factor" in point:
            decay = train.weight_decay if optimiser == "adamw" else L2_DECAY
            options["weight_decay"] = float(f"{decay * point['decay_factor']:.3g}")
        return self._shaped(options, point)

    def _shaped(self, options: dict[str, Any], point: Mapping[str, Any]) -> dict[str, Any]:
        """With depth, and the width that gives the wished size at that depth."""
        if "depth" in point and point["depth"] != self.depth:
            options["depth"] = point["depth"]
        if self.request.equal in UNITS:
            target = common_size(self.request, self.ends)
            options.pop("width", None)
            return resized(self.request, options, self.ends, target or 1)[0]
        if self.size is not None and (point["size_factor"] != 1.0 or "depth" in options):
            config, _ = measure_of(self.request, options, self.ends)
            wished = round(self.size * point["size_factor"])
            width = fit_width(config, wished, lambda c: parameters_of(c, self.ends, 3), "parameters").width
            return options if width is None else {**options, "width": width}
        return options


def read_dials(request: Request, options: dict[str, Any], ends: Ends) -> Dials:
    """Which dials a network has: found by building it."""
    config = recipe_of(options, ends).model
    dials = Dials(request, options, ends)
    if config.weights or config.pretrained:  # the weights fit one shape only
        return dials
    if "depth" not in options:
        depths, own = _depths(config, ends)
        dials = replace(dials, depths=depths, depth=own)
    if (
        request.equal not in UNITS
        and "width" not in options
        and _parameters(replace(config, width=1.0), ends)
    ):
        dials = replace(dials, size=_parameters(config, ends))
    return dials


def _depths(config: ModelConfig, ends: Ends) -> tuple[tuple[float, ...], float | None]:
    """(depths to choose from, the network's own); none where the network has none or only one."""
    own = _parameters(config, ends)
    whole = _parameters(replace(config, depth=1.5), ends) is None
    known = {d: _parameters(replace(config, depth=d), ends) for d in (_DEPTHS if whole else _FACTORS)}
    built = {depth: size for depth, size in known.items() if size is not None}
    mine = next((d for d in (built if whole else (1.0,)) if built.get(d) == own), None)
    if mine is None:
        return (), None
    near = [d for d in built if abs(d - mine) <= 1] if whole else list(built)
    different = [d for d in near if d == mine or built[d] != own]
    return (tuple(different), mine) if len(different) > 1 else ((), None)


def _parameters(config: ModelConfig, ends: Ends) -> int | None:
    try:
        return parameters_of(config, ends, 3)
    except AssayError:
        return None
