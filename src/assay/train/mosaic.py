"""Mosaic: four pictures around one point, so that a step sees four places and sizes at once (Bochkovskiy et al. 2020,
"YOLOv4", section 3.3).

What differs: the point where they meet is drawn from the middle of the square, and each picture is scaled and cut for
its own field at once, in place of a mosaic twice as large that is cut afterwards. Each pixel is resampled once, and
no picture is lost to the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.errors import ConfigError
from assay.preprocess import letterbox
from assay.train.scene import PAD_LEVEL, Least, Place, Scene, joined, placed

if TYPE_CHECKING:
    from numpy.random import Generator

MEETING = (0.3, 0.7)
"""Where the four pictures meet, as a share of the side, on both axes."""


def mosaic(
    scenes: Sequence[Scene],
    side: int,
    rng: Generator,
    *,
    scale: tuple[float, float] = (0.4, 1.0),
    least: Least = Least(),  # noqa: B008 - frozen
    pad: int = PAD_LEVEL,
) -> Scene:
    """Four scenes as one square.

    Parameters
    ----------
    scenes : upper left, upper right, lower left, lower right.
    side : of the square in px, at least 8.
    scale : least and greatest size of a picture; 1 is that at which it would fit into the whole square.
    least : what must be left of a thing. pad : grey level around the pictures.

    Raises
    ------
    ConfigError : not four scenes, or a side below 8.
    """
    if len(scenes) != 4 or side < 8:
        raise ConfigError(
            "a mosaic has four pictures and a side of at least 8", got=f"{len(scenes)}, {side} px"
        )
    y, x = (round(side * rng.uniform(*MEETING)) for _ in range(2))
    corners = ((0, 0), (0, x), (y, 0), (y, x))
    fields = ((y, x), (y, side - x), (side - y, x), (side - y, side - x))
    tiles = []
    for scene, field in zip(scenes, fields, strict=True):
        place = drawn_place(scene.size_hw, field, side, rng.uniform(*scale), 1.0, rng)
        tiles.append((placed(scene, place, least, pad), place))
    return joined(tiles, corners, (side, side))


def drawn_place(
    size_hw: tuple[int, int],
    canvas_hw: tuple[int, int],
    side: int,
    scale: float,
    spread: float,
    rng: Generator,
    towards_yx: tuple[float, float] | None = None,
) -> Place:
    """A place for a picture of ``size_hw`` on a canvas.

    At ``scale`` 1 it fits into a square of ``side``, as evaluation's letterbox fits it. Where it is smaller than the
    canvas it lies anywhere on it; where it is larger any part is seen. ``spread`` 0 is the middle, 1 all the room
    there is. ``towards_yx``: a point of the picture that shall be seen, in the middle as far as the picture reaches.
    """
    height, width = size_hw
    _, _, fitted_w, fitted_h = letterbox((width, height), side)
    h, w = (fitted_h, fitted_w) if scale == 1 else (max(1, round(n * scale)) for n in (fitted_h, fitted_w))
    offsets = []
    for axis, (length, canvas) in enumerate(((h, canvas_hw[0]), (w, canvas_hw[1]))):
        room = canvas - length
        offset = room // 2 + (round(spread * rng.uniform(-0.5, 0.5) * room) if spread else 0)
        if towards_yx is not None and room < 0:
            offset = round(canvas / 2 - towards_yx[axis] * length / size_hw[axis])
        offsets.append(min(max(offset, min(0, room)), max(0, room)))
    return Place((h, w), (offsets[0], offsets[1]), canvas_hw)
