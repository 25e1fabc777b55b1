"""Hand-made features of small pictures: which edges run where, and which colours lie where. Numpy only.

Edges: histograms of oriented gradients (Dalal and Triggs 2005, sections 6.1 to 6.4): 8 x 8 cells, 9 unsigned
orientations with linear interpolation between bins, blocks of 2 x 2 cells with L2 norms. What differs: the picture is
squeezed into one small square, so the cells are relative to it. Colours: the shares of 64 colours (4 levels a
channel) in each quadrant, square roots of them, so that their inner product is Bhattacharyya's coefficient.

They know nothing of the world, which is their use here: nothing was learnt from any label, so they are the same in
every fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

CELLS, BINS, LEVELS = 8, 9, 4
EDGES = (CELLS - 1) ** 2 * 4 * BINS
COLOURS = 4 * LEVELS**3


def edges(pixels: Pixels) -> Floats:
    """(N, S, S, 3) uint8 -> (N, EDGES) float32. S is a multiple of 8, at least 16."""
    cells = _orientations(pixels)  # N 8 8 9
    blocks = np.concatenate(
        [cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:]], axis=3
    )
    blocks /= np.sqrt((blocks**2).sum(axis=3, keepdims=True) + 1.0)
    return blocks.reshape(len(pixels), EDGES)


def _orientations(pixels: Pixels) -> Floats:
    """(N, S, S, 3) -> (N, 8, 8, 9): how much gradient of each orientation there is in each cell."""
    grey = pixels.mean(axis=3, dtype=np.float32)
    across, down = np.zeros_like(grey), np.zeros_like(grey)
    across[:, :, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2]
    down[:, 1:-1] = grey[:, 2:] - grey[:, :-2]
    strength = np.hypot(across, down)
    angle = np.arctan2(down, across) * np.float32(BINS / np.pi) % BINS
    lower = np.minimum(angle.astype(np.int64), BINS - 1)
    upper_share = angle - lower
    n, side = len(grey), grey.shape[1] // CELLS
    row = np.arange(CELLS).repeat(side)
    cell = (np.arange(n)[:, None, None] * CELLS + row[None, :, None]) * CELLS + row[None, None, :]
    found = np.zeros(n * CELLS * CELLS * BINS)
    for place, weight in ((lower, 1 - upper_share), ((lower + 1) % BINS, upper_share)):
        code = (cell * BINS + place).ravel()
        found += np.bincount(code, weights=(weight * strength).ravel(), minlength=len(found))
    return found.reshape(n, CELLS, CELLS, BINS).astype(np.float32)


def colours(pixels: Pixels) -> Floats:
    """(N, S, S, 3) uint8 -> (N, COLOURS) float32."""
    n, side = pixels.shape[:2]
    level = (pixels // (256 // LEVELS)).astype(np.int64)
    code = (level[..., 0] * LEVELS + level[..., 1]) * LEVELS + level[..., 2]
    half = (np.arange(side) >= side // 2).astype(np.int64)
    quadrant = half[:, None] * 2 + half[None, :]
    place = (np.arange(n)[:, None, None] * 4 + quadrant) * LEVELS**3 + code
    counts = np.bincount(place.ravel(), minlength=n * COLOURS).reshape(n, COLOURS)
    shares: Floats = np.sqrt(counts * (4 / side**2)).astype(np.float32)
    return shares
