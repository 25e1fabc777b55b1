"""The textbook's sliding patches on a data set with boxes: AP50 after so many minutes, as one line of JSON.

Trains on the train part, measures on another; the minutes hold cutting, training and mining of mistakes, on the CPU.

    python -m benchmarks.data.make_bccd
    python -m benchmarks.sliding_patches runs/data/bccd/original.json --minutes 10
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from assay.data.read import read_dataset
from assay.metrics.detect import score_detections
from assay.pipeline_scene import EVERY_SCORE
from assay.train.patches import train_patches
from benchmarks.machine import RESULTS, append_line, stamp


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="anything that `assay train` reads, with boxes and parts")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--part", default="test", help="part that is measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="of torch; all cores when not given")
    parser.add_argument("--results", type=Path, default=RESULTS / "sliding_patches.jsonl")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    where = stamp()
    dataset = read_dataset(args.data)
    began = time.perf_counter()
    detector = train_patches(dataset, minutes=args.minutes, seed=args.seed)
    trained_s = time.perf_counter() - began
    measured = dataset.part(args.part)
    began = time.perf_counter()
    answers = list(detector.predict([s.path for s in measured], least_score=EVERY_SCORE))
    told = [(s.objects, a.boxes) for s, a in zip(measured, answers, strict=True) if a.boxes is not None]
    scores = score_detections([t for t, _ in told], [f for _, f in told], dataset.object_classes)
    line = {
        "benchmark": "sliding_patches",
        "dataset": dataset.name,
        "part": args.part,
        "split_hash": dataset.split_hash,
        "minutes": args.minutes,
        "seed": args.seed,
        "ap50": scores.ap50,
        "ap50_95": scores.ap50_95,
        "ap50_of": {one.name: one.ap50 for one in scores.per_class},
        "pictures": scores.pictures,
        "unreadable": len(answers) - len(told),
        "trained_s": round(trained_s, 1),
        "ms_a_picture": round(1000 * (time.perf_counter() - began) / max(1, len(answers)), 1),
        "sides_px": [round(side, 1) for side in detector.sides],
        "parameters": sum(p.numel() for p in detector.net.parameters()),
        **where,
    }
    append_line(args.results, line)
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
