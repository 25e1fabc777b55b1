"""Tables and plots of ``benchmarks.cnn_rnn`` from its result lines: Markdown text, and SVG files in docs/images.

In the plots a filled mark is the mean over seeds, hollow dots are seeds, bars the 95 % interval over test pictures
(over senders where pictures have them). Blue is a CNN, orange an RNN.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from assay.report.figure import compact
from assay.trials.trials import Network, Trials
from benchmarks.machine import ROOT

IMAGES = ROOT / "docs" / "images"
TITLES = {"clothing": "Clothing, new senders", "grocery": "Grocery, 43 kinds", "digits": "Digits, 8 x 8"}
EQUAL = {"params": "equal parameters", "minutes": "equal minutes"}
INK, COLOURS = "#6d7680", {"CNN": "#2f7fb8", "RNN": "#cf7f1f"}
SHADES = {
    "cnn": "#174f7a",
    "resnet9": "#2f7fb8",
    "csp-nano": "#7db7de",
    "rnn-bilstm": "#7a4509",
    "rnn-bigru": "#cf7f1f",
    "rnn-renet": "#c8504a",
    "rnn-mingru": "#e3b36d",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "assay",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b9bec4",
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#b9bec455",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
Found = dict[tuple[str, str], Trials]
"""(picture set, what was made equal) -> comparison."""


def read(lines: Iterable[dict[str, Any]]) -> Found:
    """The newest comparison of each job."""
    return {tuple(line["job"].split("/")): Trials.from_dict(line["trials"]) for line in lines}  # type: ignore[misc]


def summarise(lines: list[dict[str, Any]], images: Path = IMAGES) -> str:
    """Draw the plots; returns the tables."""
    if not lines:
        return "nothing to summarise: benchmarks/results/cnn_rnn.jsonl holds no lines"
    write_plots(lines, images)
    return "\n".join([*tables(lines), *provenance(lines)])


def tables(lines: list[dict[str, Any]]) -> list[str]:
    """A table a comparison, as lines of Markdown."""
    return [table(name, mode, trials) for (name, mode), trials in read(lines).items()]


def write_plots(lines: list[dict[str, Any]], images: Path = IMAGES) -> None:
    """The plots of docs/images."""
    found = read(lines)
    images.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in (
            ("accuracy", accuracy_plot(found)),
            ("cost", cost_plot(found)),
            ("learning", learning_plot(found)),
        ):
            if figure is not None:
                figure.savefig(images / f"cnn-vs-rnn-{name}.svg", metadata={"Date": None, "Creator": None})


def table(name: str, mode: str, trials: Trials) -> str:
    """One comparison as Markdown."""
    n = trials.data["parts"].get("test", 0)
    rows = [
        f"**{TITLES[name]}, {EQUAL[mode]}** ({budget(trials)}; {n:,} test pictures)",
        "",
        "| network | validation | test | least - most of the seeds | 95 % over pictures | parameters | multiply-adds "
        "| minutes | epochs | ms a picture | beside the best |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows += [row(trials, network) for network in trials.ranked]
    rows += [f"| {n.name} | failed: {n.failed} |" + " |" * 9 for n in trials.networks if not n.scores]
    return "\n".join([*rows, ""])


def budget(trials: Trials) -> str:
    """What every run had."""
    options = trials.request["options"]
    if trials.request["equal"] == "params":
        return f"{trials.request['params']:,} parameters, {options['epochs']} epochs"
    return f"{options['minutes']:g} minutes a run"


def row(trials: Trials, network: Network) -> str:
    score = network.scores["test"]
    accuracy, interval = score.metrics["accuracy"], score.interval
    latency = (network.latency or {}).get("median_ms")
    held = network.accuracy("validation")
    cells = [
        network.name,
        "-" if held is None else percent(held),
        f"**{percent(accuracy.mean)}**",
        f"{percent(accuracy.least)} - {percent(accuracy.most)}",
        f"[{percent(interval.low)}, {percent(interval.high)}]",
        compact(network.parameters or 0),
        "-" if network.macs is None else compact(network.macs),
        "-" if network.minutes is None else f"{network.minutes:.2f}",
        "-" if network.epochs is None else f"{network.epochs:.1f}",
        "-" if latency is None else f"{latency:.2f}",
        verdict(trials, network),
    ]
    return f"| {' | '.join(cells)} |"


def verdict(trials: Trials, network: Network) -> str:
    """How the network stands beside the one that validation chose."""
    if network.name == trials.best:
        return "best on validation"
    test = next((t for t in trials.tests.get("best", ()) if t.a == network.name), None)
    if test is None:
        return "-"
    state = {None: "not shown to differ", trials.best: "worse", network.name: "better"}[test.better]
    return f"{state}: {100 * test.wide.value:+.1f} [{100 * test.wide.low:+.1f}, {100 * test.wide.high:+.1f}]"


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def provenance(lines: list[dict[str, Any]]) -> list[str]:
    """Machines, commits and loads of the lines, told once."""
    seen = {
        f"{line['machine']['cpu']}, {line['machine']['cores']} cores, torch {line['machine']['torch']}, "
        f"commit {line['commit']}"
        for line in lines
    }
    loads = ", ".join(f"{line['job']} {line['load_before']}" for line in lines)
    return [f"Measured on: {'; '.join(sorted(seen))}. Load before: {loads}."]


def accuracy_plot(found: Found) -> Figure:
    """A row a picture set, a column a mode; networks from best to worst on validation."""
    names = list(dict.fromkeys(name for name, _ in found))
    modes = [mode for mode in EQUAL if any(mode == m for _, m in found)]
    figure = Figure(figsize=(4.3 * len(modes), 2.4 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(modes), squeeze=False, sharex="row")
    for axes_row, name in zip(grid, names, strict=True):
        for axes, mode in zip(axes_row, modes, strict=True):
            trials = found.get((name, mode))
            if trials is None:
                axes.set_visible(False)
                continue
            ranked = trials.ranked
            for y, network in enumerate(ranked):
                draw_score(axes, trials, network, y)
            axes.set_yticks(range(len(ranked)), [network.name for network in ranked])
            axes.set_ylim(len(ranked) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.tick_params(length=0)
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.set_title(f"{TITLES[name]}: {EQUAL[mode]}", fontsize=9, loc="left")
    for axes in grid[-1]:
        axes.set_xlabel("right on the test part")
    return figure


def draw_score(axes: Any, trials: Trials, network: Network, y: float) -> None:
    score, colour = network.scores["test"], COLOURS[network.family]
    axes.plot([score.interval.low, score.interval.high], [y, y], color=colour, linewidth=3, alpha=0.35)
    rows = [r for r in trials.rows if r.network == network.name and r.is_finished]
    seeds = [r.scores["test"]["accuracy"] for r in rows]
    axes.plot(
        seeds, [y] * len(seeds), linestyle="none", marker="o", markersize=3.5, color=colour, fillstyle="none"
    )
    marker = "o" if network.family == "CNN" else "s"
    axes.plot([score.metrics["accuracy"].mean], [y], marker=marker, markersize=6.5, color=colour)


def cost_plot(found: Found) -> Figure | None:
    """Accuracy against multiply-adds at equal parameters, a panel a picture set."""
    shown = {name: trials for (name, mode), trials in found.items() if mode == "params"}
    if not shown:
        return None
    figure = Figure(figsize=(3.3 * len(shown), 2.9), layout="constrained")
    for axes, (name, trials) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True
    ):
        for network in trials.ranked:
            score, colour = network.scores["test"], COLOURS[network.family]
            axes.plot([network.macs] * 2, [score.interval.low, score.interval.high], color=colour, alpha=0.4)
            mean = score.metrics["accuracy"].mean
            axes.plot([network.macs], [mean], marker="o" if network.family == "CNN" else "s", color=colour)
        axes.set_xscale("log")
        axes.margins(x=0.3)
        label_points(axes, trials)
        axes.xaxis.set_major_formatter(FuncFormatter(compact))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_title(TITLES[name], fontsize=9, loc="left")
        axes.set_xlabel("multiply-adds a picture")
    return figure


def label_points(axes: Any, trials: Trials) -> None:
    """Names beside their points, moved up where they would lie on one another."""
    ranked = sorted(trials.ranked, key=lambda n: n.accuracy("test") or 0.0)
    low, high = axes.get_ylim()
    at = -1.0
    for network in ranked:
        mean = network.accuracy("test") or 0.0
        at = max(mean, at + (high - low) / 18)
        axes.annotate(
            network.name,
            (network.macs, mean),
            (network.macs * 1.13, at),
            fontsize=7,
            color=INK,
            va="center",
            arrowprops={"arrowstyle": "-", "color": "#b9bec4", "linewidth": 0.6},
        )


def learning_plot(found: Found) -> Figure | None:
    """Validation accuracy by epoch at equal parameters, the mean of the seeds, a panel a picture set."""
    shown = {name: trials for (name, mode), trials in found.items() if mode == "params"}
    if not shown:
        return None
    figure = Figure(figsize=(3.3 * len(shown), 3.1), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, trials) in zip(panels, shown.items(), strict=True):
        for network in trials.networks:
            curves = [
                np.array(r.curve) for r in trials.rows if r.network == network.name and len(r.curve) > 1
            ]
            if not curves:
                continue
            length = min(len(curve) for curve in curves)
            mean = np.mean([curve[:length] for curve in curves], axis=0)
            dashes = "-" if network.family == "CNN" else (0, (4, 1.5))
            axes.plot(
                mean[:, 0], mean[:, 2], color=SHADES[network.model], linestyle=dashes, label=network.name
            )
        axes.set_title(TITLES[name], fontsize=9, loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].set_ylabel("right on validation")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=len(labels) if len(shown) > 2 else 3,
        frameon=False,
        fontsize=7.5,
    )
    return figure
