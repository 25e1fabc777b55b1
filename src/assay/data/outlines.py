"""From a mask to polygons along the borders of its pixels, so that ``masks.from_polygons`` gives the same mask back.

COCO rasterises by the even-odd rule: in the middle of every column of pixels it notes where an edge crosses, and what
lies behind an odd number of crossings is inside. Edges along pixel borders are therefore exact, and an edge that is
walked there and back again changes nothing. Such *bridges* of no width join a hole to the outline around it, and
several parts to one polygon, as the field does where a format has room for one polygon a thing (YOLO).

Corners are found all at once: a point of the grid is one where the four pixels around it are unequal in an odd
number. Along a row of the grid every first corner is joined to the next, and so along a column; following row and
column in turns gives the loops. Pixels that touch at a corner only are parts of their own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Point = tuple[int, int]
"""x, y in pixels."""


@dataclass(frozen=True)
class _Grid:
    """The N corners of a mask, row by row.

    ``x``, ``y`` (N,); ``down`` (N,) is the corner at the other end of the vertical edge, that of the horizontal edge is
    ``i ^ 1``; ``is_top_left`` (N,): the pixel to the right and below belongs to the mask.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    down: NDArray[np.int64]
    is_top_left: NDArray[np.bool_]


@dataclass(frozen=True)
class _Loop:
    """One closed walk over ``corners``, from its topmost leftmost one; around a part clockwise, around a hole not."""

    corners: list[int]
    is_hole: bool


def outlines(mask: NDArray[Any]) -> list[list[int]]:
    """One polygon x1, y1, x2, y2, ... for each part of an (H, W) mask (what is not 0), from top to bottom.

    Holes are joined to the outline to their left by bridges. An empty mask gives no polygon.
    """
    mask = np.asarray(mask) != 0
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    top, left = int(rows[0]), int(columns[0])
    grid = _grid(mask[top : rows[-1] + 1, left : columns[-1] + 1])
    loops = _loops(grid)
    return [[v for x, y in path for v in (x + left, y + top)] for path in _parts(grid, loops)]


def joined(polygons: Sequence[Sequence[float]]) -> list[float]:
    """One polygon of several, each bridged to the one before it where they are nearest; empty where there are none."""
    path: list[tuple[float, float]] = []
    start = end = 0  # of the polygon that was joined last
    for polygon in polygons:
        points = list(zip(polygon[::2], polygon[1::2], strict=True))
        if not path:
            path, end = points, len(points)
            continue
        here, there = _nearest(np.asarray(path[start:end], float), np.asarray(points, float))
        start += here + 1
        path[start:start] = [*points[there:], *points[: there + 1], path[start - 1]]
        end = start + len(points) + 1
    return [value for point in path for value in point]


def _nearest(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[int, int]:
    """(position in ``a`` (N, 2), position in ``b`` (M, 2)) of the two points that are nearest."""
    best, found = np.inf, (0, 0)
    for first in range(0, len(a), 512):  # 512 x M differences at a time
        apart = np.square(a[first : first + 512, None] - b[None]).sum(axis=2)
        at = int(apart.argmin())
        if apart.flat[at] < best:
            best, found = apart.flat[at], (first + at // len(b), at % len(b))
    return found


def _grid(mask: NDArray[np.bool_]) -> _Grid:
    padded = np.pad(mask, 1)
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    touching = (
        (nw == se) & (ne == sw) & (nw != ne)
    )  # two pixels meet at this point only: two corners in one place
    y, x = np.nonzero((nw ^ ne ^ sw ^ se) | touching)
    double = touching[y, x]
    place = np.repeat(np.arange(len(y)), 1 + double)
    second = np.append(False, place[1:] == place[:-1])
    y, x = y[place], x[place]
    # the first of two ends the edge from the left; which of them ends the edge from above depends on the pixels
    lower = np.where(double[place] & ~nw[y, x], ~second, second)
    order = np.lexsort((lower, y, x))
    down = np.empty_like(order)
    down[order[0::2]], down[order[1::2]] = order[1::2], order[0::2]
    return _Grid(x, y, down, se[y, x])


def _loops(grid: _Grid) -> list[_Loop]:
    """All loops, in the order of their topmost leftmost corners."""
    down, seen, loops = grid.down.tolist(), bytearray(len(grid.x)), []
    for start in range(len(seen)):
        if seen[start]:
            continue
        is_hole, at = not grid.is_top_left[start], start
        corners: list[int] = []
        while not seen[at]:
            step = down[at] if is_hole else at ^ 1
            seen[at] = seen[step] = 1
            corners += (at, step)
            at = step ^ 1 if is_hole else down[step]
        loops.append(_Loop(corners, is_hole))
    return loops


def _parts(grid: _Grid, loops: list[_Loop]) -> list[list[Point]]:
    """The path around each part with its holes. What lies to the left has a lower number, so the last goes first."""
    x, y = grid.x.tolist(), grid.y.tolist()
    left = _left_edges(grid, loops) if any(loop.is_hole for loop in loops) else {}
    detours: dict[int, list[tuple[int, int, list[Point]]]] = defaultdict(list)
    parts = []
    for number in reversed(range(len(loops))):
        path = _with_detours([(x[i], y[i]) for i in loops[number].corners], detours.pop(number, []))
        if number not in left:
            parts.append(path)
            continue
        owner, position, edge_x = left[number]
        foot = (edge_x, path[0][1])
        away = abs(foot[1] - y[loops[owner].corners[position]])
        detours[owner].append((position, away, [foot, *path, path[0], foot]))
    return parts[::-1]


def _with_detours(path: list[Point], detours: list[tuple[int, int, list[Point]]]) -> list[Point]:
    """``path`` with each detour (behind which point, how far behind, over which points); no point twice in a row."""
    whole: list[Point] = []
    start = 0
    for position, _, over in sorted(detours, key=lambda detour: detour[:2]):
        whole += path[start : position + 1] + over
        start = position + 1
    whole += path[start:]
    return [point for i, point in enumerate(whole) if point != whole[i - 1]]


def _left_edges(grid: _Grid, loops: list[_Loop]) -> dict[int, tuple[int, int, int]]:
    """Hole -> (loop, position of the corner in it where the edge begins, x) of the nearest vertical edge to its left.

    Looked for in the row of pixels at the hole's upper end; every vertical edge is cut into pieces of one pixel.
    """
    begins: list[int] = []
    owners: list[int] = []
    positions: list[int] = []
    for number, loop in enumerate(loops):
        first = 0 if loop.is_hole else 1  # a hole begins with a vertical edge, a part with a horizontal one
        begins += loop.corners[first::2]
        owners += [number] * (len(loop.corners) // 2)
        positions += range(first, len(loop.corners), 2)
    begin = np.asarray(begins, np.int64)
    a, b = grid.y[begin], grid.y[grid.down[begin]]
    length = np.abs(b - a)
    edge = np.repeat(np.arange(len(begin)), length)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(length) - length, length) + np.minimum(a, b)[edge]
    width = int(grid.x.max()) + 1
    keys = row * width + grid.x[begin][edge]
    order = np.argsort(keys)
    holes = [number for number, loop in enumerate(loops) if loop.is_hole]
    corner = np.array([loops[number].corners[0] for number in holes], np.int64)
    before = np.searchsorted(keys[order], grid.y[corner] * width + grid.x[corner]) - 1
    found = edge[order[before]].tolist()
    return {
        hole: (owners[e], positions[e], int(grid.x[begins[e]])) for hole, e in zip(holes, found, strict=True)
    }
