"""Things to wear and carry: shoe, t-shirt, cap, watch, headphones. Each draws itself and says where its mark goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.data.shop.canvas import CLEAR, Colour, Pen, arc, box, darker, lighter, mix, smooth

STEEL: Colour = (176, 180, 186)
INK: Colour = (34, 33, 38)


@dataclass(frozen=True)
class Style:
    """The colours of one product: body, second fabric, accent."""

    body: Colour
    second: Colour
    accent: Colour


@dataclass(frozen=True)
class Spot:
    """Where a brand mark sits in the product's frame: middle, half its side, turn in degrees, colour beneath."""

    x: float
    y: float
    half: float
    angle: float
    beneath: Colour


def draw_shoe(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A shoe from the side: low, high-top or boot; the sole, toe and laces vary."""
    collar = float(rng.choice((-0.3, -0.36, -0.78, -1.0)))
    sole, toe = rng.uniform(0.12, 0.24), rng.uniform(0.86, 1.0)
    heel = rng.uniform(0.0, 0.12)
    upper = [(-0.92, 0.42), (-0.95, 0.0), (-0.84, collar), (-0.84, collar), (-0.22, collar + 0.06),
             (-0.22, collar + 0.06), (-0.05, -0.12), (0.4, 0.04), (toe, 0.26), (toe, 0.42), (toe, 0.42),
             (-0.92, 0.42)]  # fmt: skip
    pen.blob(upper, style.body)
    pen.blob([(0.5, 0.42), (0.52, 0.16), (0.7, 0.14), (toe - 0.02, 0.28), (toe, 0.42)], style.second)
    pen.blob([(-0.93, 0.42), (-0.94, 0.05), (-0.82, 0.0), (-0.66, 0.42)], style.second)
    pen.blob(
        [(-0.82, collar + 0.03), (-0.24, collar + 0.08), (-0.3, collar + 0.17), (-0.76, collar + 0.13)],
        darker(style.body, 0.6),
    )
    base = lighter(style.accent, 0.65) if rng.random() < 0.6 else darker(style.accent, 0.4)
    floor = 0.42 + sole
    pen.blob([(-0.98, 0.38), (-0.4, 0.42), (0.5, 0.39), (toe + 0.06, 0.33), (toe + 0.05, floor - 0.06), (0.6, floor),
              (-0.1, floor), (-0.94, floor + heel)], base)  # fmt: skip
    pen.line([(-0.94, 0.44), (0.5, 0.46), (toe + 0.03, 0.42)], darker(base, 0.25), 0.03)
    _lace_shoe(pen, style, rng, collar)
    return Spot(-0.32, 0.16, 0.24, rng.uniform(-12, 4), style.body)


def _lace_shoe(pen: Pen, style: Style, rng: np.random.Generator, collar: float) -> None:
    lace = lighter(style.second, 0.7) if rng.random() < 0.7 else darker(style.second, 0.6)
    instep = smooth(
        [(-0.22, collar + 0.2), (-0.14, min(collar + 0.3, 0.0)), (-0.02, -0.04), (0.34, 0.08)], closed=False
    )
    for x, y in instep[np.linspace(2, len(instep) - 3, 4 if collar > -0.5 else 6).astype(int)]:
        pen.line([(x + 0.03, y - 0.03), (x - 0.11, y + 0.11)], lace, 0.045)
    if rng.random() < 0.5:
        pen.line(
            smooth([(-0.93, 0.3), (-0.5, 0.3), (0.1, 0.22), (0.55, 0.25)], closed=False),
            darker(style.body, 0.3),
            0.02,
        )


def draw_shirt(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A t-shirt laid flat: sleeve length, neck, stripes, folds."""
    waist, length = rng.uniform(0.48, 0.62), rng.uniform(0.82, 0.98)
    reach, drop = (0.98, rng.uniform(-0.16, 0.02)) if rng.random() < 0.7 else (0.94, rng.uniform(0.45, 0.7))
    for side in (-1, 1):
        arm = [
            (0.3, -0.78),
            (0.52, -0.7),
            (reach, drop),
            (reach - 0.24, drop + 0.16),
            (0.5, -0.22),
            (0.3, 0.1),
        ]
        pen.fill([(side * x, y) for x, y in arm], darker(style.body, 0.08))
        pen.line([(side * reach, drop), (side * (reach - 0.24), drop + 0.16)], style.second, 0.05)
    body = [
        (-0.52, -0.7),
        (-0.2, -0.84),
        (0.2, -0.84),
        (0.52, -0.7),
        (0.5, -0.2),
        (waist, length),
        (-waist, length),
        (-0.5, -0.2),
    ]
    pen.fill(body, style.body)
    if rng.random() < 0.3:
        for y in np.arange(-0.3, length - 0.05, rng.uniform(0.16, 0.3)):
            pen.fill(box(-0.49, y, 0.49, y + 0.07), style.second)
    depth = rng.uniform(0.12, 0.2)
    neck = (
        arc(0, -0.85, 0.23, depth, 0, 180)
        if rng.random() < 0.65
        else [(-0.22, -0.86), (0.22, -0.86), (0, -0.4)]
    )
    pen.fill(neck, darker(style.body, 0.55))
    pen.line(neck, style.second, 0.045)
    for _ in range(3):
        x = rng.uniform(-0.4, 0.4)
        pen.line(
            smooth([(x, 0.2), (x + rng.uniform(-0.1, 0.1), 0.5), (x * 1.1, 0.8)], closed=False),
            darker(style.body, 0.14),
            0.025,
        )
    pen.line([(-waist, length - 0.05), (waist, length - 0.05)], darker(style.body, 0.2), 0.015)
    if rng.random() < 0.5:
        return Spot(0.0, -0.12, 0.3, 0.0, style.body)
    return Spot(0.24, -0.36, 0.17, 0.0, style.body)


def draw_cap(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A baseball cap from the side, or from the front."""
    if rng.random() < 0.4:
        return _draw_cap_front(pen, style, rng)
    high = rng.uniform(0.72, 0.95)
    crown = np.concatenate([arc(-0.22, 0.25, 0.7, high, 180, 360), [(0.48, 0.3), (-0.9, 0.32)]])
    pen.fill(crown, style.body)
    pen.fill(
        np.concatenate([arc(-0.22, 0.25, 0.3, high, 180, 270), [(-0.22, 0.28), (-0.52, 0.28)]]),
        mix(style.body, style.second, 0.25),
    )
    for x in (0.3, -0.34):
        pen.line(
            arc(-0.22, 0.25, abs(x), high, 270 if x > 0 else 180, 360 if x > 0 else 270),
            darker(style.body, 0.3),
            0.018,
        )
    pen.oval(-0.22, 0.25 - high, 0.07, 0.045, style.second)
    droop = rng.uniform(0.3, 0.5)
    brim = [
        (0.2, 0.2),
        (0.5, 0.16),
        (0.86, 0.24),
        (1.02, droop),
        (0.8, droop + 0.06),
        (0.45, 0.36),
        (-0.3, 0.34),
        (-0.3, 0.26),
    ]
    pen.blob(brim, style.second)
    pen.line(smooth([(0.3, 0.32), (0.6, 0.34), (0.98, droop)], closed=False), darker(style.second, 0.4), 0.03)
    pen.line([(-0.9, 0.29), (0.2, 0.28)], darker(style.body, 0.25), 0.03)
    return Spot(0.12, -0.12, 0.24, 4.0, style.body)


def _draw_cap_front(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    high = rng.uniform(0.8, 0.95)
    pen.fill(np.concatenate([arc(0, 0.2, 0.72, high, 180, 360), [(0.72, 0.4), (-0.72, 0.4)]]), style.body)
    for x in (-0.42, 0.42):
        pen.line(arc(0, 0.2, x, high, 270, 360), darker(style.body, 0.3), 0.018)
    pen.oval(0, 0.2 - high, 0.08, 0.05, style.second)
    brim = [
        (-0.74, 0.34),
        (-0.4, 0.2),
        (0, 0.16),
        (0.4, 0.2),
        (0.74, 0.34),
        (0.82, 0.62),
        (0.4, 0.5),
        (0, 0.46),
        (-0.4, 0.5),
        (-0.82, 0.62),
    ]
    pen.blob(brim, style.second)
    pen.line(
        smooth([(-0.7, 0.5), (-0.35, 0.36), (0, 0.33), (0.35, 0.36), (0.7, 0.5)], closed=False),
        darker(style.second, 0.3),
        0.02,
    )
    return Spot(0.0, -0.18, 0.28, 0.0, style.body)


def draw_watch(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A wrist watch: round, square or smart; leather strap or steel links."""
    wide, round_case = rng.uniform(0.2, 0.3), rng.random() < 0.65
    links = rng.random() < 0.4
    strap = STEEL if links else style.body
    for side in (-1, 1):
        pen.fill(
            [(-wide, 0.3 * side), (wide, 0.3 * side), (wide * 0.8, 0.98 * side), (-wide * 0.8, 0.98 * side)],
            strap,
        )
        for y in np.arange(0.45, 0.95, 0.09 if links else 0.14):
            if links:
                pen.line([(-wide * 0.9, y * side), (wide * 0.9, y * side)], darker(strap, 0.35), 0.02)
            elif side > 0 and y > 0.55:
                pen.oval(0, y, 0.03, 0.03, darker(strap, 0.7))
    metal = STEEL if rng.random() < 0.6 else (201, 165, 98) if rng.random() < 0.6 else INK
    pen.fill(box(0.4, -0.07, 0.56, 0.07, 0.03), darker(metal, 0.2))
    dial = (
        INK
        if rng.random() < 0.4
        else lighter(style.second, 0.75)
        if rng.random() < 0.6
        else darker(style.second, 0.3)
    )
    if round_case:
        pen.oval(0, 0, 0.48, 0.48, metal)
        pen.oval(0, 0, 0.4, 0.4, dial)
    else:
        pen.fill(box(-0.44, -0.5, 0.44, 0.5, 0.16), metal)
        pen.fill(box(-0.37, -0.43, 0.37, 0.43, 0.11), dial)
    pen.line(arc(0, 0, 0.45, 0.45, 200, 260), lighter(metal, 0.6), 0.03)
    _draw_hands(pen, dial, style, rng)
    return Spot(0.0, 0.19, 0.1, 0.0, dial)


def _draw_hands(pen: Pen, dial: Colour, style: Style, rng: np.random.Generator) -> None:
    ink = lighter(dial, 0.9) if sum(dial) < 330 else darker(dial, 0.85)
    for k in range(12):
        c, s = np.cos(np.pi * k / 6), np.sin(np.pi * k / 6)
        pen.line([(c * 0.31, s * 0.31), (c * 0.36, s * 0.36)], ink, 0.04 if k % 3 == 0 else 0.02)
    for length, width, colour in ((0.19, 0.05, ink), (0.29, 0.035, ink), (0.31, 0.015, style.accent)):
        a = rng.uniform(0, 2 * np.pi)
        pen.line(
            [(-np.cos(a) * 0.04, -np.sin(a) * 0.04), (np.cos(a) * length, np.sin(a) * length)], colour, width
        )
    pen.oval(0, 0, 0.035, 0.035, style.accent)


def draw_headphones(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """Over-ear headphones from the front or a little from the side."""
    span, thick, drop = rng.uniform(0.62, 0.76), rng.uniform(0.09, 0.17), rng.uniform(0.2, 0.4)
    pen.fill(arc(0, drop - 0.1, span + thick, 1.0, 180, 360), style.body)
    pen.fill(arc(0, drop - 0.1, span, 1.0 - thick * 1.3, 180, 360), CLEAR)
    pen.line(
        arc(0, drop - 0.1, span + thick / 2, 1 - thick * 0.6, 235, 305),
        lighter(style.body, 0.25),
        thick * 0.5,
    )
    flat = rng.uniform(0.17, 0.32)
    for side in (-1, 1):
        x = side * (span + thick * 0.4)
        pen.line([(x, drop - 0.35), (x, drop)], STEEL, 0.07)
        cushion = x - side * flat * 0.7
        pen.oval(cushion, drop + 0.12, flat * 0.85, 0.34, darker(style.second, 0.5))
        pen.oval(x, drop + 0.12, flat, 0.38, style.body)
        pen.oval(x + side * flat * 0.1, drop + 0.12, flat * 0.72, 0.29, style.second)
    if rng.random() < 0.35:
        cable = [(-span, drop + 0.5), (-span + 0.1, 0.85), (-0.1, 0.8), (0.1, 0.98)]
        pen.line(smooth(cable, closed=False), INK, 0.03)
    return Spot(span + thick * 0.4 + flat * 0.1, drop + 0.12, min(0.2, flat * 0.7), 0.0, style.second)
