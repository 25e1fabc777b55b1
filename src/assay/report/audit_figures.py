"""The figures of a finding as a page shows them: scores as bars with their intervals, the rest as a plain table.

A score is a mapping with ``value``, ``low`` and ``high`` (shares, 0 to 1), wherever it stands in the figures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from assay.audit.finding import Finding

_MOST_BARS, _MOST_ROWS = 16, 80
_WORDS = {
    "random": "pictures dealt at random",
    "grouped": "whole groups kept apart",
    "chance": "always the commonest class",
}
_NO_BAR = frozenset({"difference", "lead"})
"""Differences of two shares: no share themselves."""


def bars_of(found: Finding) -> list[dict[str, Any]]:
    """A bar for each score among the figures, in their order; ``low`` to ``width`` is the interval, in percent.

    Where the places of a finding say how well a trait of the file tells a class (shortcuts), a bar for each of them.
    """
    bars = [
        _bar(name, *(min(1.0, max(0.0, float(score[key]))) for key in ("value", "low", "high")))
        for name, score in _scores(found.figures)
    ]
    bars += [
        _bar(name, value, max(0.0, value - half), min(1.0, value + half))
        for name, value, half in _widths(found)
    ]
    return (bars or [_bar(name, value, value, value) for name, value in _traits(found)])[:_MOST_BARS]


def _bar(name: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(100 * value, 1),
        "low": round(100 * low, 2),
        "width": round(100 * (high - low), 2),
        "told": f"{100 * value:.0f}\u202f%",
        "interval": f"{100 * low:.0f} to {100 * high:.0f}\u202f%" if high > low else "",
    }


def bars_note(found: Finding) -> str:
    """What the bars of this finding are."""
    if next(_widths(found), None):
        return "The thin line is what a measured score could mean: how far it may be off by chance."
    if any(True for _ in _traits(found)) and not any(True for _ in _scores(found.figures)):
        return "How well one trait of the file alone tells a class from all others; 50 % is guessing."
    return "The bar is the score, the thin line its 95 % interval: how far it may be off by chance."


def _widths(found: Finding) -> Iterator[tuple[str, float, float]]:
    """Accuracy -> half the width of the interval that this many pictures can give."""
    told = found.figures.get("half_width")
    for accuracy, half in told.items() if isinstance(told, Mapping) else ():
        yield f"if {100 * float(accuracy):.0f}\u202f% are right", float(accuracy), float(half)


def _traits(found: Finding) -> Iterator[tuple[str, float]]:
    for item in found.items:
        told = item.figures.get("balanced_accuracy")
        if (
            isinstance(told, float)
            and 0 <= told <= 1
            and "class" in item.figures
            and "family" in item.figures
        ):
            yield f"{item.figures['class']}, by {_words(item.figures['family'])}", told


def _scores(figures: Any, name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(figures, Mapping):
        return
    if _is_score(figures):
        yield name, figures
        return
    inside = {key: held for key, held in figures.items() if key not in _NO_BAR}
    for key, held in inside.items():
        yield from _scores(held, f"{name}, {_words(key)}" if name else _words(key))
    chance = inside.get("chance")
    if isinstance(chance, float) and 0 <= chance <= 1 and any(map(_is_score, inside.values())):
        yield (
            (f"{name}, " if name else "") + _WORDS["chance"],
            dict.fromkeys(("value", "low", "high"), chance),
        )


def _is_score(held: Any) -> bool:
    wanted = ("value", "low", "high")
    return isinstance(held, Mapping) and all(
        isinstance(held.get(key), int | float) and 0 <= held[key] <= 1 for key in wanted
    )


def plain_figures(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value as text) of every figure, nested ones by a joined name."""
    return list(_rows(figures))[:_MOST_ROWS]


def _rows(figures: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, str]]:
    for key, held in figures.items():
        full = f"{name}, {_words(key)}" if name else _words(key)
        if isinstance(held, Mapping) and not _is_score(held):
            yield from _rows(held, full)
        else:
            yield full, _text(held)


def _words(name: Any) -> str:
    return _WORDS.get(str(name), str(name).replace("_", " "))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{_text(value['value'])} [{_text(value['low'])}, {_text(value['high'])}]"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, float):
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        shown = ", ".join(
            _text(held) if not isinstance(held, Mapping) else str(dict(held)) for held in value[:12]
        )
        return shown + (f" and {len(value) - 12} more" if len(value) > 12 else "")
    return str(value)
