"""A vector pen for the rendered shop.

Things are drawn in a frame of their own (x right, y down, about -1 to 1), and a 3 x 3 homography carries every
point to pixels of a canvas that is twice as large as the picture. So the viewpoint costs nothing, edges come
out antialiased when the canvas is reduced, and the alpha channel of a layer is the exact mask of what is on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.floating[Any]]
"""A plane (H, W) or picture (H, W, 3); float32 where it matters for speed."""

Colour = tuple[int, int, int]
Paint = Colour | tuple[int, int, int, int]

SUPERSAMPLE = 2
"""Canvas pixels a picture pixel, on each axis."""

CLEAR = (0, 0, 0, 0)
"""A fill that cuts a hole into a layer."""


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """``a`` and ``b`` blended; ``share`` of ``b``, 0 to 1."""
    return (
        int(a[0] + (b[0] - a[0]) * share),
        int(a[1] + (b[1] - a[1]) * share),
        int(a[2] + (b[2] - a[2]) * share),
    )


def darker(colour: Colour, share: float = 0.25) -> Colour:
    """Towards black, a little warmer than plain scaling."""
    return mix(colour, (14, 10, 16), share)


def lighter(colour: Colour, share: float = 0.25) -> Colour:
    """Towards a soft white."""
    return mix(colour, (255, 253, 248), share)


def luminance(colour: Colour) -> float:
    """Rec. 601 luma, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def smooth(
    points: Sequence[tuple[float, float]] | NDArray[np.float64], *, closed: bool = True, steps: int = 7
) -> NDArray[np.float64]:
    """A Catmull-Rom curve through ``points`` (P, 2); a point given twice makes a corner. Returns (P * steps, 2)."""
    p = np.asarray(points, dtype=np.float64)
    if not closed:
        p = np.concatenate([p[:1], p, p[-1:]])
    t = np.arange(steps) / steps
    basis = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], axis=1
    )
    knots = np.stack([np.roll(p, 1, 0), p, np.roll(p, -1, 0), np.roll(p, -2, 0)], axis=1)  # P 4 2
    curve: NDArray[np.float64] = np.einsum("sk,pkd->psd", basis, knots)
    if closed:
        return curve.reshape(-1, 2)
    return np.concatenate([curve[1:-2].reshape(-1, 2), p[-1:]])


def arc(
    x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 360.0, steps: int = 28
) -> NDArray[np.float64]:
    """Points (steps, 2) on an ellipse; degrees, clockwise from the right because y points down."""
    angle = np.radians(np.linspace(start, stop, steps))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0.0) -> NDArray[np.float64]:
    """A rectangle, with round corners where ``radius`` is above 0."""
    if radius <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    corners = [(x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180), (x1 - r, y0 + r, 270)]
    return np.concatenate([arc(x, y, r, r, a, a + 90, steps=6) for x, y, a in corners])


def affine(
    x: float, y: float, scale: float = 1.0, angle: float = 0.0, stretch: float = 1.0
) -> NDArray[np.float64]:
    """A 3 x 3 matrix: stretch along x, scale, turn by ``angle`` degrees, then move to (x, y)."""
    c, s = np.cos(np.radians(angle)) * scale, np.sin(np.radians(angle)) * scale
    return np.array([(c * stretch, -s, x), (s * stretch, c, y), (0, 0, 1)], dtype=np.float64)


@dataclass(frozen=True)
class Pen:
    """Draws on one layer through one homography ``matrix`` (3, 3): own frame -> canvas pixels."""

    layer: Image.Image
    matrix: NDArray[np.float64]

    def at(self, x: float, y: float, scale: float = 1.0, angle: float = 0.0, stretch: float = 1.0) -> Pen:
        """A pen whose frame is placed inside this one's."""
        return Pen(self.layer, self.matrix @ affine(x, y, scale, angle, stretch))

    def pixels(self, points: Sequence[tuple[float, float]] | NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, 2) of the own frame -> (P, 2) canvas pixels."""
        p = np.asarray(points, dtype=np.float64)
        q = p @ self.matrix[:, :2].T + self.matrix[:, 2]
        return q[:, :2] / np.maximum(q[:, 2:], 1e-3)

    @property
    def unit(self) -> float:
        """Canvas pixels that one unit of the own frame covers at its origin: the root of the area it spans."""
        o, a, b = self.pixels([(0, 0), (0.1, 0), (0, 0.1)])
        (ax, ay), (bx, by) = a - o, b - o
        return 10 * math.sqrt(abs(float(ax * by - ay * bx)))

    def fill(
        self,
        points: Sequence[tuple[float, float]] | NDArray[np.float64],
        colour: Paint,
    ) -> None:
        """A filled polygon."""
        ImageDraw.Draw(self.layer).polygon(self.pixels(points).ravel().tolist(), fill=colour)

    def blob(self, points: Sequence[tuple[float, float]], colour: Paint) -> None:
        """A filled smooth closed curve through ``points``."""
        self.fill(smooth(points), colour)

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Paint) -> None:
        """A filled ellipse."""
        self.fill(arc(x, y, rx, ry, steps=36), colour)

    def line(
        self,
        points: Sequence[tuple[float, float]] | NDArray[np.float64],
        colour: Paint,
        width: float,
    ) -> None:
        """A polyline with round ends; ``width`` in units of the own frame."""
        px = self.pixels(points)
        wide = max(1, round(width * self.unit))
        draw = ImageDraw.Draw(self.layer)
        draw.line(px.ravel().tolist(), fill=colour, width=wide, joint="curve")
        if wide > 3:
            for x, y in (px[0], px[-1]):
                r = wide / 2 - 0.5
                draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def blank(size_wh: tuple[int, int]) -> Image.Image:
    """An empty layer (RGBA, transparent) for a picture of this size."""
    return Image.new("RGBA", (size_wh[0] * SUPERSAMPLE, size_wh[1] * SUPERSAMPLE), CLEAR)


def viewpoint(
    size_wh: tuple[int, int],
    x: float,
    y: float,
    scale: float,
    angle: float,
    tilt_xy: tuple[float, float],
    stretch: float,
) -> NDArray[np.float64]:
    """The homography of one thing: placed at (x, y) in shares of the picture, as large as ``scale`` x its short side.

    ``tilt_xy`` is the perspective: how much nearer the right (x) and lower (y) edge is, about -0.3 to 0.3.
    """
    w, h = size_wh[0] * SUPERSAMPLE, size_wh[1] * SUPERSAMPLE
    perspective = np.eye(3)
    perspective[2, :2] = -np.asarray(tilt_xy)
    return affine(x * w, y * h, scale * min(w, h) / 2, angle) @ perspective @ affine(0, 0, stretch=stretch)
