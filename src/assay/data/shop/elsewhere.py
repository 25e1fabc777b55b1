"""Pictures that show no product: what sellers upload by mistake, for fun, or to fill a page.

Each paints a whole picture on a canvas of its own: landscape, face, page of text, cat, screenshot, plate, street.
Plain textures and still lifes of clutter come from the backdrops and props.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.data.shop.canvas import Colour, Pen, arc, box, darker, lighter, mix, smooth
from assay.data.shop.props import SKIN
from assay.data.shop.sellers import hsv, surface_colour


def _sky(pen: Pen, top: Colour, low: Colour) -> None:
    for y in np.linspace(-2, 2, 41):
        pen.fill(box(-2, y, 2, y + 0.11), mix(top, low, float(np.clip((y + 1) / 1.4, 0, 1))))


def landscape(pen: Pen, rng: np.random.Generator) -> None:
    """Hills or sea under a sky, with sun and trees."""
    evening = rng.random() < 0.35
    top, low = ((52, 58, 110), (246, 168, 104)) if evening else ((84, 148, 214), (214, 232, 244))
    _sky(pen, top, low)
    pen.oval(rng.uniform(-0.8, 0.8), rng.uniform(-0.7, -0.2), 0.13, 0.13, (255, 238, 190))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-1, 1), rng.uniform(-0.9, -0.3)
        for dx in (-0.15, 0, 0.16):
            pen.oval(x + dx, y, 0.17, 0.07 + 0.03 * (dx == 0), lighter(low, 0.5))
    hue = rng.uniform(0.2, 0.42)
    for k in range(4):
        y = -0.1 + 0.24 * k
        ridge = [(x, y + rng.normal(0, 0.12 - 0.02 * k)) for x in np.linspace(-2, 2, 9)]
        hill = mix(low, hsv(hue + 0.02 * k, 0.5, 0.5 - 0.08 * k), 0.35 + 0.2 * k)
        pen.fill(np.concatenate([smooth(ridge, closed=False), [(2, 2), (-2, 2)]]), hill)
    if rng.random() < 0.4:
        pen.fill(box(-2, rng.uniform(0.3, 0.6), 2, 2), mix(top, (40, 92, 128), 0.5))
    for _ in range(int(rng.integers(0, 9))):
        tree = pen.at(rng.uniform(-1, 1), rng.uniform(0.3, 0.8), rng.uniform(0.12, 0.3))
        tree.line([(0, 0.5), (0, -0.2)], (74, 52, 36), 0.16)
        tree.blob(
            [(-0.6, 0), (-0.3, -0.7), (0, -1.2), (0.3, -0.7), (0.6, 0)], hsv(hue, 0.6, rng.uniform(0.2, 0.42))
        )


def face(pen: Pen, rng: np.random.Generator) -> None:
    """A person from the front, as a flat cartoon."""
    wall, skin = surface_colour(rng), SKIN[int(rng.integers(len(SKIN)))]
    hair = ((36, 28, 26), (86, 56, 36), (198, 158, 92), (150, 146, 144), (142, 62, 34))[int(rng.integers(5))]
    pen.fill(box(-2, -2, 2, 2), wall)
    own = pen.at(rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.2), rng.uniform(0.7, 1.0), rng.uniform(-8, 8))
    if rng.random() < 0.5:
        own.blob([(-0.62, 0.7), (-0.66, -0.4), (0, -0.95), (0.66, -0.4), (0.62, 0.7)], darker(hair, 0.15))
    own.blob(
        [(-1.1, 1.6), (-0.8, 0.82), (-0.2, 0.66), (0.2, 0.66), (0.8, 0.82), (1.1, 1.6)],
        hsv(rng.random(), 0.5, 0.7),
    )
    own.fill(box(-0.18, 0.3, 0.18, 0.78, 0.1), darker(skin, 0.15))
    own.blob([(-0.48, -0.2), (-0.4, 0.28), (0, 0.58), (0.4, 0.28), (0.48, -0.2), (0, -0.72)], skin)
    own.blob(
        [(-0.54, -0.06), (-0.5, -0.5), (0, -0.88), (0.5, -0.5), (0.54, -0.06), (0.34, -0.42), (-0.2, -0.5)],
        hair,
    )
    for side in (-1, 1):
        own.oval(side * 0.2, -0.08, 0.09, 0.055, (252, 250, 246))
        own.oval(side * 0.2, -0.08, 0.045, 0.05, (54, 42, 36))
        own.line(arc(side * 0.2, -0.16, 0.13, 0.07, 210, 330, 8), darker(hair, 0.2), 0.035)
        own.oval(side * 0.28, 0.14, 0.1, 0.06, mix(skin, (226, 108, 96), 0.25))
    own.line(smooth([(0.0, -0.05), (0.06, 0.12), (-0.02, 0.14)], closed=False), darker(skin, 0.3), 0.03)
    own.line(arc(0, 0.22, 0.17, 0.12, 20, 160, 10), (168, 62, 62), 0.05)


def page(pen: Pen, rng: np.random.Generator) -> None:
    """A page of text, perhaps with a figure, lying on something."""
    pen.fill(box(-2, -2, 2, 2), surface_colour(rng))
    own = pen.at(0, 0, rng.uniform(0.8, 1.25), rng.uniform(-10, 10))
    paper = mix((252, 251, 247), (236, 222, 190), rng.uniform(0, 0.8))
    own.fill(box(-0.76, -1.02, 0.78, 1.04), darker(paper, 0.35))
    own.fill(box(-0.78, -1.04, 0.76, 1.02), paper)
    ink, step = (44, 42, 48), rng.uniform(0.07, 0.11)
    own.fill(box(-0.6, -0.88, rng.uniform(-0.1, 0.5), -0.8), ink)
    figure = rng.uniform(-0.6, 0.4) if rng.random() < 0.4 else 9.0
    for y in np.arange(-0.68, 0.9, step):
        if figure < y < figure + 0.42:
            continue
        x, end = -0.62, 0.6 if rng.random() < 0.8 else rng.uniform(-0.3, 0.4)
        while x < end:
            word = rng.uniform(0.05, 0.2)
            own.fill(box(x, y, min(x + word, 0.6), y + step * 0.42), lighter(ink, 0.25))
            x += word + 0.035
    if figure < 9:
        own.fill(box(-0.5, figure + 0.05, 0.48, figure + 0.4), hsv(rng.random(), 0.3, 0.8))


def cat(pen: Pen, rng: np.random.Generator) -> None:
    """A cat sitting on a floor."""
    coat = ((58, 54, 56), (222, 150, 84), (168, 160, 154), (236, 228, 214), (122, 96, 74))[
        int(rng.integers(5))
    ]
    pen.fill(box(-2, -2, 2, 2), surface_colour(rng))
    pen.fill(box(-2, rng.uniform(0.3, 0.7), 2, 2), surface_colour(rng))
    own = pen.at(
        rng.uniform(-0.2, 0.2), 0.08, rng.uniform(0.75, 0.98), rng.uniform(-6, 6), rng.choice((-1.0, 1.0))
    )
    own.line(
        smooth([(0.4, 0.8), (0.9, 0.75), (0.95, 0.3), (0.78, 0.05)], closed=False), darker(coat, 0.1), 0.16
    )
    own.blob([(-0.5, 0.92), (-0.42, 0.3), (-0.22, -0.1), (0.22, -0.1), (0.5, 0.3), (0.62, 0.92)], coat)
    own.blob([(-0.22, 0.9), (-0.2, 0.35), (0, 0.2), (0.2, 0.35), (0.22, 0.9)], lighter(coat, 0.3))
    for side in (-1, 1):
        own.fill([(side * 0.46, -0.3), (side * 0.44, -0.98), (side * 0.08, -0.66)], coat)
        own.fill([(side * 0.4, -0.46), (side * 0.39, -0.84), (side * 0.18, -0.66)], (226, 158, 150))
    own.blob([(-0.48, -0.35), (-0.34, 0.0), (0, 0.1), (0.34, 0.0), (0.48, -0.35), (0, -0.74)], coat)
    for side in (-1, 1):
        own.oval(side * 0.2, -0.34, 0.1, 0.09, (196, 204, 92))
        own.oval(side * 0.2, -0.34, 0.03, 0.085, (20, 20, 22))
        for dy in (-0.05, 0.03):
            own.line([(side * 0.14, -0.1), (side * 0.62, -0.1 + dy * 2.4)], lighter(coat, 0.7), 0.012)
        for x in (0.1, 0.32) if sum(coat) > 250 else ():
            own.line([(side * (x + 0.2), 0.3 + x), (side * (x + 0.05), 0.36 + x)], darker(coat, 0.4), 0.05)
    own.fill([(-0.05, -0.18), (0.05, -0.18), (0, -0.11)], (206, 120, 116))


def screenshot(pen: Pen, rng: np.random.Generator) -> None:
    """A chat or a list of items on a telephone."""
    dark = rng.random() < 0.4
    ground: Colour = (30, 32, 38) if dark else (244, 246, 249)
    accent = hsv(rng.random(), 0.65, 0.8)
    text = mix(ground, (250, 250, 250) if dark else (30, 30, 36), 0.6)
    pen.fill(box(-2, -2, 2, 2), ground)
    pen.fill(box(-2, -2, 2, -0.78), accent)
    pen.fill(box(-0.75, -0.92, rng.uniform(-0.2, 0.2), -0.86), (250, 250, 250))
    chat, y = rng.random() < 0.5, -0.66
    while y < 1.2:
        high = rng.uniform(0.14, 0.34)
        mine = rng.random() < 0.5
        if chat:
            x = 0.0 if mine else -0.85
            pen.fill(box(x, y, x + 0.85, y + high, 0.08), accent if mine else mix(ground, text, 0.2))
        else:
            pen.oval(-0.72, y + 0.1, 0.09, 0.09, hsv(rng.random(), 0.5, 0.8))
            x = -0.58
        for row in np.arange(y + 0.05, y + high - 0.04, 0.085):
            pen.fill(
                box(x + 0.07, row, x + rng.uniform(0.3, 0.78), row + 0.035),
                text if not (chat and mine) else (250, 250, 250),
            )
        y += high + 0.09


def plate(pen: Pen, rng: np.random.Generator) -> None:
    """Food on a plate, from above."""
    pen.fill(box(-2, -2, 2, 2), surface_colour(rng))
    own = pen.at(rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15), rng.uniform(0.8, 1.0))
    rim = lighter(surface_colour(rng), 0.7)
    for r, colour in (
        (0.92, darker(rim, 0.12)),
        (0.89, rim),
        (0.64, darker(rim, 0.07)),
        (0.62, lighter(rim, 0.2)),
    ):
        own.oval(0, 0, r, r, colour)
    for _ in range(int(rng.integers(4, 14))):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.42)
        bite = own.at(np.cos(a) * r, np.sin(a) * r, rng.uniform(0.1, 0.28), rng.uniform(0, 360))
        colour = hsv(rng.uniform(-0.02, 0.35) % 1, rng.uniform(0.5, 0.85), rng.uniform(0.4, 0.9))
        bite.blob(
            [
                (np.cos(t) * u, np.sin(t) * u)
                for t, u in zip(np.arange(7) * 0.9, rng.uniform(0.6, 1, 7), strict=True)
            ],
            colour,
        )
        bite.oval(-0.2, -0.2, 0.3, 0.2, lighter(colour, 0.25))


def street(pen: Pen, rng: np.random.Generator) -> None:
    """Houses with windows along a road."""
    _sky(pen, (128, 170, 214), (226, 232, 236))
    x = -1.4
    while x < 1.4:
        wide, roof, wall = rng.uniform(0.3, 0.6), rng.uniform(-0.8, -0.1), surface_colour(rng)
        pen.fill(box(x, roof, x + wide, 0.62), wall)
        pen.fill(
            [(x - 0.03, roof), (x + wide / 2, roof - rng.uniform(0, 0.25)), (x + wide + 0.03, roof)],
            darker(wall, 0.5),
        )
        for wx in np.arange(x + 0.06, x + wide - 0.1, 0.15):
            for wy in np.arange(roof + 0.08, 0.4, 0.2):
                pen.fill(
                    box(wx, wy, wx + 0.08, wy + 0.11),
                    (70, 84, 100) if rng.random() < 0.7 else (250, 222, 150),
                )
        x += wide
    pen.fill(box(-2, 0.6, 2, 2), (92, 92, 96))
    for mark in np.arange(-1.3, 1.4, 0.36):
        pen.fill(box(mark, 0.86, mark + 0.18, 0.9), (232, 230, 220))


Elsewhere = Callable[[Pen, np.random.Generator], None]
ELSEWHERE: dict[str, Elsewhere] = {
    "landscape": landscape,
    "face": face,
    "page": page,
    "cat": cat,
    "screenshot": screenshot,
    "plate": plate,
    "street": street,
}
"""Name -> function(pen over the whole picture, rng)."""
