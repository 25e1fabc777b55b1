"""Tables and the plot of `benchmarks.abstention`, from its JSON lines alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.summarise import newest

Line = dict[str, Any]
SCORES = ("combined", "neighbours", "energy", "one minus top probability")
INK, MUTED, LINE, COLOURS = "#1d2126", "#636a73", "#d9d5cd", {"picture": "#1c6a8c", "group": "#b07d2b"}


def show(lines: list[Line], plot: Path) -> int:
    """Print the tables as Markdown and write the plot."""
    found = newest(lines)
    if not found:
        print("nothing to summarise: run `python -m benchmarks.abstention` first")
        return 1
    print("\n".join(tables(found)))
    write_plot(found, plot)
    print(f"\n{plot.name} written")
    return 0


def tables(lines: list[Line]) -> list[str]:
    """Promises, optimism and unknown pictures, as Markdown."""
    promises = [line for line in lines if line["job"].startswith("promise/")]
    unknown = [line for line in lines if line["job"].startswith("unknown/")]
    rows = [*_promise_table(promises)] if promises else []
    for line in lines:
        if line["job"] == "optimism":
            rows += ["", *_optimism_table(line)]
    return [*rows, "", *_unknown_table(unknown)] if unknown else rows


def _promise_table(lines: list[Line]) -> list[str]:
    head = lines[0]
    rows = [
        f"{head['pictures']:,} pictures by {head['senders']} unseen senders, {100 * head['accuracy']:.1f} % right; "
        f"{head['splits']:,} drawings each; broken may be at most {100 * (1 - head['confidence']):.0f} %.",
        "",
        "| drawn | unit | promised risk | drawings that promise | broken | found risk (5 to 95 %) | answered | "
        "sets hold | classes a set | false alarms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        found, answered = line["found"], line["coverage"]
        told = "–" if found is None else f"{_p(found['mean'])} ({_p(found['q05'])} to {_p(found['q95'])})"
        shares = " | ".join(_p(line[key]) for key in ("promised", "promising", "broken"))
        rows.append(
            f"| {line['how']} | {line['unit']} | {shares}"
            f" | {told} | {'–' if answered is None else _p(answered['mean'])} | {_p(line['set_coverage']['mean'])}"
            f" | {line['set_size']['mean']:.2f} | {_p(line['false_alarm']['mean'])} |"
        )
    return rows


def _optimism_table(line: Line) -> list[str]:
    parts = {name: line[name] for name in ("validation", "test")}
    rows = ["| part | accuracy | wrong from 80 % | from 90 % | from 95 % |", "|---|---|---|---|---|"]
    for name, row in parts.items():
        told = " | ".join(_p(row[key]) for key in row)
        rows.append(f"| {name} | {told} |")
    return rows


def _unknown_table(lines: list[Line]) -> list[str]:
    rows = [
        "AUROC, known against unknown, with its 95 % interval; in brackets the share of unknown pictures let through "
        "where 95 % of the known pass.",
        "",
        f"| network | unknown | known / unknown | {' | '.join(SCORES)} |",
        "|---|---|---|" + "---|" * len(SCORES),
    ]
    for line in lines:
        _, network, name = line["job"].split("/", 2)
        cells = [_cell(line[score]) for score in SCORES]
        rows.append(f"| {network} | {name} | {line['known']} / {line['unknown']} | {' | '.join(cells)} |")
    return rows


def _cell(found: Line) -> str:
    a = found["auroc"]
    return f"{a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}] ({_p(found['through'])})"


def _p(share: float) -> str:
    return f"{100 * share:.1f} %"


def write_plot(lines: list[Line], place: Path) -> None:
    """Left: promised against found risk, by unit; right: AUROC of each score."""
    style = {"font.size": 9, "svg.hashsalt": "assay", "axes.spines.top": False, "axes.spines.right": False}
    style |= {"axes.edgecolor": LINE, "text.color": INK, "axes.labelcolor": MUTED, "svg.fonttype": "none"}
    with mpl.rc_context({**style, "xtick.color": MUTED, "ytick.color": MUTED}):
        figure = Figure(figsize=(9.2, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
        _draw_promises(left, [n for n in lines if n["job"].startswith("promise/redrawn/")])
        _draw_unknown(right, [n for n in lines if n["job"].startswith("unknown/")])
        place.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(place, metadata={"Date": None, "Creator": None})


def _draw_promises(axes: Any, lines: list[Line]) -> None:
    top = max([100 * line["promised"] for line in lines], default=10) * 1.15
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    for unit, shift in (("picture", -0.15), ("group", 0.15)):
        rows = [n for n in lines if n["unit"] == unit and n["found"] is not None]
        x = [100 * n["promised"] + shift for n in rows]
        middle = [100 * n["found"]["median"] for n in rows]
        low = [m - 100 * n["found"]["q05"] for m, n in zip(middle, rows, strict=True)]
        high = [100 * n["found"]["q95"] - m for m, n in zip(middle, rows, strict=True)]
        name = "by picture" if unit == "picture" else "by sender"
        axes.errorbar(x, middle, [low, high], fmt="o", color=COLOURS[unit], markersize=4, label=name)
        for at, value, n in zip(x, middle, rows, strict=True):
            told = f"{100 * n['coverage']['median']:.0f} %"
            axes.annotate(told, (at, value), xytext=(5, -3), textcoords="offset points", color=COLOURS[unit])
    axes.set_xlabel("promised share of wrong answers, %")
    axes.set_ylabel("found, % (median, 5 to 95 %)")
    axes.set_title("Promises, and the share of pictures answered", loc="left", fontsize=9.5, color=INK)
    axes.legend(frameon=False)


def _draw_unknown(axes: Any, lines: list[Line]) -> None:
    colours = ("#1c6a8c", "#66b8da", "#b07d2b", "#9a9a9a")
    names = [line["job"].removeprefix("unknown/").replace("/", ": ") for line in lines]
    for i, (score, colour) in enumerate(zip(SCORES, colours, strict=True)):
        y = [row + 0.18 * (1.5 - i) for row in range(len(lines))][::-1]
        value = [line[score]["auroc"]["value"] for line in lines]
        low = [v - line[score]["auroc"]["low"] for v, line in zip(value, lines, strict=True)]
        high = [line[score]["auroc"]["high"] - v for v, line in zip(value, lines, strict=True)]
        axes.errorbar(value, y, xerr=[low, high], fmt="o", color=colour, markersize=4, label=score)
    axes.set_yticks(range(len(lines)), names[::-1])
    axes.set_xlabel("AUROC, known against unknown")
    axes.set_title("Unknown pictures", loc="left", fontsize=9.5, color=INK)
    axes.grid(visible=True, axis="x", color=LINE, linewidth=0.6)
    place = {"loc": "upper center", "bbox_to_anchor": (0.4, -0.16), "ncols": 2}
    axes.legend(frameon=False, fontsize=8, **place)
