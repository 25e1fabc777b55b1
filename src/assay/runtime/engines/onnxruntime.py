"""ONNX Runtime on the processor: the engine that a Bundle runs on where nothing else is asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import BundleError, ConfigError, ModelError
from assay.no_telemetry import forbid_telemetry
from assay.runtime.engines.graph import check_graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT, LOGITS, EMBEDDING = "pixels", "logits", "embedding"
"""Names of the graph's input (B, C, S, S) float32, and of a classifier's outputs (B, K) and (B, F) float32."""
BOX_ENDS = ("class_logits", "distances", "coefficients")
SCENE_ENDS = (
    "class_logits",
    "tag_logits",
    EMBEDDING,
    *(f"{kind}_{end}" for kind in ("boxes", "one_to_one") for end in BOX_ENDS),
    "pixel_logits",
    "prototypes",
)
"""Names of the outputs of a network of several heads, any of which may be absent: ``models.outputs.Outputs.named``."""


class OnnxRuntimeEngine:
    """(B, C, S, S) float32 -> logits (B, K) float32, or named arrays (``scene``) of a network of several heads.

    Any B; safe to call from several threads. ``ends`` are the outputs: name -> shape without the axis of the batch.

    Parameters
    ----------
    graph : the bytes of a single-file ONNX graph; checked before it is loaded.
    threads : threads inside one operator; the cores this process may use when not given. 1 calls everything
        on the calling thread, which is what a pool of processes wants.

    Raises
    ------
    BundleError : the graph is damaged, reaches outside of itself, or is not one that Assay exports.
    ConfigError : threads below 1.
    """

    name = "onnxruntime"

    def __init__(self, graph: bytes, *, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads is {threads}", fix="give at least 1")
        check_graph(graph)
        self._session = _open_session(graph, threads or usable_cores())
        self.channels, self.size = _check_ends(self._session)
        self.ends = {end.name: tuple(end.shape[1:]) for end in self._session.get_outputs()}

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, S, S) float32 -> logits (B, K) float32."""
        return self._run([LOGITS], images)[0]

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, C, S, S) float32 -> (B, F) float32: the pooled features before the last layer."""
        return self._run([EMBEDDING], images)[0]

    def outputs(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, C, S, S) float32 -> logits (B, K) and embedding (B, F), from one pass."""
        logits, embedding = self._run([LOGITS, EMBEDDING], images)
        return logits, embedding

    def scene(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """(B, C, S, S) float32 -> every output by its name, each with the axis of the batch, from one pass."""
        names = list(self.ends)
        return dict(zip(names, self._run(names, images), strict=True))

    def _run(self, outputs: list[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        images = np.ascontiguousarray(images, dtype=np.float32)
        if images.ndim != 4 or images.shape[1:] != (self.channels, self.size, self.size):
            raise ModelError(
                "the network cannot take these pictures",
                got=f"shape {images.shape}",
                fix=f"give (B, {self.channels}, {self.size}, {self.size}) float32",
            )
        if not self.ends.keys() >= set(outputs):
            raise ModelError(
                f"this network gives no {' and no '.join(sorted(set(outputs) - self.ends.keys()))}",
                got=f"it gives {', '.join(self.ends)}",
                fix="use a classifier's Bundle for this",
            )
        try:
            return [np.asarray(value) for value in self._session.run(outputs, {INPUT: images})]
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise ModelError(
                "the network failed on a batch", got=_first_line(error), fix="try a smaller batch"
            ) from error


def usable_cores() -> int:
    """Cores that this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_session(graph: bytes, threads: int) -> Any:
    forbid_telemetry()
    import onnxruntime  # noqa: PLC0415 - 0.1 s that looking at a card does not need

    onnxruntime.disable_telemetry_events()  # somebody may have imported it before
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # idle threads sleep: spinning ones take the cores from the threads that decode pictures
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # its faults arrive as exceptions; nothing else is for the user
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise BundleError(
            "the network cannot be loaded",
            got=_first_line(error),
            fix="update onnxruntime, or export the run again with `assay export`",
        ) from error


def _check_ends(session: Any) -> tuple[int, int]:
    """(channels, side) that the graph takes; raises BundleError when its ends are not Assay's."""
    inputs = {end.name: end for end in session.get_inputs()}
    outputs = {end.name for end in session.get_outputs()}
    shape = list(inputs[INPUT].shape) if set(inputs) == {INPUT} else []
    square = len(shape) == 4 and all(isinstance(n, int) for n in shape[1:]) and shape[2] == shape[3]
    known = {LOGITS, EMBEDDING} <= outputs or (outputs and outputs <= set(SCENE_ENDS))
    if not square or isinstance(shape[0], int) or not known:
        raise BundleError(
            "the network is not one that Assay exports",
            got=f"inputs {', '.join(inputs)} {shape or ''}, outputs {', '.join(sorted(outputs))}",
            fix="export a run with `assay export`",
        )
    return shape[1], shape[2]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
