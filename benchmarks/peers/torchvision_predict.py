"""The script that most people would write: torchvision's classifier behind a DataLoader, answers into a file.

Two workers decode and resize, batches of 32, channels_last, fp32, inference mode. Random weights: only time counts.

    .venvs/peers/bin/python -m benchmarks.peers.torchvision_predict --model resnet18 --pictures FOLDER --out answers.txt
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2


class Folder(Dataset[tuple[Tensor, int]]):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        self.transform = v2.Compose(
            [
                v2.PILToTensor(),
                v2.Resize(256, antialias=True),
                v2.CenterCrop(224),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[i]) as picture:
            return self.transform(picture.convert("RGB")), i


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    paths = sorted(args.pictures.rglob("*.jpg"))
    model = torchvision.models.get_model(args.model, weights=None, num_classes=12)
    model = model.eval().to(memory_format=torch.channels_last)
    loader = DataLoader(Folder(paths), args.batch, num_workers=args.workers)
    begun, count, first = 0.0, 0, 0
    with args.out.open("w", encoding="utf-8") as file, torch.inference_mode():
        for pictures, rows in loader:
            scores = model(pictures.to(memory_format=torch.channels_last)).softmax(1)
            best = scores.max(1)
            for row, label, score in zip(
                rows.tolist(), best.indices.tolist(), best.values.tolist(), strict=True
            ):
                file.write(f"{paths[row]} {label} {score:.6f}\n")
            count += len(rows)
            if not begun:
                begun, first = time.perf_counter(), count
    steady = (count - first) / max(1e-9, time.perf_counter() - begun)
    print(json.dumps({"pictures": count, "steady_per_s": steady}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
