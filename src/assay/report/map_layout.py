"""Where everything stands on a map of pictures: points, rings, small pictures, names of classes, the legend.

Laid out once and drawn twice (``map_chart``): as SVG, where each point says on hover what it is, and as PNG. Names
stand on the map itself where they find room, as colours alone do not tell eighty classes apart.
"""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WIDTH, EDGE = 1000, 30
THUMB = 54
LEGEND_LINE, LEGEND_COLUMN = 24, 188
MOST_LEGEND = 30
CROWD = 20
"""With more classes than this their names are written smaller and shorter."""
NO_LABEL = "no label"

_PALETTE = (
    "#3b78c4",
    "#e0802b",
    "#3f9b54",
    "#c94f7c",
    "#8264b8",
    "#12a5a5",
    "#b8912a",
    "#8a5a44",
    "#6f7f2f",
    "#d77fc0",
    "#5b8fa8",
    "#a0569b",
)
"""Twelve colours that can be told apart on white and on black."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class MapPoint:
    """A picture: its place in px, its colour, what to say of it, and whether it was answered wrongly."""

    x: float
    y: float
    colour: str
    told: str
    wrong: bool = False


@dataclass(frozen=True)
class MapThumb:
    """A small picture on the map, its middle at the point of row ``row``."""

    x: float
    y: float
    row: int
    colour: str


@dataclass(frozen=True)
class MapName:
    """The name of a class where its pictures are."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class MapLayout:
    """A map ``width`` by ``height`` px, legend included. ``legend`` rows are (colour, class, pictures)."""

    width: int
    height: int
    plot_height: int
    radius: float
    points: list[MapPoint]
    thumbs: list[MapThumb]
    names: list[MapName]
    legend: list[tuple[str, str, int]]
    beyond: int = 0
    mistakes: int = 0
    title: str = ""
    name_size: int = 15
    columns: int = field(default=(WIDTH - 2 * EDGE) // LEGEND_COLUMN)


def lay_out(
    xy: NDArray[np.float32],
    labels: Sequence[str | None],
    predictions: Sequence[str | None],
    paths: Sequence[str],
    *,
    thumbs: int = 24,
    title: str = "",
) -> MapLayout:
    """Lay out M pictures.

    Parameters
    ----------
    xy : (M, 2) in -1 to 1, as ``explain.projection`` gives them.
    labels, predictions, paths : of each picture; a picture with a label that is not its prediction is a mistake.
    thumbs : most small pictures.
    title : for those who cannot see the map.
    """
    names = [label or NO_LABEL for label in labels]
    counts = Counter(names)
    order = [name for name, _ in counts.most_common()]
    colours = dict(zip(order, class_colours(len(order)), strict=True))
    wrong = [bool(a and b and a != b) for a, b in zip(labels, predictions, strict=True)]
    places, plot_height = _places(xy)
    points = [
        MapPoint(float(x), float(y), colours[name], _told(path, label, answer), bad)
        for (x, y), name, path, label, answer, bad in zip(
            places, names, paths, labels, predictions, wrong, strict=True
        )
    ]
    shown = _spread_thumbs(places, names, wrong, thumbs)
    small = [
        MapThumb(float(places[row, 0]), float(places[row, 1]), row, colours[names[row]]) for row in shown
    ]
    legend = [(colours[name], name, counts[name]) for name in order[:MOST_LEGEND]]
    columns = (WIDTH - 2 * EDGE) // LEGEND_COLUMN
    lines = -(-len(legend) // columns) + 1
    size = 15 if len(order) <= CROWD else 12
    return MapLayout(
        width=WIDTH,
        height=plot_height + lines * LEGEND_LINE + 20,
        plot_height=plot_height,
        radius=5.0 if len(points) <= 300 else 4.2 if len(points) <= 900 else 3.4,
        points=points,
        thumbs=small,
        names=_class_names(places, names, order, small, plot_height, size) if len(order) > 1 else [],
        legend=legend,
        beyond=max(0, len(order) - MOST_LEGEND),
        mistakes=sum(wrong),
        title=title,
        name_size=size,
    )


def class_colours(n: int) -> list[str]:
    """``n`` colours: twelve chosen ones, and beyond them hues by the golden angle in three shades."""
    found = list(_PALETTE[:n])
    for i in range(n - len(found)):
        shade = (0.42, 0.56, 0.48)[i % 3]
        rgb = colorsys.hls_to_rgb((0.11 + 0.618034 * i) % 1, shade, (0.62, 0.5, 0.4)[i // 3 % 3])
        found.append("#" + "".join(f"{round(255 * v):02x}" for v in rgb))
    return found


def _told(path: str, label: str | None, answer: str | None) -> str:
    name = Path(path).name
    if label is None:
        return f"{name}: answered {answer}" if answer else name
    if answer is None or answer == label:
        return f"{name}: {label}"
    return f"{name}: is {label}, answered {answer}"


def _places(xy: NDArray[np.float32]) -> tuple[NDArray[np.float64], int]:
    """(M, 2) px with room for small pictures at the edges, and the height of the plot."""
    low, high = (xy.min(0), xy.max(0)) if len(xy) else (np.zeros(2), np.zeros(2))
    span = np.maximum(high - low, 1e-6)
    height = round(float(np.clip(WIDTH * span[1] / span[0], 480, 780))) if len(xy) > 2 else 360
    room = np.array([WIDTH - 2 * EDGE, height - 2 * EDGE], np.float64)
    flat = high - low < 1e-6  # all pictures in one place, or in a line
    share = np.where(flat, 0.5, (xy - low) / span)
    share[:, 1] = 1 - share[:, 1]  # up is up
    return EDGE + share * room, height


def _spread_thumbs(places: NDArray[np.float64], names: list[str], wrong: list[bool], most: int) -> list[int]:
    """Rows whose small pictures hide the fewest points, far from each other, and not strangers among others."""
    n = len(places)
    if not n or most < 1:
        return []
    codes = np.unique(names, return_inverse=True)[1]
    bad = np.asarray(wrong)
    cost, company = np.empty(n), np.empty(n)
    for row in range(n):
        apart = np.abs(places - places[row])
        hidden = (apart < THUMB / 2 + 4).all(1)
        cost[row] = hidden.sum() + 4 * (hidden & bad).sum()
        near = (apart < 90).all(1)
        company[row] = (codes[near] == codes[row]).mean() if near.sum() > 1 else 0.5
    order = np.lexsort((np.arange(n), cost - 6 * company))
    apart_least = max(1.45 * THUMB, float(np.sqrt(WIDTH * 700 / most)) * 0.62)
    taken: list[int] = []
    for row in order:
        if bad[row] or len(taken) >= most:
            continue
        if all(float(np.abs(places[row] - places[other]).max()) >= apart_least for other in taken):
            taken.append(int(row))
    return taken


def _class_names(
    places: NDArray[np.float64],
    names: list[str],
    order: list[str],
    thumbs: list[MapThumb],
    height: int,
    size: int,
) -> list[MapName]:
    """Each class's name at the middle of its pictures, or near it, where it covers no other name or picture."""
    half = THUMB / 2 + 1
    taken: list[Box] = [(t.x - half, t.y - half, t.x + half, t.y + half) for t in thumbs]
    code = np.asarray(names)
    found: list[MapName] = []
    for name in order:
        own = places[code == name]
        middle = np.median(own, axis=0)
        start = own[int(np.abs(own - middle).sum(1).argmin())]
        text = short(name, 40 if size == 15 else 17)
        for dx, dy in _TRIES:
            box = _name_box(float(start[0]) + dx, float(start[1]) + dy, text, size)
            inside = box[0] > 2 and box[1] > 2 and box[2] < WIDTH - 2 and box[3] < height - 2
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found.append(MapName((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, text))
                break
    return found


_TRIES = [
    (0, 0),
    *((dx, dy) for r in (26, 48, 70) for dx, dy in ((0, -r), (0, r), (-r, 0), (r, 0), (r, r), (-r, -r))),
]


def _name_box(x: float, y: float, name: str, size: int) -> Box:
    """A generous guess of where letters of ``size`` px stand; wide scripts take twice the room."""
    width = sum(1.0 if ord(letter) > 0x2E80 else 0.62 for letter in name) * size
    return (x - width / 2, y - 0.65 * size, x + width / 2, y + 0.65 * size)


def short(name: str, most: int) -> str:
    """At most ``most`` letters."""
    return name if len(name) <= most else name[: most - 1].rstrip() + "…"


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
