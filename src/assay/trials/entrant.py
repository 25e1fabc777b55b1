"""One network of a comparison, as its user names it: ``cnn`` or ``cnn:width=24:depth=3``.

Options after a colon are those of ``assay train``, for this network alone. What the networks must share, or they would
not be compared on one thing, cannot be set there: the data, the split, the budget and the seed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.config import Config
from assay.configs import Recipe, sections_of
from assay.errors import ConfigError
from assay.fields import field_type
from assay.models.scene_models import is_others
from assay.tables import MODELS, suggest

_SHARED = ("model", "heads", "seed", "epochs", "minutes", "workers", "cache_gb", "baselines", "checkpoint_s")
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}
_NEXT = re.compile(r",(?=\s*[A-Za-z])")  # a piece that begins with a digit goes on with the list before it


@dataclass(frozen=True)
class Entrant:
    """A network with its own options. ``name`` is as the user wrote it, and unique; ``slug`` names its folders."""

    name: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name with only letters, digits, dots and dashes."""
        return re.sub(r"[^\w.]+", "-", self.name).strip("-.")

    @property
    def family(self) -> str:
        """What kind of network it is, for charts: RNN, CNN, transformer or timm."""
        if self.model.startswith("rnn-"):
            return "RNN"
        if self.model in MODELS or is_others(self.model):
            return "CNN"
        return "transformer" if re.search(r"vit|deit|swin|beit|mixer|eva", self.model) else "timm"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"name": self.name, "model": self.model, "options": dict(self.options)}


def read_names(text: str) -> list[str]:
    """``cnn:crop_scale=0.2,1.0,rnn-bigru`` -> its networks; for the command line."""
    return [name.strip() for name in _NEXT.split(text) if name.strip()]


def read_entrants(names: Sequence[str]) -> list[Entrant]:
    """The networks of a comparison.

    Raises
    ------
    ConfigError : fewer than two, one twice, an unknown option, or one that all must share.
    """
    entrants = [read_entrant(name) for name in names]
    if len(entrants) < 2:
        got = f"only {entrants[0].name}" if entrants else "none"
        raise ConfigError("a comparison needs at least two networks", got=got, fix="e.g. cnn,rnn-bigru")
    for i, entrant in enumerate(entrants):
        twin = next((e for e in entrants[:i] if e.slug.lower() == entrant.slug.lower()), None)
        if twin is not None:
            got = entrant.name if entrant.name == twin.name else f"{twin.name} and {entrant.name}"
            raise ConfigError("a network is named twice", got=got, fix="name each once; seeds repeat it")
    return entrants


def read_entrant(text: str) -> Entrant:
    """One network from its text. Raises ConfigError as ``read_entrants`` does."""
    model, *pieces = (piece.strip() for piece in text.split(":"))
    if not model:
        raise ConfigError("a network has no name", got=repr(text), fix="write it as NAME:option=value")
    options: dict[str, Any] = {}
    for piece in pieces:
        key, equals, value = piece.partition("=")
        name = key.strip().replace("-", "_")
        if not equals:
            raise ConfigError(f"{piece!r} of {text!r} is no option", fix="write it as NAME:option=value")
        options[name] = _read_value(model, name, value.strip())
    Recipe.from_options({**options, "model": model})  # ranges are told at once
    return Entrant(":".join([model, *(p.replace(" ", "") for p in pieces)]), model, options)


def _read_value(model: str, name: str, text: str) -> Any:
    sections = sections_of(Recipe)
    homes = {
        f.name: (section, key)
        for key, section in sections.items()
        for f in dataclasses.fields(section)  # type: ignore[arg-type]
    }
    if name not in homes:
        raise ConfigError(f"{model}: unknown option {name!r}", fix=suggest(name, list(homes)))
    section, key = homes[name]
    if name in _SHARED or key in ("read", "split"):
        raise ConfigError(
            f"{model}: {name} is the same for all networks of a comparison",
            fix=f"give --{name.replace('_', '-')} for all of them" if name != "seed" else "give --seeds",
        )
    return _convert(section, model, name, text)


def _convert(section: type[Config], model: str, name: str, text: str) -> Any:
    base, optional, many = field_type(section, name)
    if optional and text.lower() in ("auto", "none"):
        return None
    pieces = text.split(",") if many else [text]
    try:
        values = [_truth(piece) if base is bool else base(piece.strip()) for piece in pieces]
    except ValueError:
        wanted = {bool: "yes or no", int: "a whole number", float: "a number"}[base]
        raise ConfigError(f"{model}: {name} needs {wanted}", got=repr(text)) from None
    return values if many else values[0]


def _truth(text: str) -> bool:
    if text.strip().lower() not in _YES | _NO:
        raise ValueError(text)
    return text.strip().lower() in _YES
