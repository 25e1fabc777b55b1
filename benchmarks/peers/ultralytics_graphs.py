"""Ultralytics' networks with random weights, as its own exports: what the same operations take in each program.

Speed does not depend on what a network has learned, so none is trained. A classifier of torchvision's is built by
Ultralytics' own module for it. The weights are those of the seed, and the batch norms are left as they start.

    .venvs/peers/bin/python -m benchmarks.peers.ultralytics_graphs --out runs/answering
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

CLASSES = 12
NETWORKS = {
    # name -> (what Ultralytics builds it from, task, side of the input in px)
    "resnet18": ("resnet18", "classify", 224),
    "mobilenet_v3_large": ("mobilenet_v3_large", "classify", 224),
    "yolo11n-cls": ("yolo11n-cls.yaml", "classify", 224),
    "yolo11n": ("yolo11n.yaml", "detect", 640),
    "yolo11n-seg": ("yolo11n-seg.yaml", "segment", 640),
}
WIDTHS = {"resnet18": 512, "mobilenet_v3_large": 960}


def yaml_of(name: str, folder: Path) -> str:
    """The file that Ultralytics builds a network from; written here for those of torchvision."""
    if name not in WIDTHS:
        return NETWORKS[name][0]
    path = folder / f"{name}-cls.yaml"
    lines = [
        f"nc: {CLASSES}",
        "backbone:",
        f"  - [-1, 1, TorchVision, [{WIDTHS[name]}, {name}, null, True, 2]]",
        "head:",
        "  - [-1, 1, Classify, [nc]]",
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def build(name: str, folder: Path) -> dict[str, Any]:
    """Write one network as .pt, .onnx and OpenVINO; what was written."""
    import torch  # noqa: PLC0415
    from ultralytics import YOLO  # noqa: PLC0415

    _, task, side = NETWORKS[name]
    torch.manual_seed(0)
    model = YOLO(yaml_of(name, folder), task=task)
    weights = folder / f"{name}.pt"
    model.save(weights)
    loaded = YOLO(weights, task=task)
    onnx = Path(loaded.export(format="onnx", imgsz=side, dynamic=True, simplify=True))
    openvino = Path(YOLO(weights, task=task).export(format="openvino", imgsz=side))
    parameters = sum(p.numel() for p in loaded.model.parameters())
    return {"name": name, "task": task, "side": side, "parameters": parameters, "pt": weights.name,
            "onnx": onnx.name, "openvino": openvino.name}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = [build(name, args.out) for name in args.names]
    (args.out / "networks.json").write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
