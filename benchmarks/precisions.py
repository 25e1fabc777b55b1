"""What 8 bits and bf16 cost and give, on real pictures: ``clothing`` (class), ``bccd`` (boxes), ``ccp`` (pixels).

A network is trained on each for some minutes (or taken from an earlier time), exported with every precision that its
gate on *validation* lets through, and measured on the *test* part in every engine and precision: the main scores of its
heads, their differences to ONNX Runtime's fp32 on the same pictures with a paired bootstrap interval, and the pictures
a second of the engine alone on all cores, in turns.

    python -m benchmarks.data.make_clothing; python -m benchmarks.data.make_bccd
    python -m benchmarks.data.make_ccp --without-tag-only --out runs/data/ccp-masks-only
    python -m benchmarks.precisions --minutes 5
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import assay
from assay.bundle import load_bundle
from assay.cores import usable_cores
from assay.data.read import read_dataset
from assay.errors import ExportError
from assay.export.export import export
from assay.export.gate import AnyEvaluation, paired_scores
from assay.metrics.evaluate_any import evaluate
from assay.runtime.choose import candidates, measure
from assay.runtime.precisions import ANY
from benchmarks.machine import RESULTS, append_line, stamp

ASSAY = str(Path(sys.executable).with_name("assay"))
FAST = ("int8", "bf16")
FIRST = ("onnxruntime", "fp32")
Line = dict[str, Any]


class Set(NamedTuple):
    """A data set below ``runs/data``, and what is learned from it."""

    name: str
    data: str
    options: str


SETS = (
    Set("clothing", "clothing/tree", "--model csp-nano --size 160"),
    Set("bccd", "bccd/original.json", "--heads boxes"),
    Set("ccp", "ccp-masks-only/ccp.parquet", "--heads boxes,pixels --size 320"),
)


def run_of(one: Set, args: argparse.Namespace) -> Path:
    """The run folder; trained where there is none."""
    folder: Path = args.runs / "precisions" / one.name
    if not (folder / "evaluation").exists():
        words = [ASSAY, "train", str(args.data / one.data), "--out", str(folder), "--quiet"]
        subprocess.run([*words, "--minutes", f"{args.minutes:g}", *one.options.split()], check=True)
    return folder


def bundle_of(run: Path) -> tuple[Path, list[Line]]:
    """A Bundle with every precision that passes, and what the gates said; those that refuse leave theirs out."""
    out, passed, told = run / "fast.bundle", [], []
    for precision in FAST:
        try:
            report = export(run, out, decode="exact", precisions=(precision,))
        except ExportError as error:
            told.append({"precision": precision, "passed": False, "why": f"{error.what}: {error.got}"})
        else:
            passed.append(precision)
            told += [{"precision": gate.way, **gate.to_dict()} for gate in report.gates]
    export(run, out, decode="exact", precisions=tuple(passed))
    return out, told


def lines_of(one: Set, args: argparse.Namespace) -> Iterator[Line]:
    """One line a gate, then one an engine and precision."""
    bundle, gates = bundle_of(run_of(one, args))
    for gate in gates:
        yield {"kind": "gate", "set": one.name, **gate}
    test = read_dataset(args.data / one.data)
    loaded = load_bundle(bundle)
    ways = candidates(loaded, "auto", ANY)
    rates = {
        (r.engine, r.precision): r for r in measure(loaded, ways, lanes=usable_cores(), batch=8, round_s=2.0)
    }
    before: AnyEvaluation | None = None
    for engine, precision in sorted(ways, key=lambda way: way != FIRST):
        if rates[engine, precision].fault is not None:
            yield {"kind": "way", "set": one.name, "engine": engine, "precision": precision,
                   "fault": rates[engine, precision].fault}  # fmt: skip
            continue
        predictor: Any = assay.load(bundle, engine=engine, precision=precision)
        found = evaluate(predictor, test, "test", draws=100)
        before = before or found
        scores = [score.to_dict() for score in paired_scores(before, found)]
        yield {
            "kind": "way",
            "set": one.name,
            "engine": engine,
            "precision": precision,
            "n": found.n,
            "scores": scores,
            "per_s": rates[engine, precision].pictures_per_s,
        }


def table(lines: list[Line]) -> list[str]:
    """One row a set, engine and precision: its newest line."""
    rows = [
        "| set | engine | precision | pictures | score | fp32 | this | difference, points | engine alone, a second |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    newest = {
        (x["set"], x["engine"], x["precision"]): x for x in lines if x["kind"] == "way" and "scores" in x
    }
    for (name, engine, precision), line in newest.items():
        for score in line["scores"]:
            apart = score["difference"]
            told = f"{100 * apart['value']:+.1f} [{100 * apart['low']:+.1f}, {100 * apart['high']:+.1f}]"
            told = "-" if (engine, precision) == FIRST else told
            rows.append(
                f"| {name} | {engine} | {precision} | {line['n']} | {score['name']} | {100 * score['before']:.1f} "
                f"| {100 * score['after']:.1f} | {told} | {line['per_s']:.0f} |"
            )
    refused = {(x["set"], x["precision"]): x for x in lines if x["kind"] == "gate"}
    rows += ["", *(f"Refused on {name}: {x['why']}." for (name, _), x in refused.items() if not x["passed"])]
    return rows if rows[-1] else rows[:-1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=[one.name for one in SETS], help="data sets")
    parser.add_argument("--minutes", type=float, default=5.0, help="of training where there is no run yet")
    parser.add_argument("--data", type=Path, default=Path("runs/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/bench"))
    parser.add_argument("--results", type=Path, default=RESULTS / "precisions.jsonl")
    args = parser.parse_args()
    for one in SETS:
        if args.only and one.name not in args.only:
            continue
        if not (args.data / one.data).exists():
            print(
                f"{one.name}: skipped, {args.data / one.data} is missing: run benchmarks.data.make_{one.name}"
            )
            continue
        for line in lines_of(one, args):
            append_line(args.results, {**line, **stamp()})
            print(
                " ".join(str(line.get(k, "")) for k in ("set", "kind", "engine", "precision", "per_s")),
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
