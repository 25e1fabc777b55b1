"""Photos that people have confirmed as fakes or genuine references: listed, added by an operator, removed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sql

from assay.decide.match import LISTS
from assay.errors import AssayError
from assay.service.store.photos import photo_row
from assay.service.store.record import append
from assay.service.store.schema import KEYS, PHOTOS, PRINTS, REFERENCES


class NotEnrolledError(AssayError):
    """A photo that cannot be enrolled, or a reference that is not there."""


def list_references(connection: sql.Connection, most: int = 60) -> list[dict[str, Any]]:
    """References that hold, the newest first; ``shown``: whether there is a picture to show."""
    both = REFERENCES.outerjoin(PHOTOS, PHOTOS.c.id == REFERENCES.c.photo_id)
    columns = ("sha256", "list", "item", "photo_id", "added_by", "at")
    rows = connection.execute(
        sql.select(
            *(REFERENCES.c[name] for name in columns), PHOTOS.c.id.label("there"), PHOTOS.c.erased_at, KEYS.c.name
        )
        .select_from(both.outerjoin(KEYS, KEYS.c.id == REFERENCES.c.added_by))
        .where(REFERENCES.c.removed_at.is_(None))
        .order_by(REFERENCES.c.at.desc())
        .limit(most)
    ).all()  # fmt: skip
    return [
        {
            **{name: row._mapping[name] for name in columns},
            "by": row.name or row.added_by,
            "shown": row.there is not None and row.erased_at is None,
        }
        for row in rows
    ]


def add_reference(
    connection: sql.Connection, key: bytes, photo_id: str, kind: str, by: str, at: float
) -> None:
    """Enrol a photo of the service.

    Raises
    ------
    NotEnrolledError : no such photo or list, or the photo was erased.
    """
    photo = photo_row(connection, photo_id)
    if photo is None or photo["erased_at"] is not None:
        raise NotEnrolledError(
            f"there is no photo {photo_id[:40]}", fix="give the id of a photo that was sent"
        )
    if kind not in LISTS:
        raise NotEnrolledError(f"there is no list {kind[:20]!r}", fix=f"choose from {', '.join(LISTS)}")
    prints = connection.execute(sql.select(PRINTS.c.prints).where(PRINTS.c.photo_id == photo_id)).scalar()
    digest = photo["sha256"]
    same = sql.and_(REFERENCES.c.sha256 == digest, REFERENCES.c.list == kind)
    connection.execute(sql.delete(REFERENCES).where(same))
    connection.execute(
        sql.insert(REFERENCES).values(
            sha256=digest, list=kind, item=photo["item"], prints=prints or b"", photo_id=photo_id,
            added_by=by, at=at,
        )
    )  # fmt: skip
    append(connection, key, at, [("enrolment", photo_id, {"sha256": digest, "list": kind, "by": by})])


def remove_reference(
    connection: sql.Connection, key: bytes, digest: str, kind: str, by: str, at: float
) -> None:
    """Take a reference back. Raises NotEnrolledError where there is none that holds."""
    mine = sql.and_(
        REFERENCES.c.sha256 == digest, REFERENCES.c.list == kind, REFERENCES.c.removed_at.is_(None)
    )
    photo_id = connection.execute(sql.select(REFERENCES.c.photo_id).where(mine)).scalar()
    if photo_id is None:
        raise NotEnrolledError("there is no such reference", fix="it may have been removed before")
    connection.execute(sql.update(REFERENCES).where(mine).values(removed_at=at))
    append(connection, key, at, [("removal", photo_id, {"sha256": digest, "list": kind, "by": by})])
