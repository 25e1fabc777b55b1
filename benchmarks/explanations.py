"""Are explanations true? Deletion, insertion and the randomisation test, for each kind and each network.

Any finished runs will do; pictures are those of each run's validation part, which no weights were trained on. A line a
run and kind; a line that is there already for the same weights is not measured again.

    python -m benchmarks.explanations --runs runs/compare runs/first
    python -m benchmarks.explanations --summary
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assay.explain.explain import REVISION, explain
from assay.explain.source import file_digest
from assay.tables import EXPLANATIONS
from benchmarks.machine import RESULTS, append_line, read_lines, stamp

FILE = RESULTS / "explanations.jsonl"
Line = dict[str, Any]


def find_runs(places: Iterable[Path]) -> list[Path]:
    """Finished runs: the places themselves, or what lies below them."""
    found = []
    for place in places:
        cards = [place / "card.json"] if (place / "card.json").is_file() else sorted(place.rglob("card.json"))
        found += [card.parent for card in cards if (card.parent / "model.safetensors").is_file()]
    return list(dict.fromkeys(found))


def measure(run: Path, kinds: list[str], test_pictures: int, out: Path, known: set[tuple[str, str]]) -> int:
    """Test these kinds on one run; returns how many lines were written."""
    weights = file_digest(run / "model.safetensors")[:16]
    wanted = [kind for kind in kinds if (f"{weights}-{test_pictures}-{REVISION}", kind) not in known]
    if not wanted:
        print(f"{run}: measured already", flush=True)
        return 0
    about, begun = stamp(), time.monotonic()
    found = explain(
        run, kinds=wanted, n=4, test_pictures=test_pictures, out=out / f"{run.parent.name}-{run.name}"
    )
    settings = json.loads((run / "run.json").read_text("utf-8"))
    for score in found.scores:
        line = {
            "job": f"{weights}-{test_pictures}-{REVISION}",
            "run": run.name,
            "network": found.model,
            "size": found.size,
            "dataset": settings.get("dataset"),
            "accuracy": _accuracy(run),
            "parameters": settings.get("parameters"),
            "part": found.tested_on,
            **score.to_dict(),
            **about,
        }
        append_line(FILE, line)
    told = ", ".join(f"{score.kind} {score.verdict}" for score in found.scores)
    print(f"{run}: {told}; {time.monotonic() - begun:.0f} s", flush=True)
    return len(found.scores)


def _accuracy(run: Path) -> float | None:
    file = run / "evaluation" / "validation.json"
    return json.loads(file.read_text("utf-8"))["metrics"]["accuracy"]["value"] if file.is_file() else None


def table(lines: list[Line]) -> list[str]:
    """A row a network and kind, the networks in order of their names."""
    rows = [
        "| network | data | kind | verdict | deletion (chance) | insertion (chance) | over chance | 95 % | "
        "over the middle | 95 % | alike: head | alike: all shuffled |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    newest = {(line["network"], line["dataset"], line["run"], line["kind"]): line for line in lines}
    for (network, dataset, _, kind), line in sorted(newest.items(), key=lambda item: item[0][:3]):
        front = f"| {network} ({line['size']} px) | {dataset} | {kind} | {line['verdict']} "
        if line["gain"] is None:
            rows.append(f"{front}| {line['reason']} | | | | | | | |")
            continue
        areas = " ".join(
            f"| {line[name]['value']:.2f} ({line['chance'][name]:.2f})" for name in ("deletion", "insertion")
        )
        gains = " ".join(
            f"| {line[name]['value']:+.2f} | [{line[name]['low']:+.2f}, {line[name]['high']:+.2f}]"
            for name in ("gain", "over_centre")
        )
        alike = " ".join(f"| {_two(line['likeness'].get(level))}" for level in ("the head", "everything"))
        rows.append(f"{front}{areas} {gains} {alike} |")
    return rows


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def provenance(lines: list[Line]) -> list[str]:
    """Pictures, machines and commits."""
    seen = sorted(
        {
            f"{line['n']} pictures of {line['part']}, {line['machine']['cpu']}, {line['machine']['cores']} cores, "
            f"torch {line['machine']['torch']}, commit {line['commit']}"
            for line in lines
        }
    )
    return [f"Measured on: {'; '.join(seen)}."]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", nargs="*", type=Path, default=[], help="run folders, or folders of them")
    parser.add_argument("--kinds", nargs="*", help="default: all")
    parser.add_argument("--test-pictures", type=int, default=96)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/explanations"))
    parser.add_argument("--summary", action="store_true", help="print the table of what was measured")
    args = parser.parse_args()
    if args.summary:
        lines = read_lines(FILE)
        print("\n".join([*table(lines), "", *provenance(lines)] if lines else ["nothing was measured"]))
        return 0
    known = {(line["job"], line["kind"]) for line in read_lines(FILE)}
    runs = find_runs(args.runs)
    if not runs:
        parser.error("--runs names no finished run")
    for run in runs:
        measure(run, args.kinds or list(EXPLANATIONS), args.test_pictures, args.out, known)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
