"""Charts of the operator's page: SVG made here, coloured by classes of the style sheet, with words for who cannot see.

Letters keep their size as drawings are about as wide as they are shown: 440 units on 330 to 560 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup, escape

WIDE, HIGH = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 10, 24


def stacked(
    rows: Sequence[tuple[str, Mapping[str, float]]], layers: Sequence[tuple[str, str]], label: str
) -> Markup:
    """Bars of several layers, e.g. photos an hour by verdict.

    ``rows``: what stands below a bar, and layer -> height; ``layers``: class and name, the lowest first.
    """
    top = max(2.0, _nice(max((sum(values.values()) for _, values in rows), default=0)))
    parts = [*_grid(top, lambda v: f"{v:,.0f}")]
    step = (WIDE - _LEFT - _RIGHT) / max(1, len(rows))
    every = math.ceil(len(rows) / 6)
    for i, (name, values) in enumerate(rows):
        x, base = _LEFT + i * step, float(HIGH - _BOTTOM)
        told = ", ".join(f"{word} {values.get(layer, 0):,.0f}" for layer, word in layers)
        parts.append(f"<g><title>{escape(name)}: {escape(told)}</title>")
        for layer, _ in layers:
            if tall := _tall(values.get(layer, 0), top):
                base -= tall
                parts.append(_rect(layer, x + 0.1 * step, base, 0.8 * step, tall))
        parts.append("</g>")
        if i % every == 0:
            parts.append(_below(x + step / 2, name))
    return _svg(parts, label)


def lines(
    rows: Sequence[tuple[str, float | None, bool]],
    limits: Sequence[tuple[float, str]],
    label: str,
    *,
    digits: int = 2,
) -> Markup:
    """A value a day, with limits across.

    ``rows``: what stands below, the value (None: a gap), and whether it is told by enough photos to be believed.
    """
    most = max([value for _, value, _ in rows if value is not None] + [1.2 * limit for limit, _ in limits])
    top = _nice(most)
    step = (WIDE - _LEFT - _RIGHT) / max(1, len(rows))
    parts = [*_grid(top, lambda v: f"{v:.{digits}f}")]
    for limit, kind in limits:
        y = HIGH - _BOTTOM - _tall(limit, top)
        parts.append(
            f'<line class="limit {kind}" x1="{_LEFT}" x2="{WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    places = [
        (_LEFT + (i + 0.5) * step, HIGH - _BOTTOM - _tall(value, top), name, value, sure)
        for i, (name, value, sure) in enumerate(rows)
        if value is not None
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in places)
    parts.append(f'<polyline class="trace" points="{path}"/>')
    for x, y, name, value, sure in places:
        look = "dot" if sure else "dot few"
        told = f"<title>{escape(name)}: {value:.{digits}f}</title>"
        parts.append(f'<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">{told}</circle>')
    every = math.ceil(len(rows) / 6)
    parts += [_below(_LEFT + (i + 0.5) * step, name) for i, (name, *_) in enumerate(rows) if i % every == 0]
    return _svg(parts, label)


def columns(rows: Sequence[tuple[str, float]], label: str, kind: str = "review") -> Markup:
    """Plain bars, each with its number on top."""
    top = max(2.0, _nice(1.1 * max((value for _, value in rows), default=0)))
    step = (WIDE - _LEFT - _RIGHT) / max(1, len(rows))
    parts = [*_grid(top, lambda v: f"{v:,.0f}")]
    for i, (name, value) in enumerate(rows):
        x, tall = _LEFT + i * step, _tall(value, top)
        y = HIGH - _BOTTOM - tall
        parts.append(_rect(kind, x + 0.2 * step, y, 0.6 * step, tall))
        if value:
            parts.append(f'<text class="on" x="{x + step / 2:.1f}" y="{y - 4:.1f}">{value:,.0f}</text>')
        parts.append(_below(x + step / 2, name))
    return _svg(parts, label)


def _svg(parts: Sequence[str], label: str) -> Markup:
    inside = "".join(parts)
    return Markup(
        f'<svg class="drawn" viewBox="0 0 {WIDE} {HIGH}" role="img" aria-label="{escape(label)}">{inside}</svg>'
    )


def _grid(top: float, told: Callable[[float], str]) -> list[str]:
    """Lines across at a few round heights, with their numbers."""
    parts = []
    for i in range(5):
        value = top * i / 4
        y = HIGH - _BOTTOM - _tall(value, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if i % 2 == 0:
            text = told(value)
            parts.append(f'<text class="left" x="{_LEFT - 6}" y="{y + 3.5:.1f}">{text}</text>')
    return parts


def _rect(kind: str, x: float, y: float, wide: float, tall: float) -> str:
    return f'<rect class="c-{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'


def _below(x: float, name: str) -> str:
    return f'<text class="below" x="{x:.1f}" y="{HIGH - 7}">{escape(name)}</text>'


def _tall(value: float, top: float) -> float:
    return (HIGH - _TOP - _BOTTOM) * value / top if top else 0.0


def _nice(most: float) -> float:
    """The least round number that is not below: 1, 2, 4, 8, 10 of a power of ten."""
    if most <= 0:
        return 4.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(step * size for step in (1, 2, 4, 8, 10) if step * size >= most * (1 - 1e-9))
