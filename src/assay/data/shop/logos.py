"""Brand marks of our own invention, genuine and subtly wrong.

Two marks, each a handful of numbers: *Trine*, three rising slanted bars over a foot line, and *Orbe*, an open
ring with a dot in its gap. A counterfeit is the same mark with one number off: the angle, a part missing,
mirrored, other proportions, other spacing. So what is wrong is known exactly, and is geometry rather than colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from assay.data.shop.canvas import Colour, Pen, arc

FAULTS = ("angle", "missing-part", "mirrored", "proportions", "spacing")
"""What can be wrong with a counterfeit mark."""


@dataclass(frozen=True)
class Mark:
    """The geometry of a brand mark, in a frame of -1 to 1.

    ``slant`` in degrees from upright (Trine) or of the gap's middle (Orbe); ``heights`` of the bars, or of ring
    and dot; ``weight`` is the thickness of a stroke and ``spacing`` the room between parts.
    """

    brand: str
    slant: float
    heights: tuple[float, ...]
    weight: float
    spacing: float
    missing: int | None = None
    mirrored: bool = False
    stretch: float = 1.0


TRINE = Mark("trine", slant=20.0, heights=(0.75, 1.15, 1.6), weight=0.36, spacing=0.58)
ORBE = Mark("orbe", slant=-45.0, heights=(0.78, 0.25), weight=0.3, spacing=0.8)
MARKS = {"trine": TRINE, "orbe": ORBE}


def spoil(mark: Mark, fault: str, rng: np.random.Generator) -> Mark:
    """The same mark with one fault of FAULTS, large enough to be seen and small enough to be missed."""
    sign = float(rng.choice((-1.0, 1.0)))
    if fault == "angle":
        turn = rng.uniform(14, 20) if mark.brand == "trine" else rng.uniform(40, 70)
        return replace(mark, slant=mark.slant - turn if mark.brand == "trine" else mark.slant + sign * turn)
    if fault == "missing-part":
        return replace(mark, missing=int(rng.integers(len(mark.heights) + 1)))
    if fault == "mirrored":
        return replace(mark, mirrored=True)
    if fault == "proportions":
        flat = tuple(float(np.mean(mark.heights)) for _ in mark.heights)
        return (
            replace(mark, heights=flat)
            if mark.brand == "trine"
            else replace(mark, stretch=rng.uniform(0.62, 0.74))
        )
    return replace(
        mark, spacing=mark.spacing * (rng.uniform(0.74, 0.8) if sign < 0 else rng.uniform(1.28, 1.4))
    )


def draw_mark(pen: Pen, mark: Mark, colour: Colour) -> None:
    """Draws ``mark`` into the frame of ``pen``."""
    own = pen.at(0, 0, stretch=mark.stretch * (-1 if mark.mirrored else 1))
    if mark.brand == "trine":
        _draw_trine(own, mark, colour)
    else:
        _draw_orbe(own, mark, colour)


def _draw_trine(pen: Pen, mark: Mark, colour: Colour) -> None:
    lean = np.tan(np.radians(mark.slant))
    first = -mark.spacing - mark.weight / 2 - 0.3
    for k, height in enumerate(mark.heights):
        if k == mark.missing:
            continue
        x = first + k * mark.spacing
        top = 0.6 - height
        foot, head = x, x + height * lean
        pen.fill([(foot, 0.6), (foot + mark.weight, 0.6), (head + mark.weight, top), (head, top)], colour)
    if mark.missing != len(mark.heights):
        pen.fill([(-0.95, 0.76), (0.72, 0.76), (0.66, 0.94), (-0.95, 0.94)], colour)


def _draw_orbe(pen: Pen, mark: Mark, colour: Colour) -> None:
    radius, dot = mark.heights
    half_gap = 38.0
    if mark.missing == 0:
        half_gap = 80.0
    first, last = mark.slant + half_gap, mark.slant + 360 - half_gap
    inner, outer = (
        arc(0, 0, r, r, first, last) for r in (radius - mark.weight / 2, radius + mark.weight / 2)
    )
    pen.fill(np.concatenate([outer, inner[::-1]]), colour)
    if mark.missing != 1:
        angle = np.radians(mark.slant)
        pen.oval(float(np.cos(angle)) * mark.spacing, float(np.sin(angle)) * mark.spacing, dot, dot, colour)
    if mark.missing != 2:
        pen.oval(0, 0, 0.16, 0.16, colour)
