"""All that happened to one photo: its decisions, appeals and entries of the record; and the latest photos of a key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from assay.service.store.photos import live_decision
from assay.service.store.schema import APPEALS, DECISIONS, KEYS, PHOTOS, RECORD

if TYPE_CHECKING:
    from assay.decide.policy import Policy


def latest_of_key(connection: sql.Connection, key_id: str, most: int = 8) -> list[tuple[Any, Any]]:
    """(photo, its live decision) that this key sent last."""
    rows = connection.execute(
        sql.select(PHOTOS)
        .where(PHOTOS.c.key_id == key_id, PHOTOS.c.erased_at.is_(None))
        .order_by(PHOTOS.c.received_at.desc(), PHOTOS.c.id.desc())
        .limit(most)
    ).all()
    return [(row._mapping, live_decision(connection, row.id)) for row in rows]


def story(connection: sql.Connection, policy: Policy, photo_id: str, language: str) -> dict[str, Any]:
    """Decisions (the newest first), appeals, entries of the record, and names of the keys that occur."""
    decisions = []
    rows = connection.execute(
        sql.select(DECISIONS).where(DECISIONS.c.photo_id == photo_id).order_by(DECISIONS.c.seq.desc())
    ).all()
    for row in rows:
        body = json.loads(row.body) if row.body else {}
        decisions.append(
            {**row._mapping, "words": policy.words(row.clause, language), "why": body.get("why", "")}
        )
    appeals = connection.execute(
        sql.select(APPEALS).where(APPEALS.c.photo_id == photo_id).order_by(APPEALS.c.at.desc())
    ).all()
    entries = connection.execute(
        sql.select(RECORD).where(RECORD.c.subject == photo_id).order_by(RECORD.c.seq)
    ).all()
    return {
        "decisions": decisions,
        "appeals": [row._mapping for row in appeals],
        "entries": [row._mapping for row in entries],
        "people": {row.id: row.name for row in connection.execute(sql.select(KEYS.c.id, KEYS.c.name))},
    }


def last_appeal(connection: sql.Connection, decision_id: str) -> Any:
    """The appeal against a decision; None where there is none."""
    row = connection.execute(sql.select(APPEALS).where(APPEALS.c.decision_id == decision_id)).one_or_none()
    return None if row is None else row._mapping
