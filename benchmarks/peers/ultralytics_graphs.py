"""Ultralytics' networks with random weights, as its own exports: what the same operations take in each program.

The speed of a network does not depend on what it has learned, so none is trained. What follows a detector does: how
many things it tells. So batch norms take the statistics of some pictures, and the last layer of a detector is scaled
and shifted until its logits spread as trained ones do and ``CANDIDATES`` a picture are above a probability of
``SCORE``. A classifier of torchvision's is built by Ultralytics' own module for it.

    .venvs/peers/bin/python -m benchmarks.peers.ultralytics_graphs --pictures FOLDER --out runs/answering
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
CANDIDATES, SCORE, SPREAD = 14, 0.25, 2.0
"""Pairs of a point and a class above this probability, before suppression; the standard deviation of logits."""
AWAKE = 8
"""Pictures that the statistics are of."""
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


def look_at(pictures: Path, side: int) -> Any:
    """(N, 3, side, side) float32 of some pictures, fitted into grey squares."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from PIL import Image, ImageOps  # noqa: PLC0415

    found = []
    for path in sorted(pictures.rglob("*.jpg"))[:AWAKE]:
        with Image.open(path) as picture:
            fitted = ImageOps.pad(picture.convert("RGB"), (side, side), color=(114, 114, 114))
        found.append(torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float() / 255)
    return torch.stack(found)


def wake(network: Any, pixels: Any, task: str) -> None:
    """Statistics for the batch norms, and logits of a detector that spread as trained ones do."""
    import torch  # noqa: PLC0415
    from torch import nn  # noqa: PLC0415

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    habits = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all that is seen
    with torch.no_grad():
        network.train()
        for part in pixels.split(4):
            network(part)
        network.eval()
        for norm, habit in zip(norms, habits, strict=True):
            norm.momentum = habit
        if task == "classify":
            return
        last = [branch[-1] for branch in network.model[-1].cv3]
        seen: list[Any] = []
        hooks = [layer.register_forward_hook(lambda _m, _i, out: seen.append(out)) for layer in last]
        network(pixels)
        for hook in hooks:
            hook.remove()
        logits = torch.cat([value.flatten(2) for value in seen], dim=2)
        scale = SPREAD / logits.std()
        least = logits.flatten().topk(CANDIDATES * len(pixels)).values[-1] * scale
        shift = torch.tensor(SCORE).logit() - least
        for layer in last:
            layer.bias.copy_(layer.bias * scale + shift)
            layer.weight.mul_(scale)


def build(name: str, folder: Path, pictures: Path) -> dict[str, Any]:
    """Write one network as .pt, .onnx and OpenVINO; what was written."""
    import torch  # noqa: PLC0415
    from ultralytics import YOLO  # noqa: PLC0415

    _, task, side = NETWORKS[name]
    torch.manual_seed(0)
    model = YOLO(yaml_of(name, folder), task=task)
    wake(model.model, look_at(pictures, side), task)
    weights = folder / f"{name}.pt"
    model.save(weights)
    loaded = YOLO(weights, task=task)
    onnx = Path(loaded.export(format="onnx", imgsz=side, dynamic=True, simplify=True))
    openvino = Path(YOLO(weights, task=task).export(format="openvino", imgsz=side))
    parameters = sum(p.numel() for p in loaded.model.parameters())
    return {"name": name, "task": task, "side": side, "parameters": parameters, "pt": weights.name,
            "onnx": onnx.name, "openvino": openvino.name, "score": SCORE}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="JPEG files, for the statistics")
    parser.add_argument("names", nargs="*", default=list(NETWORKS))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    found = [build(name, args.out, args.pictures) for name in args.names]
    (args.out / "networks.json").write_text(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
