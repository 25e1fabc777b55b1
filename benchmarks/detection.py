"""Boxes within so many minutes on ``bccd``: Assay, Ultralytics' newest nano network, torchvision's Faster R-CNN.

All from random weights, on the same split, machine and minutes, one process after another; each job appends one line to
``results/detection.jsonl``. Everybody's answers to the test part are scored by the same functions from boxes on the
disk. Weights are chosen on validation by each tool's own rule. After the jobs, ``--compare`` (also done at the end of
every series) draws the pictures anew for each arm, a mean over its seeds, and for Assay minus each peer on the same
pictures; the five folds give one figure, the mean of the folds.

    python -m benchmarks.data.make_bccd; python -m benchmarks.peers.setup_peers
    python -m benchmarks.detection --minutes 10 --jobs original          Assay and the peers, three seeds
    python -m benchmarks.detection --minutes 30 --jobs original,s0
    python -m benchmarks.detection --minutes 10 --jobs fold
    python -m benchmarks.detection --list
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.data.read import read_dataset
from assay.metrics.resample import Scores
from assay.types import Dataset
from benchmarks.data.make_bccd import SPLITS
from benchmarks.jobs import newest_runs, run_jobs
from benchmarks.machine import PEERS_PYTHON, append_line, cores, peer_environment, read_lines, stamp
from benchmarks.scene_scores import (
    Found,
    apart,
    box_scores,
    by_class,
    evaluation_of,
    found_of_results,
    found_of_run,
    mean_of,
    measured,
    over_folds,
)
from benchmarks.series import add_arguments
from benchmarks.timed import run_timed

SETTINGS: dict[tuple[str, str], str] = {
    # (system, setting) -> options
    ("assay", "default"): "",
    ("ultralytics", "yolo26n-320"): "--model yolo26n.yaml --imgsz 320 --threads {cores} --cache",
    ("ultralytics", "yolo26n-640"): "--model yolo26n.yaml --imgsz 640 --threads {cores} --cache",
    ("torchvision", "fasterrcnn-mobilenet-320"): "--batch 2 --bf16 --lr 0.005 --threads {cores}",
}
SEEDS = (0, 1, 2)
Line = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training run of one tool on one split."""

    split: str
    minutes: float
    system: str
    setting: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.split}/{self.minutes:g}/{self.system}/{self.setting}/s{self.seed}"

    @property
    def options(self) -> str:
        return SETTINGS[self.system, self.setting]

    @property
    def arm(self) -> str:
        return f"{self.system} {self.setting}"


def all_jobs(minutes: float) -> Iterator[Job]:
    """Every job: the original split with every seed, then the folds with one; seeds and folds outermost."""
    for seed in SEEDS:
        for system, setting in SETTINGS:
            yield Job("original", minutes, system, setting, seed)
    for split in SPLITS[1:]:
        for system, setting in SETTINGS:
            yield Job(split, minutes, system, setting, 0)


def command_of(job: Job, data: Path, out: Path) -> list[str]:
    """The command line of a job."""
    truth = data / "bccd" / f"{job.split}.json"
    budget = ["--out", str(out), "--minutes", f"{job.minutes:g}", "--seed", str(job.seed)]
    options = job.options.format(cores=cores()).split()
    if job.system == "assay":
        program = str(Path(sys.executable).with_name("assay"))
        return [program, "train", str(truth), *budget, "--heads", "boxes", "--quiet", *options]
    module = [str(PEERS_PYTHON), "-m", f"benchmarks.peers.{job.system}_detect", "--truth", str(truth)]
    if job.system == "ultralytics":
        module += ["--yolo", str(data / "bccd" / "yolo" / job.split)]
    return [*module, *budget, *options]


def found_of(job: Job, data: Path, out: Path) -> tuple[Found, Line]:
    """What a finished run found in the test part, and what it says of itself."""
    if job.system == "assay":
        run = json.loads((out / "run.json").read_text("utf-8"))
        validation = evaluation_of(out, "validation").metrics["boxes.ap50"].value
        facts = {
            "tool_version": f"assay {run['versions']['assay']}",
            "validation": validation,
            "minutes_by_itself": run.get("minutes"),
            "parameters": run.get("parameters"),
        }
        return found_of_run(evaluation_of(out)), facts
    told = json.loads((out / "outcome.json").read_text("utf-8"))
    facts = {
        "tool_version": told["tool"],
        "validation": told["validation"],
        "minutes_used": told["minutes"],
        "parameters": told["parameters"],
        "epochs": told["epochs"],
    }
    return found_of_results(out / "predictions.json", data / "bccd" / f"{job.split}.json"), facts


def run_job(job: Job, args: argparse.Namespace, part: Dataset) -> Line:
    """Run one job to its end; its result line.

    Raises
    ------
    subprocess.CalledProcessError : the tool failed; its words are in ``....log.txt`` beside the run.
    """
    out = args.runs / "detection" / job.name
    line = {"kind": "run", "job": job.name, **asdict(job), "options": job.options, **stamp()}
    environment = peer_environment() if job.system != "assay" else None
    wall = run_timed(command_of(job, args.data, out), out, environment)
    line |= {"wall_s": round(wall, 1), "minutes_used": round(wall / 60, 3)}
    found, facts = found_of(job, args.data, out)
    told = measured(box_scores(part, found), len(part))
    return {
        **line,
        **facts,
        "split_hash": part.split_hash,
        "n": len(part),
        **told,
        "by_class": by_class(part, found),
    }


def compare(args: argparse.Namespace) -> list[Line]:
    """One line an arm, and one for Assay minus each peer, for whatever has runs on the disk and lines."""
    parts: dict[str, Dataset] = {}
    arms: dict[tuple[float, bool], dict[str, dict[str, list[Scores]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for line in newest_runs(read_lines(args.results)):
        job = Job(*(line[name] for name in ("split", "minutes", "system", "setting", "seed")))
        out = args.runs / "detection" / job.name
        if (job.system, job.setting) not in SETTINGS or not out.is_dir():
            continue
        if job.split not in parts:
            parts[job.split] = test_part(args.data, job.split)
        scores = box_scores(parts[job.split], found_of(job, args.data, out)[0])
        arms[job.minutes, job.split == "original"][job.arm][job.split].append(scores)
    lines = []
    for (minutes, original), by_arm in sorted(arms.items()):
        lines += list(_compared(minutes, "original" if original else "folds", by_arm, parts))
    return lines


def _compared(
    minutes: float, split: str, by_arm: dict[str, dict[str, list[Scores]]], parts: dict[str, Dataset]
) -> Iterator[Line]:
    where = {"minutes": minutes, "split": split, **stamp()}
    for arm, folds in by_arm.items():
        names = sorted(folds)
        whole, n = _whole(folds, names, parts)
        runs = {"folds": len(names), "seeds": max(len(folds[name]) for name in names), "n": n}
        yield {"kind": "arm", "arm": arm, **where, **runs, **measured(whole, n)}
    for mine in (arm for arm in by_arm if arm.startswith("assay")):
        for theirs in (arm for arm in by_arm if not arm.startswith("assay")):
            names = sorted(set(by_arm[mine]) & set(by_arm[theirs]))
            if names:
                (a, n), (b, _) = (_whole(by_arm[arm], names, parts) for arm in (mine, theirs))
                told = apart(a, b, n)
                yield {
                    "kind": "difference",
                    "arm": mine,
                    "peer": theirs,
                    **where,
                    "folds": len(names),
                    "n": n,
                    **told,
                }


def _whole(folds: dict[str, list[Scores]], names: list[str], parts: dict[str, Dataset]) -> tuple[Scores, int]:
    each = [(len(parts[name]), mean_of(folds[name])) for name in names]
    return over_folds(each), sum(n for n, _ in each)


def test_part(data: Path, split: str) -> Dataset:
    """The test part of a split, as ``make_bccd`` wrote it."""
    return read_dataset(data / "bccd" / f"{split}.json").part("test")


def obstacle(job: Job, data: Path) -> str:
    """Why a job cannot run here; empty where it can."""
    if not (data / "bccd" / f"{job.split}.json").exists():
        return f"{data}/bccd/{job.split}.json is missing: run benchmarks.data.make_bccd"
    if job.system != "assay" and not PEERS_PYTHON.exists():
        return "the peers are not installed: run benchmarks.peers.setup_peers"
    return ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "detection.jsonl")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--compare", action="store_true", help="only arms and differences of what has run")
    return parser.parse_args()


def main() -> int:
    args = parse()
    failed = run_jobs(
        [] if args.compare or args.summary else all_jobs(args.minutes),
        args,
        obstacle=lambda job: obstacle(job, args.data),
        run=lambda job: run_job(job, args, test_part(args.data, job.split)),
        told=lambda line: f"AP50 {line['ap50']['value']:.3f}",
    )
    if not args.list and not args.summary:
        for line in compare(args):
            append_line(args.results, line)
    if args.summary or args.compare:
        from benchmarks.scene_summary import detection_table  # noqa: PLC0415 - it reads what this file writes

        print("\n".join(detection_table(read_lines(args.results))))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
