"""Ultralytics' newest nano detector from scratch, within so many minutes, by its own default recipe.

``time`` of its trainer scales epochs and schedule to a budget but does not count start-up, so what start-up took is
taken off just before the first epoch. Its own last look at validation with the best weights, and answering the test
part, come on top of the minutes, in the peer's favour. Precision is fp32: its trainer refuses bf16 on a CPU, and its
AMP check downloads a network. ``--cache`` and ``--threads`` are what its fairer variant uses: by default it reads the
files anew every epoch and leaves one core unused. The test part is answered with a least score of 0.001 and 300
detections, as its own validation does. It stays offline (``benchmarks.machine.peer_environment``).

    .venvs/peers/bin/python -m benchmarks.peers.ultralytics_detect --truth runs/data/bccd/original.json \\
        --yolo runs/data/bccd/yolo/original --minutes 10 --out X
"""

from __future__ import annotations

from benchmarks.peers.outcome import minutes_used, write_facts  # first: starts the clock

# isort: split
import argparse
import os
from pathlib import Path
from typing import Any

from benchmarks.peers.coco_files import read_coco, result_rows, write_results
from benchmarks.peers.ultralytics_classify import Clock

NEWEST = "yolo26n.yaml"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, required=True, help="COCO file whose pictures say their part")
    parser.add_argument("--yolo", type=Path, required=True, help="the same split as a YOLO folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="budget, start-up counted")
    parser.add_argument("--epochs", type=int, help="instead of --minutes")
    parser.add_argument("--model", default=NEWEST)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", action="store_true", help="keep decoded pictures in memory")
    parser.add_argument("--threads", type=int, help="threads of torch; Ultralytics' own choice is cores - 1")
    parser.add_argument("--no-test", action="store_true", help="train only, for throughput")
    args = parser.parse_args()
    if (args.minutes is None) == (args.epochs is None):
        parser.error("give one of --minutes and --epochs")
    return args


def train(args: argparse.Namespace, clock: Clock) -> tuple[Path, dict[str, float], int]:
    """Train by the default recipe; (best weights, their validation, parameters)."""
    from ultralytics import YOLO, settings  # noqa: PLC0415 - after the check that it is kept offline

    settings.update({"sync": False, "runs_dir": str(args.out), "weights_dir": str(args.out)})
    model = YOLO(args.model, task="detect")
    for name in ("on_train_start", "on_train_epoch_start", "on_train_batch_end", "on_train_epoch_end"):
        model.add_callback(name, getattr(clock, name))
    budget = {"epochs": args.epochs} if args.epochs else {"time": args.minutes / 60}
    model.train(
        data=str((args.yolo / "data.yaml").resolve()),
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
    parameters = sum(p.numel() for p in model.trainer.model.parameters())
    return Path(model.trainer.best), dict(model.trainer.metrics), parameters


def answer(args: argparse.Namespace, weights: Path) -> list[dict[str, Any]]:
    """COCO's results of the test part, by Ultralytics' own predictor."""
    from ultralytics import YOLO  # noqa: PLC0415 - after the check that it is kept offline

    coco, model, rows = read_coco(args.truth), YOLO(str(weights)), []
    number_of = {name: key for key, name in coco.names.items()}
    pictures = coco.pictures["test"]
    options = {"imgsz": args.imgsz, "conf": 0.001, "max_det": 300, "device": "cpu"}
    for start in range(0, len(pictures), 16):
        chosen = pictures[start : start + 16]
        results = model.predict([str(p.path) for p in chosen], verbose=False, save=False, **options)
        for picture, told in zip(chosen, results, strict=True):
            categories = [number_of[model.names[int(k)]] for k in told.boxes.cls.tolist()]
            boxes, scores = told.boxes.xyxy.tolist(), told.boxes.conf.tolist()
            rows += result_rows(picture.id, boxes, categories, scores)
    return rows


def main() -> int:
    args = parse()
    if os.environ.get("YOLO_OFFLINE") != "true":
        print("run this through benchmarks.detection, or set YOLO_OFFLINE=true: it must stay offline")
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    clock = Clock(args.minutes, args.threads)
    weights, metrics, parameters = train(args, clock)
    used = minutes_used()
    write_results(args.out, [] if args.no_test else answer(args, weights))
    import torch  # noqa: PLC0415 - after the check that it is kept offline
    import ultralytics  # noqa: PLC0415

    told = write_facts(
        args.out,
        tool=f"ultralytics {ultralytics.__version__}, torch {torch.__version__}",
        parameters=parameters,
        validation=metrics.get("metrics/mAP50(B)"),
        validation_ap50_95=metrics.get("metrics/mAP50-95(B)"),
        minutes=round(used, 3),
        ready_s=round(clock.ready_s, 2),
        epochs=len(clock.rates),
        rates=clock.rates,
        torch_threads=clock.threads_used,
    )
    print(f"AP50 {told['validation']} on validation, {told['epochs']} epochs, {told['minutes']} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
