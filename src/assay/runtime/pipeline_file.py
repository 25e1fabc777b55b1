"""The pipeline file: models that work in sequence, each on the whole picture or on what another one found.

    [[step]]
    name = "find"
    model = "find.bundle"

    [[step]]
    name = "kind"
    model = "kind.bundle"
    crops_of = "find"
    classes = ["shoe"]
    margin = 0.1

TOML (https://toml.io), read with the standard library. Paths start at the file's own folder. This module reads and
checks what stands in the file; ``runtime.sequence`` loads the models and runs them.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.config import Config, option
from assay.errors import ConfigError
from assay.tables import suggest

_LARGEST = 1024 * 1024
_FIX = 'write e.g. [[step]] with name = "find" and model = "find.bundle" in lines of their own'


@dataclass(frozen=True)
class Step(Config):
    """One model: what it is called, where its Bundle lies, and what it looks at."""

    name: str = option("", "what its answers are called")
    model: str = option("", "a Bundle, from the file's folder")
    crops_of: str | None = option(
        None, "the step whose things it looks at, one by one; whole pictures when not given"
    )
    classes: tuple[str, ...] = option((), "only things of these classes; all when not given")
    margin: float = option(
        0.0, "room around a thing's box, as a share of its width and height on each side", low=0.0, high=5.0
    )  # fmt: skip
    relabel: bool = option(
        False, "things take the class that this step tells, and their score times its probability"
    )
    least_score: float | None = option(
        None, "score from which a thing is told; the Bundle's when not given", low=0.0, high=0.9999
    )


_CROPS_ONLY = ("classes", "margin", "relabel")


def read_steps(path: Path) -> tuple[Step, ...]:
    """The steps of a pipeline file, each behind the step whose things it looks at; models as whole paths.

    Raises
    ------
    ConfigError : no such file, no TOML, a name that is unknown or used twice, a wrong type, a circle, a model that is
        not there. Each mistake is told with the step it is in.
    """
    rows = _rows(path)
    steps = [_step(row, path, i) for i, row in enumerate(rows, 1)]
    names = [step.name for step in steps]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"{path}: two steps are called {name!r}", fix="give each step a name of its own"
            )
    for step in steps:
        if step.crops_of is not None and step.crops_of not in names:
            others = [name for name in names if name != step.name]
            raise ConfigError(
                f"{path}: {step.name} looks at the things of {step.crops_of!r}, and no step is called so",
                fix=suggest(step.crops_of, others) if others else "add that step",
            )
    missing = [f"{step.name}: {step.model}" for step in steps if not Path(step.model).is_file()]
    if missing:
        raise ConfigError(
            f"{path}: models are not there",
            got="; ".join(missing),
            fix="paths start at the folder of the pipeline file; `assay export` writes Bundles",
        )
    return _in_order(steps, path)


def _rows(path: Path) -> list[dict[str, Any]]:
    """The tables ``[[step]]`` as they stand in the file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"there is no pipeline file {path}", fix="check the path") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read", got=error.strerror or str(error)) from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{path} is no pipeline file", got=f"{len(data):,} bytes", fix=_FIX)
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML", got=str(error)[:200], fix=_FIX) from error
    unknown = [name for name in values if name != "step"]
    if unknown:
        raise ConfigError(f"{path}: unknown name {unknown[0]!r}", fix=suggest(unknown[0], ["step"]))
    rows = values.get("step", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or not rows:
        raise ConfigError(f"{path} has no steps", got="no [[step]]", fix=_FIX)
    return rows


def _step(row: dict[str, Any], path: Path, number: int) -> Step:
    name = row.get("name")
    told = f"{path}: step {name!r}" if isinstance(name, str) and name else f"{path}: step {number}"
    known = [f.name for f in dataclasses.fields(Step)]
    for key in row:
        if key not in known:
            raise ConfigError(f"{told} has an unknown name {key!r}", fix=suggest(key, known))
    try:
        step = Step(**row)
    except ConfigError as error:
        raise ConfigError(
            f"{told}: {error.what}", got=error.got, fix="see the guide for types and ranges"
        ) from error
    for key in ("name", "model"):
        if not getattr(step, key).strip():
            raise ConfigError(f"{told} has no {key}", fix=_FIX)
    if step.crops_of is None and (idle := [key for key in _CROPS_ONLY if key in row]):
        raise ConfigError(
            f"{told} looks at whole pictures, so {idle[0]} means nothing",
            fix="add crops_of with the name of the step that finds things, or leave it out",
        )
    if "classes" in row and not step.classes:
        raise ConfigError(
            f"{told} looks at things of no class", fix="name classes, or leave classes out for all"
        )
    return dataclasses.replace(step, model=str(path.parent / Path(step.model).expanduser()))


def _in_order(steps: Sequence[Step], path: Path) -> tuple[Step, ...]:
    """Those on whole pictures first, then each behind the one it looks at; what is left then goes in a circle."""
    placed: list[Step] = [step for step in steps if step.crops_of is None]
    waiting = [step for step in steps if step.crops_of is not None]
    while waiting:
        names = {step.name for step in placed}
        ready = [step for step in waiting if step.crops_of in names]
        if not ready:
            circle = ", ".join(f"{step.name} of {step.crops_of}" for step in waiting)
            raise ConfigError(
                f"{path}: steps wait for each other, and none looks at the whole picture",
                got=circle,
                fix="leave crops_of out at the first step",
            )
        placed += ready
        waiting = [step for step in waiting if step not in ready]
    return tuple(placed)
