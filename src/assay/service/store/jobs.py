"""The queue: rows of one table in the same database, so that a photo and its job are one transaction.

A job is leased to a server for some seconds and renewed while it works; a server that dies lets its leases run out,
and another takes over. ``SKIP LOCKED`` keeps servers on PostgreSQL out of each other's way; on SQLite writers come one
after the other anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sql

from assay.service.store.database import is_postgres
from assay.service.store.schema import JOBS, PHOTOS


@dataclass(frozen=True)
class Job:
    """A photo that waits for the machine. ``tries`` counts the servers that had it before."""

    photo_id: str
    sha256: str
    name: str
    sender: str
    item: str
    tries: int


def claim(connection: sql.Connection, owner: str, now: float, lease_until: float, most: int) -> list[Job]:
    """Take up to ``most`` jobs that nobody works on, the oldest first."""
    free = sql.select(JOBS.c.photo_id).where(JOBS.c.lease_until < now).order_by(JOBS.c.created_at).limit(most)
    if is_postgres(connection):
        free = free.with_for_update(skip_locked=True)
    names = list(connection.execute(free).scalars())
    if not names:
        return []
    mine = sql.update(JOBS).where(JOBS.c.photo_id.in_(names))
    connection.execute(mine.values(owner=owner, lease_until=lease_until, tries=JOBS.c.tries + 1))
    columns = (PHOTOS.c.id, PHOTOS.c.sha256, PHOTOS.c.name, PHOTOS.c.sender, PHOTOS.c.item, JOBS.c.tries)
    rows = connection.execute(
        sql.select(*columns).join(JOBS, JOBS.c.photo_id == PHOTOS.c.id).where(PHOTOS.c.id.in_(names))
        .order_by(JOBS.c.created_at)
    ).all()  # fmt: skip
    return [Job(*row) for row in rows]


def renew(connection: sql.Connection, owner: str, photo_ids: Sequence[str], lease_until: float) -> None:
    """Keep jobs that are still worked on."""
    if photo_ids:
        mine = sql.and_(JOBS.c.owner == owner, JOBS.c.photo_id.in_(photo_ids))
        connection.execute(sql.update(JOBS).where(mine).values(lease_until=lease_until))


def release(connection: sql.Connection, owner: str) -> int:
    """Give everything back at a graceful stop; how many there were."""
    mine = sql.update(JOBS).where(JOBS.c.owner == owner).values(owner="", lease_until=0.0)
    return connection.execute(mine).rowcount


def waiting(connection: sql.Connection) -> tuple[int, float | None]:
    """(how many jobs there are, when the oldest came)."""
    row = connection.execute(sql.select(sql.func.count(), sql.func.min(JOBS.c.created_at))).one()
    return int(row[0]), row[1]


def free_all(connection: sql.Connection) -> int:
    """A folder's only server starts: whatever an earlier one had is free at once."""
    return connection.execute(sql.update(JOBS).values(owner="", lease_until=0.0)).rowcount
