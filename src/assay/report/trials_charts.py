"""Charts of a comparison of networks: scores against what they cost, differences from the best, curves of learning.

Colour is the network, the marker its family; thick lines are intervals over pictures, thin ones those over pictures and
seeds; hollow dots are single seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from assay.report.charts import INK, MUTED
from assay.report.figure import (
    colour_of,
    compact,
    drawing,
    figure_of,
    marker_of,
    plain_axes,
    to_svg,
)
from assay.trials.summary import PairTest
from assay.trials.trials import Network, Trials

SIZE = (4.0, 2.9)
_APART = 1.2
"""Costs that lie closer together than this factor are no axis worth drawing."""


@dataclass(frozen=True)
class Cost:
    """What a network costs: an axis of a chart."""

    key: str
    title: str
    of: Callable[[Network], float | None]
    told: str


def _latency(network: Network) -> float | None:
    value = (network.latency or {}).get("median_ms")
    return None if value is None else float(value)


COSTS = (
    Cost("minutes", "minutes of a training run", lambda n: n.minutes, "training time"),
    Cost("parameters", "parameters", lambda n: n.parameters, "size"),
    Cost("macs", "multiply-adds a picture", lambda n: n.macs, "arithmetic"),
    Cost("latency", "milliseconds a picture", _latency, "latency"),
)


def colours(trials: Trials) -> dict[str, str]:
    """Network -> its colour in all charts."""
    return {name: colour_of(i) for i, name in enumerate(trials.names)}


def cost_charts(trials: Trials) -> list[tuple[Cost, str]]:
    """A chart of the score against every cost in which the networks differ."""
    return [(cost, svg) for cost in COSTS if (svg := cost_chart(trials, cost)) is not None]


def cost_chart(trials: Trials, cost: Cost) -> str | None:
    """Accuracy or score with its interval and its seeds, against one cost on a log axis; None where nothing differs."""
    shown = [(n, x) for n in trials.networks if trials.part in n.scores and (x := cost.of(n))]
    values = [x for _, x in shown]
    if len(values) < 2 or max(values) / min(values) < _APART:
        return None
    tint = colours(trials)
    with drawing():
        figure, axes = figure_of(SIZE)
        for network, x in shown:
            _draw_score(axes, trials, network, x, tint[network.name])
        _log_axis(axes, values)
        axes.set_xlabel(cost.title)
        _score_axis(axes, trials, trials.part)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        plain_axes(axes)
        return to_svg(figure, f"cost-{cost.key}", f"{_called(trials)} of the networks against {cost.told}")


def _score_axis(axes: Any, trials: Trials, part: str) -> None:
    axes.set_ylabel(f"score, {part}" if trials.heads else f"right, {part}")
    if not trials.heads:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _called(trials: Trials) -> str:
    return "Score" if trials.heads else "Accuracy"


def _draw_score(axes: Any, trials: Trials, network: Network, x: float, colour: str) -> None:
    score = network.scores[trials.part]
    mean, interval = network.score(trials.part), score.interval
    axes.plot([x, x], [interval.low, interval.high], color=colour, linewidth=2.2, alpha=0.45)
    rows = [row for row in trials.rows if row.network == network.name and row.is_finished]
    seeds = [row.scores[trials.part][trials.metric] for row in rows if trials.part in row.scores]
    axes.plot(
        [x] * len(seeds),
        seeds,
        linestyle="none",
        marker="o",
        markersize=3.2,
        color=colour,
        fillstyle="none",
        markeredgewidth=0.9,
    )
    marker = marker_of(network.family)
    axes.plot([x], [mean], linestyle="none", marker=marker, markersize=7, color=colour, markeredgewidth=0)


def _log_axis(axes: Any, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 1.25, max(values) * 1.25)
    subs = (1, 2, 5) if max(values) / min(values) < 60 else (1,)
    if max(values) / min(values) < 5:
        subs = (1, 1.5, 2, 3, 4, 5, 7)  # type: ignore[assignment]
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(FuncFormatter(compact))


def difference_chart(trials: Trials, tests: Sequence[PairTest]) -> str | None:
    """Every network's difference from one: thick over pictures, thin over pictures and seeds, dots the seeds."""
    if not tests:
        return None
    tint = colours(trials)
    with drawing():
        figure, axes = figure_of((7.6, 0.75 + 0.34 * len(tests)))
        axes.axvline(0, color=INK, linewidth=1)
        for y, test in enumerate(tests):
            colour = tint[test.a]
            axes.plot([100 * test.wide.low, 100 * test.wide.high], [y, y], color=colour, linewidth=1.2)
            inner = [100 * test.pictures.low, 100 * test.pictures.high]
            axes.plot(inner, [y, y], color=colour, linewidth=5, alpha=0.45, solid_capstyle="butt")
            seeds = [100 * value for value in test.by_seed]
            axes.plot(
                seeds,
                [y] * len(seeds),
                linestyle="none",
                marker="o",
                markersize=3,
                color=colour,
                fillstyle="none",
            )
            marker = marker_of(trials.network(test.a).family)
            axes.plot(
                [100 * test.wide.value], [y], marker=marker, markersize=6.5, color=colour, markeredgewidth=0
            )
        axes.set_yticks(range(len(tests)), [test.a for test in tests])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(tests) - 0.5, -0.5)
        axes.set_xlabel(f"points of {_called(trials).lower()} beside {tests[0].b}")
        axes.tick_params(length=0)
        axes.grid(visible=False, axis="y")
        title = f"Differences of {_called(trials).lower()} from {tests[0].b}"
        return to_svg(figure, f"difference-{tests[0].b}".replace(":", "-").replace("=", "-"), title)


def curve_chart(trials: Trials) -> str | None:
    """Validation accuracy or score while learning, a panel a family; a line a seed."""
    families = list(dict.fromkeys(n.family for n in trials.networks if n.scores))
    lines = {family: _curves(trials, family) for family in families}
    lines = {family: found for family, found in lines.items() if found}
    if not lines:
        return None
    by_clock = not trials.request.get("options", {}).get("epochs")
    tint = colours(trials)
    with drawing():
        width = min(8.6, 1.0 + 3.6 * len(lines))
        figure, panels = figure_of((width, 2.8), 1, len(lines), sharey=True, squeeze=False)
        for axes, (family, found) in zip(panels[0], lines.items(), strict=True):
            for name, curve in found:
                x = curve[:, 1] / 60 if by_clock else curve[:, 0]
                axes.plot(x, curve[:, 2], color=tint[name], linewidth=1.1, alpha=0.85)
            axes.set_title(family, fontsize=9.5, color=MUTED)
            axes.set_xlabel("minutes" if by_clock else "epoch")
            _score_axis(axes, trials, "validation")
            axes.set_ylabel("")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=not by_clock))
            axes.margins(x=0.02)
            plain_axes(axes)
        _score_axis(panels[0][0], trials, "validation")
        return to_svg(
            figure, "curves", f"{_called(trials)} on validation of all runs while they learn, by family"
        )


def _curves(trials: Trials, family: str) -> list[tuple[str, Any]]:
    names = {n.name for n in trials.networks if n.family == family}
    rows = [row for row in trials.rows if row.network in names and len(row.curve) > 1]
    return [(row.network, np.array(row.curve, dtype=np.float64)) for row in rows]


def tuning_chart(trials: Trials) -> str | None:
    """Validation accuracy or score of every trial of the tuning, in order, and the best so far; None without tuning."""
    tuned: dict[str, Mapping[str, Any]] = {n.name: n.tuned for n in trials.networks if n.tuned}
    scores = {name: [_score(trial) for trial in study["trials"]] for name, study in tuned.items()}
    scores = {name: found for name, found in scores.items() if any(np.isfinite(found))}
    if not scores:
        return None
    tint = colours(trials)
    with drawing():
        figure, axes = figure_of(SIZE)
        for name, found in scores.items():
            x, y = np.arange(len(found)), np.array(found)
            axes.plot(x, y, linestyle="none", marker="o", markersize=3.2, color=tint[name], fillstyle="none")
            axes.step(x, np.fmax.accumulate(y), where="post", color=tint[name], linewidth=1.2)
        axes.set_xlabel("trial; 0 is the recipe itself")
        _score_axis(axes, trials, "validation")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        plain_axes(axes)
        return to_svg(figure, "tuning", f"{_called(trials)} on validation of the trials of the tuning")


def _score(trial: Mapping[str, Any]) -> float:
    return float(trial["score"]["accuracy"]) if trial.get("score") else float("nan")
