"""Taking a photo in: its row, its job and its idempotency key in one transaction, or none of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from assay.errors import AssayError
from assay.service.store.prepared import Prepared
from assay.service.store.schema import DECISIONS, JOBS, PHOTOS, REPEATS

_PHOTO, _JOB = Prepared(sql.insert(PHOTOS)), Prepared(sql.insert(JOBS))


class ConflictError(AssayError):
    """The same idempotency key came with another photo."""


@dataclass(frozen=True)
class Upload:
    """What is known of an upload. ``sender``, ``name`` and ``item`` are the client's own words; empty where none."""

    id: str
    sha256: str
    bytes: int
    key_id: str
    received_at: float
    sender: str = ""
    name: str = ""
    item: str = ""
    repeat: str = ""

    @property
    def digest(self) -> str:
        """What makes two requests the same one."""
        return self.sha256


def take_in(connection: sql.Connection, upload: Upload, owner: str, lease_until: float) -> tuple[str, bool]:
    """(the photo's id, whether it is new): the same idempotency key gives the same photo.

    The new job belongs to ``owner`` at once, so nobody else picks it up.

    Raises
    ------
    ConflictError : the key was used for other bytes.
    """
    if upload.repeat:
        earlier = connection.execute(
            sql.select(REPEATS.c.photo_id, REPEATS.c.digest).where(
                REPEATS.c.key_id == upload.key_id, REPEATS.c.token == upload.repeat
            )
        ).one_or_none()
        if earlier is not None:
            if earlier.digest != upload.digest:
                raise ConflictError(
                    "this Idempotency-Key came with another photo", fix="use a new key for a new photo"
                )
            return earlier.photo_id, False
        connection.execute(
            sql.insert(REPEATS).values(
                key_id=upload.key_id,
                token=upload.repeat,
                digest=upload.digest,
                photo_id=upload.id,
                at=upload.received_at,
            )
        )
    row = dict(vars(upload))
    row.pop("repeat")
    _PHOTO.add(connection, [row])
    _JOB.add(
        connection,
        [{"photo_id": upload.id, "owner": owner, "lease_until": lease_until, "tries": 0,
          "created_at": upload.received_at}],
    )  # fmt: skip
    return upload.id, True


def photo_row(connection: sql.Connection, photo_id: str) -> Mapping[str, Any] | None:
    """The row of a photo; None where there is none."""
    row = connection.execute(sql.select(PHOTOS).where(PHOTOS.c.id == photo_id)).one_or_none()
    return None if row is None else dict(row._mapping)


def live_decision(connection: sql.Connection, photo_id: str) -> Mapping[str, Any] | None:
    """The decision that holds; None while there is none."""
    row = connection.execute(
        sql.select(DECISIONS).where(DECISIONS.c.photo_id == photo_id, DECISIONS.c.live)
    ).one_or_none()
    return None if row is None else dict(row._mapping)


def is_wanted(connection: sql.Connection, sha256: str) -> bool:
    """Whether some photo that was not erased has these bytes."""
    return bool(
        connection.execute(
            sql.select(sql.exists().where(PHOTOS.c.sha256 == sha256, PHOTOS.c.erased_at.is_(None)))
        ).scalar()
    )
