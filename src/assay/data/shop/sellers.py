"""Who sells in the rendered shop, and the habits that show in every picture of theirs.

A seller has a room (backdrops and their colours), a lamp (direction, strength, warmth), a camera (distance,
tilt, sharpness, noise, JPEG quality, orientation), a taste in products and a share of counterfeits. Habits leak
into pictures, so a split that tears a seller apart flatters a classifier: that is why `seller` is the group.
The number of pictures a seller has is heavy-tailed (Lomax), and new sellers go on appearing as the shop grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.data.shop.backdrops import BACKDROPS
from assay.data.shop.canvas import Colour

SHOP, NEWCOMERS = 0, 1
"""Streams of pictures: those to learn from, and new ones by sellers who never occur among them."""

_REGULARS, _TAIL = 90.0, 2.2
_ASPECTS = ((1.0, 1.0), (1.0, 1.0), (1.0, 0.75), (0.75, 1.0), (1.0, 0.8))


@dataclass(frozen=True)
class Seller:
    """One seller's habits.

    ``light`` is the direction that light comes from (unit vector, x right, y down); ``gains`` multiply red,
    green and blue; ``blur`` is in shares of the picture's side; ``noise`` in grey levels; ``quality`` is JPEG's.
    ``taste`` are weights over kinds of product.
    """

    name: str
    backdrops: tuple[str, ...]
    wall: Colour
    floor: Colour
    light: tuple[float, float]
    contrast: float
    gains: tuple[float, float, float]
    exposure: float
    distance: float
    turn: float
    tilt: float
    blur: float
    noise: float
    quality: int
    clutter: float
    occlusion: float
    aspect: tuple[float, float]
    sideways: bool
    fakes: float
    taste: tuple[float, ...]

    def size_wh(self, size: int) -> tuple[int, int]:
        """Width and height in pixels of the upright picture whose longer side is ``size``."""
        return round(self.aspect[0] * size), round(self.aspect[1] * size)


def seller_of(seed: int, stream: int, kinds: int, rng: np.random.Generator) -> Seller:
    """Draws the seller of one picture; the same number always has the same habits."""
    number = (
        int(_REGULARS * ((1.0 - rng.random()) ** (-1.0 / _TAIL) - 1.0))
        if stream == SHOP
        else int(rng.integers(8))
    )
    name = f"seller-{number:04d}" if stream == SHOP else f"newcomer-{number:02d}"
    return _habits(name, kinds, np.random.default_rng([seed, 100 + stream, number]))


def _habits(name: str, kinds: int, rng: np.random.Generator) -> Seller:
    angle = np.radians(rng.uniform(200, 340))
    warmth, green = rng.normal(0, 0.085), rng.normal(0, 0.02)
    care = rng.random()  # 0 a hasty phone picture, 1 a studio
    names = list(BACKDROPS)
    return Seller(
        name=name,
        backdrops=tuple(
            names[int(k)] for k in rng.choice(len(names), size=1 if care > 0.5 else 2, replace=False)
        ),
        wall=surface_colour(rng),
        floor=surface_colour(rng),
        light=(float(np.cos(angle)), float(np.sin(angle))),
        contrast=rng.uniform(0.25, 0.7),
        gains=(1 + warmth, 1 + green, 1 - warmth),
        exposure=rng.normal(0.02, 0.17),
        distance=rng.uniform(0.6, 0.92),
        turn=rng.uniform(2, 16),
        tilt=rng.uniform(0.02, 0.2),
        blur=max(0.0, rng.normal(0.0022, 0.0028)) * (1.4 - care),
        noise=rng.uniform(0.5, 7.5) * (1.3 - care),
        quality=int(rng.integers(38, 70) + 26 * care),
        clutter=rng.uniform(0.0, 0.75) * (1.3 - care),
        occlusion=rng.uniform(0.05, 0.35),
        aspect=_ASPECTS[int(rng.integers(len(_ASPECTS)))],
        sideways=bool(rng.random() < 0.06),
        fakes=float(rng.beta(0.5, 0.9)),
        taste=tuple(rng.gamma(1.6, size=kinds).tolist()),
    )


def surface_colour(rng: np.random.Generator) -> Colour:
    """A colour that walls, tables and cloths have: mostly muted, sometimes bold."""
    hue, light = rng.random(), rng.uniform(0.3, 0.95)
    strength = rng.uniform(0.0, 0.2) if rng.random() < 0.7 else rng.uniform(0.25, 0.6)
    return hsv(hue, strength, light)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """HSV, all 0 to 1, to RGB."""
    wheel = np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    rgb = value * (1 - saturation + saturation * np.clip(wheel, 0, 1)) * 255
    return int(rgb[0]), int(rgb[1]), int(rgb[2])
