"""How preparing the pictures changes the score: shape, colour, smoothing, size - one thing at a time.

``clothing``, split by sender; csp-nano from scratch, 6 epochs, three seeds. The base is what Assay does by itself, at
96 px: a centre crop in colour, not smoothed. Every other setting changes one thing of it. Smoothing works on the whole
photo (short side 176 px), before it is made smaller. Differences are paired: the same test pictures, the same seeds.
A short training from scratch shows what a network learns quickly; with weights from elsewhere or more time, the
differences are smaller.

    python -m benchmarks.data.make_clothing
    python -m benchmarks.preprocessing                        about 20 minutes on two cores, 36 trainings
    python -m benchmarks.preprocessing --jobs gray bilateral --list
    python -m benchmarks.preprocessing --summary
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import ROOT, median, read_lines
from benchmarks.series import CLOTHING, Training, add_arguments, mean_accuracy, obstacle, percent, run_series
from benchmarks.summarise import Line, newest, paired

SEEDS = (0, 1, 2)
BASE = "base"
COMMON = "--model csp-nano --epochs 6 --batch 32 --precision fp32"
SETTINGS = {
    # name -> (what it is in words, options)
    BASE: ("crop, colour, not smoothed, 96 px", "--size 96"),
    "letterbox": ("whole photo with grey borders", "--size 96 --resize letterbox"),
    "stretch": ("whole photo, stretched to a square", "--size 96 --resize stretch"),
    "gray": ("gray", "--size 96 --colour gray"),
    **{
        f"{kind}-{strength}": (
            f"{kind} smoothing, strength {strength}",
            f"--size 96 --smoothing {kind} --smoothing-strength {strength}",
        )
        for kind in ("gaussian", "median", "bilateral")
        for strength in (1, 2)
    },
    "size-64": ("64 px", "--size 64"),
    "size-128": ("128 px", "--size 128"),
}
PLOT = ROOT / "docs" / "images" / "preprocessing.svg"


def trainings(data: Path) -> Iterator[Training]:
    """Every training; seeds outermost, so that a series cut short still compares like with like."""
    for seed in SEEDS:
        for setting, (_, options) in SETTINGS.items():
            facts = {"dataset": "clothing", "setting": setting}
            yield Training(f"{setting}/s{seed}", data / CLOTHING, f"{COMMON} {options}", seed, facts)


def arms(lines: list[Line]) -> dict[str, list[Line]]:
    """Setting -> its lines by seed, in the order of SETTINGS."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(newest(lines), key=lambda line: line["seed"]):
        found[line["setting"]].append(line)
    return {setting: found[setting] for setting in SETTINGS if setting in found}


def table(lines: list[Line]) -> list[str]:
    """Rows of Markdown: accuracy of each setting, its difference from the base on the same pictures, seconds."""
    found = arms(lines)
    head = [
        "setting",
        "test accuracy, %",
        "by seed",
        "difference from the base, points",
        "seconds a training",
    ]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for setting, mine in found.items():
        seeds = ", ".join(f"{100 * line['k'] / line['n']:.1f}" for line in mine)
        seconds = median([line["wall_s"] for line in mine])
        accuracy, words = percent(mean_accuracy(mine)), SETTINGS[setting][0]
        out.append(f"| {words} | {accuracy} | {seeds} | {_difference(mine, found)} | {seconds:.0f} |")
    out += ["", "Means over seeds; 95 % intervals are a bootstrap over the test part's 44 senders, and a difference "
            "is paired, picture by picture."]  # fmt: skip
    return out


def _difference(mine: list[Line], found: dict[str, list[Line]]) -> str:
    base = found.get(BASE)
    if base is None or mine is base:
        return ""
    gain = paired(mine, base)["groups"]
    return f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def plot(lines: list[Line], path: Path) -> None:
    """Difference from the base, a dot and its interval a setting."""
    import matplotlib as mpl  # noqa: PLC0415 - for the summary alone

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "preprocessing", "font.size": 10, "svg.fonttype": "path"})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    found = arms(lines)
    names = [setting for setting in found if setting != BASE and BASE in found]
    figure, axes = plt.subplots(figsize=(6.4, 0.8 + 0.32 * max(1, len(names))), layout="constrained")
    for y, setting in enumerate(names):
        gain = paired(found[setting], found[BASE])["groups"]
        apart = not gain.low <= 0 <= gain.high
        colour = "#c2410c" if apart else "#6b7280"
        axes.plot([100 * gain.low, 100 * gain.high], [y, y], color=colour, linewidth=1.6)
        axes.plot(100 * gain.value, y, "o", color=colour)
    axes.axvline(0, color="#9ca3af", linewidth=0.8)
    axes.set_yticks(range(len(names)), [SETTINGS[name][0] for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("points of accuracy against the base (crop, colour)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#d1d5db", linewidth=0.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write_plots(lines: list[Line]) -> None:
    """The plot of docs/images."""
    plot(lines, PLOT)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "preprocessing.jsonl")
    args = parser.parse_args()
    if args.summary:
        lines = read_lines(args.results)
        if not lines:
            print(f"no lines in {args.results} yet")
            return 1
        print("\n".join(table(lines)))
        write_plots(lines)
        return 0
    if why := obstacle(args.data, args.shared):
        print(f"skipped: {why}")
        return 0
    return run_series(trainings(args.data), args)


if __name__ == "__main__":
    raise SystemExit(main())
