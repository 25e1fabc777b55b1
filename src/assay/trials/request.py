"""What a comparison was asked for: checked before anything is read, written down, and held to when it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.configs import Recipe
from assay.errors import ConfigError
from assay.tables import suggest
from assay.trials.entrant import Entrant, read_entrants
from assay.types import Dataset

EQUAL = ("params", "flops", "minutes")
MOST_SEEDS = 100


@dataclass(frozen=True)
class Request:
    """A comparison as asked for. ``options`` are those of ``assay train`` that all networks share."""

    data: str
    entrants: tuple[Entrant, ...]
    equal: str | None = None
    seeds: int = 3
    params: int | None = None
    flops: int | None = None
    tune: bool = False
    tune_minutes: float = 5.0
    reference: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in self.options.items()}
        return {**plain, "entrants": [e.to_dict() for e in self.entrants], "options": options}

    def options_of(self, entrant: Entrant) -> dict[str, Any]:
        """Options of ``train`` for one network, without its seed."""
        return {**self.options, **entrant.options, "model": entrant.model}

    def differences(self, earlier: Mapping[str, Any]) -> list[str]:
        """In what it differs from an earlier request. More seeds or more networks go on with it, so they do not count.

        ``reference`` does not change any run, so it does not count either.
        """
        mine, found = self.to_dict(), []
        for name in ("data", "equal", "params", "flops", "tune", "tune_minutes"):
            if mine[name] != earlier[name]:
                found.append(f"{name} is {_said(mine[name])}, was {_said(earlier[name])}")
        for name in sorted({*mine["options"], *earlier["options"]}):
            now, then = mine["options"].get(name), earlier["options"].get(name)
            if now != then:
                found.append(f"{name} is {_said(now)}, was {_said(then)}")
        names = [e["name"] for e in mine["entrants"]]
        gone = [e["name"] for e in earlier["entrants"] if e["name"] not in names]
        found += [f"{name} is not among the networks any more" for name in gone]
        if not gone and self.equal in ("params", "flops") and names[0] != earlier["entrants"][0]["name"]:
            found.append(
                f"the first network, which gives the size, is {names[0]}, was {earlier['entrants'][0]['name']}"
            )
        if self.seeds < earlier["seeds"]:
            found.append(f"seeds is {self.seeds}, was {earlier['seeds']}")
        return found


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)


def ask_for(
    data: str | Path | Dataset,
    models: Sequence[str],
    *,
    equal: str | None = None,
    seeds: int = 3,
    params: int | None = None,
    flops: int | None = None,
    tune: bool = False,
    tune_minutes: float = 5.0,
    reference: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Request:
    """A request that makes sense.

    Raises
    ------
    ConfigError : an unknown name, a value out of range, or options that contradict each other.
    """
    if isinstance(models, str):
        raise ConfigError("models is a list of names", got=repr(models), fix='e.g. ["cnn", "rnn-bigru"]')
    entrants, options = tuple(read_entrants(models)), dict(options or {})
    if equal is not None and equal not in EQUAL:
        raise ConfigError(f"equal is {equal!r}", fix=suggest(equal, list(EQUAL)))
    if not 1 <= seeds <= MOST_SEEDS:
        raise ConfigError(
            f"seeds is {seeds}", fix=f"give 1 to {MOST_SEEDS}; 3 or more show the spread of chance"
        )
    if not tune_minutes > 0:
        raise ConfigError(f"tune_minutes is {tune_minutes:g}", fix="give a time above 0")
    names = [entrant.name for entrant in entrants]
    if reference is not None and reference not in names:
        raise ConfigError(
            f"the reference {reference!r} is not among the networks", fix=suggest(reference, names)
        )
    _check_sizes(equal, params, flops, entrants, options)
    _check_options(equal, options)
    where = str((data.root if isinstance(data, Dataset) else Path(data).expanduser()).resolve())
    return Request(where, entrants, equal, seeds, params, flops, tune, tune_minutes, reference, options)


def _check_sizes(
    equal: str | None,
    params: int | None,
    flops: int | None,
    entrants: tuple[Entrant, ...],
    options: Mapping[str, Any],
) -> None:
    for name, value in (("params", params), ("flops", flops)):
        if value is not None and equal != name:
            raise ConfigError(
                f"{name} is the common size of equal={name}", fix=f"give --equal {name}, or leave it out"
            )
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}", fix="give a number above 0")
    if equal in ("params", "flops"):
        given = [e.name for e in entrants if "width" in e.options] + (
            ["all networks"] if "width" in options else []
        )
        if given:
            raise ConfigError(
                f"equal={equal} searches the widths, so none can be given",
                got=f"width of {given[0]}",
                fix="leave it out",
            )


def _check_options(equal: str | None, options: Mapping[str, Any]) -> None:
    for name, instead in (("model", "models"), ("seed", "seeds")):
        if name in options:
            raise ConfigError(f"{name} is for one run", fix=f"a comparison takes {instead}")
    Recipe.from_options(options)
    if options.get("epochs") is not None and options.get("minutes") is not None:
        raise ConfigError(
            "both epochs and minutes are given",
            got=f"{options['epochs']} and {options['minutes']:g}",
            fix="give one of them",
        )
    if equal == "minutes" and options.get("epochs") is not None:
        raise ConfigError("equal minutes are not had by epochs", fix="give --minutes, or another --equal")
