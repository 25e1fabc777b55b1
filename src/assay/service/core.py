"""What every route and every worker of one server shares."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sql

from assay.service.live import Live, note_version, open_live, read_monitor
from assay.service.store.record import require_key

if TYPE_CHECKING:
    from assay.service.foreman import Foreman
    from assay.service.home import Home
    from assay.service.meters import Meters
    from assay.service.objects import Objects
    from assay.service.settings import ServeConfig
    from assay.service.store.database import Database
    from assay.service.viewer import Viewer

_DRAIN_S = 60.0


@dataclass
class Service:
    """One running server; routes find it as ``request.app.state.service``.

    ``home`` is its folder with the record's key, ``database`` the rows, ``objects`` the photos' bytes, ``foreman`` the
    work, ``viewer`` what shows photos, ``meters`` what is counted.
    """

    config: ServeConfig
    home: Home
    database: Database
    objects: Objects
    foreman: Foreman
    viewer: Viewer
    meters: Meters
    cores: int = 1
    started_at: float = field(default_factory=time.time)
    is_stopping: bool = False
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def live(self) -> Live:
        """The policy that decides now."""
        return self.foreman.live

    async def take_up(self, live: Live) -> None:
        """Write down that this policy decides from now on, and what audits have said of it before.

        Raises
        ------
        ConfigError : the record was begun with another key.
        """
        key, at = self.home.key, time.time()

        def note(connection: sql.Connection) -> None:
            require_key(connection, key, self.home.folder)
            note_version(connection, key, at, live)

        await self.database.write(note)
        live.monitor = await self.database.read(lambda c: read_monitor(c, live.budgets))

    async def reload(self) -> Live:
        """Load the policy's file anew and let it take over; the old one finishes the photos that it has begun.

        Raises
        ------
        AssayError : the new one is not fit to decide; the old one stays.
        """
        async with self._changing:
            old = self.live
            new = await open_live(old.path, self.config, self.cores, self.home.copies)
            self.foreman.library.open(new.policy)
            await self.take_up(new)
            self.foreman.live = new
            until = time.monotonic() + _DRAIN_S
            while old.in_work and time.monotonic() < until:
                await asyncio.sleep(0.02)
            await old.answerers.stop()
            return new
