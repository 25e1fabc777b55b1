"""Ultralytics' classifier on a class-folder tree, from scratch, within so many minutes, by its own default recipe.

``time`` of its trainer scales epochs and schedule to a budget but does not count start-up, so what start-up took is
taken off just before the first epoch. Loading the best weights again and predicting the test part come on top of
the minutes, in the peer's favour. Precision is fp32: its trainer refuses bf16 on a CPU, and its AMP check downloads
a network. Telemetry, hub, downloads and self-installation are off (``benchmarks.machine.peer_environment``).

    .venvs/peers/bin/python -m benchmarks.peers.ultralytics_classify --tree runs/data/clothing/tree --minutes 10 --out X
"""

from __future__ import annotations

from benchmarks.peers.outcome import (
    STARTED,
    list_pictures,
    minutes_used,
    write_outcome,
)  # first: starts the clock

# isort: split
import argparse
import os
import time
from pathlib import Path
from typing import Any

OF_TORCHVISION = """\
nc: 1000
backbone:
  - [-1, 1, TorchVision, [{width}, {name}, null, True, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""
"""A network of torchvision's without weights as Ultralytics takes it: its own head (1x1 convolution to 1280) on top."""
WIDTHS = {"resnet18": 512, "mobilenet_v3_small": 576, "mobilenet_v3_large": 960}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, required=True, help="folder with train, val and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="budget, start-up counted")
    parser.add_argument("--epochs", type=int, help="instead of --minutes")
    parser.add_argument("--model", default="yolo11n-cls.yaml", help="an Ultralytics yaml, or one of WIDTHS")
    parser.add_argument("--imgsz", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", action="store_true", help="keep decoded pictures in memory")
    parser.add_argument("--threads", type=int, help="threads of torch; Ultralytics' own choice is cores - 1")
    parser.add_argument("--no-test", action="store_true", help="train only, for throughput")
    args = parser.parse_args()
    if (args.minutes is None) == (args.epochs is None):
        parser.error("give one of --minutes and --epochs")
    return args


class Clock:
    """Trainer callbacks: sets the time left, and notes pictures a second of each epoch's training part."""

    def __init__(self, minutes: float | None, threads: int | None) -> None:
        self.minutes, self.threads = minutes, threads
        self.rates: list[float] = []
        self.ready_s = 0.0
        self.threads_used = 0
        self._begun, self._seen = 0.0, 0

    def on_train_start(self, trainer: Any) -> None:
        import torch  # noqa: PLC0415 - after the check that it is kept offline

        if self.threads:
            torch.set_num_threads(self.threads)
        self.ready_s = time.time() - STARTED
        if self.minutes is not None:
            trainer.args.time = max(1.0, self.minutes * 60 - self.ready_s) / 3600

    def on_train_epoch_start(self, _: Any) -> None:
        self._begun, self._seen = time.time(), 0

    def on_train_batch_end(self, trainer: Any) -> None:
        self._seen += trainer.batch_size  # the last batch of an epoch may be smaller; corrected below

    def on_train_epoch_end(self, trainer: Any) -> None:
        import torch  # noqa: PLC0415 - after the check that it is kept offline

        pictures = min(self._seen, len(trainer.train_loader.dataset))
        self.rates.append(round(pictures / (time.time() - self._begun), 3))
        self.threads_used = torch.get_num_threads()  # its predictor sets another number later


def train(args: argparse.Namespace, clock: Clock) -> tuple[Path, float]:
    """Train by the default recipe; (best weights, their accuracy on validation)."""
    from ultralytics import YOLO, settings  # noqa: PLC0415 - after the check that it is kept offline

    settings.update({"sync": False, "runs_dir": str(args.out), "weights_dir": str(args.out)})
    model_file = args.model
    if args.model in WIDTHS:
        model_file = args.out / f"{args.model}-cls.yaml"
        model_file.write_text(OF_TORCHVISION.format(name=args.model, width=WIDTHS[args.model]), "utf-8")
    model = YOLO(str(model_file), task="classify")
    for name in ("on_train_start", "on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end"):
        model.add_callback(name, getattr(clock, name))
    budget = {"epochs": args.epochs} if args.epochs else {"time": args.minutes / 60}
    model.train(
        data=str(args.tree.resolve()),
        imgsz=args.imgsz,
        batch=args.batch,
        seed=args.seed,
        cache=args.cache,
        pretrained=False,
        amp=False,
        plots=False,
        device="cpu",
        project=str(args.out.resolve()),
        name="run",
        exist_ok=True,
        verbose=False,
        **budget,
    )
    # its fitness, by which it picks the best epoch, is the mean of top-1 and top-5
    return Path(model.trainer.best), float(model.trainer.metrics["metrics/accuracy_top1"])


def predict(weights: Path, paths: list[Path], imgsz: int) -> tuple[list[Any], list[str]]:
    """Probabilities of each picture by Ultralytics' own predictor, and the classes in their order."""
    from ultralytics import YOLO  # noqa: PLC0415 - after the check that it is kept offline

    model = YOLO(str(weights))
    probs = []
    for start in range(0, len(paths), 32):
        batch = [str(path) for path in paths[start : start + 32]]
        results = model.predict(batch, imgsz=imgsz, batch=32, device="cpu", verbose=False, save=False)
        probs += [result.probs.data.float().cpu().numpy() for result in results]
    return probs, [model.names[i] for i in range(len(model.names))]


def main() -> int:
    args = parse()
    if os.environ.get("YOLO_OFFLINE") != "true":
        print(
            "run this through benchmarks.accuracy or .throughput, or set YOLO_OFFLINE=true: it must stay offline"
        )
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    clock = Clock(args.minutes, args.threads)
    weights, validation = train(args, clock)
    used = minutes_used()
    paths, targets, probs, classes = [], [], [], []
    if not args.no_test:
        classes = sorted(folder.name for folder in (args.tree / "train").iterdir())
        paths, targets = list_pictures(args.tree, classes)
        probs, names = predict(weights, paths, args.imgsz)
        order = [names.index(name) for name in classes]
        probs = [row[order] for row in probs]
    import torch  # noqa: PLC0415 - after the check that it is kept offline
    import ultralytics  # noqa: PLC0415

    told = write_outcome(
        args.out,
        paths,
        targets,
        probs,
        classes,
        tool=f"ultralytics {ultralytics.__version__}, torch {torch.__version__}",
        validation=validation,
        minutes=round(used, 3),
        ready_s=round(clock.ready_s, 2),
        epochs=len(clock.rates),
        rates=clock.rates,
        torch_threads=clock.threads_used,
    )
    print(f"test accuracy {told['accuracy'] or 0:.4f} of {told['n']}, {told['minutes']} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
