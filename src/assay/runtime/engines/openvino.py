"""OpenVINO on the processor: often the fastest, and the only engine here with bf16. An extra: ``[openvino]``.

It reads the Bundle's ONNX graph as it is, so one checked graph serves both engines. Three habits of the library are set
right here: its import reports home, it computes in bf16 wherever the processor can unless told otherwise, and it binds
its threads to the first cores even where other processes do the same.

Shapes are fixed when a network is compiled, which is faster than leaving the batch open. Compiling takes up to some
seconds, so there are few sizes of batch: a short one is filled up, or answered picture by picture. What was compiled is
kept in the cache folder, in a place of its own for each graph, setting and version.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ConfigError
from assay.folders import cache_folder
from assay.runtime.engines.engine import INPUT, Ends, Engine, cannot_load, require_precision
from assay.runtime.engines.processor import identity

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HINTS = {"fp32": "f32", "int8": "f32", "bf16": "bf16"}
_SIZES = (8, 16, 32)
"""Batches that networks are compiled for, besides single pictures."""
_KEPT_S = 30 * 86_400
"""Compiled networks that were not used for so long are taken out of the cache."""


class OpenVinoEngine(Engine):
    """As ``Engine``. fp32, int8, and bf16 where the processor has it."""

    name = "openvino"

    @classmethod
    def missing(cls) -> str | None:
        """As ``Engine``."""
        if sys.modules.get("openvino") is not None:
            return None
        found = None if "openvino" in sys.modules else find_spec("openvino")
        return "not installed: pip install 'assay-vision[openvino]'" if found is None else None

    def _open(self, graph: bytes) -> tuple[Ends, Ends]:
        openvino = import_openvino()
        self._core = openvino.Core()
        if self.precision == "bf16" and "BF16" not in self._core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            require_precision(self.name, "bf16", ("fp32", "int8"), "this processor has no bf16")
        require_precision(self.name, self.precision, tuple(_HINTS))
        try:
            model = self._core.read_model(graph)
        except Exception as error:  # the library raises RuntimeError and its kin
            raise cannot_load(error, "openvino") from error
        self._compiled: dict[int, Any] = {}
        self._requests = threading.local()
        self._compiling = threading.Lock()
        return _shapes(model.inputs), _shapes(model.outputs)

    def _infer(self, names: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        step = _SIZES[-1] if len(images) >= _SIZES[0] or self._has_batches() else 1
        parts = [self._part(names, images[at : at + step]) for at in range(0, len(images), step)]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def _has_batches(self) -> bool:
        """Whether a short batch can be filled up without compiling anything."""
        return any(size >= _SIZES[0] for size in tuple(self._compiled))

    def _part(self, names: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        n = len(images)
        size = 1 if n == 1 else next(size for size in _SIZES if size >= n)
        if size > n:
            images = np.concatenate([images, np.zeros((size - n, *images.shape[1:]), np.float32)])
        request = self._request(size)
        request.infer({INPUT: images}, share_inputs=True)
        return [np.array(request.get_tensor(name).data[:n]) for name in names]

    def _request(self, size: int) -> Any:
        """The calling thread's own request for batches of a size: two threads may not share one."""
        held: dict[int, Any] = self._requests.__dict__.setdefault("held", {})
        if size not in held:
            held[size] = self._network(size).create_infer_request()
        return held[size]

    def _network(self, size: int) -> Any:
        with self._compiling:
            if size not in self._compiled:
                self._compiled[size] = self._compile(size)
            return self._compiled[size]

    def _compile(self, size: int) -> Any:
        model = self._core.read_model(self.graph)
        model.reshape([size, self.channels, self.size, self.size])
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads * self.callers,
            "NUM_STREAMS": self.callers,
            "ENABLE_CPU_PINNING": False,
            "ENABLE_HYPER_THREADING": True,
        }
        kept = {"CACHE_DIR": str(_cache(self.graph, size, settings)), **settings}
        try:
            return self._core.compile_model(model, "CPU", kept)
        except Exception:  # a cache that is full, foreign or damaged must not cost the answer
            try:
                return self._core.compile_model(model, "CPU", settings)
            except Exception as error:  # as above
                raise cannot_load(error, "openvino") from error


def _cache(graph: bytes, size: int, settings: Mapping[str, Any]) -> Path:
    """The folder for one compiled network; others that were not used for a month are taken away.

    OpenVINO's own key leaves settings out that change what is compiled, so each gets a folder.
    """
    home = cache_folder() / "openvino"
    facts = [
        hashlib.sha256(graph).hexdigest(),
        size,
        sorted(settings.items()),
        version("openvino"),
        identity(),
    ]
    place = home / hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        os.utime(place)
        for other in home.iterdir():
            if time.time() - other.stat().st_mtime > _KEPT_S:
                shutil.rmtree(other, ignore_errors=True)
    return place


def _shapes(ends: Sequence[Any]) -> dict[str, tuple[Any, ...]]:
    """Name -> shape, with None where any size goes."""
    return {
        end.get_any_name(): tuple(axis.get_length() if axis.is_static else None for axis in end.partial_shape)
        for end in ends
    }


def import_openvino() -> Any:
    """The library, without the part of it that reports home.

    Its conversion tool sends an event when it is imported, which importing the library does; without the tool
    (its import fails, and the library goes on without it) nothing is sent. Networks are read from ONNX, so the tool is
    not needed.
    """
    if sys.modules.get("openvino") is not None:
        return sys.modules["openvino"]
    blocked = "openvino.tools.ovc"
    before = sys.modules.get(blocked)
    sys.modules[blocked] = None  # type: ignore[assignment]
    try:
        return import_module("openvino")
    except ImportError as error:
        raise ConfigError(
            "the engine openvino is not installed",
            got=None if "No module" in str(error) else str(error)[:200],
            fix="pip install 'assay-vision[openvino]', or choose --engine onnxruntime",
        ) from error
    finally:
        if before is None:
            del sys.modules[blocked]
        else:
            sys.modules[blocked] = before
