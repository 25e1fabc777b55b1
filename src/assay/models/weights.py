"""Somebody's weights file into our network, with an account of what fitted.

Files are read without running anything: safetensors, or a state dict through torch's ``weights_only`` reader.
Three ways are tried: by name; by name without the prefixes that wrappers leave ("module.", "backbone."); and, where
no names agree, by the order and shape of all tensors, which carries e.g. torchvision's MobileNetV2 into timm's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import ConfigError, ModelError
from assay.models.weights_file import read_weights_file

PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.", "net.", "trunk.", "encoder.")
LEAST_SHARE = 0.5
"""Share of the trunk's tensors that a file must fill: fewer are a coincidence of names, not a fit."""


@dataclass(frozen=True)
class WeightsReport:
    """Which tensors of a file went into a network. All names but ``unexpected`` are the network's own.

    ``mismatched`` holds lines "name: (shape in the file) for (shape here)"; those tensors stay as initialised, as
    do the ``missing`` ones. ``unexpected`` are the file's names without a place here.
    """

    model: str
    path: str
    how: str
    fitted: list[str]
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)
    head_fitted: bool = False
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def summary(self) -> str:
        """One paragraph for people."""
        count = len(self.fitted) + len(self.missing) + len(self.mismatched)
        parts = [
            f"{Path(self.path).name}: {len(self.fitted)} of {count} tensors of {self.model} fitted {self.how}."
        ]
        parts += [] if self.head_fitted else ["The head starts anew."]
        for told, names in (("Not in the file", self.missing), ("Of another shape", self.mismatched)):
            parts += [f"{told}: {_some(names)}."] if names else []
        parts += [f"Left over in the file: {_some(self.unexpected)}."] if self.unexpected else []
        return " ".join([*parts, *(f"{note}." for note in self.notes)])


@dataclass(frozen=True)
class _Match:
    """A file's tensors beside a network's, and which belong together: ``pairs`` is {network's name: file's name}."""

    found: Mapping[str, Tensor]
    target: Mapping[str, Tensor]
    head: set[str]
    pairs: Mapping[str, str] = field(default_factory=dict)
    how: str = "by name"

    @property
    def trunk(self) -> list[str]:
        """The network's own names outside its head, in order."""
        return [name for name in self.target if name not in self.head]

    @cached_property
    def fits(self) -> dict[str, Tensor]:
        """{network's name: tensor of the network's shape}."""
        made = {own: _fit(self.found[key], self.target[own].shape) for own, key in self.pairs.items()}
        return {own: value for own, value in made.items() if value is not None}

    @property
    def share(self) -> float:
        """How much of the trunk is filled, 0 to 1."""
        return len(self.fits.keys() - self.head) / max(len(self.trunk), 1)


def load_weights(model: nn.Module, path: str | Path, *, name: str = "the network") -> WeightsReport:
    """Copy the tensors of a file into ``model`` wherever name (or order) and shape agree.

    Floating tensors are cast to the network's type. A first convolution over three colours is summed for a network
    that sees gray. The head keeps its initial values when its shape differs.

    Raises
    ------
    ConfigError : there is no such file.
    ModelError : it is no weights file, it is damaged, it holds code, or it fits nowhere. The model is unchanged.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"there is no weights file {path}", fix="check the path given as weights")
    found, ordered = read_weights_file(path)
    # without the counters of batch norms, which older files do not have
    target = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    match = _by_name(_Match(found, target, _head_names(model)))
    if match.share < LEAST_SHARE and ordered:
        match = _by_order(match) or match
    if match.share < LEAST_SHARE or not match.fits:
        raise _fits_nowhere(path, name, match, ordered=ordered)
    _refuse_nan(path, match.fits)
    return _report(name, path, match, notes=_copy(match))


def _head_names(model: nn.Module) -> set[str]:
    head = getattr(model, "head", None)
    ids = {id(p) for p in head.parameters()} if isinstance(head, nn.Module) else set()
    return {name for name, p in model.named_parameters() if id(p) in ids}


def _by_name(match: _Match) -> _Match:
    """Under the way of naming in which most tensors fit."""
    best = match
    prefix = _common_prefix(match.target)
    aliases = {key.removeprefix(prefix): key for key in match.target} | {key: key for key in match.target}
    for how, naming in _namings(list(match.found)):
        pairs = {aliases[short]: key for short, key in naming.items() if short in aliases}
        tried = replace(match, pairs=pairs, how=how)
        if len(tried.fits) > len(best.fits):
            best = tried
    return best


def _namings(names: list[str], depth: int = 2) -> Iterator[tuple[str, dict[str, str]]]:
    """{shorter name: file's name}: as they are, then without each known prefix, or two of them."""
    waiting = [(0, {name: name for name in names})]
    while waiting:
        level, naming = waiting.pop(0)
        yield ("by name without prefix" if level else "by name"), naming
        for prefix in PREFIXES if level < depth else ():
            inside = {k.removeprefix(prefix): v for k, v in naming.items() if k.startswith(prefix)}
            if inside:  # what stands outside the prefix stays, so that a head beside "backbone." is seen
                waiting.append((level + 1, {**naming, **inside}))


def _common_prefix(names: Iterable[str]) -> str:
    """The first part ("net.") where all names begin with the same one."""
    first = {name.partition(".")[0] for name in names}
    return f"{first.pop()}." if len(first) == 1 else ""


def _by_order(match: _Match) -> _Match | None:
    """Where the trunk's tensors come in one order, of the same kinds and shapes, on both sides; else None."""
    keys, trunk = list(match.found), match.trunk
    if not 0 <= len(keys) - len(trunk) <= max(len(match.head), 2):
        return None
    for own, key in zip(trunk, keys, strict=False):
        same_kind = own.rpartition(".")[2] == key.rpartition(".")[2]
        if not same_kind or match.found[key].shape != match.target[own].shape:
            return None
    own_names = [*trunk, *(name for name in match.target if name in match.head)]
    return replace(match, pairs=dict(zip(own_names, keys, strict=False)), how="by order and shape")


def _fit(value: Tensor, shape: torch.Size) -> Tensor | None:
    """``value`` itself where it has the shape; summed over colours where that gives it; else None."""
    if value.shape == shape:
        return value
    if value.ndim == 4 and value.shape[1] == 3 and shape == (value.shape[0], 1, *value.shape[2:]):
        return value.float().sum(1, keepdim=True)
    return None


def _refuse_nan(path: Path, fits: Mapping[str, Tensor]) -> None:
    broken = [own for own, value in fits.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ModelError(f"{path} holds NaN or infinity", got=_some(broken), fix="take an earlier checkpoint")


def _copy(match: _Match) -> list[str]:
    """Copies into the network; returns notes on what was changed on the way."""
    notes, kinds = [], set()
    with torch.no_grad():
        for own, value in match.fits.items():
            given = match.found[match.pairs[own]]
            match.target[own].copy_(value)
            if given.shape != value.shape:
                notes.append(f"{own}: three colours summed to one gray")
            if given.dtype != match.target[own].dtype:
                kinds.add(str(given.dtype).removeprefix("torch."))
    return notes + [f"{kind} cast to the network's own type" for kind in sorted(kinds)]


def _report(name: str, path: Path, match: _Match, notes: list[str]) -> WeightsReport:
    pairs, fits, used = match.pairs, match.fits, set(match.pairs.values())
    unfit = [own for own in match.target if own in pairs and own not in fits]
    return WeightsReport(
        model=name,
        path=str(path),
        how=match.how,
        fitted=[own for own in match.target if own in fits],
        missing=[own for own in match.target if own not in pairs],
        unexpected=[key for key in match.found if key not in used],
        mismatched=[
            f"{own}: {_shape(match.found[pairs[own]])} for {_shape(match.target[own])}" for own in unfit
        ],
        head_fitted=bool(match.head) and match.head <= fits.keys(),
        notes=notes,
    )


def _fits_nowhere(path: Path, name: str, match: _Match, *, ordered: bool) -> ModelError:
    found, trunk = list(match.found), match.trunk
    order = "" if ordered else " (a safetensors file keeps no order, so names must agree)"
    return ModelError(
        f"the weights in {path} are not those of {name}: {len(match.fits)} of {len(match.target)} tensors fit",
        got=f"{len(found)} tensors, named {_some(found, 3)}; {name} has {_some(trunk, 3)}{order}",
        fix="name the network that they were trained for, with the same width, depth and model options",
    )


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _some(names: list[str], count: int = 4) -> str:
    shown = ", ".join(names[:count])
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
