"""Hugging Face's image-classification pipeline on a ResNet-18 with random weights: batches of 32, two workers.

.venvs/peers/bin/python -m benchmarks.peers.transformers_predict --pictures FOLDER --out answers.txt
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import Dataset
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification, pipeline


class Folder(Dataset[Image.Image]):
    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Image.Image:
        with Image.open(self.paths[i]) as picture:
            return picture.convert("RGB")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    paths = sorted(args.pictures.rglob("*.jpg"))
    torch.manual_seed(0)
    config = ResNetConfig(
        layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], num_labels=12
    )
    model = ResNetForImageClassification(config).eval()
    processor = ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875)
    answer = pipeline("image-classification", model=model, image_processor=processor, device="cpu")
    begun, count = 0.0, 0
    with args.out.open("w", encoding="utf-8") as file:
        found = answer(Folder(paths), batch_size=args.batch, num_workers=args.workers, top_k=1)
        for path, row in zip(paths, found, strict=True):
            count += 1
            begun = begun or time.perf_counter()
            file.write(f"{path} {row[0]['label']} {row[0]['score']:.6f}\n")
    steady = (count - args.batch) / max(1e-9, time.perf_counter() - begun)
    print(json.dumps({"pictures": count, "steady_per_s": steady}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
