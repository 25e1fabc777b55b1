"""What lies about and what gets in the way: clutter beside a product, and occluders in front of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.data.shop.canvas import CLEAR, Colour, Pen, arc, box, darker, lighter, smooth
from assay.data.shop.sellers import hsv, surface_colour

SKIN: tuple[Colour, ...] = ((241, 205, 178), (224, 172, 138), (188, 130, 94), (138, 88, 60), (96, 60, 42))


def _coin(pen: Pen, rng: np.random.Generator) -> None:
    metal = ((200, 160, 84), (182, 184, 190), (176, 112, 74))[int(rng.integers(3))]
    pen.oval(0, 0, 0.5, 0.5, darker(metal, 0.2))
    pen.oval(-0.02, -0.02, 0.42, 0.42, metal)
    pen.line(arc(0, 0, 0.25, 0.25, 30, 250), darker(metal, 0.3), 0.08)


def _pencil(pen: Pen, rng: np.random.Generator) -> None:
    coat = hsv(rng.random(), 0.8, 0.85)
    pen.fill(box(-0.95, -0.07, 0.65, 0.07), coat)
    pen.fill(box(-0.95, -0.02, 0.65, 0.02), lighter(coat, 0.3))
    pen.fill([(0.65, -0.07), (0.95, 0), (0.65, 0.07)], (226, 190, 148))
    pen.fill([(0.86, -0.02), (0.95, 0), (0.86, 0.02)], (44, 42, 46))
    pen.fill(box(-1.05, -0.075, -0.9, 0.075), (222, 140, 150))


def _leaf(pen: Pen, rng: np.random.Generator) -> None:
    green = hsv(rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.7))
    pen.blob(
        [(-0.9, 0.0), (-0.3, -0.34), (0.4, -0.28), (0.95, 0.0), (0.95, 0.0), (0.4, 0.3), (-0.3, 0.34)], green
    )
    pen.line([(-1.1, 0), (0.85, 0)], darker(green, 0.3), 0.04)
    for x in (-0.4, 0.0, 0.4):
        for side in (-1, 1):
            pen.line([(x, 0), (x + 0.22, side * 0.2)], darker(green, 0.2), 0.025)


def _card(pen: Pen, rng: np.random.Generator) -> None:
    paper = lighter(surface_colour(rng), 0.5)
    pen.fill(box(-0.7, -0.45, 0.7, 0.45, 0.05), paper)
    for k in range(int(rng.integers(2, 5))):
        pen.fill(box(-0.55, -0.3 + 0.17 * k, rng.uniform(-0.1, 0.55), -0.22 + 0.17 * k), darker(paper, 0.6))
    if rng.random() < 0.4:
        pen.fill(box(0.2, 0.05, 0.58, 0.34), hsv(rng.random(), 0.6, 0.8))


def _cable(pen: Pen, rng: np.random.Generator) -> None:
    points = np.cumsum(rng.normal(0, 0.5, (6, 2)), axis=0)
    points = (points - points.mean(0)) / max(1.0, float(np.abs(points).max()))
    dark: Colour = (38, 38, 42) if rng.random() < 0.6 else (226, 226, 224)
    pen.line(smooth(points, closed=False), dark, 0.07)
    plug = pen.at(float(points[-1, 0]), float(points[-1, 1]), 0.2, rng.uniform(0, 360))
    plug.fill(box(-0.6, -0.35, 0.6, 0.35, 0.1), lighter(dark, 0.15))


def _plant(pen: Pen, rng: np.random.Generator) -> None:
    pot = surface_colour(rng)
    for angle in np.linspace(-150, -30, 7) + rng.normal(0, 7, 7):
        leaf = pen.at(
            np.cos(np.radians(angle)) * 0.45, np.sin(np.radians(angle)) * 0.5 + 0.15, 0.45, float(angle)
        )
        leaf.blob(
            [(-0.9, 0), (0, -0.3), (1, 0), (0, 0.3)], hsv(rng.uniform(0.25, 0.4), 0.6, rng.uniform(0.3, 0.6))
        )
    pen.fill([(-0.4, 0.2), (0.4, 0.2), (0.3, 0.9), (-0.3, 0.9)], pot)
    pen.fill(box(-0.45, 0.15, 0.45, 0.32, 0.04), lighter(pot, 0.15))


def _carton(pen: Pen, rng: np.random.Generator) -> None:
    card = (186, 142, 96) if rng.random() < 0.6 else surface_colour(rng)
    pen.fill(box(-0.7, -0.3, 0.5, 0.7), card)
    pen.fill([(-0.7, -0.3), (-0.4, -0.6), (0.8, -0.6), (0.5, -0.3)], lighter(card, 0.25))
    pen.fill([(0.5, -0.3), (0.8, -0.6), (0.8, 0.4), (0.5, 0.7)], darker(card, 0.25))
    pen.fill(box(-0.18, -0.3, 0.0, 0.7), lighter(card, 0.35))


def _ball(pen: Pen, rng: np.random.Generator) -> None:
    skin = hsv(rng.random(), rng.uniform(0.5, 0.85), rng.uniform(0.6, 0.95))
    pen.oval(0, 0, 0.55, 0.55, skin)
    pen.oval(-0.18, -0.2, 0.2, 0.16, lighter(skin, 0.4))
    if rng.random() < 0.5:
        pen.line([(0, -0.5), (0.06, -0.72)], (92, 66, 40), 0.06)


def _glasses(pen: Pen, rng: np.random.Generator) -> None:
    frame = darker(surface_colour(rng), 0.7)
    for side in (-1, 1):
        pen.oval(side * 0.45, 0, 0.38, 0.32, frame)
        pen.oval(side * 0.45, 0, 0.31, 0.25, (196, 214, 222) if rng.random() < 0.5 else CLEAR)
        pen.line([(side * 0.8, -0.1), (side * 1.05, -0.5)], frame, 0.06)
    pen.line(arc(0, 0.02, 0.12, 0.1, 180, 360, 8), frame, 0.06)


Prop = Callable[[Pen, np.random.Generator], None]
PROPS: tuple[Prop, ...] = (_coin, _pencil, _leaf, _card, _cable, _plant, _carton, _ball, _glasses)
"""Clutter; each draws one thing into a frame of -1 to 1."""


def _fingers(pen: Pen, rng: np.random.Generator) -> None:
    skin = SKIN[int(rng.integers(len(SKIN)))]
    n = int(rng.integers(1, 5))
    for k in range(n):
        tip, y = 0.1 + 0.16 * np.sin(1.0 + k), -0.3 + 0.22 * k
        pen.line([(-1.6, y + 0.12), (-0.5, y + 0.04), (tip, y)], darker(skin, 0.06 * k), 0.21)
        pen.oval(tip - 0.01, y - 0.02, 0.085, 0.06, lighter(skin, 0.35))


def _sticker(pen: Pen, rng: np.random.Generator) -> None:
    colour = ((214, 52, 48), (246, 204, 62), (40, 120, 86), (250, 250, 248))[int(rng.integers(4))]
    ink: Colour = (30, 28, 32) if sum(colour) > 480 else (250, 250, 246)
    pen.oval(0, 0, 0.42, 0.42, colour)
    for k, x in enumerate((-0.2, 0.02, 0.2)):
        pen.line([(x, -0.12), (x + 0.05 * (k - 1), 0.12)], ink, 0.07)


def _strap(pen: Pen, rng: np.random.Generator) -> None:
    colour = surface_colour(rng)
    pen.line(
        smooth([(-2.0, -0.3), (-0.6, 0.1), (0.6, -0.05), (2.0, 0.3)], closed=False),
        colour,
        rng.uniform(0.1, 0.26),
    )


def _tag(pen: Pen, rng: np.random.Generator) -> None:
    pen.line([(0, -0.9), (0.05, -0.4)], (236, 232, 224), 0.03)
    pen.fill(
        [(-0.25, -0.3), (0.05, -0.45), (0.35, -0.3), (0.35, 0.4), (-0.25, 0.4)],
        lighter(surface_colour(rng), 0.6),
    )
    for k in range(3):
        pen.fill(box(-0.15, -0.1 + 0.15 * k, rng.uniform(0.0, 0.25), -0.04 + 0.15 * k), (70, 66, 68))


OCCLUDERS: tuple[Prop, ...] = (_fingers, _sticker, _strap, _tag, _leaf)
"""Things in front of a product."""
