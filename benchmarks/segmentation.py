"""Classes of pixels within so many minutes on ``ccp``: Assay beside segmentation_models.pytorch's U-Net (resnet18).

Both from random weights, on the masks 0001-0604, chosen on 0605-0704, measured on 0705-0804, nine super-classes and the
background (``make_ccp``). Each job appends one line to ``results/segmentation.jsonl``; ``--compare`` (also done at the
end of every series) adds a line an arm, the mean over its seeds, and one for Assay minus the peer on the same pictures.
``miou_no_background`` is the figure that counts: the mean over the nine classes.

    python -m benchmarks.data.make_ccp --without-tag-only --out runs/data/ccp-masks-only
    python -m benchmarks.peers.setup_peers
    python -m benchmarks.segmentation --minutes 30
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

import numpy as np

from assay.data.read import read_dataset
from assay.metrics.segment import PixelCounts, pixel_class_rows
from assay.types import PARTS, Dataset
from benchmarks.jobs import newest_runs, run_jobs
from benchmarks.machine import PEERS_PYTHON, append_line, cores, peer_environment, read_lines, stamp
from benchmarks.scene_scores import (
    apart,
    evaluation_of,
    mean_of,
    measured,
    pixel_counts_of,
    pixel_counts_of_masks,
    pixel_scores_of,
)
from benchmarks.series import add_arguments
from benchmarks.timed import run_timed

TABLE = "ccp-masks-only/ccp.parquet"
SETTINGS: dict[tuple[str, str], str] = {
    # (system, setting) -> options
    ("assay", "csp-small"): "--model csp-small --size 320 --batch 8 --lr 0.002 --mosaic 0.2",
    ("smp", "unet-resnet18"): "--threads {cores}",
}
SEEDS = (0, 1, 2)
Line = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training run of one tool."""

    minutes: float
    system: str
    setting: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.minutes:g}/{self.system}/{self.setting}/s{self.seed}"

    @property
    def options(self) -> str:
        return SETTINGS[self.system, self.setting]

    @property
    def arm(self) -> str:
        return f"{self.system} {self.setting}"


def all_jobs(minutes: float) -> Iterator[Job]:
    """Every job; seeds outermost, so that a series cut short still compares like with like."""
    for seed in SEEDS:
        for system, setting in SETTINGS:
            yield Job(minutes, system, setting, seed)


def command_of(job: Job, data: Path, out: Path) -> list[str]:
    """The command line of a job."""
    budget = ["--out", str(out), "--minutes", f"{job.minutes:g}", "--seed", str(job.seed)]
    options = job.options.format(cores=cores()).split()
    if job.system == "assay":
        program = str(Path(sys.executable).with_name("assay"))
        return [program, "train", str(data / TABLE), *budget, "--heads", "pixels", "--quiet", *options]
    photos = str(data / "ccp-masks-only" / "photos.json")
    return [str(PEERS_PYTHON), "-m", "benchmarks.peers.smp_unet", "--photos", photos, *budget, *options]


def write_photos(data: Path) -> Dataset:
    """Write the list of photos and masks that the peer reads; they themselves."""
    dataset = read_dataset(data / TABLE)
    told: dict[str, Any] = {"classes": list(dataset.pixel_classes)}
    for part in PARTS:
        told[part] = [
            [str(s.path.resolve()), str(s.pixels.resolve())] for s in dataset.part(part) if s.pixels
        ]
    (data / "ccp-masks-only" / "photos.json").write_text(json.dumps(told), "utf-8")
    return dataset


def counts_of(job: Job, part: Dataset, out: Path) -> tuple[PixelCounts, Line]:
    """Pixels of the test part as a finished run answered them, and what the run says of itself."""
    if job.system == "assay":
        run = json.loads((out / "run.json").read_text("utf-8"))
        facts = {
            "tool_version": f"assay {run['versions']['assay']}",
            "validation": evaluation_of(out, "validation").metrics["pixels.miou_foreground"].value,
            "minutes_by_itself": run.get("minutes"),
            "parameters": run.get("parameters"),
        }
        return pixel_counts_of(evaluation_of(out)), facts
    told = json.loads((out / "outcome.json").read_text("utf-8"))
    facts = {
        "tool_version": told["tool"],
        "validation": told["validation"],
        "minutes_used": told["minutes"],
        **{name: told[name] for name in ("parameters", "precision", "rate", "epochs")},
    }
    return pixel_counts_of_masks(part, out / "masks"), facts


def run_job(job: Job, args: argparse.Namespace) -> Line:
    """Run one job to its end; its result line.

    Raises
    ------
    subprocess.CalledProcessError : the tool failed; its words are in ``....log.txt`` beside the run.
    """
    part = write_photos(args.data).part("test")
    out = args.runs / "segmentation" / job.name
    line = {"kind": "run", "job": job.name, **asdict(job), "options": job.options, **stamp()}
    environment = peer_environment() if job.system != "assay" else None
    wall = run_timed(command_of(job, args.data, out), out, environment)
    line |= {"wall_s": round(wall, 1), "minutes_used": round(wall / 60, 3)}
    counts, facts = counts_of(job, part, out)
    by_class = {row["class"]: row["iou"]["value"] for row in pixel_class_rows(counts, draws=0)}
    told = measured(pixel_scores_of(counts), counts.n)
    return {**line, **facts, "split_hash": part.split_hash, "n": counts.n, **told, "by_class": by_class}


def compare(args: argparse.Namespace) -> Iterator[Line]:
    """One line an arm, and one for Assay minus the peer, for whatever has runs on the disk and lines."""
    part = read_dataset(args.data / TABLE).part("test")
    found: dict[float, dict[str, list[PixelCounts]]] = defaultdict(lambda: defaultdict(list))
    for line in newest_runs(read_lines(args.results)):
        job = Job(*(line[name] for name in ("minutes", "system", "setting", "seed")))
        out = args.runs / "segmentation" / job.name
        if (job.system, job.setting) in SETTINGS and out.is_dir():
            found[job.minutes][job.arm].append(counts_of(job, part, out)[0])
    for minutes, arms in sorted(found.items()):
        require_same_truth([counts for arm in arms.values() for counts in arm])
        scores = {arm: mean_of([pixel_scores_of(one) for one in counts]) for arm, counts in arms.items()}
        where = {"minutes": minutes, "n": len(part), **stamp()}
        for arm, counts in arms.items():
            yield {
                "kind": "arm",
                "arm": arm,
                "seeds": len(counts),
                **where,
                **measured(scores[arm], len(part)),
            }
        for mine in (arm for arm in arms if arm.startswith("assay")):
            for theirs in (arm for arm in arms if not arm.startswith("assay")):
                told = apart(scores[mine], scores[theirs], len(part))
                yield {"kind": "difference", "arm": mine, "peer": theirs, **where, **told}


def require_same_truth(counts: list[PixelCounts]) -> None:
    """Raise ValueError where runs were not measured on the same pictures in the same order."""
    if any(not np.array_equal(one.truth, counts[0].truth) for one in counts):
        raise ValueError("runs were measured on other pictures than one another")


def obstacle(job: Job, data: Path) -> str:
    """Why a job cannot run here; empty where it can."""
    if not (data / TABLE).exists():
        return f"{data / TABLE} is missing: run benchmarks.data.make_ccp --without-tag-only"
    if job.system != "assay" and not PEERS_PYTHON.exists():
        return "the peers are not installed: run benchmarks.peers.setup_peers"
    return ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "segmentation.jsonl")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--compare", action="store_true", help="only arms and differences of what has run")
    return parser.parse_args()


def main() -> int:
    args = parse()
    failed = run_jobs(
        [] if args.compare or args.summary else all_jobs(args.minutes),
        args,
        obstacle=lambda job: obstacle(job, args.data),
        run=lambda job: run_job(job, args),
        told=lambda line: f"mIoU {line['miou_no_background']['value']:.3f}",
    )
    if not args.list and not args.summary and (args.data / TABLE).exists():
        for line in compare(args):
            append_line(args.results, line)
    if args.summary or args.compare:
        from benchmarks.scene_summary import segmentation_table  # noqa: PLC0415 - it reads what this file writes

        print("\n".join(segmentation_table(read_lines(args.results))))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
