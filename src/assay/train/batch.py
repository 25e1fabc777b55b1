"""From cached pixels to batches: which pictures, in which order, changed how.

Everything here is a function of (seed, step): the order of an epoch, each picture's augmentation, the mixing of
a batch. So a resumed run needs no saved random state, and threads cannot change a result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.configs import AugmentConfig
from assay.errors import ConfigError
from assay.train.augment import Augment, mix_batch
from assay.train.cache import PictureCache


@dataclass(frozen=True)
class Batch:
    """``images`` (B, S, S, C) uint8; ``targets`` (B,) int64, or (B, K) float32 where pictures were mixed."""

    images: NDArray[np.uint8]
    targets: NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Shard:
    """Which share of every global batch this process prepares."""

    rank: int = 0
    world: int = 1


class Moment(NamedTuple):
    """Where a run stands: the side of the pictures in px, and the share of the run that lies behind."""

    size: int
    progress: float = 0.0


class Stream(ABC):
    """An endless, seekable sequence of training batches over N rows.

    Parameters
    ----------
    n : rows.
    batch : pictures a process and step; lowered to N where there are fewer.
    weights : (N,) sampling weights, or None for plain epochs without repetition.
    """

    def __init__(
        self,
        n: int,
        *,
        batch: int,
        seed: int,
        workers: int = 2,
        weights: NDArray[np.float64] | None = None,
        shard: Shard = Shard(),
    ) -> None:
        self._n, self._seed = n, seed
        self._weights, self._shard, self._workers = weights, shard, workers
        if n < shard.world:
            raise ConfigError(
                f"{n} training pictures are fewer than {shard.world} processes", fix="start fewer"
            )
        self.batch = max(1, min(batch, n // shard.world))
        self.steps_per_epoch = max(1, n // (self.batch * shard.world))

    def stream(self, start: int, moment_at: Callable[[int], Moment]) -> Generator[Any]:
        """Batches from step ``start`` on, each at its moment of the run. Prepared ahead in threads."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="assay-batch") as pool:
            ahead: deque[Future[Any]] = deque()
            try:
                step = start
                while True:
                    while len(ahead) < self._workers + 2:
                        ahead.append(pool.submit(self.make, step, moment_at(step)))
                        step += 1
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

    def rows_of(self, step: int) -> tuple[int, NDArray[np.int64]]:
        """(epoch, row numbers) of this process's share of one step."""
        epoch, i = divmod(step, self.steps_per_epoch)
        rng = np.random.default_rng((self._seed, epoch))
        n = self._n
        order = rng.permutation(n) if self._weights is None else rng.choice(n, n, p=self._weights)
        start = (i * self._shard.world + self._shard.rank) * self.batch
        return epoch, order[start : start + self.batch]

    def _rng(self, step: int, epoch: int, row: int, i: int) -> np.random.Generator:
        """A picture's own chance; one that is drawn several times in an epoch differs each time."""
        again = () if self._weights is None else (step * self.batch + i,)
        return np.random.default_rng((self._seed, epoch, row, *again))

    @abstractmethod
    def make(self, step: int, moment: Moment) -> Any:
        """The batch of one step, with ``images`` (B, S, S, C) uint8 and ``targets``."""


class Batches(Stream):
    """Pictures with classes.

    Parameters
    ----------
    cache : pixels by row.
    targets : (N,) class index of each row, none negative.
    classes : K, for mixed targets.
    """

    def __init__(
        self,
        cache: PictureCache,
        targets: NDArray[np.int64],
        classes: int,
        augment: AugmentConfig,
        *,
        channels: int = 3,
        **stream: Any,
    ) -> None:
        super().__init__(len(targets), **stream)
        self._cache, self._targets, self._classes = cache, targets, classes
        self._augment, self._channels = augment, channels

    def make(self, step: int, moment: Moment) -> Batch:
        """The batch of one step."""
        size = moment.size
        epoch, rows = self.rows_of(step)
        augment = Augment(self._augment, size, self._channels)
        images = np.empty((len(rows), size, size, self._channels), np.uint8)
        for i, row in enumerate(rows):
            images[i] = augment(self._cache[row], self._rng(step, epoch, int(row), i))
        targets = self._targets[rows]
        if not (self._augment.mixup or self._augment.cutmix):
            return Batch(images, targets)
        onehot = np.eye(self._classes, dtype=np.float32)[targets]
        rng = np.random.default_rng((self._seed, step, 2**31 + self._shard.rank))
        mixed, soft = mix_batch(
            images, onehot, rng, mixup_alpha=self._augment.mixup, cutmix_alpha=self._augment.cutmix
        )
        return Batch(mixed.astype(np.uint8, copy=False), soft)


def sampling_weights(targets: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(N,) chances that draw every class equally often."""
    counts = np.bincount(targets, minlength=classes)
    weights = 1.0 / counts[targets]
    return np.asarray(weights / weights.sum())
