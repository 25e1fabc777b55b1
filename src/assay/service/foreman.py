"""The work: photos that were taken in are decoded, answered, matched, decided and kept, in this order, many at a time.

The database holds every job, so what is in memory here may be lost at any moment: a job whose lease runs out is taken
up again, and one that two servers finish is kept once. Nothing is told to anybody before its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from assay.decide.decision import Decision, decide
from assay.decide.evidence import Evidence
from assay.errors import AssayError
from assay.runtime.screen_parts import Decoded
from assay.service.load import Load
from assay.service.objects import ObjectMissingError
from assay.service.store.decisions import Decided, keep
from assay.service.store.ids import new_id
from assay.service.store.jobs import Job, claim, release, renew, waiting
from assay.service.workers.facts import Failed

if TYPE_CHECKING:
    from assay.service.home import Home
    from assay.service.library import Library
    from assay.service.live import Live
    from assay.service.meters import Meters
    from assay.service.objects import Objects
    from assay.service.shadow import Shadow
    from assay.service.store.database import Database
    from assay.service.workers.pool import Decoders

LEASE_S = 4.0
"""A job of a server that died is taken up by another one after this."""
MOST_BATCH, BATCH_S = 4, 0.03
"""Photos in one call of the networks, as far as it takes no longer than this: all of them wait for the last, and a
network that takes a processor longer gains nothing by having more at once."""
MOST_CLAIMED = 32
Row = Mapping[str, Any]
"""Of the table of decisions."""
_STOP_S = 10.0
_SOON = 0.1
"""The share of the newest in an average of times."""
_LOG = logging.getLogger("assay.service")


@dataclass(eq=False)
class Item:
    """A photo on its way.

    ``job`` is None until it is taken in: it may be decoded while it is stored. ``data`` is let go once it is decoded;
    ``missing`` says that it is gone, ``unwanted`` that nobody waits for it any more.
    """

    job: Job | None
    at: float
    data: bytes | None = None
    live: Live | None = None
    decoded: Decoded | None = None
    missing: str | None = None
    unwanted: bool = False
    waiters: list[asyncio.Future[Row | None]] = field(default_factory=list)


class Foreman:
    """Keeps decoders and answerers busy. ``live`` may be replaced at any time.

    ``library`` knows enrolled photos; ``value`` says what a person's look at a decision is worth; ``double`` is the
    share of reviews that two people do.
    """

    def __init__(
        self, *, database: Database, objects: Objects, home: Home, decoders: Decoders, live: Live, library: Library,
        meters: Meters, double: float = 0.0, max_wait_s: float = 4.0,
        shadow: Shadow | None = None,
    ) -> None:  # fmt: skip
        self.owner = new_id("s")
        self.live = live
        self.library = library
        self._database, self._objects, self._home, self._decoders = database, objects, home, decoders
        self._meters, self._double, self.shadow = meters, double, shadow
        self.load = Load(max_wait_s)
        self._items: dict[str, Item] = {}
        self._to_decode: asyncio.Queue[Item] = asyncio.Queue()
        self._decoded: deque[Item] = deque()
        self._ready = asyncio.Event()
        self._each_s = BATCH_S / 2
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, lanes: int) -> None:
        """Begin, with ``lanes`` photos being decoded at once."""
        loops = [self._decode_all() for _ in range(lanes)] + [self._answer_all() for _ in range(lanes + 1)]
        loops += [self._claim_all(), self._renew_all()]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def stop(self) -> None:
        """Finish what is in memory, for some seconds at most; give the rest back to the queue."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                while self._items:
                    await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(AssayError):
            await self._database.write(lambda c: release(c, self.owner))
        for item in self._items.values():
            self._let_go(item)

    @property
    def can_work(self) -> bool:
        """Whether there is a decoder and an answerer."""
        return self._decoders.alive > 0 and self.live.answerers.alive > 0

    @property
    def workers(self) -> dict[str, int]:
        """Processes that are alive."""
        return {"decoder": self._decoders.alive, "answerer": self.live.answerers.alive}

    @property
    def in_work(self) -> int:
        """Photos in memory."""
        return len(self._items)

    def full_for(self) -> float:
        """Seconds until a photo may be taken in; 0 where it may now."""
        return self.load.full_for(len(self._items))

    def lease_until(self) -> float:
        """Until when a new job is this server's."""
        return time.time() + LEASE_S

    def begin(self, data: bytes) -> Item:
        """Have a photo decoded that is being stored; ``offer`` takes it up, or ``leave`` lets it go."""
        item = Item(None, time.monotonic(), data)
        self._to_decode.put_nowait(item)
        return item

    def leave(self, item: Item) -> None:
        """Let go of what was begun: the photo was not taken in, or was taken in before."""
        item.unwanted = True
        if item.decoded is not None:
            self._end(item)

    def offer(self, job: Job, begun: Item | None = None) -> None:
        """Take a job up whose lease is this server's; ``begun`` is what may be decoded of it already."""
        if job.photo_id in self._items:
            return
        is_begun = begun is not None and not begun.unwanted  # its decoder may have gone meanwhile
        item = begun if begun is not None and is_begun else Item(None, 0.0)
        self._items[job.photo_id], item.job, item.at = item, job, time.monotonic()
        if not is_begun:
            self._to_decode.put_nowait(item)
        elif item.decoded is not None:
            self._to_answer(item)
        self._meters.waiting.set(len(self._items))

    async def wait(self, photo_id: str, seconds: float) -> Row | None:
        """The row of the machine's decision, if it comes within so many seconds and from this server."""
        item = self._items.get(photo_id)
        if item is None or seconds <= 0:
            return None
        future: asyncio.Future[Row | None] = asyncio.get_running_loop().create_future()
        item.waiters.append(future)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(seconds):
                return await future
        return None

    async def _decode_all(self) -> None:
        while True:
            item = await self._to_decode.get()
            if item.unwanted:
                continue
            item.live = self.live
            item.live.in_work += 1
            try:
                data = item.data
                if data is None:
                    data = await asyncio.to_thread(self._objects.get, _job(item).sha256)
                decoded = await self._decoders.decode(data, item.live.facts.plan)
            except ObjectMissingError as error:  # not the photo's fault: a person is told
                decoded, item.missing = Decoded(error=error.what), error.what
            except AssayError:
                self._drop(item)
                continue
            item.data, item.decoded = None, decoded
            if item.unwanted:
                self._end(item)
            elif item.job is not None:
                self._to_answer(item)

    def _to_answer(self, item: Item) -> None:
        self._decoded.append(item)
        self._ready.set()

    async def _answer_all(self) -> None:
        while True:
            await self._ready.wait()
            batch = self._take()
            if not batch:
                self._ready.clear()
                continue
            try:
                await self._decide(batch)
            except Exception:
                _LOG.exception("photos could not be decided; they are tried again")
                for item in batch:
                    self._drop(item)

    def _take(self) -> list[Item]:
        """The photos that have waited longest, all under one policy."""
        batch: list[Item] = []
        most = max(1, min(MOST_BATCH, int(BATCH_S / self._each_s)))
        while self._decoded and len(batch) < most:
            if batch and self._decoded[0].live is not batch[0].live:
                break
            batch.append(self._decoded.popleft())
        return batch

    async def _decide(self, batch: list[Item]) -> None:
        live = batch[0].live
        if live is None:
            raise AssayError("a photo without a policy")
        self._meters.batch.observe(len(batch))
        begun = time.monotonic()
        found = await live.answerers.answer(
            [item.decoded for item in batch],  # type: ignore[misc]
            [_job(item).photo_id for item in batch],
            [_job(item).sha256 for item in batch],
        )
        self._each_s += _SOON * ((time.monotonic() - begun) / len(batch) - self._each_s)
        work = partial(self._decided_all, live, batch, found)
        decided = await asyncio.to_thread(work) if len(self.library) else work()
        key, at, models = self._home.key, time.time(), live.models
        kept = await self._database.write(
            lambda c: keep(c, self.owner, key, at, [replace(one, models=models) for one in decided])
        )
        for item, one, row in zip(batch, decided, kept, strict=True):
            self._items.pop(_job(item).photo_id, None)
            self._end(item)
            if row is not None:
                seconds = time.monotonic() - item.at
                self._meters.decided.labels(one.decision.verdict).inc()
                self._meters.seconds.observe(seconds)
                self.load.done(seconds)
            for waiter in item.waiters:
                if not waiter.done():
                    waiter.set_result(row)
        self._meters.waiting.set(len(self._items))
        if self.shadow is not None:
            self.shadow.offer(_job(item) for item in batch)

    def _decided_all(
        self, live: Live, batch: list[Item], found: Sequence[Evidence | Failed]
    ) -> list[Decided]:
        """What becomes of a batch; searching among confirmed photos takes a while, so perhaps in a thread."""
        return [self._decided(live, item, one) for item, one in zip(batch, found, strict=True)]

    def _decided(self, live: Live, item: Item, found: Evidence | Failed) -> Decided:
        job, prints = _job(item), b""
        reason = found.reason if isinstance(found, Failed) else item.missing or _broke_down(item)
        if isinstance(found, Failed) or reason is not None:
            _LOG.error("the machine failed on photo %s: %s", job.photo_id, reason)
            found = Evidence(job.photo_id, job.sha256, failure=reason)
        else:
            if item.decoded is not None and item.decoded.prints is not None:
                prints = item.decoded.prints.tobytes()
            found = self.library.matched(live.policy, found, prints, job.item)
        decision = decide(live.policy, live.thresholds, found)
        double = self._double > 0 and int(job.sha256[-13:], 16) < self._double * 16**13
        return Decided(
            job.photo_id,
            decision,
            {},
            _worth(decision),
            job.sha256,
            double,
            zlib.compress(prints, 1) if prints else b"",
        )

    def _drop(self, item: Item) -> None:
        """Forget an item; its lease runs out and somebody takes it up again."""
        item.unwanted = True
        self._end(item)
        if item.job is not None:
            self._items.pop(item.job.photo_id, None)
        self._let_go(item)

    @staticmethod
    def _end(item: Item) -> None:
        """The policy under which it was decoded has nothing more to do with it."""
        if item.live is not None:
            item.live.in_work -= 1
            item.live = None

    @staticmethod
    def _let_go(item: Item) -> None:
        for waiter in item.waiters:
            waiter.cancel()

    async def _claim_all(self) -> None:
        """Jobs of servers that died, or that this one has dropped."""
        while True:
            try:
                now = time.time()
                jobs: list[Job] = []
                if len(self._items) < MOST_CLAIMED // 2 and (await self._database.read(waiting))[0]:
                    jobs = await self._database.write(
                        lambda c, now=now: claim(c, self.owner, now, now + LEASE_S, MOST_CLAIMED)  # type: ignore[misc]
                    )
                for job in jobs:
                    self.offer(job)
            except AssayError as error:
                _LOG.warning("the queue cannot be read: %s", error)
            await asyncio.sleep(0.5)

    async def _renew_all(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 4)
            names = list(self._items)
            if names:
                with contextlib.suppress(AssayError):
                    until = time.time() + LEASE_S
                    await self._database.write(lambda c, n=names, u=until: renew(c, self.owner, n, u))  # type: ignore[misc]
            for kind, alive in self.workers.items():
                self._meters.workers.labels(kind).set(alive)


def _job(item: Item) -> Job:
    """Of a photo that was taken in."""
    if item.job is None:
        raise AssayError("a photo is decided on that was not taken in")
    return item.job


def _broke_down(item: Item) -> str | None:
    """Why the decoder itself came to an end, twice; a photo that takes too much time or memory is told so instead."""
    error = None if item.decoded is None else item.decoded.error
    return error if error in ("the decoder crashed", "the decoder hung") else None


def _worth(decision: Decision) -> float:
    """What a person's look is worth: doubtful genuineness first, then what nearly stood without a person."""
    proposed: Any = decision.proposed
    if proposed is None:
        return 0.0
    base = 2.0 if proposed.verdict == "review" else 1.0
    return base + (1 - abs(2 * float(proposed.score) - 1))
