"""Make ``.venvs/peers``: the peers, with a torchvision whose compiled operators load.

Run it with Assay's own environment, from the repository's root; it takes a few minutes and about 6 GB:

    .venv/bin/python -m benchmarks.peers.setup_peers

torchvision's detectors need its compiled ``nms`` and ``roi_align``. A package index has them for its own build of torch
alone, so the peers get that pair in place of the CPU build that Assay may run on here: the real operators are fairer
than substitutes in Python. On a CPU both builds compute with the same libraries; ``--compare`` shows how fast.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import PEERS_PYTHON, ROOT, peer_environment

HERE = Path(__file__).resolve().parent
TORCH = ("torch==2.14.1", "torchvision==0.29.1")
PROOF = """
import torch, torchvision, timm, ultralytics, segmentation_models_pytorch
torchvision.ops.nms(torch.tensor([[0., 0., 2., 2.]]), torch.ones(1), 0.5)
torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0., 0., 0., 2., 2.]]), 2)
print("torch", torch.__version__, "torchvision", torchvision.__version__, "with its operators")
print("timm", timm.__version__, "ultralytics", ultralytics.__version__)
print("segmentation_models.pytorch", segmentation_models_pytorch.__version__)
"""
SPEED = """
import sys, time, torch
from torch import nn
torch.manual_seed(0)
layers = [nn.Conv2d(3, 32, 3, 2, 1)]
for _ in range(6):
    layers += [nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU()]
x, seconds = torch.randn(16, 3, 160, 160), []
for layout in (torch.contiguous_format, torch.channels_last):
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).to(memory_format=layout)
    times = []
    for _ in range(12):
        begun = time.perf_counter()
        model(x.contiguous(memory_format=layout)).square().mean().backward()
        times.append(time.perf_counter() - begun)
    seconds.append(f"{1000 * min(times):.0f} ms")
print("torch", torch.__version__, "a training step, plain and channels_last:", ", ".join(seconds))
"""


def install(*words: str) -> None:
    """One pip call in the peers' environment; pip's own configuration says where packages come from."""
    subprocess.run([PEERS_PYTHON, "-m", "pip", "install", "--quiet", *words], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--new", action="store_true", help="throw an older environment away first")
    parser.add_argument("--compare", action="store_true", help="time a training step on both builds of torch")
    args = parser.parse_args()
    if args.compare:
        for python in (sys.executable, PEERS_PYTHON) * 3:
            subprocess.run([python, "-c", SPEED], check=True)
        return 0
    home = PEERS_PYTHON.parent.parent
    if args.new and home.exists():
        shutil.rmtree(home)
    if not PEERS_PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
    install(*TORCH)
    install("-r", str(HERE / "requirements.txt"))
    subprocess.run([PEERS_PYTHON, "-c", PROOF], check=True, env=peer_environment())
    print(f"ready: {home.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
