"""The live policy's own copy of its files, so that what decides does not change when the files on the disk do.

A worker that dies is started again days later, from the same policy, thresholds and Bundles as its neighbours. Bundles
are linked, not copied, where the file system can do it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from assay.decide.budgets import thresholds_path
from assay.errors import AssayError, ConfigError
from assay.files import explain_write, write_file

if TYPE_CHECKING:
    from assay.decide.policy import Policy

_KEPT = 4
"""Copies that stay; older ones go."""


def snapshot(policy: Policy, folder: Path, name: str) -> Path:
    """Copy a policy's files below ``folder``; the copy of the policy.

    Files that are named by absolute paths stay where they are.

    Raises
    ------
    ConfigError : a Bundle is not there. AssayError : the folder cannot be written.
    """
    source = policy.path
    if source is None:
        raise AssayError("a policy without a file cannot be copied")
    for question in policy:
        if not policy.model_path(question).is_file():
            raise ConfigError(
                f"{source}: the network of {question.name} is not there",
                got=str(policy.model_path(question)),
                fix="put the Bundle there, or name another one",
            )
    home = folder / name
    base = home.joinpath(*["deeper"] * _climbs(policy))
    try:
        base.mkdir(parents=True, exist_ok=True)
        copy = base / source.name
        for one in _beside(policy):
            place = base / os.path.relpath(one, source.parent)
            if not Path(_named(policy, one)).is_absolute():
                _link(one, place)
        known = policy.references_path
        if (
            known is not None
            and not Path(policy.matching.references if policy.matching else "").is_absolute()
        ):
            _point(known, base / os.path.relpath(known, source.parent))
        beside = thresholds_path(source)
        if beside.exists():
            write_file(thresholds_path(copy), beside.read_bytes())
        write_file(copy, source.read_bytes())
        _forget_old(folder, home)
    except OSError as error:
        raise explain_write(home, error) from error
    return copy


def _beside(policy: Policy) -> list[Path]:
    """The files that a policy names, but for enrolled photos, which may grow while it decides."""
    return list(dict.fromkeys(policy.model_path(question) for question in policy))


def _named(policy: Policy, path: Path) -> str:
    return next(one.model for one in policy if policy.model_path(one) == path)


def _climbs(policy: Policy) -> int:
    """How many folders up the names lead, so that the copy lies as deep."""
    return max((Path(one.model).parts.count("..") for one in policy), default=0)


def _link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        place.unlink()
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)


def _point(source: Path, place: Path) -> None:
    """Enrolled photos are not copied: what is enrolled later shall be known too."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(source.resolve())


def _forget_old(folder: Path, newest: Path) -> None:
    others = sorted((one for one in folder.iterdir() if one != newest), key=lambda one: one.stat().st_mtime)
    for old in others[: max(0, len(others) - _KEPT + 1)]:
        with contextlib.suppress(OSError):
            shutil.rmtree(old)
