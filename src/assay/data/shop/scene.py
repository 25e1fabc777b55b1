"""One picture of the rendered shop, from its number alone: who took it, what it shows, and where exactly.

Picture ``i`` depends on (seed, stream, i, size) and nothing else, so pictures can be rendered in any order, by any
number of processes, and a shop of 100 pictures is the beginning of a shop of 1000.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from assay.data.shop.backdrops import BACKDROPS
from assay.data.shop.camera import develop, encode
from assay.data.shop.canvas import (
    SUPERSAMPLE,
    Colour,
    Floats,
    Pen,
    affine,
    blank,
    darker,
    lighter,
    luminance,
    mix,
    viewpoint,
)
from assay.data.shop.elsewhere import ELSEWHERE
from assay.data.shop.household import draw_backpack, draw_bag, draw_book, draw_bottle, draw_lamp, draw_mug
from assay.data.shop.logos import FAULTS, MARKS, draw_mark, spoil
from assay.data.shop.props import OCCLUDERS, PROPS
from assay.data.shop.sellers import Seller, hsv, seller_of, surface_colour
from assay.data.shop.stage import Instance, Stage
from assay.data.shop.wearables import (
    Spot,
    Style,
    draw_cap,
    draw_headphones,
    draw_shirt,
    draw_shoe,
    draw_watch,
)

if TYPE_CHECKING:
    pass

PRODUCTS: dict[str, Callable[[Pen, Style, np.random.Generator], Spot]] = {
    "backpack": draw_backpack,
    "bag": draw_bag,
    "book": draw_book,
    "bottle": draw_bottle,
    "cap": draw_cap,
    "headphones": draw_headphones,
    "lamp": draw_lamp,
    "mug": draw_mug,
    "shoe": draw_shoe,
    "t-shirt": draw_shirt,
    "watch": draw_watch,
}
"""Kind -> function(pen, style, rng) that draws one product and returns the place of its brand mark."""

NON_PRODUCT = "non-product"
KINDS = (*PRODUCTS, NON_PRODUCT)

_NON_PRODUCTS, _STILL_LIFES, _PAIRS, _BRANDED = 0.14, 0.25, 0.12, 0.8


@dataclass(frozen=True)
class Picture:
    """A rendered picture as JPEG bytes, and all that is known of it. ``size_wh`` is that of the upright picture."""

    jpeg: bytes
    label: str
    seller: str
    genuine: str
    brand: str
    fault: str
    size_wh: tuple[int, int]
    instances: tuple[Instance, ...]


def render_picture(seed: int, stream: int, i: int, size: int) -> Picture:
    """Picture ``i`` of a stream (SHOP or NEWCOMERS); its longer side is ``size`` pixels."""
    rng = np.random.default_rng([seed, stream, i])
    seller = seller_of(seed, stream, len(PRODUCTS), rng)
    size_wh = seller.size_wh(size)
    if rng.random() < _NON_PRODUCTS:
        scene = _non_product(size_wh, seller, rng)
        return _finish(scene, (), NON_PRODUCT, seller, ("none", "none", "none"), rng)
    taste = np.array(seller.taste)
    kind = str(rng.choice(list(PRODUCTS), p=taste / taste.sum()))
    stage = Stage(_backdrop(size_wh, seller, rng), size_wh)
    _scatter(stage, seller, rng, rng.poisson(2.2 * seller.clutter))
    brand = _choose_brand(seller, rng)
    _put_products(stage, kind, brand, seller, rng)
    if rng.random() < seller.occlusion:
        _occlude(stage, seller, rng)
    return _finish(stage.pixels, stage.instances(brand[0]), kind, seller, brand, rng)


def _finish(
    scene: Floats, instances: tuple[Instance, ...], label: str, seller: Seller,
    brand: tuple[str, str, str], rng: np.random.Generator,
) -> Picture:  # fmt: skip
    image = develop(scene, seller, rng)
    genuine, name, fault = brand
    if label != NON_PRODUCT and not any(x.category == "mark" for x in instances):
        genuine, name, fault = "none", "none", "none"  # the mark is hidden: nobody could tell
    return Picture(encode(image, seller), label, seller.name, genuine, name, fault, image.size, instances)


def _choose_brand(seller: Seller, rng: np.random.Generator) -> tuple[str, str, str]:
    """(genuine | suspect | none, brand, fault)."""
    if rng.random() >= _BRANDED:
        return "none", "none", "none"
    brand = str(rng.choice(list(MARKS)))
    if rng.random() < seller.fakes:
        return "suspect", brand, str(rng.choice(FAULTS))
    return "genuine", brand, "none"


def _backdrop(size_wh: tuple[int, int], seller: Seller, rng: np.random.Generator) -> Floats:
    name = seller.backdrops[int(rng.integers(len(seller.backdrops)))]
    return BACKDROPS[name](size_wh, seller.wall, seller.floor, rng).astype(np.float32)


def _scatter(stage: Stage, seller: Seller, rng: np.random.Generator, n: int) -> None:
    """Clutter: near the rim, where a product in the middle leaves some of it in sight."""
    if n == 0:
        return
    layer = blank(stage.size_wh)
    for _ in range(n):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.55)
        matrix = viewpoint(
            stage.size_wh,
            0.5 + r * np.cos(a),
            0.5 + r * np.sin(a),
            rng.uniform(0.16, 0.36),
            rng.uniform(0, 360),
            (0, 0),
            1.0,
        )
        PROPS[int(rng.integers(len(PROPS)))](Pen(layer, matrix), rng)
    stage.put(layer, seller, rng, 0.02)


def _put_products(
    stage: Stage, kind: str, brand: tuple[str, str, str], seller: Seller, rng: np.random.Generator
) -> None:
    """One product, or a pair of the very same."""
    shape, pair = int(rng.integers(2**32)), rng.random() < _PAIRS
    flip = -1.0 if rng.random() < 0.5 else 1.0
    for x, y, share in [(0.34, 0.46, 0.74), (0.64, 0.55, 0.74)] if pair else [(0.5, 0.5, 1.0)]:
        scale = float(np.clip(rng.normal(seller.distance, 0.1), 0.45, 1.05)) * share
        at = (x + rng.normal(0, 0.035), y + rng.normal(0, 0.035))
        tilt = rng.normal(0, seller.tilt, 2)
        turn = rng.normal(0, seller.turn) + (rng.uniform(-180, 180) if rng.random() < 0.06 else 0)
        matrix = viewpoint(stage.size_wh, *at, scale, turn, (tilt[0], tilt[1]), rng.uniform(0.84, 1.1))
        layer, ink = blank(stage.size_wh), blank(stage.size_wh)
        _draw_product(Pen(layer, matrix), ink, kind, brand, flip, np.random.default_rng(shape))
        stage.put(layer, seller, rng, rng.uniform(0.02, 0.07), kind)
        if brand[0] != "none":
            stage.note("mark", ink)


def _draw_product(
    pen: Pen, ink: Image.Image, kind: str, brand: tuple[str, str, str], flip: float, rng: np.random.Generator
) -> None:
    """Draws a product and its mark, the mark also on ``ink`` alone.

    A product may face left; its mark is never flipped with it, as only a counterfeit's is mirrored.
    """
    style = _style(rng)
    spot = PRODUCTS[kind](pen.at(0, 0, stretch=flip), style, rng)
    if brand[0] == "none":
        return
    mark = MARKS[brand[1]]
    mark = spoil(mark, brand[2], rng) if brand[0] == "suspect" else mark
    colour = _ink(spot.beneath, style, rng)
    own = pen.at(spot.x * flip, spot.y, spot.half, spot.angle * flip)
    draw_mark(own, mark, colour)
    draw_mark(Pen(ink, own.matrix), mark, colour)


def _ink(beneath: Colour, style: Style, rng: np.random.Generator) -> Colour:
    """A colour for the mark that stands out from what is beneath it."""
    light = luminance(beneath) < 128
    plain: Colour = (250, 249, 244) if light else (26, 24, 30)
    tinted = lighter(style.accent, 0.7) if light else darker(style.accent, 0.65)
    return plain if rng.random() < 0.6 else tinted


def _style(rng: np.random.Generator) -> Style:
    return Style(_fabric(rng), _fabric(rng), hsv(rng.random(), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.95)))


def _fabric(rng: np.random.Generator) -> Colour:
    """Colours that goods have: black, white, grey, navy, earth, or anything."""
    if rng.random() < 0.45:
        basics = (
            (32, 32, 36),
            (236, 234, 228),
            (128, 130, 134),
            (38, 50, 92),
            (122, 82, 54),
            (196, 172, 136),
            (156, 36, 42),
        )
        return mix(basics[int(rng.integers(len(basics)))], surface_colour(rng), 0.12)
    return hsv(rng.random(), rng.uniform(0.25, 0.9), rng.uniform(0.3, 0.95))


def _occlude(stage: Stage, seller: Seller, rng: np.random.Generator) -> None:
    """Something in front of the product, reaching in from a side."""
    layer = blank(stage.size_wh)
    a = rng.uniform(0, 2 * np.pi)
    at = (0.5 + 0.24 * np.cos(a), 0.5 + 0.24 * np.sin(a))
    turn = float(np.degrees(a)) + 180 + rng.normal(0, 20)
    matrix = viewpoint(stage.size_wh, *at, rng.uniform(0.28, 0.5), turn, (0, 0), 1.0)
    OCCLUDERS[int(rng.integers(len(OCCLUDERS)))](Pen(layer, matrix), rng)
    stage.put(layer, seller, rng, 0.03)


def _non_product(size_wh: tuple[int, int], seller: Seller, rng: np.random.Generator) -> Floats:
    """A picture without any product: a scene from elsewhere, or the seller's table with clutter, or bare."""
    if rng.random() < _STILL_LIFES:
        stage = Stage(_backdrop(size_wh, seller, rng), size_wh)
        for _ in range(int(rng.integers(0, 4))):
            layer = blank(size_wh)
            x, y = rng.uniform(0.25, 0.75, 2)
            matrix = viewpoint(size_wh, x, y, rng.uniform(0.3, 0.75), rng.uniform(-40, 40), (0, 0), 1.0)
            PROPS[int(rng.integers(len(PROPS)))](Pen(layer, matrix), rng)
            stage.put(layer, seller, rng, 0.03)
        return stage.pixels
    layer = blank(size_wh)
    w, h = layer.size
    names = list(ELSEWHERE)
    pen = Pen(layer, affine(w / 2, h / 2, max(w, h) / 2))
    ELSEWHERE[names[int(rng.integers(len(names)))]](pen, rng)
    return np.asarray(layer.convert("RGB").reduce(SUPERSAMPLE), dtype=np.float32)
