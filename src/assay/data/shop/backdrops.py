"""What lies behind a product: studio sweep, table, planks, cloth, marble, tiles, carpet, lawn, lights.

Each backdrop paints a whole picture (H, W, 3) float32, 0 to 255, from two colours and a generator. Fine grain is
made at a few pixels and enlarged, so a backdrop costs a millisecond at 192 px.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from assay.data.shop.canvas import Colour, Floats, darker, lighter, mix


def clouds(size_wh: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> Floats:
    """(H, W) smooth noise of mean 0 and deviation about 1; ``cells`` across and down say how fine it is."""
    w, h = size_wh
    grid = rng.standard_normal((max(2, cells[1]), max(2, cells[0]))).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((w, h), Image.Resampling.BICUBIC), dtype=np.float32)


def _plain(size_wh: tuple[int, int], colour: Colour) -> Floats:
    return np.broadcast_to(np.array(colour, np.float32), (size_wh[1], size_wh[0], 3)).copy()


def _rows(size_wh: tuple[int, int]) -> Floats:
    return np.linspace(0, 1, size_wh[1], dtype=np.float32)[:, None]


def _toned(base: Floats, tone: Floats) -> Floats:
    """Brightens and darkens by ``tone`` (H, W) in shares."""
    return base * (1 + tone)[..., None]


def studio(size_wh: tuple[int, int], wall: Colour, _floor: Colour, rng: np.random.Generator) -> Floats:
    """A paper sweep, nearly even, a little darker at the top."""
    wall = lighter(wall, rng.uniform(0.3, 0.9))
    return _toned(_plain(size_wh, wall), 0.1 * (_rows(size_wh) - 0.6) + 0.006 * clouds(size_wh, (3, 3), rng))


def table(size_wh: tuple[int, int], wall: Colour, floor: Colour, rng: np.random.Generator) -> Floats:
    """A wall, and the table in front of it; the edge is soft because it is out of focus."""
    edge, soft = rng.uniform(0.35, 0.75), rng.uniform(0.004, 0.05)
    share = 0.5 + 0.5 * np.tanh((_rows(size_wh) - edge) / (2 * soft))
    both = _plain(size_wh, wall) * (1 - share)[..., None] + _plain(size_wh, floor) * share[..., None]
    grain = clouds(size_wh, (5, 60), rng) * share * 0.03 + clouds(size_wh, (4, 4), rng) * 0.02
    return _toned(both, grain)


def planks(size_wh: tuple[int, int], _wall: Colour, floor: Colour, rng: np.random.Generator) -> Floats:
    """Wooden boards with grain and gaps, along or across."""
    w, h = size_wh
    across = rng.random() < 0.5
    long_wh = (h, w) if across else (w, h)
    wood = mix(floor, (164, 116, 72), rng.uniform(0.35, 0.95))
    boards = int(rng.integers(3, 9))
    which = np.minimum((np.arange(long_wh[1]) * boards) // long_wh[1], boards - 1)
    tone = (
        rng.normal(0, 0.09, boards)[which][:, None]
        + clouds(long_wh, (4, 90), rng) * 0.05
        + clouds(long_wh, (9, 25), rng) * 0.04
    )
    gap = np.flatnonzero(np.diff(which, prepend=0))
    tone[gap] = -0.45
    image = _toned(_plain(long_wh, wood), tone.astype(np.float32))
    return image.transpose(1, 0, 2) if across else image


def cloth(size_wh: tuple[int, int], wall: Colour, _floor: Colour, rng: np.random.Generator) -> Floats:
    """A bed sheet or a blanket: creases and a fine weave; sometimes stripes or checks."""
    w, h = size_wh
    creases = clouds(size_wh, (int(rng.integers(3, 7)), int(rng.integers(3, 9))), rng)
    image = _plain(size_wh, wall)
    if rng.random() < 0.45:
        period = rng.uniform(0.06, 0.2) * w
        stripes = ((np.arange(w)[None, :] + 3 * creases) % period < period * rng.uniform(0.2, 0.6)).astype(
            np.float32
        )
        if rng.random() < 0.5:
            stripes = 0.5 * (stripes + ((np.arange(h)[:, None] + 3 * creases) % period < period * 0.4))
        image += stripes[..., None] * (
            np.array(lighter(wall, 0.55) if sum(wall) < 420 else darker(wall, 0.35), np.float32) - image
        )
    return _toned(
        image, 0.22 * np.gradient(creases, axis=1) * w / 24 + 0.02 * clouds(size_wh, (w // 2, h // 2), rng)
    )


def marble(size_wh: tuple[int, int], wall: Colour, _floor: Colour, rng: np.random.Generator) -> Floats:
    """A stone top with veins."""
    warp = clouds(size_wh, (4, 4), rng) + 0.4 * clouds(size_wh, (10, 10), rng)
    veins = np.exp(-np.abs(warp) * 14) + 0.6 * np.exp(-np.abs(warp + clouds(size_wh, (3, 3), rng)) * 22)
    veins *= np.clip(0.5 + 0.6 * clouds(size_wh, (4, 4), rng), 0, 1)
    stone = lighter(wall, 0.6) if rng.random() < 0.7 else darker(wall, 0.7)
    image = _plain(size_wh, stone)
    image += (veins * 0.5)[..., None] * (np.array((128, 126, 124), np.float32) - image)
    return image + 3 * clouds(size_wh, (8, 8), rng)[..., None]


def tiles(size_wh: tuple[int, int], wall: Colour, floor: Colour, rng: np.random.Generator) -> Floats:
    """Floor tiles with grout; sometimes two colours."""
    w, h = size_wh
    side = rng.uniform(0.14, 0.36) * w
    x, y = np.meshgrid(np.arange(w) + rng.uniform(0, side), np.arange(h) + rng.uniform(0, side))
    column, row = (x // side).astype(int), (y // side).astype(int)
    other = ((column + row) % 2 == 1) & (rng.random() < 0.4)
    image = np.where(other[..., None], np.array(lighter(wall, 0.4), np.float32), np.array(floor, np.float32))
    tone = rng.normal(0, 0.035, (row.max() + 1, column.max() + 1))[row, column] + 0.02 * clouds(
        size_wh, (20, 20), rng
    )
    grout = (x % side < max(1.0, side * 0.05)) | (y % side < max(1.0, side * 0.05))
    return np.where(grout[..., None], np.float32(150), _toned(image.astype(np.float32), tone)).astype(
        np.float32
    )


def carpet(size_wh: tuple[int, int], _wall: Colour, floor: Colour, rng: np.random.Generator) -> Floats:
    """Pile: coarse specks of light and dark."""
    w, h = size_wh
    specks = clouds(size_wh, (w // 2, h // 2), rng) * rng.uniform(0.07, 0.16)
    return _toned(_plain(size_wh, floor), specks + 0.05 * clouds(size_wh, (6, 6), rng))


def lawn(size_wh: tuple[int, int], _wall: Colour, floor: Colour, rng: np.random.Generator) -> Floats:
    """Grass, gravel or fallen leaves, out of doors."""
    w, h = size_wh
    ground = mix(floor, ((84, 118, 52), (136, 128, 116), (150, 104, 60))[int(rng.integers(3))], 0.75)
    image = Image.new("RGB", size_wh, ground)
    draw = ImageDraw.Draw(image)
    n = 260
    at = rng.random((n, 2)) * (w, h)
    lean = rng.normal(0, 0.02, (n, 2)) * w - (0, 0.03 * h)
    for (x, y), (dx, dy), t in zip(at.tolist(), lean.tolist(), rng.random(n).tolist(), strict=True):
        draw.line(
            (x, y, x + dx, y + dy),
            fill=mix(darker(ground, 0.4), lighter(ground, 0.35), t),
            width=max(1, w // 90),
        )
    return _toned(np.asarray(image, np.float32), 0.08 * clouds(size_wh, (w // 3, h // 3), rng))


def lights(size_wh: tuple[int, int], wall: Colour, floor: Colour, rng: np.random.Generator) -> Floats:
    """A room far out of focus: discs of light over dark shapes."""
    w, h = size_wh
    image = Image.new("RGB", size_wh, darker(wall, rng.uniform(0.3, 0.7)))
    draw = ImageDraw.Draw(image)
    for _ in range(16):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h * 0.8), rng.uniform(0.02, 0.12) * w
        colour = mix(wall if rng.random() < 0.5 else floor, (255, 226, 170), rng.uniform(0, 0.8))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)
    draw.rectangle((0, h * rng.uniform(0.6, 0.85), w, h), fill=darker(floor, 0.35))
    return np.asarray(
        image.filter(ImageFilter.GaussianBlur(w * rng.uniform(0.012, 0.035))), np.float32
    ).copy()


Backdrop = Callable[[tuple[int, int], Colour, Colour, np.random.Generator], Floats]

BACKDROPS: dict[str, Backdrop] = {
    "studio": studio,
    "table": table,
    "planks": planks,
    "cloth": cloth,
    "marble": marble,
    "tiles": tiles,
    "carpet": carpet,
    "lawn": lawn,
    "lights": lights,
}
"""Name -> function(size_wh, wall colour, floor colour, rng) -> (H, W, 3) float32."""
