"""What both peers' servers do with a photo: Pillow decodes and resizes as the Bundle's card says, ONNX Runtime answers.

Settings come as JSON in the environment, because servers start their own processes. Runs in the peers' environment.
"""

from __future__ import annotations

import io
import json
import os
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

SETTINGS = "ASSAY_BENCH_SERVER"


def settings() -> dict[str, Any]:
    """What the benchmark asks for: ``onnx``, ``side``, ``labels``, ``draft``, ``threads`` and the server's own."""
    found: dict[str, Any] = json.loads(os.environ[SETTINGS])
    return found


class Network:
    """Bytes -> pixels -> scores."""

    def __init__(self, told: dict[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = told["threads"]
        options.add_session_config_entry("session.intra_op.allow_spinning", str(told.get("spinning", 0)))
        self._session = onnxruntime.InferenceSession(told["onnx"], options, ["CPUExecutionProvider"])
        self._side, self._draft = told["side"], told["draft"]

    def pixels(self, data: bytes) -> NDArray[np.float32]:
        """(3, S, S) float32 of a photo: cut to the middle, bilinear with antialiasing, 0 to 1."""
        side = self._side
        with Image.open(io.BytesIO(data)) as picture:
            if self._draft:  # JPEG decoded at a half, a quarter or an eighth, never smaller than asked for
                picture.draft("RGB", (side, side))
            small = picture.convert("RGB")
        width, height = small.size
        least = min(width, height)
        left, top = (width - least) / 2, (height - least) / 2
        box = (left, top, left + least, top + least)
        cut = small.resize((side, side), Image.Resampling.BILINEAR, box=box)
        return np.ascontiguousarray(np.asarray(cut, np.float32).transpose(2, 0, 1) / np.float32(255))

    def answer(self, pixels: NDArray[np.float32]) -> list[dict[str, Any]]:
        """(B, 3, S, S) -> the best class of each, with its score (the graph ends with a softmax)."""
        scores = self._session.run(None, {"images": pixels})[0]
        best = scores.argmax(1)
        return [
            {"label": f"class {label}", "score": float(row[label])}
            for row, label in zip(scores, best, strict=True)
        ]
