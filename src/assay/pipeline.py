"""The answer corridor: sources -> decode -> preprocess -> engine -> calibrated Predictions, in order.

Both wings walk it: a checkpoint's evaluation in torch and a Bundle in ONNX Runtime differ in ``engine`` alone.
Threads decode ahead (Pillow and zlib release the GIL) by a bounded number of pictures, so that a million
sources, which may come from a generator, need no more memory than three batches. One broken picture is one
Prediction with ``error``; a failing engine is a failure of the whole and is raised.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from assay.errors import AssayError, ConfigError, ImageError, ModelError
from assay.image import DEFAULT_LIMITS, ImageLimits, read_image
from assay.postprocess import probabilities
from assay.preprocess import Preprocess
from assay.types import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.configs import PreprocessConfig
    from assay.labels import ClassNames

Engine = Callable[["NDArray[np.float32]"], "NDArray[Any]"]
"""(B, C, S, S) float32 -> logits (B, K)."""

BATCHES_AHEAD = 3


class CardLike(Protocol):
    """What of a Card is needed to answer."""

    @property
    def classes(self) -> ClassNames:
        """The classes in the order of the logits."""
        ...

    @property
    def preprocess(self) -> PreprocessConfig:
        """How pictures are prepared."""
        ...

    @property
    def temperature(self) -> float:
        """What divides the logits."""
        ...


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One source after its thread: pixels (S, S, C), or an error."""

    path: str
    pixels: NDArray[np.uint8] | None = None
    size_hw: tuple[int, int] = (0, 0)
    error: str | None = None


def answer(
    sources: Iterable[str | Path],
    engine: Engine,
    card: CardLike,
    *,
    batch: int = 16,
    workers: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Iterator[Prediction]:
    """One Prediction a source, in order. Closing the iterator early stops its threads.

    Parameters
    ----------
    sources : paths of pictures; read no further ahead than three batches.
    engine : (B, C, S, S) float32 -> logits (B, K); called from the consuming thread, one batch at a time.
    card : classes, preprocessing and temperature.
    batch : most pictures in one call of the engine.
    workers : decoding threads; by the number of cores when not given.
    limits : greatest pixels and bytes of one picture.

    Raises
    ------
    ConfigError : batch or workers below 1.
    ModelError : the engine returns another shape than (B, K).
    """
    if batch < 1 or (workers is not None and workers < 1):
        raise ConfigError(f"batch is {batch}, workers is {workers}", fix="give at least 1")
    preprocess = Preprocess(card.preprocess)
    return _answers(iter(sources), engine, card, preprocess, batch, workers or default_workers(), limits)


def default_workers() -> int:
    """Decoding threads for this machine: the cores this process may use, at most 8."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(8, usable))


def one_line(error: AssayError) -> str:
    """What, got and fix on one line, for a table or a JSON row."""
    return "; ".join(part.strip() for part in str(error).splitlines() if part.strip())


def _answers(
    sources: Iterator[str | Path],
    engine: Engine,
    card: CardLike,
    preprocess: Preprocess,
    batch: int,
    workers: int,
    limits: ImageLimits,
) -> Iterator[Prediction]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="assay-decode")
    waiting: deque[Future[_Prepared]] = deque()
    try:
        while True:
            for source in islice(sources, batch * BATCHES_AHEAD - len(waiting)):
                waiting.append(pool.submit(_prepare, source, preprocess, limits))
            if not waiting:
                return
            ready = [waiting.popleft().result() for _ in range(min(batch, len(waiting)))]
            yield from _predict(ready, engine, card, preprocess)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _prepare(source: str | Path, preprocess: Preprocess, limits: ImageLimits) -> _Prepared:
    """In a thread: file -> pixels of the network's size; the large picture is let go at once."""
    path = str(source)
    try:
        image = read_image(source, limits)
    except ImageError as error:
        return _Prepared(path, error=one_line(error))
    return _Prepared(path, preprocess.pixels(image), image.shape[:2])


def _predict(
    ready: list[_Prepared], engine: Engine, card: CardLike, preprocess: Preprocess
) -> list[Prediction]:
    readable = [item.pixels for item in ready if item.pixels is not None]
    rows = iter(_scores(preprocess.normalise(np.stack(readable)), engine, card) if readable else ())
    return [_prediction(item, card, None if item.pixels is None else next(rows)) for item in ready]


def _scores(tensor: NDArray[np.float32], engine: Engine, card: CardLike) -> NDArray[np.float32]:
    """(B, C, S, S) -> calibrated probabilities (B, K)."""
    logits = np.asarray(engine(tensor))
    if logits.shape != (len(tensor), len(card.classes)):
        raise ModelError(
            "the network's answer does not fit the classes",
            got=f"scores of shape {logits.shape} for {len(tensor)} pictures and {len(card.classes)} classes",
            fix="use the classes that the network was trained with",
        )
    return probabilities(logits, card.temperature)


def _prediction(item: _Prepared, card: CardLike, probs: NDArray[np.float32] | None) -> Prediction:
    nothing = np.empty(0, np.float32)
    if probs is None:
        return Prediction(item.path, card.classes, nothing, error=item.error)
    if not np.isfinite(probs).all():
        error = "the network's scores are not finite numbers"
        return Prediction(item.path, card.classes, nothing, item.size_hw, error)
    return Prediction(item.path, card.classes, probs, item.size_hw)
