"""Ultralytics answering a folder of pictures: its own predictor, streamed, the answers written to a file.

Batches are as large as asked (its default is 1); nothing is drawn, saved or told. Of masks it writes the outlines, as
its own ``save_txt`` does. Its .pt and ONNX graphs see a wide photo without the grey bars (``rect``, its default), which
is a quarter less work than Assay's square for a photo of 4:3; its OpenVINO graph sees the square.

    .venvs/peers/bin/python -m benchmarks.peers.ultralytics_predict --weights X.onnx --task detect --imgsz 640 \\
        --pictures FOLDER --out answers.txt
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any


def lines_of(result: Any) -> str:
    """One line a picture: its best class, or its things."""
    if result.probs is not None:
        return f"{result.path} {result.probs.top1} {float(result.probs.top1conf):.6f}"
    boxes = result.boxes.data.tolist()
    outlines = [] if result.masks is None else [outline.tolist() for outline in result.masks.xy]
    return json.dumps([result.path, boxes, outlines])


def computes_in(model: Any) -> str:
    """The precision that OpenVINO chose for itself: bf16 on processors that have it, whatever the graph says."""
    network = model.predictor.model
    compiled = getattr(network, "ov_compiled_model", None) or getattr(
        getattr(network, "backend", None), "ov_compiled_model", None
    )
    if compiled is None:
        return "fp32"
    return str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--imgsz", type=int, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--conf", type=float, default=0.25)
    parser.add_argument("--iou", type=float, default=0.6, help="as Assay's; Ultralytics' own is .7")
    parser.add_argument("--most", type=int, default=100, help="things a picture; as Assay's")
    parser.add_argument("--threads", type=int, help="threads of torch; Ultralytics' own choice is cores - 1")
    args = parser.parse_args()
    os.environ.setdefault("YOLO_VERBOSE", "false")
    from ultralytics import YOLO  # noqa: PLC0415

    if args.threads:
        import torch  # noqa: PLC0415
        from ultralytics.utils import torch_utils  # noqa: PLC0415

        torch_utils.NUM_THREADS = args.threads
        torch.set_num_threads(args.threads)
    model = YOLO(args.weights, task=args.task)
    begun = things = count = 0
    with args.out.open("w", encoding="utf-8") as file:
        for result in model.predict(
            str(args.pictures), stream=True, imgsz=args.imgsz, batch=args.batch, conf=args.conf, iou=args.iou,
            max_det=args.most, verbose=False,
        ):  # fmt: skip
            begun = begun or time.perf_counter()
            count += 1
            things += 0 if result.boxes is None else len(result.boxes)
            file.write(lines_of(result) + "\n")
    steady = (count - args.batch) / max(1e-9, time.perf_counter() - begun)
    told = {"pictures": count, "steady_per_s": steady, "things": things, "computes_in": computes_in(model)}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
