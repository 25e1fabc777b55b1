"""What a server does beside its work: answers take effect, letters go out, fakes become known, old photos go.

Each chore has a loop of its own; one that fails says so in the log and is tried again, and holds up no other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from assay.errors import AssayError
from assay.service.letters import send
from assay.service.library import copies_among_accepted, recall
from assay.service.live import count_audit, read_monitor
from assay.service.routes.photos import delete_bytes, erase_photo
from assay.service.store.database import BusyError
from assay.service.store.erasure import NothingThereError, erased_lately, too_old
from assay.service.store.hooks import Letter, due, sent
from assay.service.store.jobs import waiting
from assay.service.store.reviews import queue_size
from assay.service.store.schema import ANSWERS, OUTBOX, RECORD, REPEATS
from assay.service.store.settle import Settled, settle

if TYPE_CHECKING:
    from assay.service.core import Service

_LOG = logging.getLogger("assay.service")
_DAY_S = 86_400.0
_LETTERS_KEPT_S = 7 * _DAY_S
_BUSY_PAUSE_S = 5.0
REPEATS_KEPT_S = 2 * _DAY_S
"""How long an idempotency key is remembered."""


class Chores:
    """The loops; ``start`` them and ``stop`` them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin all."""
        every = (
            (0.5, self.settle),
            (0.5, self.send),
            (5.0, self.learn),
            (10.0, self.anchor),
            (10.0, self.count),
            (60.0, self.tidy),
        )
        self._tasks = [asyncio.create_task(self._loop(pause, chore)) for pause, chore in every]

    async def stop(self) -> None:
        """End all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(AssayError):
            await self.anchor()

    async def _loop(self, pause: float, chore: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await chore()
            except BusyError as error:
                _LOG.warning("%s waits: %s", chore.__name__, error.what)
                await asyncio.sleep(_BUSY_PAUSE_S)
            except Exception:
                _LOG.exception("a chore failed (%s); it is tried again", chore.__name__)
            await asyncio.sleep(pause)

    async def settle(self) -> None:
        """People's answers that can no longer be taken back."""
        service, now = self._service, time.time()
        ripe = sql.select(sql.exists().where(ANSWERS.c.state == "held", ANSWERS.c.final_at <= now))
        if not await service.database.read(lambda c: c.execute(ripe).scalar()):
            return
        key = service.home.key

        def work(connection: sql.Connection) -> Settled:
            return settle(
                connection, key, now, lambda c, decision, right: count_audit(c, key, now, decision, right)
            )

        done = await service.database.write(work)
        service.meters.answers.inc(done.answers)
        live = service.live
        live.monitor = await service.database.read(lambda c: read_monitor(c, live.budgets))
        if done.fakes:
            await self.learn()

    async def learn(self) -> None:
        """Fakes that somebody has confirmed: known from now on, and looked for among what was accepted."""
        service = self._service
        library, key = service.foreman.library, service.home.key
        for reference in await service.database.read(library.refresh):
            copies = await service.database.read(partial(_copies, reference.photo))
            for photo_id, match in copies:
                await service.database.write(partial(_recall, key, time.time(), photo_id, match))
        live = service.live
        live.monitor = await service.database.read(lambda c: read_monitor(c, live.budgets))

    async def send(self) -> None:
        """Letters of the outbox."""
        service, now = self._service, time.time()
        waits = sql.select(sql.exists().where(OUTBOX.c.state == "waiting", OUTBOX.c.next_at <= now))
        if not await service.database.read(lambda c: c.execute(waits).scalar()):
            return
        letters = await service.database.write(lambda c: due(c, now, now + 60))
        await asyncio.gather(*(self._send_one(letter) for letter in letters))

    async def _send_one(self, letter: Letter) -> None:
        anywhere = self._service.config.webhooks_http
        failure = await asyncio.to_thread(send, letter, anywhere=anywhere)
        now = time.time()
        await self._service.database.write(lambda c: sent(c, letter, failure, now))
        self._service.meters.letters.labels("failed" if failure else "sent").inc()

    async def anchor(self) -> None:
        """Remember the end of the record outside of the database."""
        service = self._service
        last = sql.select(RECORD.c.seq, RECORD.c.mac).order_by(RECORD.c.seq.desc()).limit(1)
        row = await service.database.read(lambda c: c.execute(last).one_or_none())
        if row is not None and row.seq != service.home.last_anchor:
            await asyncio.to_thread(service.home.anchor, row.seq, row.mac)

    async def tidy(self) -> None:
        """Photos past their time, and idempotency keys of days ago."""
        service, now = self._service, time.time()
        if service.config.keep_days > 0:
            before = now - service.config.keep_days * _DAY_S
            while names := await service.database.read(lambda c: too_old(c, before)):
                for photo_id in names:
                    with contextlib.suppress(NothingThereError):
                        await erase_photo(service, photo_id, f"kept for {service.config.keep_days:g} days")
        old = sql.delete(REPEATS).where(REPEATS.c.at < now - REPEATS_KEPT_S)
        told = sql.delete(OUTBOX).where(OUTBOX.c.state == "sent", OUTBOX.c.created_at < now - _LETTERS_KEPT_S)
        await service.database.write(lambda c: (c.execute(old), c.execute(told)))
        for digest in await service.database.read(partial(erased_lately, now - _DAY_S)):
            if await asyncio.to_thread(service.objects.has, digest):  # a crash came between rows and bytes
                await delete_bytes(service, digest)

    async def count(self) -> None:
        """What Prometheus is told of the database."""
        service, now = self._service, time.time()
        meters = service.meters
        meters.queue.set((await service.database.read(waiting))[0])
        for why, told in (await service.database.read(partial(_sizes, now))).items():
            meters.reviews.labels(why).set(told["open"])
        meters.withdrawn.set(len(service.live.monitor.withdrawn))


def _sizes(now: float, connection: sql.Connection) -> dict[str, Any]:
    return queue_size(connection, now)


def _copies(sha256: str, connection: sql.Connection) -> list[tuple[str, Any]]:
    return list(copies_among_accepted(connection, sha256))


def _recall(key: bytes, at: float, photo_id: str, match: Any, connection: sql.Connection) -> None:
    recall(connection, key, at, photo_id, match)
