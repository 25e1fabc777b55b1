"""torchvision's ``fasterrcnn_mobilenet_v3_large_320_fpn`` without any weights, within so many minutes.

The network as torchvision builds it (without weights all its layers learn, batch norms included), trained as its
reference script does: SGD with momentum 0.9 and weight decay 1e-4, the rate of 0.02 for 16 pictures scaled to 8,
a warm-up, left-right flips as the only augmentation. What favours it here: pictures stay in memory, convolutions lie
channels_last (1.6 times faster on the trunk), the learning rate falls as a cosine to 0 just when the minutes are over,
and of the weights in the last part of the run those with the best AP50 on validation are taken. Answering the test part
comes on top of the minutes.

    .venvs/peers/bin/python -m benchmarks.peers.torchvision_detect \\
        --truth runs/data/bccd/original.json --minutes 10 --out X
"""

from __future__ import annotations

from benchmarks.peers.outcome import STARTED, minutes_used, write_facts  # first: starts the clock

# isort: split
import argparse
import contextlib
import copy
import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from faster_coco_eval import COCO, COCOeval_faster
from PIL import Image
from torch import Tensor
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

from benchmarks.peers.coco_files import CocoFile, Picture, read_coco, result_rows, write_results

JUDGED_AT = (0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the minutes at which validation is looked at."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, required=True, help="COCO file whose pictures say their part")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="budget, start-up counted")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.01, help="peak learning rate")
    parser.add_argument("--warmup", type=float, default=0.05, help="share of the minutes")
    parser.add_argument("--bf16", action="store_true", help="forward passes of training in bf16")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def load(pictures: list[Picture], ids: list[int]) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Decoded pictures (C, H, W) uint8 with their targets; label 0 is torchvision's background."""
    found = []
    for picture in pictures:
        pixels = np.asarray(Image.open(picture.path).convert("RGB"))
        xywh = torch.tensor(picture.boxes_xywh, dtype=torch.float32).reshape(-1, 4)
        labels = torch.tensor([ids.index(key) + 1 for key in picture.categories], dtype=torch.int64)
        boxes = torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1)
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
        found.append((image, {"boxes": boxes, "labels": labels}))
    return found


def flipped(image: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Left-right."""
    boxes, width = target["boxes"].clone(), image.shape[2]
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return image.flip(2), {**target, "boxes": boxes}


def learning_rate(peak: float, warmup: float, progress: float) -> float:
    """At this share of the minutes: a linear warm-up, then a cosine to 0."""
    rising = min(1.0, (progress + 0.001) / warmup) if warmup else 1.0
    return peak * rising * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.inference_mode()
def answer(
    model: torch.nn.Module, pictures: list[Picture], data: list[Any], ids: list[int]
) -> list[dict[str, Any]]:
    """COCO's results of all pictures."""
    model.eval()
    rows = []
    for start in range(0, len(pictures), 8):
        images = [image.float() / 255 for image, _ in data[start : start + 8]]
        for picture, told in zip(pictures[start : start + 8], model(images), strict=True):
            categories = [ids[int(label) - 1] for label in told["labels"]]
            rows += result_rows(picture.id, told["boxes"].tolist(), categories, told["scores"].tolist())
    return rows


def ap50(pictures: list[Picture], names: dict[int, str], rows: list[dict[str, Any]]) -> float:
    """AP50 of the results on these pictures, by faster-coco-eval."""
    if not rows:
        return 0.0
    things = [
        {"image_id": p.id, "category_id": k, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for p in pictures
        for box, k in zip(p.boxes_xywh, p.categories, strict=True)
    ]
    truth = {
        "info": {},
        "images": [{"id": p.id} for p in pictures],
        "categories": [{"id": key, "name": name} for key, name in names.items()],
        "annotations": [{"id": i + 1, **thing} for i, thing in enumerate(things)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        of = COCO(truth)
        run = COCOeval_faster(of, of.loadRes(copy.deepcopy(rows)), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[1])


class Best:
    """The weights with the best validation so far, and when they are looked at."""

    def __init__(self, coco: CocoFile, data: list[Any], ids: list[int]) -> None:
        self.coco, self.data, self.ids = coco, data, ids
        self.score, self.weights, self.told = -1.0, None, []
        self.minutes = self.minutes_a_look = 0.0
        self._left = list(JUDGED_AT)

    def look(self, model: torch.nn.Module, progress: float) -> None:
        if not self._left or progress < self._left[0]:
            return
        begun = minutes_used()
        while self._left and progress >= self._left[0]:
            self._left.pop(0)
        pictures = self.coco.pictures["validation"]
        score = ap50(pictures, self.coco.names, answer(model, pictures, self.data, self.ids))
        model.train()
        self.told.append([round(progress, 3), round(score, 4)])
        print(f"{100 * progress:.0f} %: AP50 {score:.4f} on validation", flush=True)
        if score >= self.score:
            self.score, self.weights = score, copy.deepcopy(model.state_dict())
        self.minutes_a_look = minutes_used() - begun
        self.minutes += self.minutes_a_look


def train(args: argparse.Namespace, model: torch.nn.Module, data: list[Any], best: Best) -> dict[str, Any]:
    """Train until the minutes are over; steps and pictures a second."""
    optimiser = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    rng, begun, steps = np.random.default_rng(args.seed), time.time(), 0
    begun_at = minutes_used()
    model.train()
    while True:
        order = rng.permutation(len(data))
        for start in range(0, len(order) - args.batch + 1, args.batch):
            end = args.minutes - best.minutes_a_look  # the last look is within the minutes
            progress = (minutes_used() - begun_at) / max(1e-9, end - begun_at)
            best.look(model, progress)
            if progress >= 1.0:
                seconds = time.time() - begun - 60 * best.minutes
                return {"steps": steps, "rate": round(steps * args.batch / seconds, 2)}
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(args.lr, args.warmup, progress)
            chosen = [data[i] for i in order[start : start + args.batch]]
            chosen = [flipped(*one) if rng.random() < 0.5 else one for one in chosen]
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                losses = model([image.float() / 255 for image, _ in chosen], [target for _, target in chosen])
            loss = sum(losses.values())
            if not math.isfinite(loss.item()):
                raise FloatingPointError(f"the loss is {loss.item()} after {steps} steps")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps += 1


def main() -> int:
    args = parse()
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    coco = read_coco(args.truth)
    ids = sorted(coco.names)
    model = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=len(ids) + 1,
        box_score_thresh=0.001,  # for AP; 0.05 unless said otherwise
    ).to(memory_format=torch.channels_last)
    best = Best(coco, load(coco.pictures["validation"], ids), ids)
    data = load(coco.pictures["train"], ids)
    ready_s = time.time() - STARTED
    told = train(args, model, data, best)
    used = minutes_used()
    model.load_state_dict(best.weights)
    rows = answer(model, coco.pictures["test"], load(coco.pictures["test"], ids), ids)
    write_results(args.out, rows)
    write_facts(
        args.out,
        tool=f"torchvision {torchvision.__version__}, torch {torch.__version__}",
        parameters=sum(p.numel() for p in model.parameters()),
        validation=best.score,
        validation_by_share=best.told,
        minutes=round(used, 3),
        ready_s=round(ready_s, 2),
        torch_threads=torch.get_num_threads(),
        epochs=round(told["steps"] * args.batch / len(data), 2),
        **told,
    )
    print(f"AP50 {best.score:.4f} on validation, {told['rate']} pictures/s, {used:.2f} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
