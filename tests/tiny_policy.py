"""A Bundle of 2 KB that tells red, blue and green things apart, and a shop's policy that asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from pathlib import Path

SHAPES: dict[str, Any] = {
    "format": 1,
    "name": "shapes",
    "version": "1",
    "by": "shape",
    "questions": {
        "shape": {
            "model": "tiny.bundle",
            "truth": "label",
            "answers": {"circle": {"verdict": "reject", "clause": "round"}, "*": "pass"},
        }
    },
    "automatic": {"accept": {"risk": 0.3, "confidence": 0.8}, "reject": {"risk": 0.3, "confidence": 0.8}},
    "costs": {"accept": 10, "reject": 5, "review": 1},
    "clauses": {"round": {"en": "Round things are not sold here.", "zh": "本店不售圆形商品。"}},
    "least_side_px": 16,
}


def write_tiny_policy(folder: Path) -> Path:
    """``shapes.yaml`` beside ``tiny.bundle``; without thresholds, so people decide everything."""
    write_tiny_bundle(folder / "tiny.bundle")
    path = folder / "shapes.yaml"
    path.write_text(yaml.safe_dump(SHAPES, allow_unicode=True), "utf-8")
    return path


def write_tiny_bundle(path: Path) -> Path:
    """Made without torch; the classes are those of the fixture ``photos``, told by their mean colour."""
    import numpy as np

    from assay.bundle import Card, save_bundle
    from assay.configs import ModelConfig, PreprocessConfig
    from assay.labels import ClassNames
    from assay.preprocess import Preprocess
    from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
    from assay.runtime.golden import pack_golden

    preprocess = PreprocessConfig(size=32, mean=(0.49,), std=(0.25,))
    card = Card(
        ClassNames(["circle", "square", "größer 三角"]),
        preprocess,
        {**ModelConfig(model="cnn").to_dict(), "channels": 3},
        temperature=1.5,
        name="tiny",
    )
    graph = _mean_colour_graph(32)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    logits = OnnxRuntimeEngine(graph, threads=1)(Preprocess(preprocess).normalise(pixels))
    save_bundle(path, card, {"network.onnx": graph, "golden.safetensors": pack_golden(pixels, logits)})
    return path


def _mean_colour_graph(side: int) -> bytes:
    """pixels (B, 3, S, S) -> embedding (B, 3), the mean colour -> logits (B, 3): red, blue, green."""
    import numpy as np
    import onnx

    def end(name: str, *shape: Any) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    weight = 8 * np.array([[1, -0.5, -0.5], [-0.5, -0.5, 1], [-0.5, 1, -0.5]], dtype=np.float32).T
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["pixels"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["embedding"]),
        onnx.helper.make_node("MatMul", ["embedding", "weight"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "mean-colour",
        [end("pixels", "batch", 3, side, side)],
        [end("logits", "batch", 3), end("embedding", "batch", 3)],
        [onnx.numpy_helper.from_array(weight, "weight")],
    )
    opset = onnx.helper.make_opsetid("", 18)
    return bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())
