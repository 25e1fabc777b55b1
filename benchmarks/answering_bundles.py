"""Bundles around Ultralytics' exported graphs, so that every program computes the same operations.

Their input is renamed, and their outputs are cut where Assay's begin: logits before the softmax of classes and before
the sigmoid of boxes, distances from points before they become corners, mask coefficients and prototypes. Weights are
random, so nothing can be said of accuracy; what 8 bits and bf16 cost is measured on real data elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from assay.bundle import GOLDEN, GRAPH, INT8, save_bundle
from assay.card import Card
from assay.configs import ModelConfig, PreprocessConfig
from assay.export.quantize import quantize
from assay.export.verify import render_patterns
from assay.labels import ClassNames
from assay.preprocess import Preprocess
from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
from assay.runtime.golden import pack_golden
from assay.types import NO_CLASSES

CALIBRATION = 64
"""Pictures for the ranges of 8 bits; accuracy is of no interest here."""


def make_bundle(network: dict[str, Any], folder: Path, pictures: list[Path]) -> Path:
    """The Bundle of one network of ``ultralytics_graphs``, with a graph in 8 bits; made anew each time."""
    graph = cut(onnx.load(folder / network["onnx"]), network["task"], network["side"])
    card = card_of(network, graph)
    preprocess = Preprocess(card.preprocess)
    pixels = [preprocess.read(path)[0] for path in pictures[:CALIBRATION]]
    x = preprocess.normalise(np.stack(pixels))
    integer = quantize(graph, lambda: (x[i : i + 8] for i in range(0, len(x), 8)))
    patterns = render_patterns(card, 2)
    engine = OnnxRuntimeEngine(graph)
    tensor = preprocess.normalise(patterns)
    answers = engine(tensor) if card.task == "classify" else engine.scene(tensor)
    out = folder / f"{network['name']}.bundle"
    save_bundle(out, card, {GRAPH: graph, INT8: integer, GOLDEN: pack_golden(patterns, answers)})
    return out


def card_of(network: dict[str, Any], graph: bytes) -> Card:
    """Prepared as Ultralytics prepares: bilinear, 0 to 1; cut to the middle, or fitted into a grey square."""
    is_class = network["task"] == "classify"
    outputs = {end.name: end for end in onnx.load_model_from_string(graph).graph.output}
    number = 12 if "logits" not in outputs else outputs["logits"].type.tensor_type.shape.dim[1].dim_value
    heads = {"classify": ("class",), "detect": ("boxes",), "segment": ("boxes", "masks")}[network["task"]]
    things = ClassNames([f"thing {i}" for i in range(80)])
    loose = {"passed": True, "golden_limit": 1.0, "about": "random weights: only speed is measured"}
    return Card(
        ClassNames([f"class {i}" for i in range(number)]) if is_class else NO_CLASSES,
        PreprocessConfig(
            size=network["side"],
            resize="crop" if is_class else "letterbox",
            mean=(0.0,),
            std=(1.0,),
            decode="scaled",
        ),
        {**ModelConfig(model=network["name"], heads=None if is_class else heads).to_dict(), "channels": 3},
        task="classify" if is_class else "scene",
        name=network["name"],
        object_classes=NO_CLASSES if is_class else things,
        parity={"int8": loose, "bf16": loose},
    )


def cut(model: Any, task: str, side: int) -> bytes:
    """The graph with Assay's ends."""
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    if task == "classify":
        softmax = made_by[graph.output[0].name]
        gemm = made_by[softmax.input[0]]
        ends = {"logits": softmax.input[0], "embedding": gemm.input[0]}
        turned: dict[str, str] = {}
    else:
        head = next(node for node in graph.node if node.name.endswith("/dfl/Reshape_1")).name.split("/dfl/")[
            0
        ]
        sigmoid = next(node for node in graph.node if node.name == f"{head}/Sigmoid")
        turned = {
            "boxes_class_logits": sigmoid.input[0],
            "boxes_distances": f"{head}/dfl/Reshape_1_output_0",
        }
        ends = {}
        if task == "segment":
            turned["boxes_coefficients"] = made_by[graph.output[0].name].input[2]
            ends["prototypes"] = graph.output[1].name
    _rename(graph, "images", "pixels")
    for name, value in turned.items():  # B C P -> B P C
        graph.node.append(helper.make_node("Transpose", [value], [name], perm=[0, 2, 1]))
    for name, value in ends.items():
        _rename(graph, value, name)
    _keep(graph, [*ends, *turned])
    shape = graph.input[0].type.tensor_type.shape.dim
    shape[0].dim_param, shape[2].dim_value, shape[3].dim_value = "batch", side, side
    whole = onnx.shape_inference.infer_shapes(model)
    del whole.graph.value_info[:]
    _shape_ends(whole, side)
    return bytes(whole.SerializeToString(deterministic=True))


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        for ends in (node.input, node.output):
            for i, name in enumerate(ends):
                if name == old:
                    ends[i] = new
    for end in graph.input:
        if end.name == old:
            end.name = new


def _keep(graph: Any, outputs: list[str]) -> None:
    """Only what leads to these outputs."""
    made_by = {name: node for node in graph.node for name in node.output}
    wanted, waiting = set(), list(outputs)
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and id(node) not in wanted:
            wanted.add(id(node))
            waiting += node.input
    kept = [node for node in graph.node if id(node) in wanted]
    used = {name for node in kept for name in node.input}
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    weights = [w for w in graph.initializer if w.name in used]
    held = [onnx.TensorProto.FromString(w.SerializeToString()) for w in weights]
    del graph.node[:]
    graph.node.extend(copies)
    del graph.initializer[:]
    graph.initializer.extend(held)
    del graph.output[:]
    graph.output.extend([helper.make_tensor_value_info(name, 1, None) for name in outputs])


def _shape_ends(model: Any, side: int) -> None:
    """Shapes of the outputs as one picture shows them."""
    import onnxruntime  # noqa: PLC0415

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [end.name for end in model.graph.output]
    found = session.run(names, {"pixels": np.zeros((1, 3, side, side), np.float32)})
    del model.graph.output[:]
    model.graph.output.extend(
        [
            helper.make_tensor_value_info(n, 1, ["batch", *value.shape[1:]])
            for n, value in zip(names, found, strict=True)
        ]
    )
