"""What every config is: a frozen dataclass whose fields carry their range, unit and help.

Standard library only, so that ``assay train --help`` needs nothing heavy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Self

from assay.errors import ConfigError
from assay.fields import field_type, fits, is_number, plain, type_fault
from assay.tables import suggest


def option(
    default: Any,
    help: str,  # noqa: A002
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    unit: str | None = None,
    group: str = "",
) -> Any:
    """A config field. ``low`` and ``high`` are inclusive; ``None`` as a value always means "decide for me"."""
    meta = {"help": help, "low": low, "high": high, "choices": choices, "unit": unit, "group": group}
    return field(default=default, metadata=meta)


class Config:
    """Base of all configs: checks type and range of every field at once, and travels to and from plain mappings."""

    def __post_init__(self) -> None:
        faults = []
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            kind = field_type(type(self), f.name)
            value = plain(getattr(self, f.name), kind[0], kind[2])
            object.__setattr__(self, f.name, value)
            faults += _range_faults(f, value) if fits(value, *kind) else [type_fault(f.name, value, *kind)]
        if faults:
            raise ConfigError("; ".join(faults), fix="see types and ranges in the help of the command")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values; an unknown name is an error with a suggestion."""
        known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise ConfigError(f"unknown option {name!r}", fix=suggest(name, list(known)))
        return cls(**values)


def _range_faults(f: dataclasses.Field[Any], value: Any) -> list[str]:
    meta, faults = f.metadata, []
    if value is None or not meta:
        return []
    for item in value if isinstance(value, tuple) else (value,):
        if meta["choices"] and item not in meta["choices"]:
            faults.append(f"{f.name} is {item!r}; {suggest(str(item), list(meta['choices']))}")
        if is_number(item):
            if meta["low"] is not None and not item >= meta["low"]:
                faults.append(f"{f.name} is {item}; the least is {meta['low']}")
            if meta["high"] is not None and not item <= meta["high"]:
                faults.append(f"{f.name} is {item}; the most is {meta['high']}")
    return faults
