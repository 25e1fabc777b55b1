"""Command-line flags from config dataclasses: one for each field, with default, range, unit and choices.

A flag that is not given leaves no trace in the namespace, so a run can tell what was asked for from what was
decided by itself. Values are checked here for their type and in the config for their range.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from assay.config import Config
from assay.configs import Recipe, sections_of
from assay.errors import ConfigError
from assay.fields import field_type

C = TypeVar("C", bound=Config)
_DECIDE = {"auto", "automatic", "none"}
_WANTED = {int: ("a whole number", "3"), float: ("a number", "0.5"), str: ("text", "abc")}
_METAVAR = {int: "N", float: "X", str: "TEXT"}


@dataclass(frozen=True)
class Option:
    """One field of a config as users see it, for ``--help`` and for the reference page alike."""

    name: str
    kind: str
    default: str
    bounds: str
    help: str
    group: str

    @property
    def flag(self) -> str:
        """``--some-name``."""
        return "--" + self.name.replace("_", "-")

    @property
    def text(self) -> str:
        """Help, default and range in one line."""
        told = self.default in ("automatic", "none") and ("default:" in self.help or "not given" in self.help)
        notes = [note for note in ("" if told else f"default: {self.default}", self.bounds) if note]
        return f"{self.help} ({'; '.join(notes)})" if notes else self.help


def options_of(config: type[Config]) -> Iterator[Option]:
    """The options of a config; for a Recipe those of all its sections, in order."""
    for section in _flat(config):
        for f in _fields(section):
            yield _describe(section, f)


def add_config_flags(
    parser: argparse.ArgumentParser, config: type[Config], only: Collection[str] | None = None
) -> None:
    """Add a flag for every field of ``config`` (a Recipe: of all its sections, one help group each).

    ``only`` names the fields wanted; all when not given.
    """
    for section in _flat(config):
        wanted = [f for f in _fields(section) if only is None or f.name in only]
        if not wanted:
            continue
        title = _describe(section, wanted[0]).group or "options"
        group = parser.add_argument_group(title, (section.__doc__ or "").strip().partition("\n")[0])
        for f in wanted:
            _add_flag(group, section, f)


def given_options(args: argparse.Namespace, config: type[Config]) -> dict[str, Any]:
    """Only what the user gave: field name -> value. Ready for ``Recipe.from_options``."""
    names = [f.name for section in _flat(config) for f in _fields(section)]
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def read_config(args: argparse.Namespace, config: type[C]) -> C:
    """The config with what the user gave and defaults for the rest.

    Raises
    ------
    ConfigError : a value is out of range.
    """
    given = given_options(args, config)
    if issubclass(config, Recipe):
        return config.from_options(given)  # type: ignore[return-value]
    return config.from_dict(given)


def _flat(config: type[Config]) -> list[type[Config]]:
    return list(sections_of(config).values()) if issubclass(config, Recipe) else [config]


def _fields(section: type[Config]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(section)  # type: ignore[arg-type]


def _describe(config: type[Config], f: dataclasses.Field[Any]) -> Option:
    base, _, many = field_type(config, f.name)
    meta = f.metadata
    kind = {bool: "yes / no", int: "whole number", float: "number", str: "text"}[base]
    kind = "name" if meta["choices"] else f"{kind}, {meta['unit']}" if meta["unit"] else kind
    return Option(
        name=f.name,
        kind=f"list: {kind}" if many else kind,
        default=_default_text(f.default, meta["unit"]),
        bounds=_bounds_text(meta),
        help=meta["help"],
        group=meta["group"],
    )


def _default_text(value: Any, unit: str | None) -> str:
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(str(v) for v in value) or "none"
    return f"{value} {unit}" if unit else str(value)


def _bounds_text(meta: Any) -> str:
    if meta["choices"]:
        return " | ".join(meta["choices"])
    low, high = meta["low"], meta["high"]
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"at least {low}"
    return f"at most {high}" if high is not None else ""


def _add_flag(group: argparse._ArgumentGroup, config: type[Config], f: dataclasses.Field[Any]) -> None:
    option = _describe(config, f)
    base, optional, many = field_type(config, f.name)
    text = option.text.replace("%", "%%")
    if base is bool:
        action = argparse.BooleanOptionalAction
        group.add_argument(option.flag, action=action, default=argparse.SUPPRESS, help=text)
        return
    group.add_argument(
        option.flag,
        type=_reader(option.flag, base, optional=optional, many=many),
        default=argparse.SUPPRESS,
        metavar=_metavar(f.metadata, base) + (",..." if many else ""),
        help=text,
    )


def _metavar(meta: Any, base: type) -> str:
    return "NAME" if meta["choices"] else str(meta["unit"] or _METAVAR[base]).upper()


def _reader(flag: str, base: type, *, optional: bool, many: bool) -> Callable[[str], Any]:
    """A function from the user's text to the field's value."""

    def read(text: str) -> Any:
        if optional and text.lower() in _DECIDE:
            return None
        if many:
            return tuple(_read_one(flag, base, part.strip()) for part in text.split(",") if part.strip())
        return _read_one(flag, base, text)

    return read


def _read_one(flag: str, base: type, text: str) -> Any:
    wanted, example = _WANTED[base]
    try:
        value = base(text)
    except ValueError:
        raise ConfigError(f"{flag} needs {wanted}", got=repr(text), fix=f"e.g. {flag} {example}") from None
    if base is float and not math.isfinite(value):
        raise ConfigError(f"{flag} needs a finite number", got=repr(text), fix=f"e.g. {flag} {example}")
    return value
