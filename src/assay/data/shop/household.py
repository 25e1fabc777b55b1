"""Things for the house and the road: bag, backpack, bottle, mug, lamp, book. Each draws itself as in ``wearables``."""

from __future__ import annotations

import numpy as np

from assay.data.shop.canvas import CLEAR, Colour, Pen, arc, box, darker, lighter, mix, smooth
from assay.data.shop.wearables import INK, STEEL, Spot, Style

PAPER: Colour = (240, 236, 224)


def draw_bag(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A bag to carry in the hand: tote, flap bag or duffel."""
    top, wide, round_ = rng.uniform(-0.25, 0.0), rng.uniform(0.72, 0.95), rng.uniform(0.04, 0.2)
    high, spread = rng.uniform(0.55, 0.9), rng.uniform(0.28, 0.45)
    knee = top - high * 0.7
    for shift in (-0.05, 0.05):
        left, right = shift - spread, shift + spread
        curve = [
            (left, top + 0.15),
            (left * 0.9, knee),
            (shift, top - high),
            (right * 0.9, knee),
            (right, top + 0.15),
        ]
        handle = smooth(curve, closed=False)
        pen.line(handle, darker(style.second, 0.3 if shift < 0 else 0.1), 0.08)
    pen.fill(box(-wide, top, wide, 0.82, round_), style.body)
    taper = rng.uniform(0, 0.14)
    pen.fill([(-wide, top - 0.01), (-wide, 0.5), (-wide + taper, top - 0.01)], CLEAR)
    pen.fill([(wide, top - 0.01), (wide, 0.5), (wide - taper, top - 0.01)], CLEAR)
    pen.fill(box(-wide, 0.7, wide, 0.82, min(round_, 0.06)), mix(style.body, style.second, 0.5))
    if rng.random() < 0.5:
        pen.blob(
            [
                (-wide + taper, top),
                (wide - taper, top),
                (wide * 0.86, top + 0.42),
                (0, top + 0.55),
                (-wide * 0.86, top + 0.42),
            ],
            style.second,
        )
        pen.fill(box(-0.08, top + 0.44, 0.08, top + 0.62, 0.03), (201, 165, 98))
        return Spot(0.0, 0.48 + top * 0.4, 0.22, 0.0, style.body)
    pen.line(
        [(-wide + taper + 0.04, top + 0.07), (wide - taper - 0.04, top + 0.07)],
        darker(style.body, 0.35),
        0.025,
    )
    for side in (-1, 1):
        pen.oval(side * spread, top + 0.15, 0.05, 0.05, (201, 165, 98))
    return Spot(0.0, (top + 0.75) / 2 + 0.05, 0.27, 0.0, style.body)


def draw_backpack(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A backpack from the front: lid, pocket, zips, straps at the sides."""
    wide, roof = rng.uniform(0.52, 0.68), rng.uniform(-0.86, -0.7)
    pen.line(
        smooth(
            [(-0.14, roof + 0.05), (-0.1, roof - 0.14), (0.1, roof - 0.14), (0.14, roof + 0.05)], closed=False
        ),
        style.second,
        0.07,
    )
    for side in (-1, 1):
        strap = [
            (side * wide * 0.8, -0.5),
            (side * (wide + 0.17), -0.1),
            (side * (wide + 0.1), 0.5),
            (side * wide * 0.9, 0.78),
        ]
        pen.line(smooth(strap, closed=False), darker(style.second, 0.2), 0.1)
    body = [(-wide, 0.86), (-wide, -0.2), (-wide * 0.8, roof + 0.12), (0, roof), (wide * 0.8, roof + 0.12),
            (wide, -0.2), (wide, 0.86), (wide, 0.86), (0, 0.94), (-wide, 0.86)]  # fmt: skip
    pen.blob(body, style.body)
    if rng.random() < 0.5:
        pen.blob(
            [
                (-wide, -0.1),
                (-wide * 0.8, roof + 0.1),
                (0, roof),
                (wide * 0.8, roof + 0.1),
                (wide, -0.1),
                (0, 0.02),
            ],
            mix(style.body, style.second, 0.7),
        )
        pen.fill(box(-0.06, -0.08, 0.06, 0.12, 0.02), STEEL)
    else:
        pen.line(arc(0, -0.1, wide * 0.84, 0.55, 190, 350), darker(style.body, 0.45), 0.03)
    pocket = rng.uniform(0.12, 0.26)
    pen.fill(box(-wide * 0.76, pocket, wide * 0.76, 0.82, 0.12), style.second)
    pen.line([(-wide * 0.66, pocket + 0.1), (wide * 0.66, pocket + 0.1)], darker(style.second, 0.45), 0.03)
    pen.line([(wide * 0.5, pocket + 0.1), (wide * 0.5, pocket + 0.2)], STEEL, 0.03)
    return Spot(0.0, (pocket + 0.95) / 2, 0.2, 0.0, style.second)


def draw_bottle(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A bottle: flask, wine bottle, or one with a pump."""
    wide, shoulder, neck = rng.uniform(0.26, 0.42), rng.uniform(-0.45, -0.1), rng.uniform(0.09, 0.17)
    top = rng.uniform(-0.82, -0.65)
    half = [
        (neck, top),
        (neck, (top + shoulder) / 2),
        (wide, shoulder + 0.12),
        (wide, shoulder + 0.4),
        (wide, 0.9),
        (wide - 0.04, 0.95),
        (wide - 0.04, 0.95),
    ]
    outline = half + [(-x, y) for x, y in half[::-1]]
    pen.blob([(neck, top), *outline, (-neck, top)], style.body)
    for x, share, colour in ((-0.62, 0.16, lighter(style.body, 0.5)), (0.72, 0.2, darker(style.body, 0.25))):
        pen.fill(
            box(wide * x - wide * share / 2, shoulder + 0.22, wide * x + wide * share / 2, 0.84, 0.05), colour
        )
    low, high = rng.uniform(0.0, 0.12), rng.uniform(0.5, 0.72)
    pen.fill(
        np.concatenate([arc(0, high, wide, 0.05, 0, 180, 12), arc(0, low, wide, 0.05, 180, 0, 12)]),
        style.second,
    )
    cap = style.accent
    pen.fill(box(-neck - 0.04, top - 0.15, neck + 0.04, top + 0.04, 0.03), cap)
    if rng.random() < 0.3:
        pen.line([(0, top - 0.12), (0, top - 0.26), (-0.22, top - 0.24)], darker(cap, 0.15), 0.07)
    pen.line([(-neck - 0.02, top - 0.05), (neck + 0.02, top - 0.05)], darker(cap, 0.35), 0.02)
    return Spot(0.0, (low + high) / 2 + 0.03, min(0.24, wide * 0.62), 0.0, style.second)


def draw_mug(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A mug with its handle; the height and taper vary."""
    tall, taper, lid = rng.uniform(0.6, 0.86), rng.uniform(-0.04, 0.16), rng.uniform(0.08, 0.2)
    side, wide = -1 if rng.random() < 0.3 else 1, 0.6
    thick = rng.uniform(0.1, 0.16)
    ring = arc(side * 0.56, 0.0, 0.42, 0.42 * tall / 0.7, 0, 360)
    pen.fill(ring, darker(style.body, 0.08))
    pen.fill(arc(side * 0.56, 0.0, 0.42 - thick, 0.42 * tall / 0.7 - thick, 0, 360), CLEAR)
    low = arc(0, tall - 0.06, wide - taper, lid * 0.7, 0, 180, 20)
    pen.fill(np.concatenate([[(wide, -tall + 0.1)], low, [(-wide, -tall + 0.1)]]), style.body)
    if rng.random() < 0.4:
        pen.fill(
            np.concatenate(
                [
                    arc(0, 0.45 * tall, wide - taper * 0.7, lid, 0, 180, 16),
                    arc(0, 0.75 * tall, wide - taper * 0.9, lid * 0.8, 180, 0, 16),
                ]
            ),
            style.second,
        )
    pen.oval(0, -tall + 0.1, wide, lid, lighter(style.body, 0.25))
    pen.oval(0, -tall + 0.12, wide - 0.06, lid - 0.03, darker(style.body, 0.5))
    if rng.random() < 0.6:
        drink = (72, 44, 28) if rng.random() < 0.6 else (176, 120, 58)
        pen.fill(arc(0, -tall + 0.15, wide - 0.1, max(lid - 0.06, 0.03)), drink)
    pen.fill(box(-0.48, -tall + 0.34, -0.4, tall - 0.25, 0.04), lighter(style.body, 0.5))
    return Spot(0.04, 0.02, 0.3, 0.0, style.body)


def draw_lamp(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A lamp: table lamp with a cloth shade, or a desk lamp with an arm."""
    lit = rng.random() < 0.5
    glow: Colour = (255, 240, 190) if lit else lighter(style.second, 0.3)
    if rng.random() < 0.5:
        return _draw_desk_lamp(pen, style, glow, rng)
    foot, slim = rng.uniform(0.26, 0.42), rng.uniform(0.04, 0.2)
    pen.oval(0, 0.9, foot, 0.08, darker(style.body, 0.25))
    pen.blob(
        [
            (-0.05, 0.0),
            (-slim, 0.4),
            (-slim * 0.6, 0.7),
            (-foot * 0.7, 0.9),
            (foot * 0.7, 0.9),
            (slim * 0.6, 0.7),
            (slim, 0.4),
            (0.05, 0.0),
        ],
        style.body,
    )
    top, low, base = rng.uniform(0.22, 0.42), rng.uniform(0.55, 0.72), rng.uniform(-0.12, 0.06)
    shade = mix(style.second, glow, 0.55) if lit else style.second
    pen.fill(np.concatenate([[(-top, -0.92), (top, -0.92)], arc(0, base, low, 0.07, 0, 180, 14)]), shade)
    pen.line(arc(0, base, low, 0.07, 0, 180, 14), darker(shade, 0.2), 0.03)
    pen.line([(-top, -0.92), (top, -0.92)], darker(shade, 0.2), 0.03)
    return Spot(0.0, -0.4, 0.2, 0.0, shade)


def _draw_desk_lamp(pen: Pen, style: Style, glow: Colour, rng: np.random.Generator) -> Spot:
    pen.oval(-0.2, 0.86, 0.46, 0.1, darker(style.body, 0.2))
    pen.oval(-0.2, 0.82, 0.44, 0.09, style.body)
    elbow = (rng.uniform(-0.75, -0.45), rng.uniform(-0.15, 0.1))
    head = (rng.uniform(0.1, 0.3), rng.uniform(-0.75, -0.55))
    pen.line([(-0.2, 0.8), elbow, head], STEEL if rng.random() < 0.5 else INK, 0.06)
    pen.oval(*elbow, 0.07, 0.07, style.accent)
    own = pen.at(*head, 0.62, rng.uniform(-50, -15))
    own.oval(0, 0.62, 0.62, 0.14, glow)
    own.fill(
        np.concatenate([arc(0, -0.05, 0.25, 0.22, 180, 360, 14), arc(0, 0.6, 0.64, 0.12, 0, 180, 14)]),
        style.second,
    )
    own.oval(0, 0.63, 0.54, 0.09, glow)
    return Spot(-0.2, 0.82, 0.085, 0.0, style.body)


def draw_book(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    """A book: closed with spine and pages, or open."""
    if rng.random() < 0.25:
        return _draw_open_book(pen, style, rng)
    wide, thick = rng.uniform(0.56, 0.7), rng.uniform(0.06, 0.2)
    pen.fill(
        [
            (-wide + thick, -0.86 - thick * 0.6),
            (wide + thick, -0.86 - thick * 0.6),
            (wide + thick, 0.86 - thick * 0.6),
            (wide, 0.86),
            (-wide, 0.86),
        ],
        darker(style.body, 0.35),
    )
    pen.fill(
        [
            (wide, -0.84),
            (wide + thick * 0.9, -0.84 - thick * 0.55),
            (wide + thick * 0.9, 0.82 - thick * 0.6),
            (wide, 0.84),
        ],
        PAPER,
    )
    pen.fill(
        [
            (-wide + 0.03, -0.86),
            (-wide + thick, -0.86 - thick * 0.5),
            (wide + thick * 0.9, -0.86 - thick * 0.5),
            (wide, -0.86),
        ],
        darker(PAPER, 0.1),
    )
    for t in (0.3, 0.6):
        pen.line(
            [(wide + thick * t, -0.84 - thick * 0.5 * t), (wide + thick * t, 0.8 - thick * 0.5 * t)],
            darker(PAPER, 0.25),
            0.01,
        )
    pen.fill(box(-wide, -0.86, wide, 0.86), style.body)
    pen.fill(box(-wide, -0.86, -wide + 0.12, 0.86), darker(style.body, 0.2))
    if rng.random() < 0.5:
        pen.fill(box(-wide + 0.12, 0.3, wide, rng.uniform(0.5, 0.86)), style.second)
    ink = lighter(style.accent, 0.8) if sum(style.body) < 360 else darker(style.accent, 0.6)
    for k, share in enumerate(rng.uniform(0.3, 0.85, size=int(rng.integers(1, 4)))):
        y = -0.66 + 0.17 * k
        pen.fill(box(0.06 - 0.48 * share, y, 0.06 + 0.48 * share, y + 0.09), ink)
    return Spot(0.06, 0.08, 0.24, 0.0, style.body)


def _draw_open_book(pen: Pen, style: Style, rng: np.random.Generator) -> Spot:
    pen.fill(box(-1.0, -0.6, 1.0, 0.66, 0.04), style.body)
    for side in (-1, 1):
        page = [
            (0, -0.52),
            (side * 0.5, -0.62),
            (side * 0.95, -0.54),
            (side * 0.95, 0.56),
            (side * 0.5, 0.5),
            (0, 0.62),
        ]
        pen.fill(page, PAPER if side > 0 else darker(PAPER, 0.05))
        for y in np.arange(-0.42, 0.42 if side > 0 else 0.1, 0.1):
            pen.line(
                [(side * 0.12, y + 0.02), (side * rng.uniform(0.55, 0.86), y - 0.03)], (120, 116, 112), 0.022
            )
    pen.line([(0, -0.52), (0, 0.62)], darker(PAPER, 0.4), 0.03)
    return Spot(-0.5, 0.32, 0.16, 0.0, PAPER)
