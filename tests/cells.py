"""A Bundle of a network of all heads, made by hand without torch, and pictures for it: grey, with cells in colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COLOURS = {"red": (230, 20, 20), "blue": (20, 20, 230), "green": (20, 230, 20)}


def draw_cells(cells: Mapping[tuple[int, int], str], scale: int = 1) -> Image.Image:
    """8 x 8 cells of 8 px, some in colour; each pixel ``scale`` times as large."""
    picture = np.full((64, 64, 3), 128, np.uint8)
    for (row, column), colour in cells.items():
        picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = COLOURS[colour]
    return Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1))


def write_cells_bundle(path: Path) -> Path:
    """Every red or blue cell of 8 px is a thing; made by hand, without torch."""
    from assay.bundle import Card, save_bundle
    from assay.configs import HEADS, ModelConfig, PreprocessConfig
    from assay.labels import ClassNames
    from assay.preprocess import Preprocess
    from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
    from assay.runtime.golden import pack_golden

    card = Card(
        ClassNames(["warm", "cold"]),
        PreprocessConfig(size=64, mean=(0.5,), std=(0.25,)),
        {**ModelConfig(model="csp-nano", heads=HEADS).to_dict(), "channels": 3},
        name="cells",
        task="scene",
        object_classes=ClassNames(["red", "blue"]),
        pixel_classes=ClassNames(["background", "red", "blue"]),
        thresholds={"boxes": {"score": 0.5, "target": "f1"}},
    )
    graph = _colour_cells_graph(64)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    answers = OnnxRuntimeEngine(graph, threads=1).scene(Preprocess(card.preprocess).normalise(pixels))
    save_bundle(path, card, {"network.onnx": graph, "golden.safetensors": pack_golden(pixels, answers)})
    return path


def _colour_cells_graph(side: int) -> bytes:
    """pixels (B, 3, S, S) -> all outputs of a network of several heads: how red and how blue each cell is."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: Any) -> Any:
        return numpy_helper.from_array(np.asarray(values), name)

    def convolution(source: str, target: str, weights: Any, bias: Any) -> list[Any]:
        weight = np.asarray(weights, np.float32)[:, :, None, None]
        held.extend([constant(f"{target}_w", weight), constant(f"{target}_b", np.asarray(bias, np.float32))])
        return [helper.make_node("Conv", [source, f"{target}_w", f"{target}_b"], [target])]

    def rows(source: str, target: str, channels: int) -> list[Any]:
        held.append(constant(f"{target}_shape", np.array([0, channels, -1])))
        flat = helper.make_node("Reshape", [source, f"{target}_shape"], [f"{target}_flat"])
        return [flat, helper.make_node("Transpose", [f"{target}_flat"], [target], perm=[0, 2, 1])]

    def end(name: str, *shape: Any) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    held: list[Any] = []
    colour = [[1, -0.5, -0.5], [-0.5, -0.5, 1]]
    nodes = convolution("pixels", "colour", colour, [0, 0])
    for stride in (4, 8, 16, 32):
        sides = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes.append(helper.make_node("AveragePool", ["colour"], [f"p{stride}"], **sides))
    for stride, gain in ((8, 8), (16, 0), (32, 0)):
        nodes += convolution(f"p{stride}", f"k{stride}", gain * np.eye(2), [-12, -12])
        nodes += convolution(f"p{stride}", f"d{stride}", np.zeros((4, 2)), [0.5] * 4)
        nodes += convolution(f"p{stride}", f"m{stride}", np.zeros((1, 2)), [1])
        for kind, channels in (("k", 2), ("d", 4), ("m", 1)):
            nodes += rows(f"{kind}{stride}", f"{kind}{stride}_rows", channels)
    for kind, name in (("k", "class_logits"), ("d", "distances"), ("m", "coefficients")):
        parts = [f"{kind}{stride}_rows" for stride in (8, 16, 32)]
        nodes.append(helper.make_node("Concat", parts, [f"boxes_{name}"], axis=1))
    nodes += convolution("p4", "pixel_logits", [[0, 0], [1, 0], [0, 1]], [0.6, 0, 0])
    nodes += convolution("p4", "prototypes", [[1, 1]], [-0.4])
    for pool, source, name in (
        ("GlobalAveragePool", "colour", "embedding"),
        ("GlobalAveragePool", "colour", "class_logits"),
        ("GlobalMaxPool", "k8", "tag_logits"),
    ):
        nodes.append(helper.make_node(pool, [source], [f"{name}_map"]))
        nodes.append(helper.make_node("Flatten", [f"{name}_map"], [name]))
    points, small = sum((side // s) ** 2 for s in (8, 16, 32)), side // 4
    outputs = [
        end("class_logits", 2),
        end("tag_logits", 2),
        end("embedding", 2),
        end("boxes_class_logits", points, 2),
        end("boxes_distances", points, 4),
        end("boxes_coefficients", points, 1),
        end("pixel_logits", 3, small, small),
        end("prototypes", 1, small, small),
    ]
    graph = helper.make_graph(nodes, "cells", [end("pixels", 3, side, side)], outputs, held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())
