"""A series of trainings of Assay on tables, one after another: one JSON line each, and what is there is not run again.

What ``few_pictures`` and ``preprocessing`` share. Trainings have a fixed number of epochs and a fixed precision, so
other work on the machine makes them slower but changes no answer.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.metrics.interval import Estimate, bootstrap
from benchmarks.answers import read_assay, score, split_digest
from benchmarks.data.tree import read_rows
from benchmarks.jobs import wanted
from benchmarks.machine import RESULTS, SHARED, append_line, read_lines, stamp
from benchmarks.summarise import Line, rights

CLOTHING = "clothing/clothing.csv"
BACKBONE = "backbones/mobilenetv2_100_from_coral_uint8.fp16.pth"


@dataclass(frozen=True)
class Training:
    """One training: where its table is, its options as words of the command line, and what the line says of it.

    ``{weights}`` in the options stands for the backbone's file, so that no line names a folder of a machine.
    """

    name: str
    table: Path
    options: str
    seed: int
    facts: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser, results: str) -> None:
    """The options that every series has."""
    parser.add_argument(
        "--jobs", nargs="*", default=[""], help="words; jobs whose name contains all words of one"
    )
    parser.add_argument("--data", type=Path, default=Path("runs/data"), help="what make_clothing wrote")
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--runs", type=Path, default=Path("runs/bench"))
    parser.add_argument("--results", type=Path, default=RESULTS / results)
    parser.add_argument(
        "--again", action="store_true", help="also jobs that have a line: the newest one counts"
    )
    parser.add_argument("--list", action="store_true", help="name the jobs and stop")
    parser.add_argument("--summary", action="store_true", help="print the table, write the plot, and stop")


def obstacle(data: Path, shared: Path) -> str:
    """Why nothing can be measured here; empty where it can."""
    if not (shared / "clothing").is_dir():
        return "the pictures of clothing are not in the shared data folder"
    if not (data / CLOTHING).exists():
        return f"{data / CLOTHING} is missing: run benchmarks.data.make_clothing"
    return ""


def run_series(trainings: Iterable[Training], args: argparse.Namespace) -> int:
    """Run what has no line yet, or name it with ``--list``; 1 where a training failed, else 0."""
    failed = 0
    for training in wanted(trainings, args.jobs):
        rows = read_rows(training.table)
        done = not args.again and is_done(training, split_digest(rows), read_lines(args.results))
        if done or args.list:
            print(f"{training.name}: {'skipped, done before' if done else 'to do'}")
            continue
        try:
            line = run(training, args.shared, args.runs / args.results.stem, rows)
        except (subprocess.CalledProcessError, OSError, ValueError, KeyError) as error:
            failed += 1
            print(f"{training.name}: failed, {error}", flush=True)
            continue
        append_line(args.results, line)
        print(f"{training.name}: {line['k']}/{line['n']} right in {line['wall_s']:.0f} s", flush=True)
    return 1 if failed else 0


def is_done(training: Training, split: str, lines: list[Line]) -> bool:
    """Whether a line of the same job, options and split is there."""
    same = {"job": training.name, "options": training.options, "split": split}
    return any(all(line.get(k) == v for k, v in same.items()) for line in lines)


def run(training: Training, shared: Path, runs: Path, rows: list[dict[str, str]]) -> Line:
    """Train to the end; the result line.

    Raises
    ------
    subprocess.CalledProcessError : the training failed; its words are in ``....log.txt`` beside the run.
    """
    out = runs / training.name
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    line = {"job": training.name, **training.facts, "seed": training.seed, "options": training.options}
    line |= {"split": split_digest(rows), "train": sum(row["part"] == "train" for row in rows), **stamp()}
    begun = time.monotonic()
    with out.with_name(f"{out.name}.log.txt").open("w") as log:
        command = command_of(training, shared, out)
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=True)
    line["wall_s"] = round(time.monotonic() - begun, 1)
    answers = read_assay(out)
    return {**line, **answers.facts, **score(answers, rows)}


def command_of(training: Training, shared: Path, out: Path) -> list[str]:
    """The command line of a training."""
    options = training.options.format(weights=shared / BACKBONE).split()
    where = [str(training.table), "--root", str(shared / "clothing"), "--out", str(out)]
    quiet = ["--quiet", "--no-baselines", "--seed", str(training.seed)]
    return [sys.executable, "-m", "assay", "train", *where, *quiet, *options]


def mean_accuracy(lines: list[Line]) -> Estimate:
    """Accuracy, mean over the lines' seeds; the interval is a bootstrap over whole senders of the test part.

    Raises
    ------
    ValueError : the lines are not of the same test pictures.
    """
    if len({line["pictures"] for line in lines}) != 1:
        raise ValueError(f"{lines[0]['job']} and its other seeds answered different pictures")
    share = np.mean([rights(line) for line in lines], axis=0)
    groups = np.array(lines[0]["groups"])
    return bootstrap(lambda weights: weights @ share / weights.sum(1), len(share), draws=5000, groups=groups)


def percent(estimate: Estimate) -> str:
    """``78.1 [72.9, 82.8]``: a share and its interval in percent."""
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
