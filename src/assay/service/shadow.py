"""A candidate policy decides beside the live one, without effect: what it would have said is kept, to be compared.

It works only while there is time: when photos come faster than it can look at them, it leaves some out, chosen by
nothing but their arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from assay.decide.decision import decide
from assay.decide.evidence import Evidence
from assay.decide.shadow import Shadowed
from assay.errors import AssayError
from assay.service.store.decisions import MACHINE
from assay.service.store.schema import DECISIONS, PHOTOS, SHADOWS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.service.library import Library
    from assay.service.live import Live
    from assay.service.objects import Objects
    from assay.service.store.database import Database
    from assay.service.store.jobs import Job
    from assay.service.workers.pool import Decoders

_LOG = logging.getLogger("assay.service")
_MOST_WAITING = 64


class Shadow:
    """Takes photos that were decided (``offer``) and decides them by another policy."""

    def __init__(
        self, live: Live, database: Database, objects: Objects, decoders: Decoders, library: Library
    ) -> None:
        self.live = live
        self._database, self._objects, self._decoders, self._library = database, objects, decoders, library
        self._waiting: asyncio.Queue[Job] = asyncio.Queue(_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._all())

    async def stop(self) -> None:
        """End; what waits is left out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.live.answerers.stop()

    def offer(self, jobs: Iterable[Job]) -> None:
        """Look at these too, if there is time."""
        for job in jobs:
            with contextlib.suppress(asyncio.QueueFull):
                self._waiting.put_nowait(job)

    async def _all(self) -> None:
        while True:
            job = await self._waiting.get()
            try:
                await self._one(job)
            except AssayError as error:
                _LOG.warning("the candidate could not look at photo %s: %s", job.photo_id, error)

    async def _one(self, job: Job) -> None:
        data = await asyncio.to_thread(self._objects.get, job.sha256)
        decoded = await self._decoders.decode(data, self.live.facts.plan)
        (found,) = await self.live.answerers.answer([decoded], [job.photo_id], [job.sha256])
        if not isinstance(found, Evidence):
            return
        if decoded.prints is not None:
            found = self._library.matched(self.live.policy, found, decoded.prints.tobytes(), job.item)
        decision = decide(self.live.policy, self.live.thresholds, found)
        row = {
            "photo_id": job.photo_id, "policy": decision.policy, "thresholds": decision.thresholds,
            "verdict": decision.verdict, "clause": decision.clause, "at": time.time(),
        }  # fmt: skip
        await self._database.write(lambda c: _keep(c, row))


def _keep(connection: sql.Connection, row: dict[str, Any]) -> None:
    same = sql.and_(SHADOWS.c.photo_id == row["photo_id"], SHADOWS.c.policy == row["policy"])
    connection.execute(sql.delete(SHADOWS).where(same))
    connection.execute(sql.insert(SHADOWS), [row])


def shadow_rows(connection: sql.Connection, policy: str, most: int = 20_000) -> list[Shadowed]:
    """What the machine and the candidate have decided of the same photos, the newest first."""
    both = SHADOWS.join(DECISIONS, DECISIONS.c.photo_id == SHADOWS.c.photo_id).join(
        PHOTOS, PHOTOS.c.id == SHADOWS.c.photo_id
    )
    columns = (DECISIONS.c.verdict, SHADOWS.c.verdict, PHOTOS.c.sender, DECISIONS.c.clause, SHADOWS.c.clause)
    rows = connection.execute(
        sql.select(SHADOWS.c.photo_id, *columns)
        .select_from(both)
        .where(SHADOWS.c.policy == policy, DECISIONS.c.decided_by == MACHINE)
        .order_by(SHADOWS.c.at.desc())
        .limit(most)
    ).all()
    return [Shadowed(*row) for row in rows]
