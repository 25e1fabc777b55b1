"""The record: an append-only chain of everything that was decided, in which no change goes unseen.

Each entry holds the code of the one before, and a code (HMAC-SHA256, RFC 2104) over that and its own words, under a key
that lies outside of the database. Who can write to the database and has no key can neither change, insert, reorder nor
take out an entry; taking out the last ones is seen by the anchors, which are kept beside the key, and by the decisions,
each of which names its entry.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from assay.errors import ConfigError
from assay.service.store.database import lock_record
from assay.service.store.prepared import Prepared
from assay.service.store.schema import DECISIONS, RECORD

START = "0" * 64
"""What the first entry has in the place of the one before."""
_AT_ONCE = 2000
_TOLD = ("verdict", "clause", "automatic", "decided_by", "policy", "thresholds")
"""Columns of a decision that its entry repeats."""
_LAST = Prepared(sql.select(RECORD.c.seq, RECORD.c.mac).order_by(RECORD.c.seq.desc()).limit(1))
_ENTRY = Prepared(sql.insert(RECORD))


@dataclass(frozen=True)
class Entry:
    """One entry. ``body`` is JSON, with sorted keys; ``subject`` names the photo, key or version it is about."""

    seq: int
    at: float
    kind: str
    subject: str
    body: str
    previous: str
    mac: str


def append(
    connection: sql.Connection, key: bytes, at: float, entries: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> list[int]:
    """Add (kind, subject, body) to the chain, inside of this transaction; their numbers."""
    lock_record(connection)
    seq, previous = next(iter(_LAST.rows(connection)), (0, START))
    rows = []
    for kind, subject, told in entries:
        seq += 1
        body = json.dumps(told, sort_keys=True, ensure_ascii=False, allow_nan=False)
        mac = code(key, seq, at, kind, subject, body, previous)
        rows.append(
            {
                "seq": seq,
                "at": at,
                "kind": kind,
                "subject": subject,
                "body": body,
                "previous": previous,
                "mac": mac,
            }
        )
        previous = mac
    _ENTRY.add(connection, rows)
    return [row["seq"] for row in rows]


def require_key(connection: sql.Connection, key: bytes, folder: Path) -> None:
    """See that the record may go on with this key, of ``folder``: one chain has one key, however many servers.

    Nobody else adds to it until the end of this transaction.

    Raises
    ------
    ConfigError : its last entry was not written with this key.
    """
    lock_record(connection)
    last = connection.execute(sql.select(RECORD).order_by(RECORD.c.seq.desc()).limit(1)).one_or_none()
    if last is None or not _faults(Entry(**last._mapping), key, last.seq - 1, last.previous):
        return
    raise ConfigError(
        f"the record in this database was not kept with the key in {folder}",
        got=f"its entry {last.seq} does not verify",
        fix="use the folder of the server that began the record, or a copy of its record.key; "
        "where that is the one, `assay verify-record` says what was changed",
    )


def code(key: bytes, seq: int, at: float, kind: str, subject: str, body: str, previous: str) -> str:
    """The code of an entry, in hex."""
    words = json.dumps([seq, repr(at), kind, subject, body, previous], ensure_ascii=False)
    return hmac.new(key, words.encode(), hashlib.sha256).hexdigest()


def read_record(connection: sql.Connection, after: int = 0) -> Iterator[Entry]:
    """All entries in order, in constant memory."""
    while True:
        rows = connection.execute(
            sql.select(RECORD).where(RECORD.c.seq > after).order_by(RECORD.c.seq).limit(_AT_ONCE)
        ).all()
        yield from (Entry(**row._mapping) for row in rows)
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].seq


@dataclass(frozen=True)
class Verdict:
    """What ``verify`` found: how many entries there are, the code of the last, and what is wrong, in words."""

    entries: int
    head: str
    faults: tuple[str, ...]


def verify(
    connection: sql.Connection, key: bytes, anchors: Mapping[int, str] | None = None, most: int = 20
) -> Verdict:
    """Walk the whole chain, and hold the decisions against it; the first ``most`` faults are told.

    ``anchors``: number of an entry -> its code, as kept outside of the database.
    """
    faults: list[str] = []
    kept = dict(anchors or {})
    count, seq, previous = 0, 0, START
    for entry in read_record(connection):
        count += 1
        faults += _faults(entry, key, seq, previous)
        if entry.seq in kept and kept.pop(entry.seq) != entry.mac:
            faults.append(f"entry {entry.seq} is not the one that was anchored: the record was written anew")
        seq, previous = entry.seq, entry.mac
    faults += [
        f"entry {gone} was anchored and is gone: the end of the record was cut off" for gone in sorted(kept)
    ]
    faults += [*_decision_faults(connection), *_gone_decisions(connection), *_wrongly_live(connection)]
    return Verdict(count, previous, tuple(faults[:most]))


def _faults(entry: Entry, key: bytes, seq: int, previous: str) -> list[str]:
    if entry.seq != seq + 1:
        return [f"entry {seq + 1} is missing: the next one is {entry.seq}"]
    if entry.previous != previous:
        return [f"entry {entry.seq} does not follow entry {seq}: one was taken out, put in or moved"]
    wanted = code(key, entry.seq, entry.at, entry.kind, entry.subject, entry.body, entry.previous)
    if not hmac.compare_digest(wanted, entry.mac):
        return [f"entry {entry.seq} ({entry.kind} of {entry.subject}) was changed"]
    return []


def _decision_faults(connection: sql.Connection) -> Iterator[str]:
    """Decisions that the record does not know, or knows otherwise."""
    erased = set(connection.execute(sql.select(RECORD.c.subject).where(RECORD.c.kind == "erasure")).scalars())
    names = ("id", "photo_id", "body", "seq", "at", *_TOLD)
    both = DECISIONS.outerjoin(RECORD, sql.and_(RECORD.c.seq == DECISIONS.c.seq, RECORD.c.kind == "decision"))
    asked = sql.select(
        *(DECISIONS.c[name] for name in names), RECORD.c.body.label("told"), RECORD.c.at.label("told_at")
    ).select_from(both)
    after = ""
    while True:
        rows = connection.execute(
            asked.where(DECISIONS.c.id > after).order_by(DECISIONS.c.id).limit(_AT_ONCE)
        ).all()
        for row in rows:
            after = row.id
            if row.told is None:
                yield f"decision {row.id} of photo {row.photo_id} has no entry in the record"
                continue
            told = _read(row.told)
            is_erased = row.body == "" and row.photo_id in erased
            same_body = is_erased or told.get("body") == body_digest(row.body)
            known = [told.get(name) for name in ("decision", "photo", *_TOLD)]
            is_same = known == [row.id, row.photo_id, *(getattr(row, name) for name in _TOLD)]
            if not same_body or not is_same or row.at != row.told_at:
                yield f"decision {row.id} of photo {row.photo_id} is not what entry {row.seq} says"
        if len(rows) < _AT_ONCE:
            return


def _read(body: str) -> dict[str, Any]:
    """The words of an entry, which may have been changed to anything."""
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _wrongly_live(connection: sql.Connection) -> Iterator[str]:
    """Photos whose live decision is not their latest one."""
    latest = sql.select(DECISIONS.c.photo_id, sql.func.max(DECISIONS.c.seq).label("seq")).group_by(
        DECISIONS.c.photo_id
    )
    last = latest.subquery()
    wrong = (
        sql.select(DECISIONS.c.photo_id, DECISIONS.c.id)
        .join(last, last.c.photo_id == DECISIONS.c.photo_id)
        .where(DECISIONS.c.live != (DECISIONS.c.seq == last.c.seq))
    )
    for row in connection.execute(wrong):
        yield f"decision {row.id} of photo {row.photo_id} is live and should not be, or the other way round"


def _gone_decisions(connection: sql.Connection) -> Iterator[str]:
    gone = (
        sql.select(RECORD.c.seq, RECORD.c.subject)
        .where(RECORD.c.kind == "decision")
        .where(~sql.exists().where(DECISIONS.c.seq == RECORD.c.seq))
        .order_by(RECORD.c.seq)
    )
    for row in connection.execute(gone):
        yield f"the decision of entry {row.seq}, of photo {row.subject}, is gone"


def body_digest(body: str) -> str:
    """SHA-256 of a decision's body, in hex: the record names it, so that erasing a photo leaves the chain whole."""
    return hashlib.sha256(body.encode()).hexdigest()
