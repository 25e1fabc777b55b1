"""Can each network learn eight pictures by heart? Boxes and masks of tiny-coco, pixels of ccp, nothing at random.

A network that cannot is broken somewhere between its labels and its answers, whatever its scores on a test part are.

    python -m benchmarks.overfit                      # every network of TASKS
    python -m benchmarks.overfit --only csp-nano
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from assay.data.read import read_dataset
from assay.labels import ClassNames
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.train.predictor import load_run
from assay.train.start import train
from assay.types import Dataset
from benchmarks.machine import RESULTS, SHARED, append_line, stamp

CCP = Path("runs/data/ccp-masks-only/ccp.parquet")
PICTURES = 8
STILL = {"mosaic": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "flip": 0.0, "colour_jitter": 0.0, "rare": 0.0}
"""No change of any picture: the same eight arrays in every step."""


class Task(NamedTuple):
    """A network, what it shall learn by heart, and the steps and learning rate that it gets."""

    network: str
    heads: tuple[str, ...]
    steps: int
    lr: float


TASKS = (
    Task("csp-nano", ("boxes", "masks"), 600, 3e-3),
    Task("csp-small", ("boxes", "masks"), 350, 2e-3),
    Task("csp-base", ("boxes", "masks"), 300, 2e-3),
    Task("csp-nano", ("pixels",), 400, 3e-3),
    Task("csp-small", ("pixels",), 300, 2e-3),
    Task("fasterrcnn_mobilenet_v3_large_320_fpn", ("boxes",), 200, 1e-3),
    Task("fcos_resnet50_fpn", ("boxes",), 120, 5e-4),
    Task("retinanet_resnet50_fpn", ("boxes",), 120, 5e-4),
    Task("fasterrcnn_resnet50_fpn", ("boxes",), 120, 5e-4),
    Task("maskrcnn_resnet50_fpn", ("boxes", "masks"), 120, 5e-4),
    Task("smp-unet-resnet18", ("pixels",), 300, 1e-3),
    Task("smp-deeplabv3plus-resnet18", ("pixels",), 300, 1e-3),
    Task("smp-segformer-resnet18", ("pixels",), 300, 1e-3),
)


def eight_with_boxes(data: Path) -> Dataset:
    """The first eight of tiny-coco's validation pictures that have at most twelve things and no crowd."""
    dataset = read_dataset(data / "tiny-coco")
    fine = [
        i
        for i, sample in enumerate(dataset)
        if sample.objects is not None and 1 <= len(sample.objects) <= 12 and not sample.objects.crowd.any()
    ]
    return _used_only(_all_train(dataset.take(fine[:PICTURES])))


def eight_with_pixels() -> Dataset:
    """Eight photos of ccp with masks, in the nine super-classes (``benchmarks.data.make_ccp`` first)."""
    dataset = read_dataset(CCP)
    return _all_train(dataset.take(list(range(PICTURES))))


def _all_train(dataset: Dataset) -> Dataset:
    table = dataset.table
    if "part" in table.column_names:
        table = table.drop_columns(["part"])
    return replace(dataset, table=table.append_column("part", pa.array(["train"] * len(table))))


def _used_only(dataset: Dataset) -> Dataset:
    """Without the classes that none of these pictures has."""
    used = {thing["label"] for things in dataset.table["objects"].to_pylist() for thing in things}
    return replace(dataset, object_classes=ClassNames([n for n in dataset.object_classes if n in used]))


def learn(task: Task, data: Path) -> dict[str, Any]:
    """Train one network on its eight pictures and measure it on the same."""
    network, heads, steps, lr = task
    dataset = eight_with_pixels() if heads == ("pixels",) else eight_with_boxes(data)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        run = train(
            dataset,
            Path(place) / "run",
            model=network,
            heads=heads,
            epochs=steps,
            batch=PICTURES,
            lr=lr,
            weight_decay=0.0,
            validation=0.0,
            test=0.0,
            progressive=False,
            size=320,
            **STILL,
        )
        found = evaluate_scenes(load_run(run.folder), dataset, "train", draws=0)
    names = ("boxes.ap50", "boxes.ap50_95", "masks.ap50", "pixels.miou")
    scores = {one: round(float(found.metrics[one].value), 4) for one in names if one in found.metrics}
    reached = [v for k, v in scores.items() if k in ("boxes.ap50", "masks.ap50", "pixels.miou")]
    return {
        "benchmark": "overfit",
        "network": network,
        "heads": list(heads),
        "steps": steps,
        "seconds": round(time.monotonic() - begun, 1),
        **scores,
        "reached": bool(np.min(reached) > 0.95),
    }


def table(lines: list[dict[str, Any]]) -> list[str]:
    """A row a network, its last line; the least of what it learned decides."""
    rows = ["| network | heads | steps | boxes AP50 | masks AP50 | mIoU | above .95 |", "|---" * 7 + "|"]
    for line in {(one["network"], *one["heads"]): one for one in lines}.values():
        scores = [f"{line[n]:.3f}" if n in line else "-" for n in ("boxes.ap50", "masks.ap50", "pixels.miou")]
        verdict = "yes" if line["reached"] else "no"
        told = " | ".join([line["network"], ", ".join(line["heads"]), str(line["steps"]), *scores, verdict])
        rows.append(f"| {told} |")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--only", nargs="*", help="names of networks")
    parser.add_argument("--results", type=Path, default=RESULTS / "overfit.jsonl")
    args = parser.parse_args()
    for task in TASKS:
        if args.only and task.network not in args.only:
            continue
        line = learn(task, args.data)
        print(json.dumps(line), flush=True)
        append_line(args.results, {**line, **stamp()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
