"""The network in 8-bit integers: static quantisation after training, calibrated on pictures that it was trained on.

Weights are whole numbers from -127 to 127 with one scale a channel, activations from 0 to 255 with one scale a tensor,
which is their range over the calibration pictures (Jacob et al. 2018, *Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference*, section 2; Krishnamoorthi 2018, sections 3 and 4). The graph stays plain
ONNX: pairs of QuantizeLinear and DequantizeLinear that engines fuse into integer kernels. Only layers that multiply
are quantised; what is left in between, and layers whose output is an answer of the network, stay in float.

The work is ONNX Runtime's own tool. It writes files beside its input, talks to stdout and logs, so all of it happens in
a folder of its own, in silence.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from assay.errors import ExportError
from assay.export.onnx import forget_source, one_reason, silence
from assay.no_telemetry import forbid_telemetry
from assay.runtime.engines.engine import INPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAYERS = ("Conv", "Gemm", "MatMul")
"""What is quantised: where nearly all of the work is. Quantising every kind of node made detectors find nothing."""

Batches = Callable[[], Iterator["NDArray[np.float32]"]]
"""Gives (B, C, S, S) float32 batches of calibration pictures, from the start each time."""


def quantize(graph: bytes, batches: Batches, *, exclude: Sequence[str] = ()) -> bytes:
    """The graph with integer layers.

    Parameters
    ----------
    graph : as ``export.onnx`` gives it.
    batches : pictures whose activations set the ranges.
    exclude : names of layers that stay in float.

    Raises
    ------
    ExportError : the network cannot be quantised, or has no layer of these names.
    """
    model = onnx.load_model_from_string(graph)
    _part_weights(model)
    kept = [*_last_layers(model), *exclude]
    if unknown := set(kept) - {node.name for node in model.graph.node}:
        raise ExportError("the network has no such layer", got=", ".join(sorted(unknown)[:5]))
    forbid_telemetry()
    try:
        with TemporaryDirectory(prefix="assay-int8-") as folder, silence(io.StringIO()):
            target = Path(folder) / "int8.onnx"
            quantize_static(
                model,
                target,
                _Reader(batches()),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(LAYERS),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=kept,
                calibrate_method=CalibrationMethod.MinMax,
            )
            found = onnx.load_model(target)
    except Exception as error:  # the tool raises all kinds
        raise ExportError(
            "the network cannot be quantised to 8 bits",
            got=one_reason(error),
            fix="export it without int8, or report this with the name of the network",
        ) from error
    return _plain(found, model.graph.name)


def layers_by_damage(graph: bytes, integer: bytes, x: NDArray[np.float32]) -> list[str]:
    """Names of the quantised layers, the one first whose input or output loses most by being made whole numbers.

    The loss is the signal-to-noise ratio of a tensor before and after, on the pictures ``x`` (B, C, S, S).

    Raises
    ------
    ExportError : the tool fails on this network.
    """
    from onnxruntime.quantization import qdq_loss_debug as debug  # noqa: PLC0415

    try:
        with TemporaryDirectory(prefix="assay-int8-") as folder, silence(io.StringIO()):
            source, target = Path(folder) / "int8.onnx", Path(folder) / "watched.onnx"
            source.write_bytes(integer)
            debug.modify_model_output_intermediate_tensors(str(source), str(target))
            seen = debug.collect_activations(str(target), _Reader(iter([x])))
            pairs = debug.create_activation_matching(seen)
    except Exception as error:  # as above
        raise ExportError("the damage of 8 bits cannot be measured", got=one_reason(error)) from error
    decibels = {
        name: debug.compute_signal_to_quantization_noice_ratio(pair["pre_qdq"], pair["post_qdq"])
        for name, pair in pairs.items()
    }
    model = onnx.load_model_from_string(graph)
    kept = set(_last_layers(model))
    layers = [node for node in model.graph.node if node.op_type in LAYERS and node.name not in kept]
    clean = max(decibels.values(), default=0.0)
    damage = {
        node.name: min((decibels.get(name, clean) for name in (*node.input, *node.output)), default=clean)
        for node in layers
    }
    return sorted(damage, key=lambda name: damage[name])


class _Reader(CalibrationDataReader):
    """Batches in the form that the tool asks for."""

    def __init__(self, batches: Iterator[NDArray[np.float32]]) -> None:
        self._batches = batches

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _last_layers(model: Any) -> list[str]:
    """Layers whose output is an answer of the network, possibly through nodes that move or add a constant.

    An integer layer must be followed by a rounding to be fast; an answer must not be rounded.
    """
    made_by = {name: node for node in model.graph.node for name in node.output}
    found, waiting = [], [end.name for end in model.graph.output]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is None:
            continue
        if node.op_type in LAYERS:
            found.append(node.name)
        elif node.op_type in _MOVES:
            waiting += node.input
    return list(dict.fromkeys(found))


def _part_weights(model: Any) -> None:
    """Give every layer weights of its own: engines that rewrite integer weights fail on shared ones."""
    weights = {one.name: one for one in model.graph.initializer}
    seen: set[str] = set()
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            if node.op_type not in LAYERS or name not in weights:
                continue
            if name in seen:
                own = model.graph.initializer.add()
                own.CopyFrom(weights[name])
                own.name = node.input[i] = f"{name}_of_{node.name}"
            seen.add(name)


_MOVES = ("Add", "Concat", "Flatten", "Identity", "Mul", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def _plain(model: Any, title: str) -> bytes:
    """Without what the tool notes, and the sets of operators that no node uses."""
    forget_source(model, title)
    model.producer_name, model.producer_version = "", ""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return bytes(model.SerializeToString(deterministic=True))
