"""What every engine is: the bytes of a graph that Assay exported -> something that answers batches of pictures.

One engine is one file here with a class that opens a graph and runs it, and one line in ``assay.tables.ENGINES``.
What they share stands here: the names of a graph's ends, the check that a graph is one of Assay's, and the questions
that can be asked of it.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from assay.cores import usable_cores
from assay.errors import BundleError, ConfigError, ModelError
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

PRECISIONS = ("fp32", "bf16", "int8")
"""What a graph is computed in, the most exact first. int8 is a graph of its own; bf16 is up to the engine."""

Ends = Mapping[str, tuple[Any, ...]]


class Engine(ABC):
    """(B, C, S, S) float32 -> logits (B, K) float32, or named arrays (``scene``) of a network of several heads.

    Any B; safe to call from several threads. ``ends`` are the outputs: name -> shape without the axis of the batch.

    Parameters
    ----------
    graph : the bytes of a single-file ONNX graph; checked before it is loaded.
    threads : threads inside one operator; the cores this process may use when not given. 1 computes on one thread.
    precision : of ``PRECISIONS``; "int8" says that the graph is one of 8-bit integers.
    callers : threads that will call at the same time.

    Raises
    ------
    BundleError : the graph is damaged, reaches outside of itself, or is not one that Assay exports.
    ConfigError : threads below 1; a precision that this engine does not compute in, or not on this machine; the
        engine's package is not installed.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS
    """What it computes in, on some machine."""

    def __init__(
        self, graph: bytes, *, threads: int | None = None, precision: str = "fp32", callers: int = 1
    ) -> None:
        if threads is not None and threads < 1:
            raise ConfigError(f"threads is {threads}", fix="give at least 1")
        check_graph(graph)
        self.graph = graph
        self.threads, self.precision, self.callers = threads or usable_cores(), precision, callers
        self.channels, self.size, self.ends = check_ends(*self._open(graph))
        self._lanes: dict[int, Self] = {}
        self._lock = threading.Lock()

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

    def alone(self, callers: int = 1) -> Self:
        """The same network for ``callers`` threads that call at once and get one core each; opened once."""
        with self._lock:
            if callers not in self._lanes:
                self._lanes[callers] = type(self)(
                    self.graph, threads=1, precision=self.precision, callers=callers
                )
            return self._lanes[callers]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.precision}, {self.threads} threads)"

    @classmethod
    def missing(cls) -> str | None:
        """Why this engine cannot be used on this machine, in a few words; None where it can."""
        return None

    @abstractmethod
    def _open(self, graph: bytes) -> tuple[Ends, Ends]:
        """Load the graph; its inputs and outputs, name -> shape with the axis of the batch (not an int where any).

        Raises
        ------
        BundleError : it cannot be loaded. ConfigError : as the class.
        """

    @abstractmethod
    def _infer(self, names: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The named outputs; may raise whatever the library raises."""

    def _run(self, names: Sequence[str], images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        images = np.ascontiguousarray(images, dtype=np.float32)
        if images.ndim != 4 or images.shape[1:] != (self.channels, self.size, self.size):
            raise ModelError(
                "the network cannot take these pictures",
                got=f"shape {images.shape}",
                fix=f"give (B, {self.channels}, {self.size}, {self.size}) float32",
            )
        if not self.ends.keys() >= set(names):
            raise ModelError(
                f"this network gives no {' and no '.join(sorted(set(names) - self.ends.keys()))}",
                got=f"it gives {', '.join(self.ends)}",
                fix="use a classifier's Bundle for this",
            )
        try:
            return self._infer(names, images)
        except Exception as error:  # the libraries' exceptions share no public base class
            raise ModelError(
                "the network failed on a batch", got=first_line(error), fix="try a smaller batch"
            ) from error


def check_ends(inputs: Ends, outputs: Ends) -> tuple[int, int, dict[str, tuple[Any, ...]]]:
    """(channels, side) that the graph takes, and its outputs without the axis of the batch.

    Raises
    ------
    BundleError : its ends are not Assay's.
    """
    shape = inputs[INPUT] if set(inputs) == {INPUT} else ()
    square = len(shape) == 4 and all(isinstance(n, int) for n in shape[1:]) and shape[2] == shape[3]
    known = {LOGITS, EMBEDDING} <= set(outputs) or (outputs and set(outputs) <= set(SCENE_ENDS))
    if not square or isinstance(shape[0], int) or not known:
        raise BundleError(
            "the network is not one that Assay exports",
            got=f"inputs {', '.join(inputs)} {list(shape) or ''}, outputs {', '.join(sorted(outputs))}",
            fix="export a run with `assay export`",
        )
    return shape[1], shape[2], {name: tuple(end[1:]) for name, end in outputs.items()}


def require_precision(engine: str, precision: str, known: Sequence[str], why: str | None = None) -> None:
    """Refuse what an engine cannot compute in. Raises ConfigError."""
    if precision not in known:
        raise ConfigError(
            f"{engine} does not compute in {precision}{' here' if why else ''}",
            got=why,
            fix=f"choose {' or '.join(known)}",
        )


def cannot_load(error: Exception, package: str) -> BundleError:
    """The fault of a graph that a library refuses."""
    return BundleError(
        "the network cannot be loaded",
        got=first_line(error),
        fix=f"update {package}, or export the run again with `assay export`",
    )


def first_line(error: Exception) -> str:
    """A library's words, the first line of them."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
