"""Accuracy within so many minutes: Assay beside its peers on the same split, machine and test pictures.

Jobs run one after another, each in a process of its own. Each appends one line to ``results/accuracy.jsonl``; a job
whose line is there is skipped, so a stopped series goes on where it was. Settings are chosen on validation (each
line carries it); the test part is for the last word.

    python -m benchmarks.data.make_clothing; python -m benchmarks.data.make_grocery
    python -m benchmarks.accuracy --list
    python -m benchmarks.accuracy --jobs clothing/scratch --minutes 10
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import Answers, read_assay, read_peer, score, split_digest
from benchmarks.data.tree import read_rows
from benchmarks.jobs import wanted
from benchmarks.machine import (
    PEERS_PYTHON,
    RESULTS,
    SHARED,
    append_line,
    cores,
    peer_environment,
    read_lines,
    stamp,
)

BACKBONE = "backbones/mobilenetv2_100_from_coral_uint8.fp16.pth"
_TRUNK = "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --weights {weights}"
_TIMM_TRUNK = (
    "--model mobilenetv2_100 --model-option pad_type=same --weights {weights} --mean .5 .5 .5 --std .5 .5 .5"
)

SETTINGS: dict[tuple[str, str], dict[str, str]] = {
    # (tool, track) -> name of a setting -> options; every setting runs with every seed
    ("assay", "scratch"): {"default": "--model csp-nano --size 160 --batch 32 --lr 2e-3"},
    ("assay", "pretrained"): {
        "default": "--model mobilenetv2_100 --model-options pad_type=same --size 192 --crop-scale 0.2,1.0 "
        + _TRUNK,
    },
    ("ultralytics", "scratch"): {
        # its fairer variant: by default it leaves one core unused and reads the files anew every epoch
        "yolo11n-160-all-threads": "--model yolo11n-cls.yaml --imgsz 160 --threads {cores} --cache",
    },
    ("timm", "scratch"): {"resnet18-128": "--model resnet18 --imgsz 128 --lr 1e-3 --channels-last"},
    ("timm", "pretrained"): {"frozen-norms-160": _TIMM_TRUNK + " --imgsz 160 --lr 3e-4 --norms frozen"},
}
DATASETS = {
    # name -> (table, root of its paths below shared/data, folder tree or None: the peers run on the fine classes)
    "clothing": ("clothing/clothing.csv", "clothing", "clothing/tree"),
    "grocery-fine": ("grocery/fine.csv", "grocery", "grocery/tree"),
    "grocery-coarse": ("grocery/coarse.csv", "grocery", None),
}
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Job:
    """One training run of one tool."""

    dataset: str
    track: str
    tool: str
    setting: str
    seed: int
    minutes: float

    @property
    def name(self) -> str:
        return f"{self.dataset}/{self.track}/{self.tool}/{self.setting}/s{self.seed}"

    @property
    def options(self) -> str:
        return SETTINGS[self.tool, self.track][self.setting]


def all_jobs(minutes: float) -> Iterator[Job]:
    """Every job; seeds outermost, so that a series cut short still compares like with like."""
    for seed in SEEDS:
        for dataset, (_, _, tree) in DATASETS.items():
            for (tool, track), settings in SETTINGS.items():
                if tool == "assay" or tree is not None:
                    for setting in settings:
                        yield Job(dataset, track, tool, setting, seed, minutes)


def command_of(job: Job, data: Path, shared: Path, out: Path) -> list[str]:
    """The command line of a job."""
    table, root, tree = DATASETS[job.dataset]
    options = job.options.format(weights=shared / BACKBONE, cores=cores()).split()
    budget = ["--out", str(out), "--minutes", str(job.minutes), "--seed", str(job.seed)]
    if job.tool == "assay":
        program = str(Path(sys.executable).with_name("assay"))
        return [program, "train", str(data / table), "--root", str(shared / root), *budget, *options]
    module = {"ultralytics": "ultralytics_classify", "timm": "timm_script"}[job.tool]
    return [
        str(PEERS_PYTHON),
        "-m",
        f"benchmarks.peers.{module}",
        "--tree",
        str(data / str(tree)),
        *budget,
        *options,
    ]


def run_job(job: Job, data: Path, shared: Path, runs: Path, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Run one job to its end; its result line.

    Raises
    ------
    subprocess.CalledProcessError : the tool failed; its words are in ``log.txt`` beside the run.
    """
    out = runs / job.name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    line = {"job": job.name, **job.__dict__, "options": job.options, "split": split_digest(rows), **stamp()}
    environment = peer_environment() if job.tool != "assay" else None
    begun = time.monotonic()
    with out.with_name(f"{out.name}.log.txt").open("w") as log:
        command = command_of(job, data, shared, out)
        subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    line["wall_s"] = round(time.monotonic() - begun, 1)
    line["minutes_used"] = round(
        line["wall_s"] / 60, 3
    )  # a peer's own figure, without its test answers, replaces it
    read: Callable[[Path], Answers] = read_assay if job.tool == "assay" else read_peer
    answers = read(out)
    return {**line, **answers.facts, **score(answers, rows)}


def is_done(job: Job, split: str, lines: list[dict[str, Any]]) -> bool:
    """Whether a line of the same job, options, minutes and split is there."""
    wanted = {"job": job.name, "options": job.options, "minutes": job.minutes, "split": split}
    return any(all(line.get(k) == v for k, v in wanted.items()) for line in lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", nargs="*", default=[""], help="words; jobs whose name contains all words of one"
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="what the make_ scripts wrote")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--runs", type=Path, default=Path("runs/bench"))
    parser.add_argument("--results", type=Path, default=RESULTS / "accuracy.jsonl")
    parser.add_argument(
        "--again", action="store_true", help="also jobs that have a line: the newest one counts"
    )
    parser.add_argument("--list", action="store_true", help="name the jobs and stop")
    return parser.parse_args()


def main() -> int:
    args = parse()
    failed = 0
    for job in wanted(all_jobs(args.minutes), args.jobs):
        table = args.data / DATASETS[job.dataset][0]
        why = obstacle(job, table, args.shared)
        rows = [] if why else read_rows(table)
        if not why and not args.again and is_done(job, split_digest(rows), read_lines(args.results)):
            why = "done before"
        if why or args.list:
            print(f"{job.name}: {f'skipped, {why}' if why else 'to do'}")
            continue
        try:
            line = run_job(job, args.data, args.shared, args.runs, rows)
        except (subprocess.CalledProcessError, OSError, ValueError, KeyError) as error:
            failed += 1
            print(f"{job.name}: failed, {error}", flush=True)
            continue
        append_line(args.results, line)
        print(f"{job.name}: {line['k']}/{line['n']} right in {line['wall_s'] / 60:.1f} minutes", flush=True)
    return 1 if failed else 0


def obstacle(job: Job, table: Path, shared: Path) -> str:
    """Why a job cannot run here; empty where it can."""
    if not (shared / DATASETS[job.dataset][1]).is_dir():
        return f"the pictures of {job.dataset} are not in the shared data folder"
    if not table.exists():
        return f"{table} is missing: run benchmarks.data.make_{job.dataset.split('-')[0]}"
    if job.tool != "assay" and not PEERS_PYTHON.exists():
        return "the peers are not installed: run benchmarks.peers.setup_peers"
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
