"""With few pictures: start from somebody's weights, or from scratch? Accuracy against pictures a class.

``clothing``, split by sender. From the training part 5, 20, 80 or all pictures of each class are drawn, the smaller
draw inside the larger one, anew for each seed; a class that has fewer gives all it has. The validation part, which
chooses the weights that are kept, is drawn a quarter as large (at least 2 a class), because who has five pictures a
class has no five hundred to choose by. The test part is always whole: 494 photos by 44 senders whom no network saw.

Three ways: ``frozen`` trains the last layer alone on the features of a MobileNetV2 trained on ImageNet;
``probe-then-all`` begins so and then trains everything; ``scratch`` trains csp-nano from random weights. All at
128 px, with the recipe's own augmentation and learning rates, each for a fixed number of steps (STEPS) that grows
with the pictures; scratch gets more of them, as its steps are cheaper and it has more to learn.

    python -m benchmarks.data.make_clothing
    python -m benchmarks.few_pictures                              about 25 minutes on two cores, 36 trainings
    python -m benchmarks.few_pictures --jobs scratch,s0 --list
    python -m benchmarks.few_pictures --summary
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.tree import read_rows, write_rows
from benchmarks.machine import ROOT, read_lines
from benchmarks.series import CLOTHING, Training, add_arguments, mean_accuracy, obstacle, percent, run_series
from benchmarks.summarise import Line, newest, paired

BATCH = 32
SEEDS = (0, 1, 2)
COUNTS: tuple[int | None, ...] = (5, 20, 80, None)
"""Pictures a class; None is all."""
VALIDATION_SHARE, LEAST_VALIDATION = 0.25, 2
_TRUNK = (
    "--model mobilenetv2_100 --model-options pad_type=same --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 "
    "--weights {weights} --precision bf16"
)
METHODS = {
    "frozen": f"{_TRUNK} --transfer frozen",
    "probe-then-all": f"{_TRUNK} --transfer probe-then-all",
    "scratch": "--model csp-nano --precision fp32",
}
STEPS: dict[str, dict[int | None, int]] = {
    "frozen": {5: 60, 20: 60, 80: 75, None: 75},
    "probe-then-all": {5: 80, 20: 120, 80: 200, None: 300},
    "scratch": {5: 200, 20: 400, 80: 600, None: 750},
}
"""Updates of the weights, of 32 pictures each."""
PLOT = ROOT / "docs" / "images" / "few-pictures.svg"
COLOURS = {"frozen": "#1b7f79", "probe-then-all": "#c2410c", "scratch": "#4b5563"}
MARKERS = {"frozen": "o", "probe-then-all": "s", "scratch": "^"}


def draw(rows: list[dict[str, str]], count: int | None, seed: int) -> list[dict[str, str]]:
    """The rows of a data set of ``count`` training pictures a class; the test part stays whole.

    One permutation of each class and part decides, so a smaller draw of the same seed is inside a larger one.
    """
    held = None if count is None else max(LEAST_VALIDATION, round(count * VALIDATION_SHARE))
    most = {"train": count, "validation": held, "test": None}
    order = np.random.default_rng(seed).permutation(len(rows))
    taken: dict[tuple[str, str], int] = defaultdict(int)
    kept = []
    for i in order:
        row = rows[i]
        place, limit = (row["part"], row["label"]), most[row["part"]]
        if limit is None or taken[place] < limit:
            taken[place] += 1
            kept.append(int(i))
    return [rows[i] for i in sorted(kept)]


def epochs_of(steps: int, pictures: int) -> int:
    """Passes over ``pictures`` that make about so many steps; a last batch that is not full is left out."""
    return max(1, round(steps / max(1, pictures // min(BATCH, pictures))))


def trainings(data: Path) -> Iterator[Training]:
    """Every training, seeds outermost; writes the tables that are drawn."""
    rows = read_rows(data / CLOTHING)
    for seed in SEEDS:
        for count in COUNTS:
            name = "all" if count is None else str(count)
            table = data / "clothing" / "few" / f"{name}-s{seed}.csv"
            drawn = draw(rows, count, seed)
            write_rows(table, drawn)
            pictures = sum(row["part"] == "train" for row in drawn)
            for method, options in METHODS.items():
                steps = STEPS[method][count]
                told = f"{options} --size 128 --batch {BATCH} --epochs {epochs_of(steps, pictures)}"
                facts = {"dataset": "clothing", "method": method, "count": name, "steps": steps}
                yield Training(f"{name}/{method}/s{seed}", table, told, seed, facts)


def arms(lines: list[Line]) -> dict[tuple[str, str], list[Line]]:
    """(method, pictures a class) -> its lines by seed."""
    found: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in sorted(newest(lines), key=lambda line: line["seed"]):
        found[line["method"], line["count"]].append(line)
    return found


def table(lines: list[Line]) -> list[str]:
    """Rows of Markdown: accuracy of each way at each number of pictures, and the gain of weights over scratch."""
    found = arms(lines)
    head = ["pictures a class", "in all", *METHODS, "probe-then-all over scratch, points"]
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for count in ("all" if n is None else str(n) for n in COUNTS):
        cells = [percent(mean_accuracy(found[m, count])) if (m, count) in found else "" for m in METHODS]
        some = next((found[m, count] for m in METHODS if (m, count) in found), None)
        if some is None:
            continue
        out.append(f"| {count} | {some[0]['train']:,} | " + " | ".join([*cells, _gain(found, count)]) + " |")
    seeds = sorted({line["seed"] for line in lines})
    out += ["", f"Test accuracy in percent, mean of seeds {', '.join(map(str, seeds))}; 95 % intervals are a "
            "bootstrap over the test part's senders. 44 senders took its 494 photos."]  # fmt: skip
    return out


def _gain(found: dict[tuple[str, str], list[Line]], count: str) -> str:
    mine, theirs = found.get(("probe-then-all", count)), found.get(("scratch", count))
    if not mine or not theirs:
        return ""
    gain = paired(mine, theirs)["groups"]
    return f"{100 * gain.value:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def plot(lines: list[Line], path: Path) -> None:
    """Accuracy against pictures a class: a line a way, its interval as a band, a dot a seed."""
    import matplotlib as mpl  # noqa: PLC0415 - for the summary alone

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "few-pictures", "font.size": 10, "svg.fonttype": "path"})
    from matplotlib import pyplot as plt  # noqa: PLC0415

    found = arms(lines)
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for method in METHODS:
        _draw_method(axes, method, {count: mine for (m, count), mine in found.items() if m == method})
    places = sorted({(_pictures_a_class(mine), count) for (_, count), mine in found.items()})
    axes.set_xscale("log")
    axes.set_xticks([x for x, _ in places], [f"all ({x:.0f})" if c == "all" else c for x, c in places])
    axes.minorticks_off()
    axes.set_xlabel("training pictures a class (mean over classes)")
    axes.set_ylabel("right answers on unseen senders' photos, %")
    axes.set_ylim(0, 100)
    axes.grid(color="#d1d5db", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _pictures_a_class(lines: list[Line]) -> float:
    return float(lines[0]["train"] / 10)


def _draw_method(axes: Any, method: str, by_count: dict[str, list[Line]]) -> None:
    arms_of = sorted(by_count.values(), key=_pictures_a_class)
    if not arms_of:
        return
    x = [_pictures_a_class(mine) for mine in arms_of]
    figures = [mean_accuracy(mine) for mine in arms_of]
    colour, marker = COLOURS[method], MARKERS[method]
    axes.plot(x, [100 * e.value for e in figures], color=colour, marker=marker, label=method)
    low, high = ([100 * getattr(e, side) for e in figures] for side in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    for at, mine in zip(x, arms_of, strict=True):
        rates = [100 * line["k"] / line["n"] for line in mine]
        axes.scatter([at] * len(rates), rates, s=9, color=colour, alpha=0.6, linewidth=0)


def write_plots(lines: list[Line]) -> None:
    """The plot of docs/images."""
    plot(lines, PLOT)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "few_pictures.jsonl")
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
