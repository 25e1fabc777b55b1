"""The answer corridor: sources -> decode -> preprocess -> engine -> calibrated Predictions, in order.

Both wings walk it, in two ways. *Decode ahead*: threads decode (Pillow and zlib release the GIL) while one engine,
which has threads of its own, answers; a checkpoint in torch is walked so. *Lanes*: each thread decodes a batch and
answers it with an engine that computes on the calling thread, which keeps every core busy with no queue between
decoding and computing; Bundles are walked so. Both read ahead by a bounded number of pictures, so that a million
sources, which may come from a generator, need no more memory than a few batches. One broken picture is one Prediction
with ``error``; a failing engine is a failure of the whole and is raised.

Live sources (``assay.live``) are walked in the same two ways, by what has come: an answer never waits for the next
source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from assay.cores import usable_cores
from assay.errors import AssayError, ConfigError, ImageError, ModelError
from assay.image import DEFAULT_LIMITS, ImageLimits
from assay.live import Feed, Live
from assay.photos import Photo, Source, name_of
from assay.postprocess import probabilities
from assay.preprocess import Preprocess
from assay.types import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.configs import PreprocessConfig
    from assay.labels import ClassNames
    from assay.types import Doubt

Engine = Callable[["NDArray[np.float32]"], "NDArray[Any]"]
"""(B, C, S, S) float32 -> logits (B, K)."""

Ends = Callable[["NDArray[np.float32]"], "tuple[NDArray[Any], NDArray[Any]]"]
"""(B, C, S, S) float32 -> logits (B, K) and embedding (B, F), from one pass of the network."""

Alone = Callable[[int], Any]
"""Number of lanes -> an engine that computes on the calling thread."""

BATCHES_AHEAD = 3
CHUNKS_AHEAD = 2
"""Batches that wait for a lane to become free."""
PHOTOS_AHEAD = 96
"""Photos that all lanes together work on at once, whatever their number: a frame of full HD holds 6 MB."""
NOT_FINITE = "the network's scores are not finite numbers"


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


class Doubter(Protocol):
    """Says of answers whether they are held back: ``assay.decide.abstention.Abstention``."""

    def doubt(
        self, probs: NDArray[np.float32], logits: NDArray[Any], embedding: NDArray[Any]
    ) -> Sequence[Doubt | None]:
        """(B, K), (B, K), (B, F), all finite probabilities -> one Doubt a picture."""
        ...


def answer(
    sources: Iterable[Source],
    engine: Engine | Ends,
    card: CardLike,
    *,
    doubt: Doubter | None = None,
    batch: int = 16,
    workers: int | None = None,
    limits: ImageLimits = DEFAULT_LIMITS,
    alone: Alone | None = None,
    embed: bool = False,
) -> Iterator[Prediction]:
    """One Prediction a source, in order. Closing the iterator early stops its threads.

    Parameters
    ----------
    sources : paths of pictures, or ``Photo``; read no further ahead than a few batches. From ``Live`` ones, what came
        is answered without waiting for more.
    engine : (B, C, S, S) float32 -> logits (B, K); called with one batch at a time, from the consuming thread where
        there is no ``alone``. With ``doubt`` or ``embed`` it gives (logits, embedding (B, F)).
    card : classes, preprocessing and temperature.
    doubt : fills ``Prediction.doubt``; none where it is not given.
    batch : most pictures in one call of the engine.
    workers : decoding threads, or lanes; by the number of cores when not given.
    limits : greatest pixels and bytes of one picture.
    alone : number of lanes -> the same network as ``engine``, computing on the calling thread and callable from that
        many at once; pictures are then walked in lanes.
    embed : fills ``Prediction.embedding``.

    Raises
    ------
    ConfigError : batch or workers below 1.
    ModelError : the engine returns another shape than (B, K).
    """
    corridor = ClassCorridor(engine, card, Preprocess(card.preprocess), limits, doubt, embed)
    return walk_any(corridor, sources, alone, batch, workers)


def walk_any(
    corridor: Corridor, sources: Iterable[Source], alone: Alone | None, batch: int, workers: int | None
) -> Iterator[Prediction]:
    """In lanes where there is an engine for it. Raises ConfigError: batch or workers below 1."""
    if batch < 1 or (workers is not None and workers < 1):
        raise ConfigError(f"batch is {batch}, workers is {workers}", fix="give at least 1")
    waiting = iter(sources)
    if alone is None:
        workers = workers or default_workers()
        if isinstance(waiting, Live):
            return walk_live(corridor, waiting, batch, workers)
        return walk(corridor, waiting, batch, workers)
    lanes = workers or default_lanes()
    if isinstance(waiting, Live):
        return walk_live_in_lanes(corridor, alone, waiting, batch, lanes)
    return walk_in_lanes(corridor, alone, waiting, batch, lanes)


def default_workers() -> int:
    """Decoding threads for this machine, beside something else that works: the usable cores, at most 8."""
    return min(8, usable_cores())


def default_lanes() -> int:
    """Lanes for this machine: one for every usable core, as nothing else works beside them."""
    return usable_cores()


def one_line(error: AssayError) -> str:
    """What, got and fix on one line, for a table or a JSON row."""
    return "; ".join(part.strip() for part in str(error).splitlines() if part.strip())


def walk(corridor: Corridor, sources: Iterator[Source], batch: int, workers: int) -> Iterator[Prediction]:
    """One Prediction a source, in order; threads decode up to three batches ahead of one engine."""
    waiting: deque[Future[Prepared]] = deque()
    with _threads(workers, "assay-decode") as pool:
        while True:
            for source in islice(sources, batch * BATCHES_AHEAD - len(waiting)):
                waiting.append(pool.submit(corridor.prepare, source))
            if not waiting:
                return
            ready = [waiting.popleft().result() for _ in range(min(batch, len(waiting)))]
            yield from corridor.predict(ready)


def walk_in_lanes(
    corridor: Corridor, alone: Alone, sources: Iterator[Source], batch: int, lanes: int
) -> Iterator[Prediction]:
    """One Prediction a source, in order; each of ``lanes`` threads decodes a batch, answers it, and takes the next.

    No core waits for another one and no picture changes its thread. ``alone(lanes)`` is the engine for it, which
    computes on the calling thread; a single photo is answered by the engine of ``corridor``, on all cores.
    """
    photos = _photos_of_a_batch(batch, lanes)
    first = next(_chunks(sources, batch * lanes, photos * lanes), [])
    count, sources = len(first), chain(first, sources)
    del first  # frames of a video are large
    if count <= 1 or lanes == 1:
        yield from walk(corridor, sources, batch, lanes)
        return
    chunks = _chunks(sources, min(batch, -(-count // lanes)), photos)  # a short list is shared out
    lane = replace(corridor, engine=alone(lanes))
    waiting: deque[Future[list[Prediction]]] = deque()
    with _threads(lanes, "assay-lane") as pool:
        while True:
            for chunk in islice(chunks, lanes + CHUNKS_AHEAD - len(waiting)):
                waiting.append(pool.submit(lane.answer, chunk))
            if not waiting:
                return
            yield from waiting.popleft().result()


def walk_live(corridor: Corridor, sources: Live, batch: int, workers: int) -> Iterator[Prediction]:
    """As ``walk``, where the next source may be long in coming: a batch is what is decoded, at least one picture."""
    ahead = batch * BATCHES_AHEAD
    waiting: deque[Future[Prepared]] = deque()

    def wanted(there: int) -> int:
        return min(there, ahead - len(waiting))

    with _threads(workers, "assay-decode") as pool, Feed(sources, ahead) as feed:
        while waiting or not feed.is_over():
            for source in feed.take(wanted):
                waiting.append(feed.watch(pool.submit(corridor.prepare, source)))
            if feed.is_done(waiting, wanted):
                ready = [waiting.popleft().result()]
                while waiting and len(ready) < batch and waiting[0].done():
                    ready.append(waiting.popleft().result())
                yield from corridor.predict(ready)


def walk_live_in_lanes(
    corridor: Corridor, alone: Alone, sources: Live, batch: int, lanes: int
) -> Iterator[Prediction]:
    """As ``walk_in_lanes``, where the next source may be long in coming: the lanes share what is there.

    A source that comes while nothing else is worked on is answered on all cores, as a single photo is.
    """
    if lanes == 1:
        yield from walk_live(corridor, sources, batch, lanes)
        return
    size = _photos_of_a_batch(batch, lanes)
    lane: Corridor | None = None
    waiting: deque[Future[list[Prediction]]] = deque()

    def wanted(there: int) -> int:
        if len(waiting) == lanes + CHUNKS_AHEAD:
            return 0
        if sum(not work.done() for work in waiting) < lanes:
            return -(-there // lanes)
        # all lanes are busy, so that nothing is lost by waiting for a whole batch
        return size if there >= size else 0

    with _threads(lanes, "assay-lane") as pool, Feed(sources, lanes * size) as feed:
        while waiting or not feed.is_over():
            while chunk := feed.take(wanted):
                if len(chunk) == 1 and not waiting:
                    work = pool.submit(corridor.answer, chunk)
                else:
                    lane = lane or replace(corridor, engine=alone(lanes))
                    work = pool.submit(lane.answer, chunk)
                waiting.append(feed.watch(work))
            if feed.is_done(waiting, wanted):
                yield from waiting.popleft().result()


@contextmanager
def _threads(number: int, name: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that end with the walk; what they have not begun is let be."""
    pool = ThreadPoolExecutor(number, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _photos_of_a_batch(batch: int, lanes: int) -> int:
    """Most Photos in one batch. It divides ``batch``, so that a walk that is taken up again has the same batches."""
    most = max(1, min(batch, PHOTOS_AHEAD // lanes))
    return next(n for n in range(most, 0, -1) if batch % n == 0)


def _chunks(sources: Iterator[Source], size: int, photos: int) -> Iterator[list[Source]]:
    """Lists of ``size`` sources, the last may be shorter; shorter where so many ``photos`` are in one."""
    chunk: list[Source] = []
    held = 0
    for source in sources:
        chunk.append(source)
        held += isinstance(source, Photo)
        if len(chunk) == size or held == photos:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class Prepared:
    """One source after its thread: pixels (S, S, C), or an error."""

    path: str
    pixels: NDArray[np.uint8] | None = None
    size_hw: tuple[int, int] = (0, 0)
    error: str | None = None
    photo: Photo | None = None


@dataclass(frozen=True)
class Corridor(ABC):
    """What every walk shares: a file becomes pixels in a thread, and a broken picture keeps its place."""

    engine: Callable[[NDArray[np.float32]], Any]
    card: CardLike
    preprocess: Preprocess
    limits: ImageLimits

    def prepare(self, source: Source) -> Prepared:
        """In a thread: photo -> pixels of the network's size; the large picture is let go at once."""
        name, photo = name_of(source), source if isinstance(source, Photo) else None
        try:
            given = source.read() if isinstance(source, Photo) else source
            pixels, size_hw = self.preprocess.read(given, self.limits, name=name)
        except ImageError as error:
            return Prepared(name, error=one_line(error), photo=photo)
        return Prepared(name, pixels, size_hw, photo=photo)

    def answer(self, sources: Sequence[Source]) -> list[Prediction]:
        """One batch from files to Predictions, in this thread."""
        return self.predict([self.prepare(source) for source in sources])

    def predict(self, ready: list[Prepared]) -> list[Prediction]:
        """One batch, broken pictures left out and put back in their places."""
        readable = [item for item in ready if item.pixels is not None]
        rows = iter(self.read(readable, np.stack([item.pixels for item in readable])) if readable else ())  # type: ignore[misc]
        found = [self.broken(item) if item.pixels is None else next(rows) for item in ready]
        return [
            one if item.photo is None else replace(one, photo=item.photo)
            for item, one in zip(ready, found, strict=True)
        ]

    def broken(self, item: Prepared, error: str | None = None) -> Prediction:
        """What is said where nothing can be."""
        none = np.empty(0, np.float32)
        return Prediction(item.path, self.card.classes, none, item.size_hw, error=error or item.error)

    @abstractmethod
    def read(self, items: list[Prepared], pixels: NDArray[np.uint8]) -> list[Prediction]:
        """Readable pictures, (B, S, S, C) uint8 -> one Prediction each."""


@dataclass(frozen=True)
class ClassCorridor(Corridor):
    """The class of the picture alone."""

    doubter: Doubter | None
    embed: bool = False

    def read(self, items: list[Prepared], pixels: NDArray[np.uint8]) -> list[Prediction]:
        """As ``Corridor.read``."""
        found: Any = self.engine(self.preprocess.normalise(pixels))
        if self.doubter is None and not self.embed:
            return self._told(items, self._probabilities(np.asarray(found), pixels))
        logits, embedding = (np.asarray(end) for end in found)
        probs = self._probabilities(logits, pixels)
        told = self._told(items, probs, self._doubts(probs, logits, embedding))
        if not self.embed:
            return told
        return [replace(one, embedding=row.copy()) for one, row in zip(told, embedding, strict=True)]

    def _told(
        self, items: list[Prepared], probs: NDArray[np.float32], doubts: Sequence[Doubt | None] = ()
    ) -> list[Prediction]:
        doubted = doubts or [None] * len(items)
        return [self._prediction(*one) for one in zip(items, probs, doubted, strict=True)]

    def _doubts(
        self, probs: NDArray[np.float32], logits: NDArray[Any], embedding: NDArray[Any]
    ) -> list[Doubt | None]:
        """One a picture; None where nobody asks, or the scores are not finite."""
        if self.doubter is None:
            return [None] * len(probs)
        finite = np.asarray(np.isfinite(probs).all(axis=1))
        told = iter(self.doubter.doubt(probs[finite], logits[finite], embedding[finite]))
        return [next(told) if fine else None for fine in finite]

    def _probabilities(self, logits: NDArray[Any], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        wanted = (len(pixels), len(self.card.classes))
        if logits.shape != wanted:
            raise ModelError(
                f"the network's scores do not fit {wanted[0]} pictures and {wanted[1]} classes",
                got=f"shape {logits.shape}",
                fix="use the classes that the network was trained with",
            )
        return probabilities(logits, self.card.temperature)

    def _prediction(self, item: Prepared, probs: NDArray[np.float32], doubt: Doubt | None) -> Prediction:
        if np.isfinite(probs).all():
            return Prediction(item.path, self.card.classes, probs, item.size_hw, doubt=doubt)
        return self.broken(item, NOT_FINITE)
