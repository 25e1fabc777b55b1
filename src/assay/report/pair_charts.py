"""Charts of two runs beside each other: the difference with its interval, and the same class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from assay.metrics.compare import Comparison
from assay.report.charts import ACCENT, INK, LINE, MUTED, SECOND
from assay.report.figure import drawing, figure_of, plain_axes, to_svg

MOST_CLASSES = 40


def difference_chart(comparison: Comparison) -> str:
    """Accuracy of A minus that of B in points with its interval, and which side of zero is whose."""
    d = comparison.difference
    reach = 110 * max(abs(d.low), abs(d.high), abs(d.value), 0.01)
    with drawing():
        figure, axes = figure_of((4.6, 1.35))
        axes.axvspan(-reach, 0, color=SECOND, alpha=0.1, linewidth=0)
        axes.axvspan(0, reach, color=ACCENT, alpha=0.1, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        axes.plot([100 * d.low, 100 * d.high], [0, 0], color=INK, linewidth=2.4)
        axes.plot([100 * d.value], [0], marker="o", markersize=8, color=ACCENT if d.value > 0 else SECOND)
        for x, name, align in ((-reach, comparison.b, "left"), (reach, comparison.a, "right")):
            axes.text(
                0.96 * x, 0.72, f"{_short(name)} better", ha=align, va="center", color=MUTED, fontsize=8.5
            )
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-1, 1.1)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("difference of accuracy, points")
        axes.tick_params(length=0)
        return to_svg(figure, "difference", "Difference of accuracy with its interval")


def class_chart(comparison: Comparison) -> str | None:
    """Share found of every class by either, joined by a line; the least lucky of A first. None for one class."""
    rows = comparison.per_class
    if len(rows) < 2:
        return None
    if len(rows) > MOST_CLASSES:  # the ends say most
        rows = (*rows[: MOST_CLASSES // 2], *rows[-MOST_CLASSES // 2 :])
    with drawing():
        figure, axes = figure_of((5.2, 0.9 + 0.24 * len(rows)))
        for y, row in enumerate(rows):
            axes.plot(
                [row.recall_a, row.recall_b], [y, y], color=INK if row.is_shown else LINE, linewidth=2.2
            )
            axes.plot([row.recall_b], [y], marker="s", markersize=5.5, color=SECOND)
            axes.plot([row.recall_a], [y], marker="o", markersize=6, color=ACCENT)
        axes.plot([], [], marker="o", linestyle="none", color=ACCENT, label=_short(comparison.a))
        axes.plot([], [], marker="s", linestyle="none", color=SECOND, label=_short(comparison.b))
        axes.set_yticks(range(len(rows)), [f"{_short(row.name, 26)} ({row.n})" for row in rows])
        axes.tick_params(axis="y", labelcolor=INK, length=0)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.03, 1.03)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("share found")
        axes.tick_params(length=0)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.42 / (0.24 * len(rows) + 0.4)), ncols=2)
        return to_svg(figure, "classes", "Share found of each class by the two models")


def confidence_chart(a: NDArray[np.float64], b: NDArray[np.float64], names: tuple[str, str]) -> str | None:
    """Probability of the true class given by A and by B, a dot a picture; above the line B is surer of the truth."""
    if len(a) < 2:
        return None
    rows = (
        np.arange(len(a)) if len(a) <= 1500 else np.random.default_rng(0).choice(len(a), 1500, replace=False)
    )
    with drawing():
        figure, axes = figure_of((4.0, 3.7))
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        axes.plot(
            a[rows],
            b[rows],
            linestyle="none",
            marker="o",
            markersize=3,
            color=ACCENT,
            alpha=0.35,
            markeredgewidth=0,
        )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        for axis, name in ((axes.xaxis, names[0]), (axes.yaxis, names[1])):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
            axis.set_label_text(f"truth's probability, {_short(name)}")
        plain_axes(axes)
        return to_svg(figure, "confidence", "Probability of the true class by the two models")


def _short(name: Any, most: int = 22) -> str:
    text = str(name).replace("$", r"\$")  # no mathematics in names
    return text if len(text) <= most else f"{text[: most - 1]}…"
