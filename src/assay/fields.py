"""The types of config fields: which one a field has, whether a value fits it, and what to say when it does not.

The card is read with these checks, and every config is made with them. Standard library only, as ``configs``.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import types
import typing
from functools import cache
from typing import Any

_KINDS = {
    bool: ("True or False", "True or False"),
    int: ("a whole number", "whole numbers"),
    float: ("a finite number", "finite numbers"),
    str: ("text", "texts"),
}


def field_type(config: type[Any], name: str) -> tuple[type, bool, bool]:
    """(base type, may be None, is a tuple of that type) of a field, for flags and docs."""
    return _field_types(config)[name]  # type: ignore[arg-type]  # a class can be hashed


@cache
def _field_types(config: type[Any]) -> dict[str, tuple[type, bool, bool]]:
    """Those of all fields: reading the annotations costs more than all checks."""
    hints = typing.get_type_hints(config)
    return {f.name: _taken_apart(hints[f.name]) for f in dataclasses.fields(config)}


def _taken_apart(hint: Any) -> tuple[type, bool, bool]:
    optional = False
    if isinstance(hint, types.UnionType):
        rest = [a for a in typing.get_args(hint) if a is not type(None)]
        optional, hint = True, rest[0]
    if typing.get_origin(hint) is tuple:
        return typing.get_args(hint)[0], optional, True
    return hint, optional, False


def fits(value: Any, base: type, optional: bool, many: bool) -> bool:
    """Whether a plain value is of a field's type, as ``field_type`` tells it. An int is fine for a float."""
    if value is None:
        return optional
    if many:
        return isinstance(value, list | tuple) and all(fits(item, base, False, False) for item in value)
    if base is float:
        return is_number(value) and (isinstance(value, int) or math.isfinite(value))
    return isinstance(value, base) and (base is bool or not isinstance(value, bool))


def is_number(value: Any) -> bool:
    """Whether it is an int or a float. ``True`` is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain(value: Any, base: type, many: bool) -> Any:
    """One form for one value, for the same JSON and digest: 1 is 1.0 in a float field, and a list is a tuple.

    NumPy's scalars become Python's, and paths text.
    """
    if many:
        return tuple(plain(v, base, False) for v in value) if isinstance(value, list | tuple) else value
    if base is str:
        return os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(value, bool):
        return value
    if base is int:
        return int(value) if isinstance(value, numbers.Integral) else value
    return _as_float(value) if base is float and isinstance(value, numbers.Real) else value


def _as_float(value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError:  # an int beyond all floats
        return math.inf


def type_fault(name: str, value: Any, base: type, optional: bool, many: bool) -> str:
    """What is wrong with a value that does not fit: "batch is '32' (str); it must be a whole number"."""
    one, several = _KINDS.get(base, (f"a {base.__name__}", base.__name__))
    wanted = (f"a tuple of {several}" if many else one) + (" or None" if optional else "")
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    kind = "" if value is None else f" ({type(value).__name__})"
    return f"{name} is {shown}{kind}; it must be {wanted}"
