"""Can each network learn eight pictures by heart? Boxes and masks of tiny-coco, pixels of ccp, nothing at random.

A network that cannot is broken somewhere between its labels and its answers, whatever its scores on a test part are.

    python -m benchmarks.overfit                      # every network of TASKS
    python -m benchmarks.overfit --only csp-nano
    python -m benchmarks.overfit --limit              # what maps at a quarter of a side can say at most
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from assay.data.read import read_dataset
from assay.labels import ClassNames
from assay.losses.segment import pixel_sums
from assay.metrics.scene_evaluate import evaluate_scenes
from assay.objects import Objects
from assay.pixel_masks import IGNORE
from assay.postprocess_boxes import Frame
from assay.postprocess_masks import CELL, label_pixels
from assay.train.predictor import load_run
from assay.train.start import train
from assay.types import Dataset
from benchmarks.machine import RESULTS, SHARED, append_line, stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

CCP = Path("runs/data/ccp-masks-only/ccp.parquet")
PICTURES = 8
STILL = {"mosaic": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "flip": 0.0, "colour_jitter": 0.0, "rare": 0.0}
"""No change of any picture: the same eight arrays in every step."""
MOST_THINGS = 12
LEAST_AREA_PX = 32**2
"""COCO's border between small things and others. At 320 px a mask is told in cells of 8 of the photo's pixels, so a
smaller thing can be less than a cell wide: that measures the size, not the network."""


class Task(NamedTuple):
    """A network, what it shall learn by heart, the steps and learning rate that it gets, and the side of its input."""

    network: str
    heads: tuple[str, ...]
    steps: int
    lr: float
    size_px: int = 320


FINE_PX = 512
"""For pixels: maps at a quarter of 320 px can say at most .960 of these eight (``limit``), of 512 px .986."""
COARSE_PX = 224
"""For the large ones, so that a step takes seconds."""
TASKS = (
    Task("csp-nano", ("boxes", "masks"), 600, 3e-3),
    Task("csp-small", ("boxes", "masks"), 350, 2e-3),
    Task("csp-base", ("boxes", "masks"), 300, 2e-3),
    Task("csp-nano", ("pixels",), 400, 3e-3, FINE_PX),
    Task("csp-small", ("pixels",), 300, 2e-3, FINE_PX),
    Task("fasterrcnn_mobilenet_v3_large_320_fpn", ("boxes",), 200, 1e-3),
    Task("fcos_resnet50_fpn", ("boxes",), 240, 5e-4, COARSE_PX),
    Task("retinanet_resnet50_fpn", ("boxes",), 120, 5e-4, COARSE_PX),
    Task("fasterrcnn_resnet50_fpn", ("boxes",), 120, 5e-4, COARSE_PX),
    Task("maskrcnn_resnet50_fpn", ("boxes", "masks"), 120, 5e-4, COARSE_PX),
    Task("smp-unet-resnet18", ("pixels",), 300, 1e-3),
    Task("smp-deeplabv3plus-resnet18", ("pixels",), 300, 1e-3, FINE_PX),
    Task("smp-segformer-resnet18", ("pixels",), 300, 1e-3, FINE_PX),
)


def eight_with_boxes(data: Path) -> Dataset:
    """The first eight of tiny-coco's validation pictures with at most twelve things, none small, no crowd."""
    dataset = read_dataset(data / "tiny-coco")
    fine = [i for i, sample in enumerate(dataset) if sample.objects is not None and _is_fine(sample.objects)]
    return _used_only(_all_train(dataset.take(fine[:PICTURES])))


def eight_with_pixels() -> Dataset:
    """Eight photos of ccp with masks, in the nine super-classes (``benchmarks.data.make_ccp`` first)."""
    dataset = read_dataset(CCP)
    return _all_train(dataset.take(list(range(PICTURES))))


def _is_fine(things: Objects) -> bool:
    """A few things, none of them small by the area of its mask."""
    areas = [mask.area for mask in things.masks if mask is not None]
    few = 1 <= len(things) <= MOST_THINGS and not things.crowd.any()
    return few and len(areas) == len(things) and min(areas) >= LEAST_AREA_PX


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
    network, heads, steps, lr, size_px = task
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
            size=size_px,
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
        "size_px": size_px,
        "seconds": round(time.monotonic() - begun, 1),
        **scores,
        "reached": bool(np.min(reached) > 0.95),
    }


def limit(size_px: int) -> dict[str, Any]:
    """The mIoU of free logits at a quarter of this side, fitted to the labels themselves: no network can do better."""
    counts = np.zeros((2, 10))
    for sample in eight_with_pixels():
        with Image.open(sample.pixels) as opened:
            truth = np.asarray(opened)
        shown, frame = _at_size(truth, size_px)
        logits = torch.zeros(1, 10, size_px // CELL, size_px // CELL, requires_grad=True)
        optimiser = torch.optim.Adam([logits], 0.3)
        for _ in range(150):
            sums = pixel_sums(logits, torch.from_numpy(shown)[None])
            loss = sums.cross_entropy.total / sums.cross_entropy.items + sums.dice.total
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        said = label_pixels(logits.detach()[0].numpy(), frame)
        for k in range(10):
            of_truth, of_said = truth == k, (said == k) & (truth != IGNORE)
            counts[:, k] += (of_truth & of_said).sum(), (of_truth | of_said).sum()
    return {
        "benchmark": "overfit-limit",
        "size_px": size_px,
        "pixels.miou": round(float((counts[0] / counts[1]).mean()), 4),
    }


def _at_size(truth: NDArray[np.uint8], size_px: int) -> tuple[NDArray[np.uint8], Frame]:
    """Labels shrunk or enlarged until the longer side fits, the rest void; and where the picture lies in that."""
    scale = size_px / max(truth.shape)
    height, width = (round(side * scale) for side in truth.shape)
    whole = np.full((size_px, size_px), IGNORE, np.uint8)
    small = Image.fromarray(truth).resize((width, height), Image.Resampling.NEAREST)
    whole[:height, :width] = np.asarray(small)
    return whole, Frame(truth.shape, (width / truth.shape[1], height / truth.shape[0]))


def table(lines: list[dict[str, Any]]) -> list[str]:
    """A row a network, its last line; the least of what it learned decides."""
    rows = ["| network | heads | px | steps | boxes AP50 | masks AP50 | mIoU | above .95 |", "|---" * 8 + "|"]
    for line in {(one["network"], *one["heads"]): one for one in lines}.values():
        scores = [f"{line[n]:.3f}" if n in line else "-" for n in ("boxes.ap50", "masks.ap50", "pixels.miou")]
        verdict = "yes" if line["reached"] else "no"
        told = " | ".join(
            [
                line["network"],
                ", ".join(line["heads"]),
                str(line.get("size_px", 320)),
                str(line["steps"]),
                *scores,
                verdict,
            ]
        )
        rows.append(f"| {told} |")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--only", nargs="*", help="names of networks")
    parser.add_argument(
        "--limit", action="store_true", help="no training: the most that maps of each size can say"
    )
    parser.add_argument("--results", type=Path, default=RESULTS / "overfit.jsonl")
    args = parser.parse_args()
    if args.limit:
        for size_px in sorted({task.size_px for task in TASKS}):
            print(json.dumps(limit(size_px)), flush=True)
        return 0
    for task in TASKS:
        if args.only and task.network not in args.only:
            continue
        line = learn(task, args.data)
        print(json.dumps(line), flush=True)
        append_line(args.results, {**line, **stamp()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
