"""ONNX Runtime: on the processor, where a Bundle runs unless something else is asked for; or on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from assay.errors import ConfigError
from assay.no_telemetry import forbid_telemetry
from assay.runtime.engines.engine import INPUT, Ends, Engine, cannot_load, require_precision
from assay.runtime.engines.processor import has_vnni

if TYPE_CHECKING:
    from numpy.typing import NDArray


class OnnxRuntimeEngine(Engine):
    """As ``Engine``. fp32 and int8: its processor kernels have no bf16."""

    name = "onnxruntime"
    precisions = ("fp32", "int8")
    providers: ClassVar[tuple[str, ...]] = ("CPUExecutionProvider",)

    def _open(self, graph: bytes) -> tuple[Ends, Ends]:
        require_precision(self.name, self.precision, self.precisions)
        if (why := self.missing()) is not None:
            raise ConfigError(
                f"the engine {self.name} cannot be used here", got=why, fix="choose --engine onnxruntime"
            )
        careful = self.precision == "int8" and not has_vnni()
        self._session = _open_session(graph, self.threads, self.providers, careful=careful)
        if self.providers[0] not in self._session.get_providers():
            raise ConfigError(
                f"the engine {self.name} cannot be used here",
                got=f"{self.providers[0]} did not start: its libraries are missing",
                fix="install CUDA and cuDNN, or choose --engine onnxruntime",
            )
        return _shapes(self._session.get_inputs()), _shapes(self._session.get_outputs())

    def _infer(self, names: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [np.asarray(value) for value in self._session.run(names, {INPUT: images})]


class OnnxRuntimeCudaEngine(OnnxRuntimeEngine):
    """The same on an NVIDIA GPU, where the package onnxruntime-gpu is installed in place of onnxruntime."""

    name = "onnxruntime-cuda"
    providers: ClassVar[tuple[str, ...]] = ("CUDAExecutionProvider", "CPUExecutionProvider")

    @classmethod
    def missing(cls) -> str | None:
        """As ``Engine``."""
        forbid_telemetry()
        import onnxruntime  # noqa: PLC0415 - as below

        if cls.providers[0] in onnxruntime.get_available_providers():
            return None
        return "this onnxruntime has no CUDA: pip install onnxruntime-gpu, on a machine with an NVIDIA GPU"


def _shapes(ends: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    return {end.name: tuple(end.shape) for end in ends}


def _open_session(graph: bytes, threads: int, providers: Sequence[str], *, careful: bool) -> Any:
    forbid_telemetry()
    import onnxruntime  # noqa: PLC0415 - 0.1 s that looking at a card does not need

    onnxruntime.disable_telemetry_events()  # somebody may have imported it before
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # idle threads sleep: spinning ones take the cores from the threads that decode pictures
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if careful:  # processors without VNNI add up 8-bit products in 16 bits, which can overflow
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4  # its faults arrive as exceptions; nothing else is for the user
    try:
        return onnxruntime.InferenceSession(graph, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise cannot_load(error, "onnxruntime") from error
