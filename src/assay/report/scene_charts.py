"""Charts of networks of several heads: losses and scores by head, precision against recall, scores against truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from assay.configs import HEADS
from assay.metrics.matches import Matches
from assay.metrics.operating_point import precision_recall_curve
from assay.report.charts import ACCENT, LINE, MUTED, SECOND, _numbers, _thin, smooth
from assay.report.figure import colour_of, drawing, figure_of, plain_axes, to_svg

SIZE = (4.0, 2.55)
MOST_CURVES = 8
_SCORES = {
    "accuracy": "class",
    "tags_map": "tags",
    "ap50_95": "boxes",
    "mask_ap50_95": "masks",
    "miou": "pixels",
}
"""Score in the log -> the head that it is of."""


def head_colour(head: str) -> str:
    """One colour a head in all charts."""
    return colour_of(HEADS.index(head))


def losses_chart(steps: Sequence[dict[str, Any]]) -> str | None:
    """Training loss of each head by step, smoothed, as a share of what it was at first; None without numbers."""
    found = {head: _numbers(steps, "epoch", head) for head in HEADS}
    found = {head: rows for head, rows in found.items() if len(rows) > 1}
    if not found:
        return None
    with drawing():
        figure, axes = figure_of(SIZE)
        for head, rows in found.items():
            even = smooth(rows[:, 1], max(1, len(rows) // 30))
            shown = _thin(len(rows))
            first = float(even[min(len(even) - 1, max(0, len(even) // 50))]) or 1.0
            axes.plot(rows[shown, 0], even[shown] / first, color=head_colour(head), label=head)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _by_epoch(axes, "loss, share of the first")
        return to_svg(figure, "losses", "Training loss of each head over the epochs")


def scores_chart(epochs: Sequence[dict[str, Any]]) -> str | None:
    """The main score of each head on validation by epoch; None without numbers."""
    found = {head: _numbers(epochs, "epoch", f"validation.{name}") for name, head in _SCORES.items()}
    found = {head: rows for head, rows in found.items() if len(rows)}
    if not found:
        return None
    with drawing():
        figure, axes = figure_of(SIZE)
        for head, rows in found.items():
            axes.plot(rows[:, 0], rows[:, 1], color=head_colour(head), marker="o", markersize=3, label=head)
        axes.set_ylim(0, 1)
        _by_epoch(axes, "validation")
        return to_svg(figure, "scores", "Score of each head on validation over the epochs")


def _by_epoch(axes: Any, what: str) -> None:
    plain_axes(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.02)
    axes.legend(loc="best")


def precision_recall_chart(matches: Matches, score: float) -> str | None:
    """Precision against recall of the commonest classes at an overlap of half; a dot where things are told."""
    counts = matches.pool.positives.sum(0)
    classes = [int(k) for k in np.argsort(-counts, kind="stable")[:MOST_CURVES] if counts[k]]
    curves = {k: precision_recall_curve(matches, label=k) for k in classes}
    if not any(len(scores) for scores, _, _ in curves.values()):
        return None
    with drawing():
        figure, axes = figure_of((4.0, 3.7))
        for i, (k, (scores, precision, recall)) in enumerate(curves.items()):
            if not len(scores):
                continue
            rows = _thin(len(scores))
            colour = colour_of(i)
            axes.plot(
                recall[rows], precision[rows], color=colour, label=matches.pool.classes[k], linewidth=1.4
            )
            told = int((scores >= score).sum())
            if told:
                axes.plot(recall[told - 1], precision[told - 1], "o", color=colour, markersize=5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall: share of things that is told")
        axes.set_ylabel("precision: share of told that is there")
        plain_axes(axes)
        figure.legend(loc="outside lower center", ncols=3)
        return to_svg(figure, "precision-recall", "Precision against recall of each class of things")


def thing_reliability_chart(calibration: Mapping[str, Any], scores: np.ndarray) -> str | None:
    """Share right against the score of things with 95 % intervals; below it how often each score was given."""
    bins = calibration["bins"]
    if not bins:
        return None
    x, y, low, high = (
        np.array([one[name] for one in bins]) for name in ("confidence", "right", "low", "high")
    )
    with drawing():
        figure, (above, below) = figure_of((4.0, 3.7), 2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        above.errorbar(
            x,
            y,
            np.stack([y - low, high - y]).clip(0),
            color=ACCENT,
            ecolor=ACCENT,
            elinewidth=1,
            marker="o",
            markersize=4,
            linewidth=1.2,
        )
        above.set_ylabel("share that is there")
        above.set_ylim(0, 1.02)
        above.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        below.hist(scores, bins=np.linspace(0, 1, 26), color=SECOND, alpha=0.6, rwidth=0.85)
        below.axvline(calibration["least"], color=LINE, linewidth=1)
        below.set_ylabel("told")
        below.set_xlabel("score of a thing")
        below.set_xlim(0, 1.01)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        for axes in (above, below):
            axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.1f}"))
            plain_axes(axes)
        return to_svg(figure, "thing-scores", "Share of found things that are there against their score")
