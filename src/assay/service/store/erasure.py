"""Erasing a photo: its bytes, its names and what was seen in it go; that it was decided, and how, stays in the record.

The receipt is the record's entry. A confirmed fake keeps its digest and its print (a small grey picture), which keep
the shop from being deceived again; the receipt says so.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql

from assay.errors import AssayError
from assay.service.store.photos import is_wanted, photo_row
from assay.service.store.record import append
from assay.service.store.schema import (
    ANSWERS,
    APPEALS,
    DECISIONS,
    JOBS,
    PHOTOS,
    PRINTS,
    RECORD,
    REFERENCES,
    TASKS,
)


class NothingThereError(AssayError):
    """No such photo, or it was erased before."""


def erase(connection: sql.Connection, key: bytes, photo_id: str, at: float, why: str) -> dict[str, Any]:
    """Erase all of a photo but its bytes; the receipt.

    ``object`` of the receipt is the digest whose bytes are to be deleted once this is committed; empty where another
    photo has the same bytes.

    Raises
    ------
    NothingThereError : no such photo, or erased before.
    """
    photo = photo_row(connection, photo_id)
    if photo is None or photo["erased_at"] is not None:
        raise NothingThereError(f"there is no photo {photo_id}", fix="it may have been erased before")
    blank = {"sender": "", "name": "", "item": "", "erased_at": at}
    connection.execute(sql.update(PHOTOS).where(PHOTOS.c.id == photo_id).values(**blank))
    connection.execute(sql.update(DECISIONS).where(DECISIONS.c.photo_id == photo_id).values(body=""))
    connection.execute(sql.update(ANSWERS).where(ANSWERS.c.photo_id == photo_id).values(note="", truth="{}"))
    connection.execute(sql.update(APPEALS).where(APPEALS.c.photo_id == photo_id).values(text=""))
    connection.execute(sql.delete(PRINTS).where(PRINTS.c.photo_id == photo_id))
    connection.execute(sql.delete(JOBS).where(JOBS.c.photo_id == photo_id))
    open_tasks = sql.and_(TASKS.c.photo_id == photo_id, TASKS.c.state == "open")
    connection.execute(sql.update(TASKS).where(open_tasks).values(state="done"))
    digest = photo["sha256"]
    is_fake = connection.execute(
        sql.select(sql.exists().where(REFERENCES.c.sha256 == digest, REFERENCES.c.removed_at.is_(None)))
    ).scalar()
    last = not is_wanted(connection, digest)
    told = {
        "photo": photo_id, "sha256": digest, "why": why, "bytes_deleted": last,
        "kept": ["digest and print (a small grey picture) of a confirmed fake"] if is_fake else [],
    }  # fmt: skip
    seq = append(connection, key, at, [("erasure", photo_id, told)])[0]
    mac = connection.execute(sql.select(RECORD.c.mac).where(RECORD.c.seq == seq)).scalar()
    return {**told, "at": at, "entry": seq, "code": mac, "object": digest if last else ""}


def erased_lately(after: float, connection: sql.Connection) -> list[str]:
    """Digests of photos that were erased since, and that no photo has any more."""
    rows = connection.execute(
        sql.select(PHOTOS.c.sha256).where(PHOTOS.c.erased_at > after).distinct()
    ).scalars()
    return [digest for digest in rows if not is_wanted(connection, digest)]


def too_old(connection: sql.Connection, before: float, most: int = 100) -> list[str]:
    """Photos that came before this time, were decided, and that nobody is about to look at."""
    waits = sql.exists().where(TASKS.c.photo_id == PHOTOS.c.id, TASKS.c.state != "done")
    queued = sql.exists().where(JOBS.c.photo_id == PHOTOS.c.id)
    rows = connection.execute(
        sql.select(PHOTOS.c.id)
        .where(PHOTOS.c.received_at < before, PHOTOS.c.erased_at.is_(None), ~waits, ~queued)
        .order_by(PHOTOS.c.received_at)
        .limit(most)
    )
    return list(rows.scalars())
