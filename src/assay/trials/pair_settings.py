"""How two runs differ in what they were asked for, and in what they decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNTOLD = {"seed", "root", "workers", "cache_gb", "checkpoint_s"}
"""Settings that say nothing of how two networks differ, but for the seed, which is told by itself."""


def different_settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value in A, value in B) of what the two runs were asked for, or decided, differently."""
    mine, theirs = _settings(a), _settings(b)
    if not a or not b:
        return []
    names = [
        name for name in {**mine, **theirs} if name not in _UNTOLD and mine.get(name) != theirs.get(name)
    ]
    if mine.get("seed") != theirs.get("seed"):
        names.append("seed")
    return [(name.replace("_", " "), _said(mine.get(name)), _said(theirs.get(name))) for name in names]


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """Everything flat: the recipe, overruled by what was decided, and what came out of it."""
    found: dict[str, Any] = {}
    for section in (run.get("recipe") or {}).values():
        found |= section if isinstance(section, Mapping) else {}
    resolved = run.get("resolved") or {}
    found |= {k: v for k, v in (resolved.get("train") or {}).items() if v is not None}
    found |= {"precision": resolved.get("precision"), "split hash": run.get("split_hash")}
    return {**found, "parameters": run.get("parameters"), "minutes used": run.get("minutes")}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_said(v) for v in value) or "none"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return "not given" if value is None else str(value)
