"""CNN against RNN: seven networks of two families on three picture sets, at equal parameters and at equal minutes.

Protocol, the same for all networks of a set:

- one split (clothing: no sender in two parts; grocery: its own parts; digits: 60 / 20 / 20), one preprocessing, one
  augmentation, one recipe (AdamW, cosine, the recipe's own learning rate); from scratch; nothing is tuned on any of
  the sets, so a network that wants another learning rate is at a disadvantage that this shows as well;
- three seeds; the test part is looked at once, by the weights that validation chose within each run;
- *equal parameters*: every network's width is searched until it has the set's number of parameters within 5 %; runs
  are by epochs, so their scores do not depend on how busy the machine is;
- *equal minutes*: networks as their makers left them; every run has the same wall-clock minutes, reading and measuring
  included (pixels are decoded before the first run), so this needs a machine that does nothing else.

The runs are those of ``assay compare``; a stopped benchmark goes on where it was. Each comparison is one line of
``results/cnn_rnn.jsonl``; one whose line is there is skipped. About an hour and a half in all on two cores.

    python -m benchmarks.data.make_clothing; python -m benchmarks.data.make_grocery
    python -m benchmarks.data.make_digits
    python -m benchmarks.cnn_rnn
    python -m benchmarks.cnn_rnn --only clothing --equal params
    python -m benchmarks.cnn_rnn --summary            print the tables, draw docs/images/cnn-vs-rnn-*.svg
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.trials.compare import compare_models
from benchmarks.cnn_rnn_summary import summarise
from benchmarks.machine import RESULTS, SHARED, append_line, read_lines, stamp

NETWORKS = ("cnn", "resnet9", "csp-nano", "rnn-bilstm", "rnn-bigru", "rnn-renet", "rnn-mingru")
MODES = ("params", "minutes")
SEEDS = 3
LINES = RESULTS / "cnn_rnn.jsonl"


@dataclass(frozen=True)
class Job:
    """A picture set with what its runs get. ``root`` is below shared/data; ``params``: of every network when equal."""

    data: str
    root: str | None
    params: int
    epochs: int
    minutes: float
    options: dict[str, Any]


_PHOTOS = {"size": 64, "batch": 32}
_DIGITS = {"size": 16, "batch": 32, "colour": "gray", "flip": 0.0, "trivial": False, "crop_scale": (0.7, 1.0)}
"""Digits are not mirrored; 16 px, so that the networks with strides have something to stride over."""

JOBS = {
    "clothing": Job("clothing/clothing.csv", "clothing", 280_000, 6, 0.6, _PHOTOS),
    "grocery": Job("grocery/coarse.csv", "grocery", 280_000, 6, 0.6, _PHOTOS),
    "digits": Job("digits", None, 108_000, 12, 0.2, _DIGITS),
}


def settings(name: str, mode: str) -> dict[str, Any]:
    """Options of the comparison, but for where things lie."""
    job = JOBS[name]
    if mode == "params":
        equal = {"equal": "params", "params": job.params, "precision": "fp32"}
        return {**job.options, **equal, "epochs": job.epochs}
    return {**job.options, "equal": "minutes", "minutes": job.minutes}


def run_job(name: str, mode: str, data: Path, shared: Path, runs: Path) -> dict[str, Any]:
    """One comparison to its end; its result line."""
    job = JOBS[name]
    options = settings(name, mode) | ({"root": str(shared / job.root)} if job.root else {})
    line = {
        "job": f"{name}/{mode}",
        "settings": plain(settings(name, mode)),
        "networks": list(NETWORKS),
        **stamp(),
    }
    trials = compare_models(
        data / job.data, NETWORKS, runs / f"{name}-{mode}", seeds=SEEDS, show=True, **options
    )
    return {**line, "trials": without_paths(trials.to_dict())}


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """The comparison without where things lay on this machine."""
    request, data = dict(values["request"]), dict(values["data"])
    request["data"] = data["name"]
    request["options"] = {k: v for k, v in request["options"].items() if k != "root"}
    return {**values, "request": request, "data": {k: v for k, v in data.items() if k != "root"}}


def is_done(name: str, mode: str, lines: list[dict[str, Any]]) -> bool:
    """Whether a line of the same job, networks and settings is there."""
    wanted = {"job": f"{name}/{mode}", "settings": plain(settings(name, mode)), "networks": list(NETWORKS)}
    return any(all(line.get(k) == v for k, v in wanted.items()) for line in lines)


def obstacle(name: str, data: Path, shared: Path) -> str:
    """Why a job cannot run here; empty where it can."""
    job = JOBS[name]
    if job.root and not (shared / job.root).is_dir():
        return f"the pictures of {name} are not in the shared data folder"
    if not (data / job.data).exists():
        return f"{data / job.data} is missing: run benchmarks.data.make_{name}"
    return ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(JOBS), nargs="*", default=list(JOBS), help="picture sets")
    parser.add_argument("--equal", choices=MODES, nargs="*", default=list(MODES), help="what is made equal")
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="what the make_ scripts wrote")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--runs", type=Path, default=Path("runs/cnn-rnn"))
    parser.add_argument("--results", type=Path, default=LINES)
    parser.add_argument("--again", action="store_true", help="also what has a line, from the first run on")
    parser.add_argument("--summary", action="store_true", help="print the tables and draw the plots")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.summary:
        print(summarise(read_lines(args.results)))
        return 0
    failed = 0
    for mode in args.equal:  # the machine's load matters for one of them only: keep those together
        for name in args.only:
            why = obstacle(name, args.data, args.shared)
            if not why and not args.again and is_done(name, mode, read_lines(args.results)):
                why = "done before"
            if why:
                print(f"{name}/{mode}: skipped, {why}", flush=True)
                continue
            if args.again:
                shutil.rmtree(args.runs / f"{name}-{mode}", ignore_errors=True)
            line = run_job(name, mode, args.data, args.shared, args.runs)
            failed += line["trials"]["best"] is None
            append_line(args.results, line)
            print(f"{name}/{mode}: {line['trials']['seconds'] / 60:.1f} minutes", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
