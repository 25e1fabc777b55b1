"""One network for tags, boxes and pixels against three networks for one of them each, on ``ccp``.

Protocol, the same for all: the photos and parts of ``make_ccp`` (nine super-classes), one trunk, one preprocessing, the
same recipe, three seeds, weights chosen on validation, the test part looked at once by the weights chosen.

- *singles*: ``tags`` (with the 400 photos that have tags alone), ``boxes``, ``pixels``; ``--minutes`` each. All arms
  see 320 px in batches of 16; a network for tags alone takes 160 px by default, told beside (``tags-default``).
- *multi*: all three heads, in ``--multi-minutes``. The stricter reading of "the same minutes each" is that the one
  network gets as many minutes as *each* of the three (the default); with three times as many it has the minutes of
  their sum. Minutes stand in the name of each job, so both can be measured and are told apart.
- *multi-without*: the same without the 400 photos.

Each run is one line of ``results/multitask.jsonl``. ``--compare`` (also done at the end of every series) adds a line an
arm, and paired differences on the same test photos, means over seeds: multi minus each single, multi minus
multi-without. ``--cost`` exports seed 0 of each arm, and measures parameters and the time of a picture, interleaved.

    python -m benchmarks.data.make_ccp
    python -m benchmarks.data.make_ccp --without-tag-only --out runs/data/ccp-masks-only
    python -m benchmarks.multitask --minutes 10                          singles and multi, 10 minutes each
    python -m benchmarks.multitask --minutes 10 --multi-minutes 30 --jobs multi
    python -m benchmarks.multitask --minutes 10 --cost
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

from assay.metrics.average_precision import scores as ap_scores
from assay.metrics.resample import Scores
from assay.metrics.scene_evaluation import SceneEvaluation
from benchmarks.jobs import newest_runs, run_jobs
from benchmarks.machine import append_line, read_lines, stamp
from benchmarks.multitask_cost import costs
from benchmarks.scene_scores import (
    apart,
    evaluation_of,
    mean_of,
    measured,
    pixel_counts_of,
    pixel_scores_of,
    same_pictures,
    tag_scores_of,
)
from benchmarks.series import add_arguments
from benchmarks.timed import run_timed

WITH, WITHOUT = "ccp/ccp.parquet", "ccp-masks-only/ccp.parquet"
SAME = "--size 320 --batch 16"
ARMS: dict[str, tuple[str, str, str]] = {
    # arm -> (heads, table, options); photos with tags alone teach boxes and pixels nothing, so these singles leave
    # them out
    "tags": ("tags", WITH, SAME),
    "boxes": ("boxes", WITHOUT, SAME),
    "pixels": ("pixels", WITHOUT, SAME),
    "multi": ("tags,boxes,pixels", WITH, SAME),
    "multi-without": ("tags,boxes,pixels", WITHOUT, SAME),
    "tags-default": ("tags", WITH, ""),
}
SINGLES = ("tags", "boxes", "pixels")
MAIN = {"tags": "map", "boxes": "ap50_95", "pixels": "miou_no_background"}
"""Head -> the score that the claim is about."""
SEEDS = (0, 1, 2)
Line = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training run."""

    arm: str
    minutes: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm}/{self.minutes:g}/s{self.seed}"

    @property
    def options(self) -> str:
        return ARMS[self.arm][2]


def all_jobs(minutes: float, multi_minutes: float) -> Iterator[Job]:
    """Every job; seeds outermost, so that a series cut short still compares like with like."""
    for seed in SEEDS:
        for arm in ARMS:
            yield Job(arm, multi_minutes if arm.startswith("multi") else minutes, seed)


def command_of(job: Job, data: Path, out: Path) -> list[str]:
    """The command line of a job."""
    heads, table, options = ARMS[job.arm]
    program = str(Path(sys.executable).with_name("assay"))
    budget = ["--out", str(out), "--minutes", f"{job.minutes:g}", "--seed", str(job.seed)]
    return [program, "train", str(data / table), *budget, "--heads", heads, "--quiet", *options.split()]


def scores_of(evaluation: SceneEvaluation) -> dict[str, Scores]:
    """Head -> scores of the test part, for the heads that the run has."""
    of, found = evaluation.material, dict[str, Scores]()
    if "tags" in evaluation.heads:
        found["tags"] = tag_scores_of(evaluation)
    if "boxes" in evaluation.heads:
        found["boxes"] = ap_scores(of.boxes)
    if "pixels" in evaluation.heads:
        found["pixels"] = pixel_scores_of(pixel_counts_of(evaluation))
    return found


def run_job(job: Job, args: argparse.Namespace) -> Line:
    """Run one job to its end; its result line.

    Raises
    ------
    subprocess.CalledProcessError : the training failed; its words are in ``....log.txt`` beside the run.
    """
    out = args.runs / "multitask" / job.name
    heads, table, options = ARMS[job.arm]
    line = {"kind": "run", "job": job.name, **asdict(job), "heads": heads, "table": table, "options": options}
    line |= stamp()
    wall = run_timed(command_of(job, args.data, out), out)
    evaluation, run = evaluation_of(out), json.loads((out / "run.json").read_text("utf-8"))
    facts = {
        "tool_version": f"assay {run['versions']['assay']}",
        "validation": evaluation_of(out, "validation").main_scores(),
        "minutes_by_itself": run.get("minutes"),
        "parameters": run.get("parameters"),
        "split_hash": evaluation.split_hash,
        "n": evaluation.n,
    }
    told = {head: measured(scores, evaluation.n) for head, scores in scores_of(evaluation).items()}
    return {**line, "wall_s": round(wall, 1), **facts, "scores": told}


def compare(args: argparse.Namespace) -> list[Line]:
    """One line an arm and head, and the paired differences, for whatever has runs on the disk and lines."""
    runs: dict[tuple[str, float], list[SceneEvaluation]] = defaultdict(list)
    for line in newest_runs(read_lines(args.results)):
        out = args.runs / "multitask" / line["job"]
        if out.is_dir():
            runs[line["arm"], line["minutes"]].append(evaluation_of(out))
    if not runs:
        return []
    n = same_pictures([one.material for found in runs.values() for one in found])
    arms = {key: _by_head(found) for key, found in runs.items()}
    where = {"n": n, **stamp()}
    lines = []
    for (arm, minutes), heads in arms.items():
        seeds = len(runs[arm, minutes])
        for head, scores in heads.items():
            told = {"arm": arm, "minutes": minutes, "head": head, "seeds": seeds}
            lines.append({"kind": "arm", **told, **where, "scores": measured(scores, n)})
    for mine, theirs in _pairs(list(arms)):
        for head in set(arms[mine]) & set(arms[theirs]):
            told = {"arm": mine[0], "minutes": mine[1], "other": theirs[0], "other_minutes": theirs[1]}
            told |= {"head": head, "seeds": [len(runs[mine]), len(runs[theirs])]}
            difference = apart(arms[mine][head], arms[theirs][head], n)
            lines.append({"kind": "difference", **told, **where, "scores": difference})
    return lines


def _by_head(found: list[SceneEvaluation]) -> dict[str, Scores]:
    each = [scores_of(one) for one in found]
    return {head: mean_of([one[head] for one in each]) for head in each[0]}


def _pairs(keys: list[tuple[str, float]]) -> Iterator[tuple[tuple[str, float], tuple[str, float]]]:
    """Multi against every single, and against itself without the photos with tags alone in the same minutes."""
    for key in keys:
        for other in keys:
            alone = not other[0].startswith("multi")
            if key[0] == "multi" and (alone or other == ("multi-without", key[1])):
                yield key, other


def obstacle(job: Job, data: Path) -> str:
    """Why a job cannot run here; empty where it can."""
    table = data / ARMS[job.arm][1]
    return "" if table.exists() else f"{table} is missing: run benchmarks.data.make_ccp"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "multitask.jsonl")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each single network")
    parser.add_argument(
        "--multi-minutes", type=float, help="of the one network; those of a single when not given"
    )
    parser.add_argument("--compare", action="store_true", help="only arms and differences of what has run")
    parser.add_argument(
        "--cost", action="store_true", help="only parameters and time of a picture, of seed 0"
    )
    args = parser.parse_args()
    args.multi_minutes = args.multi_minutes or args.minutes
    return args


def main() -> int:
    args = parse()
    failed = run_jobs(
        [] if args.compare or args.cost or args.summary else all_jobs(args.minutes, args.multi_minutes),
        args,
        obstacle=lambda job: obstacle(job, args.data),
        run=lambda job: run_job(job, args),
        told=lambda line: ", ".join(f"{h} {s[MAIN[h]]['value']:.3f}" for h, s in line["scores"].items()),
    )
    if args.cost:
        folders = {arm: args.runs / "multitask" / f"{arm}/{args.minutes:g}/s0" for arm in SINGLES}
        folders["multi"] = args.runs / "multitask" / f"multi/{args.multi_minutes:g}/s0"
        append_line(args.results, {"kind": "cost", **costs(folders, args.data / WITHOUT), **stamp()})
    elif not (args.list or args.summary):
        for line in compare(args):
            append_line(args.results, line)
    if args.summary or args.compare or args.cost:
        from benchmarks.scene_summary import multitask_table  # noqa: PLC0415 - it reads what this file writes

        print("\n".join(multitask_table(read_lines(args.results))))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
