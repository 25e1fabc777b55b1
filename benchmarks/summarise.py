"""The tables of the results pages from the JSON lines: means over seeds, and paired differences on the same pictures.

For a pair of tools the difference of each picture is the mean over seeds of Assay's rights minus that of the peer's;
its interval is a bootstrap over pictures and, where pictures have groups (senders), another over whole groups. The
seeds are fixed in it, so their spread stands beside. McNemar's exact test is given seed by seed.

    python -m benchmarks.summarise             print the tables
    python -m benchmarks.summarise --write     put them between the markers of their pages, and draw the plots
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.interval import bootstrap, mcnemar, wilson
from benchmarks.machine import RESULTS, ROOT, median, read_lines

DOCS = ROOT / "docs"
PAGES = {"cnn-rnn": "results/cnn-vs-rnn.md"}
"""Section -> the page it stands on, where that is not results.md."""
SMALL = ("startup", "first_verdict", "million_rows", "matmul_peak", "coco_evaluation")
Line = dict[str, Any]


def rights(line: Line) -> NDArray[np.bool_]:
    """(N,) bits of a result line, in the order of the pictures' names."""
    packed = np.frombuffer(bytes.fromhex(line["right"]), dtype=np.uint8)
    return np.unpackbits(packed, count=line["n"]).astype(bool)


def newest(lines: Iterable[Line]) -> list[Line]:
    """The last line of each job: later settings replace earlier ones."""
    return list({line["job"]: line for line in lines}.values())


def with_coarse(lines: Iterable[Line]) -> list[Line]:
    """Lines of fine classes give a second line each, for the coarse score of the same answers."""
    found = []
    for line in lines:
        found.append(line)
        if "coarse" in line:
            summed = {**line["coarse"], "setting": f"{line['setting']} (fine, summed)", "validation": None}
            found.append({**line, **summed, "dataset": line["dataset"].replace("fine", "coarse")})
    return found


def arms(lines: Iterable[Line]) -> dict[tuple[str, ...], list[Line]]:
    """(dataset, track, tool, setting) -> its lines by seed."""
    found: dict[tuple[str, ...], list[Line]] = defaultdict(list)
    for line in lines:
        found[line["dataset"], line["track"], line["tool"], line["setting"]].append(line)
    return {key: sorted(found[key], key=lambda line: line["seed"]) for key in sorted(found)}


def paired(mine: list[Line], theirs: list[Line]) -> dict[str, Any]:
    """Mean difference of accuracy with intervals over pictures and over groups, and McNemar's p for each seed.

    Raises
    ------
    ValueError : the lines are not of the same pictures.
    """
    if len({line["pictures"] for line in [*mine, *theirs]}) != 1:
        raise ValueError(f"{mine[0]['job']} and {theirs[0]['job']} answered different pictures")
    a, b = (np.mean([rights(line) for line in side], axis=0) for side in (mine, theirs))
    difference = a - b

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(weights @ difference / weights.sum(1))

    n, groups = len(difference), mine[0].get("groups")
    seeds = sorted({line["seed"] for line in mine} & {line["seed"] for line in theirs})
    by_seed = [{line["seed"]: rights(line) for line in side} for side in (mine, theirs)]
    return {
        "pictures": bootstrap(mean, n, draws=10_000),
        "groups": bootstrap(mean, n, draws=10_000, groups=np.array(groups)) if groups else None,
        "p": [mcnemar(by_seed[0][seed], by_seed[1][seed]) for seed in seeds],
    }


def accuracy_table(lines: list[Line]) -> list[str]:
    """One row a setting: mean over seeds, spread, Wilson interval of the mean, minutes."""
    rows = ["| data | track | tool | setting | seeds | validation | test | least - most | 95 % | minutes |"]
    rows.append("|---|---|---|---|---|---|---|---|---|---|")
    for (dataset, track, tool, setting), mine in arms(with_coarse(newest(lines))).items():
        shares = [line["k"] / line["n"] for line in mine]
        n, mean = mine[0]["n"], float(np.mean(shares))
        interval = wilson(mean * n, n)
        spread = f"{_percent(min(shares))} - {_percent(max(shares))}"
        known = [line["validation"] for line in mine if line["validation"] is not None]
        validation = _percent(float(np.mean(known))) if known else "-"
        used = max(line["minutes_used"] for line in mine)
        rows.append(
            f"| {dataset} | {track} | {tool} | {setting} | {len(mine)} | {validation} | **{_percent(mean)}** "
            f"| {spread} | [{_percent(interval.low)}, {_percent(interval.high)}] | {used:.1f} |"
        )
    return rows


def paired_table(lines: list[Line]) -> list[str]:
    """One row for each of Assay's settings against each of a peer's on the same data and track."""
    rows = [
        "| data | track | Assay's | peer's | difference, points | 95 % over pictures | over groups | p by seed |"
    ]
    rows.append("|---|---|---|---|---|---|---|---|")
    found = arms(with_coarse(newest(lines)))
    for (dataset, track, tool, setting), mine in found.items():
        for (other_data, other_track, peer, other), theirs in found.items():
            if tool != "assay" or peer == "assay" or (dataset, track) != (other_data, other_track):
                continue
            told = paired(mine, theirs)
            groups = _points(told["groups"]) if told["groups"] else "-"
            p = ", ".join(f"{value:.1g}" for value in told["p"]) or "-"
            rows.append(
                f"| {dataset} | {track} | {setting} | {peer} {other} | {100 * told['pictures'].value:+.1f} "
                f"| {_points(told['pictures'])} | {groups} | {p} |"
            )
    return rows


def throughput_table(lines: list[Line]) -> list[str]:
    """One row a tool: medians over rounds of the pictures a second, and the ratio to the best peer."""
    rows = [
        "| network | px | batch | tool | first epoch | later epochs | whole process | share of the peak |"
    ]
    rows.append("|---|---|---|---|---|---|---|---|")
    found: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
    for line in lines:
        found[line["model"], line["size"], line["batch"], line["tool"]].append(line)
    for (model, size, batch, tool), mine in sorted(found.items()):
        first, later, whole = (
            median([line[k] for line in mine]) for k in ("first_rate", "rate", "whole_rate")
        )
        known = [line["peak_share"] for line in mine if line.get("peak_share")]
        share = f"{100 * median(known):.0f} %" if known else "-"
        row = (
            f"| {model} | {size} | {batch} | {tool} | {first:.1f} | **{later:.1f}** | {whole:.1f} | {share} |"
        )
        rows.append(row)
    return rows


def plain_table(lines: list[Line]) -> list[str]:
    """What was measured once or in medians: name, value, unit."""
    rows = ["| measured | value | unit | runs | aim |", "|---|---|---|---|---|"]
    for line in {line["name"]: line for line in lines}.values():
        rows.append(
            f"| {line['name']} | {line['value']} | {line['unit']} | {line.get('runs', 1)} | {line.get('aim', '-')} |"
        )
    return rows


def provenance(lines: list[Line]) -> list[str]:
    """Machines and commits of the lines, told once."""
    seen = {
        f"{line['machine']['cpu']}, {line['machine']['cores']} cores, torch {line['machine']['torch']}, "
        f"commit {line['commit']}"
        for line in lines
    }
    return [f"Measured on: {'; '.join(sorted(seen))}."]


def sections() -> dict[str, list[str]]:
    """Marker name -> lines of Markdown; only for what was measured."""
    accuracy = read_lines(RESULTS / "accuracy.jsonl")
    throughput = read_lines(RESULTS / "throughput.jsonl")
    small = [line for name in SMALL for line in read_lines(RESULTS / f"{name}.jsonl")]
    found: dict[str, list[str]] = {}
    if accuracy:
        found["accuracy"] = [
            *accuracy_table(accuracy),
            "",
            *paired_table(accuracy),
            "",
            *provenance(accuracy),
        ]
    if throughput:
        found["throughput"] = [*throughput_table(throughput), "", *provenance(throughput)]
    if small:
        found["small"] = [*plain_table(small), "", *provenance(small)]
    return found | _of_series()


def _of_series() -> dict[str, list[str]]:
    """The sections of benchmarks that have tables of their own."""
    from benchmarks import (  # noqa: PLC0415 - they use this file
        answering_summary,
        cnn_rnn_summary,
        error_budget_summary,
        explanations,
        few_pictures,
        hostile_summary,
        install_size,
        matching_summary,
        overfit,
        precisions,
        preprocessing,
        promises,
        round_trips,
        scene_summary,
        serving_summary,
        throughput_detection,
    )

    tables: dict[str, Callable[[list[Line]], list[str]]] = {
        "few_pictures": few_pictures.table,
        "preprocessing": preprocessing.table,
        "explanations": explanations.table,
        "cnn_rnn": cnn_rnn_summary.tables,
        "detection": scene_summary.detection_table,
        "segmentation": scene_summary.segmentation_table,
        "multitask": scene_summary.multitask_table,
        "round_trips": round_trips.table,
        "overfit": overfit.table,
        "answering": answering_summary.tables,
        "precisions": precisions.table,
        "throughput_detection": throughput_detection.table,
        "install_size": install_size.table,
        "error_budget": error_budget_summary.tables,
        "matching": matching_summary.table,
        "serving": serving_summary.tables,
        "promises": promises.table,
        "hostile_uploads": hostile_summary.table,
    }
    read = {name: read_lines(RESULTS / f"{name}.jsonl") for name in tables}
    return {
        name.replace("_", "-"): [*tables[name](lines), "", *provenance(lines)]
        for name, lines in read.items()
        if lines
    }


def write_plots() -> None:
    """The plots of the same benchmarks, in docs/images."""
    from benchmarks import cnn_rnn_summary, few_pictures, preprocessing  # noqa: PLC0415 - they use this file

    for module, name in (
        (few_pictures, "few_pictures"),
        (preprocessing, "preprocessing"),
        (cnn_rnn_summary, "cnn_rnn"),
    ):
        if lines := read_lines(RESULTS / f"{name}.jsonl"):
            module.write_plots(lines)


def fill(page: str, found: dict[str, list[str]]) -> str:
    """The page with each section between its markers ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    for name, lines in found.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no markers for {name}")
        head, rest = page.split(begin, 1)
        page = f"{head}{begin}\n" + "\n".join(lines) + f"\n{end}{rest.split(end, 1)[1]}"
    return page


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(estimate: Any) -> str:
    return f"[{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="fill the pages instead of printing")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the pages are")
    args = parser.parse_args()
    found = sections()
    if not found:
        print("nothing to summarise: benchmarks/results holds no lines")
    elif args.write:
        for page in {PAGES.get(name, "results.md") for name in found}:
            place = args.docs / page
            mine = {name: rows for name, rows in found.items() if PAGES.get(name, "results.md") == page}
            place.write_text(fill(place.read_text("utf-8"), mine), "utf-8")
        write_plots()
    else:
        print("\n".join(text for name, lines in found.items() for text in (f"## {name}", "", *lines, "")))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
