"""From a torch network to one ONNX file in memory.

A classifier: (B, C, S, S) -> logits (B, K), embedding (B, F). A network of several heads: its outputs by name.

Uses torch.export (``dynamo=True``), the exporter that torch maintains: a network whose answer depends on
the batch size or on values fails here with a reason, where the older tracer would freeze one path in silence.
What the exporter notes about the source code it came from (stack traces with paths of this machine) is taken out.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from assay.errors import ExportError
from assay.models.outputs import Ends
from assay.no_telemetry import forbid_telemetry
from assay.runtime.engines.engine import EMBEDDING, INPUT, LOGITS, SCENE_ENDS

if TYPE_CHECKING:
    from assay.card import Card
    from assay.models.build import Classifier

OPSET = 18
"""Operator set of the graph (ONNX 1.13, December 2022): what torch translates to without a conversion, and
what every ONNX Runtime from 1.14 on runs."""


class _Ends(nn.Module):
    """A classifier with both outputs."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, S) -> (B, K), (B, F)."""
        embedding = self.model.embed(pixels)  # B F
        return self.model.head(embedding), embedding


def to_onnx(model: Classifier, *, channels: int, size: int) -> bytes:
    """The bytes of a single-file graph with any batch size and pictures of ``size`` x ``size``.

    Raises
    ------
    ExportError : torch cannot translate the network, or it is beyond the 2 GiB of a protobuf file.
    """
    return _translated(_Ends(model).eval(), [LOGITS, EMBEDDING], channels, size, "classifier")


def scene_to_onnx(model: nn.Module, *, channels: int, size: int) -> bytes:
    """As ``to_onnx``, for a network whose forward gives ``models.outputs.Outputs``; its outputs have their names there.

    Raises
    ------
    ExportError : also where the network's outputs are not of this kind, as those of detectors that decode themselves.
    """
    ends = Ends(model.eval(), torch.zeros(1, channels, size, size))
    if foreign := [name for name in ends.names if name not in SCENE_ENDS]:
        raise ExportError(
            "this kind of network cannot be exported: it decodes and suppresses its boxes inside of itself",
            got=f"outputs {', '.join(foreign)}",
            fix="`assay predict RUN PHOTOS` answers from the run itself; csp-nano, -small and -base can be exported",
        )
    return _translated(ends, ends.names, channels, size, "scene")


def places_of(model: nn.Module, *, channels: int, size: int, scene: bool) -> dict[str, str]:
    """Name of each layer of a network -> the value in its graph that is the layer's output, in the graph's order.

    Raises
    ------
    ExportError : as ``to_onnx``.
    """
    whole = _wrap(model, channels, size, scene=scene)
    proto = _proto(whole.module, whole.names, channels, size)
    found: dict[str, str] = {}
    for node in proto.graph.node:
        noted = {one.key: one.value for one in node.metadata_props}
        scopes = ast.literal_eval(noted.get(_SCOPES, "[]"))
        for scope in scopes[1:-1]:  # the first is the whole, the last the operation itself
            found.pop(scope, None)
            found[scope] = node.output[0]
    prefix = "model."  # of the wrappers above
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


class Wrapped(NamedTuple):
    """A network with a tuple of tensors as its answer, as exporters want it, and their names."""

    module: nn.Module
    names: tuple[str, ...]


def wrapped(model: nn.Module, card: Card) -> Wrapped:
    """A classifier's logits and embedding, or the outputs of a network of several heads."""
    return _wrap(model, card.channels, card.preprocess.size, scene=card.task == "scene")


def _wrap(model: nn.Module, channels: int, size: int, *, scene: bool) -> Wrapped:
    if scene:
        ends = Ends(model.eval(), torch.zeros(1, channels, size, size))
        return Wrapped(ends.eval(), tuple(ends.names))
    return Wrapped(_Ends(model).eval(), (LOGITS, EMBEDDING))  # type: ignore[arg-type]


_SCOPES = "pkg.torch.onnx.name_scopes"


def _translated(ends: nn.Module, names: Sequence[str], channels: int, size: int, title: str) -> bytes:
    return _pack(_proto(ends, names, channels, size), title)


def _proto(ends: nn.Module, names: Sequence[str], channels: int, size: int) -> Any:
    forbid_telemetry()  # torch's exporter may import ONNX Runtime
    example = torch.zeros(2, channels, size, size)
    said = io.StringIO()
    try:
        with silence(said), torch.no_grad():
            program = torch.onnx.export(
                ends,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=list(names),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
            return program.model_proto  # type: ignore[union-attr]
    except Exception as error:  # the exporter raises all kinds, with pages of text
        raise ExportError(
            "the network cannot be exported to ONNX",
            got=one_reason(error),
            fix="choose another network (`assay models`), or report this with the name of the network",
        ) from error


def _pack(proto: Any, title: str) -> bytes:
    forget_source(proto, title)
    try:
        return bytes(proto.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf: EncodeError or ValueError by version
        raise ExportError(
            "the network is too large for one ONNX file", got=one_reason(error), fix="choose one below 2 GiB"
        ) from error


def forget_source(proto: Any, title: str) -> None:
    """Take out names of files, functions and machines, and shapes between the ends (engines infer them)."""
    del proto.metadata_props[:]
    del proto.graph.metadata_props[:]
    del proto.graph.value_info[:]
    proto.doc_string = proto.graph.doc_string = ""
    proto.graph.name = title
    graph = proto.graph
    for part in (*graph.node, *graph.initializer, *graph.input, *graph.output, *proto.functions):
        part.doc_string = ""
        del part.metadata_props[:]


@contextlib.contextmanager
def silence(said: io.StringIO) -> Iterator[None]:
    """The exporter talks to warnings, logging, stdout and stderr; none of it is for the user."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def one_reason(error: BaseException) -> str:
    """The innermost cause in one line: the outer ones are pages about the exporter's stages."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"[:300]
