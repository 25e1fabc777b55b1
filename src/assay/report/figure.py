"""What the charts of all pages share, by public names: the style of ``charts``, and colours for many networks.

The page's own colours are CSS variables; a comparison may have a dozen networks, so theirs are fixed mid-tones that
are told apart by colour-blind people (after Okabe and Ito 2008) and can be read on light and dark paper.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from assay.report.charts import _STYLE as STYLE
from assay.report.charts import _plain as plain_axes
from assay.report.charts import _svg as to_svg

__all__ = [
    "MARKERS",
    "PALETTE",
    "STYLE",
    "colour_of",
    "compact",
    "drawing",
    "figure_of",
    "marker_of",
    "plain_axes",
    "to_svg",
]

PALETTE = (
    "#2f7fb8",
    "#cf7f1f",
    "#2f9a6a",
    "#c8504a",
    "#8a68b5",
    "#96703f",
    "#c96fa0",
    "#6d7680",
    "#a3a135",
    "#2aa3b4",
)
MARKERS = {"CNN": "o", "RNN": "s", "transformer": "^", "timm": "D"}


def colour_of(i: int) -> str:
    """The colour of the i-th network."""
    return PALETTE[i % len(PALETTE)]


def marker_of(family: str) -> str:
    """The marker of a family of networks."""
    return MARKERS.get(family, "D")


def drawing() -> Any:
    """A context in which figures get the page's style."""
    return mpl.rc_context(STYLE)


def figure_of(size: tuple[float, float], *panels: int, **grid: Any) -> tuple[Figure, Any]:
    """(figure, axes) of so many inches of 72 units."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(*panels, **grid)


def compact(number: float, _: Any = None) -> str:
    """``12k``, ``3.4M``: a size on an axis."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= factor:
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"
