"""segmentation_models.pytorch's U-Net on a ResNet-18 without any weights, within so many minutes.

What such a script has: random scale, crop and flip, a change of brightness and contrast, AdamW, warm-up and a cosine to
0 just when the minutes are over, cross entropy plus Dice, and of the weights in the last part of the run those with the
best mIoU on validation (without the background). What favours it here: decoded pictures stay in memory, convolutions
lie channels_last, and bf16 is taken where timed steps are faster with it. The test part is answered in whole pictures,
padded to a multiple of 32, on top of the minutes. No EMA.

    .venvs/peers/bin/python -m benchmarks.peers.smp_unet --photos photos.json --minutes 30 --out X

``photos.json`` is ``{"classes": [...], "train": [[photo, mask], ...], "validation": ..., "test": ...}``; the first
class is the background, masks hold class numbers, 255 is left out (``benchmarks.segmentation`` writes it).
"""

from __future__ import annotations

from benchmarks.peers.outcome import STARTED, minutes_used, write_facts  # first: starts the clock

# isort: split
import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

JUDGED_AT = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the minutes at which validation is looked at."""
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
IGNORE, PROBED = 255, 20
Photo = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(H, W, 3) picture and (H, W) classes."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="JSON list of photos and masks")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="budget, start-up counted")
    parser.add_argument("--crop", type=int, default=256, help="side of training crops, px")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--scale", type=float, nargs=2, default=(0.5, 1.5), help="least and greatest zoom")
    parser.add_argument("--warmup", type=float, default=0.05, help="share of the minutes")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def load(pairs: list[list[str]]) -> list[Photo]:
    """Decoded photos with their masks, whose palette indices are class numbers."""
    return [(np.array(Image.open(photo).convert("RGB")), np.array(Image.open(mask))) for photo, mask in pairs]


def changed(photo: Photo, args: argparse.Namespace, rng: np.random.Generator) -> Photo:
    """Scaled, cropped (grey and void beyond the edge), flipped, of another brightness and contrast."""
    image, mask = photo
    zoom, side = rng.uniform(*args.scale), args.crop
    size = tuple(max(1, round(zoom * edge)) for edge in (image.shape[1], image.shape[0]))
    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    pad = [(0, max(0, side - edge)) for edge in mask.shape]
    image = np.pad(image, [*pad, (0, 0)], constant_values=114)
    mask = np.pad(mask, pad, constant_values=IGNORE)
    top, left = (int(rng.integers(0, edge - side + 1)) for edge in mask.shape)
    image, mask = image[top : top + side, left : left + side], mask[top : top + side, left : left + side]
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    contrast, brightness = rng.uniform(0.8, 1.2), rng.uniform(-25, 25)
    image = ((image.astype(np.float32) - 128) * contrast + 128 + brightness).clip(0, 255)
    return image.astype(np.uint8), np.ascontiguousarray(mask)


def to_input(images: NDArray[np.uint8]) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, channels_last in memory."""
    x = (torch.from_numpy(np.ascontiguousarray(images)).float() / 255 - MEAN) / STD
    return x.permute(0, 3, 1, 2)


class Loss(nn.Module):
    """Cross entropy plus Dice; void is left out of both."""

    def __init__(self) -> None:
        super().__init__()
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=IGNORE)
        self.dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.cross_entropy(logits, target) + self.dice(logits, target)


class Trainer:
    """Network, optimiser and the batches drawn for it."""

    def __init__(self, args: argparse.Namespace, model: nn.Module, photos: list[Photo]) -> None:
        self.args, self.model, self.photos = args, model, photos
        self.loss, self.rng = Loss(), np.random.default_rng(args.seed)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
        self.bf16, self.steps, self._order = False, 0, np.zeros(0, np.int64)

    def step(self, lr: float) -> None:
        """One batch."""
        if len(self._order) < self.args.batch:
            self._order = self.rng.permutation(len(self.photos))
        chosen, self._order = self._order[: self.args.batch], self._order[self.args.batch :]
        pairs = [changed(self.photos[i], self.args, self.rng) for i in chosen]
        x = to_input(np.stack([image for image, _ in pairs]))
        y = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.model(x)
        loss = self.loss(logits.float(), y)
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()} after {self.steps} steps")
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.steps += 1

    def choose_precision(self) -> dict[str, float]:
        """The faster of fp32 and bf16; the steps that are timed train already, at a tenth of the rate."""
        told = {}
        for name in ("fp32", "bf16"):
            self.bf16, seconds = name == "bf16", []
            for _ in range(PROBED // 2):
                begun = time.perf_counter()
                self.step(self.args.lr / 10)
                seconds.append(time.perf_counter() - begun)
            told[name] = sorted(seconds)[len(seconds) // 2]
        self.bf16 = told["bf16"] < told["fp32"]
        return told


def learning_rate(peak: float, warmup: float, progress: float) -> float:
    """At this share of the minutes: a linear warm-up, then a cosine to 0."""
    rising = min(1.0, (progress + 0.001) / warmup) if warmup else 1.0
    return peak * rising * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.inference_mode()
def answer(model: nn.Module, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W) classes of a whole photo, in fp32."""
    height, width = image.shape[:2]
    padded = np.pad(image, [(0, -height % 32), (0, -width % 32), (0, 0)], constant_values=114)
    classes = model(to_input(padded[None])).argmax(1)[0, :height, :width]
    return classes.numpy().astype(np.uint8)


def mean_iou(model: nn.Module, photos: list[Photo], classes: int) -> float:
    """Mean over the classes but the background, of pixels of all photos together."""
    model.eval()
    cells = np.zeros((classes, classes), np.int64)
    for image, mask in photos:
        known = mask != IGNORE
        pairs = mask[known].astype(np.int64) * classes + answer(model, image)[known]
        cells += np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    model.train()
    hits, either = np.diag(cells), cells.sum(0) + cells.sum(1) - np.diag(cells)
    there = either[1:] > 0
    return float((hits[1:][there] / either[1:][there]).mean())


def train(args: argparse.Namespace, trainer: Trainer, photos: list[Photo], classes: int) -> dict[str, Any]:
    """Until the minutes are over; the best weights are in the model then."""
    begun, left, looks, minutes_a_look = minutes_used(), list(JUDGED_AT), [], 0.0
    best, weights, judging, probed = -1.0, None, 0.0, trainer.steps
    while left:
        end = args.minutes - minutes_a_look  # the last look is within the minutes
        progress = (minutes_used() - begun) / max(1e-9, end - begun)
        if progress < left[0]:
            trainer.step(learning_rate(args.lr, args.warmup, progress))
            continue
        while left and progress >= left[0]:
            left.pop(0)
        before = minutes_used()
        score = mean_iou(trainer.model, photos, classes)
        minutes_a_look = minutes_used() - before
        judging += minutes_a_look
        looks.append([round(progress, 3), round(score, 4)])
        print(f"{100 * progress:.0f} %: mIoU {score:.4f} on validation, {trainer.steps} steps", flush=True)
        if score >= best:
            best, weights = score, copy.deepcopy(trainer.model.state_dict())
    seconds = 60 * (minutes_used() - begun - judging)
    trainer.model.load_state_dict(weights)
    rate = round((trainer.steps - probed) * args.batch / seconds, 2)
    return {"validation": best, "validation_by_share": looks, "steps": trainer.steps, "rate": rate}


def main() -> int:
    args = parse()
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    told = json.loads(args.photos.read_text("utf-8"))
    classes = len(told["classes"])
    model = smp.Unet("resnet18", encoder_weights=None, classes=classes).to(memory_format=torch.channels_last)
    trainer = Trainer(args, model.train(), load(told["train"]))
    validation = load(told["validation"])
    ready_s = time.time() - STARTED
    probe = trainer.choose_precision()
    facts = train(args, trainer, validation, classes)
    used = minutes_used()
    model.eval()
    (args.out / "masks").mkdir(parents=True, exist_ok=True)
    for photo, _ in told["test"]:
        classes_of = answer(model, np.array(Image.open(photo).convert("RGB")))
        Image.fromarray(classes_of).save(args.out / "masks" / f"{Path(photo).stem}.png")
    write_facts(
        args.out,
        tool=f"segmentation_models.pytorch {smp.__version__}, torch {torch.__version__}",
        parameters=sum(p.numel() for p in model.parameters()),
        minutes=round(used, 3),
        ready_s=round(ready_s, 2),
        precision="bf16" if trainer.bf16 else "fp32",
        seconds_a_step={name: round(value, 4) for name, value in probe.items()},
        torch_threads=torch.get_num_threads(),
        epochs=round(facts["steps"] * args.batch / len(trainer.photos), 2),
        **facts,
    )
    print(f"mIoU {facts['validation']:.4f} on validation, {facts['rate']} pictures/s, {used:.2f} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
