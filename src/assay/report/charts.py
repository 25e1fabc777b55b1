"""Charts as inline SVG: text stays text, and colours are the page's own CSS variables, so dark mode works.

Drawn with matplotlib's object interface: no pyplot, no global state. Matplotlib wants real colours, so each
variable is drawn in a colour of its own that is exchanged afterwards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from assay.metrics.reliability import ReliabilityBin

INK, MUTED, LINE, ACCENT, SECOND, BAD = "#010201", "#010301", "#010401", "#010501", "#010601", "#010701"
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", SECOND: "second", BAD: "bad"}
_SIZE = (4.0, 2.55)  # inches of 72 units: shown 300 to 440 px wide, letters are 10 to 14 px
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "assay",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def _svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an SVG element that can stand inside HTML, with a title for those who cannot see it."""
    FigureCanvasSVG(figure)
    target = io.StringIO()
    figure.savefig(
        target, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = target.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]+)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{title}">',
        text,
        count=1,
    )
    # ids must be unique in the page, where several figures stand
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return text


def _axes(**grid: Any) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots(**grid)
    return figure, axes


def _plain(axes: Any) -> None:
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="x")


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Running mean over ``window`` values, shorter at the beginning."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


def _thin(n: int, most: int = 300) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _numbers(rows: Sequence[dict[str, Any]], *keys: str) -> NDArray[np.float64]:
    """(N, len(keys)) of the rows that have a finite number at every (dotted) key."""
    found = []
    for row in rows:
        values = [_dig(row, key) for key in keys]
        if all(isinstance(v, int | float) and np.isfinite(v) for v in values):
            found.append(values)
    return np.array(found, dtype=np.float64).reshape(-1, len(keys))


def _dig(row: Any, key: str) -> Any:
    for part in key.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def loss_chart(steps: Sequence[dict[str, Any]], epochs: Sequence[dict[str, Any]]) -> str | None:
    """Training loss by step (smoothed, over a faint trace) and validation loss; None without numbers."""
    train, held = _numbers(steps, "epoch", "loss"), _numbers(epochs, "epoch", "validation.loss")
    if len(train) < 2 and len(held) < 2:
        return None
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        if len(train):
            rows = _thin(len(train))
            axes.plot(train[rows, 0], train[rows, 1], color=LINE, linewidth=0.8)
            even = smooth(train[:, 1], max(1, len(train) // 40))
            axes.plot(train[rows, 0], even[rows], color=SECOND, label="training")
            axes.set_ylim(*_loss_range(even, held[:, 1]))
        if len(held):
            axes.plot(held[:, 0], held[:, 1], color=ACCENT, marker="o", markersize=3, label="validation")
        _finish_curve(axes, "loss")
        return _svg(figure, "loss", "Training and validation loss over the epochs")


def _loss_range(train: NDArray[np.float64], held: NDArray[np.float64]) -> tuple[float, float]:
    both = np.concatenate([train, held])
    return max(0.0, float(both.min()) * 0.9 - 0.02), float(np.quantile(both, 0.995)) * 1.08 + 0.02


def accuracy_chart(epochs: Sequence[dict[str, Any]], majority: float | None) -> str | None:
    """Validation accuracy and macro F1 by epoch, above the accuracy of the commonest class."""
    held = _numbers(epochs, "epoch", "validation.accuracy")
    if len(held) == 0:
        return None
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        f1 = _numbers(epochs, "epoch", "validation.macro_f1")
        axes.plot(f1[:, 0], f1[:, 1], color=SECOND, linewidth=1.2, label="macro F1")
        axes.plot(held[:, 0], held[:, 1], color=ACCENT, marker="o", markersize=3, label="accuracy")
        if majority is not None:
            axes.axhline(majority, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), label="commonest class")
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _finish_curve(axes, "validation")
        return _svg(figure, "accuracy", "Validation accuracy and macro F1 over the epochs")


def lr_chart(steps: Sequence[dict[str, Any]]) -> str | None:
    """Learning rate by step."""
    found = _numbers(steps, "epoch", "lr")
    if len(found) < 2:
        return None
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        rows = _thin(len(found))
        axes.plot(found[rows, 0], found[rows, 1], color=ACCENT)
        axes.set_ylim(0, None)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.2g}"))
        _finish_curve(axes, "learning rate", legend=False)
        return _svg(figure, "lr", "Learning rate over the epochs")


def _finish_curve(axes: Any, what: str, *, legend: bool = True) -> None:
    _plain(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel(what)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.02)
    if legend:
        axes.legend(loc="best", ncols=1)


def reliability_chart(bins: Sequence[ReliabilityBin], confidence: NDArray[np.float64]) -> str | None:
    """Share right against stated probability with 95 % intervals; below it how often each was stated."""
    if not bins:
        return None
    x = np.array([b.confidence for b in bins])
    y = np.array([b.right for b in bins])
    errors = np.array([[b.right - b.low for b in bins], [b.high - b.right for b in bins]]).clip(0)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_SIZE[0], 3.7), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
        above.errorbar(
            x, y, errors, color=ACCENT, ecolor=ACCENT, elinewidth=1, marker="o", markersize=4, linewidth=1.2
        )
        above.set_ylabel("share right")
        above.set_ylim(0, 1.02)
        below.hist(confidence, bins=np.linspace(0, 1, 26), color=SECOND, alpha=0.6, rwidth=0.85)
        below.set_ylabel("pictures")
        below.set_xlabel("stated probability of the answer")
        below.set_xlim(0, 1.01)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        for axes in (above, below):
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            _plain(axes)
        above.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return _svg(figure, "reliability", "Share of right answers against the stated probability")


def risk_chart(coverage: NDArray[np.float64], risk: NDArray[np.float64]) -> str | None:
    """Share wrong against the share of pictures answered, the surest first."""
    if len(coverage) < 2:
        return None
    with mpl.rc_context(_STYLE):
        figure, axes = _axes()
        axes.fill_between(coverage, risk, color=BAD, alpha=0.12, linewidth=0)
        axes.plot(coverage, risk, color=BAD)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, max(0.02, float(risk.max()) * 1.15))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(
                PercentFormatter(1, decimals=0 if axis is axes.xaxis or risk.max() > 0.06 else 1)
            )
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("pictures answered, the surest first")
        axes.set_ylabel("wrong among them")
        _plain(axes)
        return _svg(figure, "risk", "Share of wrong answers against the share of pictures answered")
