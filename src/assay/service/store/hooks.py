"""Webhooks from an outbox: what is to be told is written in the transaction that made it true, and sent afterwards."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sql

from assay.service.store.ids import new_id
from assay.service.store.prepared import Prepared
from assay.service.store.record import append
from assay.service.store.schema import HOOKS, OUTBOX

_HOOKS = Prepared(sql.select(HOOKS.c.id).where(HOOKS.c.stopped_at.is_(None)))
MOST_TRIES = 12
"""With doubling pauses from 2 s on, the last try comes after more than an hour."""


@dataclass(frozen=True)
class Letter:
    """One call to make."""

    id: str
    url: str
    secret: str
    body: str
    tries: int


def add_hook(connection: sql.Connection, secret: bytes, at: float, by: str, url: str) -> tuple[str, str]:
    """(id, words) of a new webhook; the words, with which its letters are signed, are told this once.

    Parameters
    ----------
    secret : the record's key. by : the key of who adds it. url : as ``letters.require_hook`` allows it.
    """
    name, words = new_id("h"), secrets.token_urlsafe(32)
    connection.execute(sql.insert(HOOKS).values(id=name, url=url, secret=words, created_at=at))
    told = {
        "webhook": name,
        "host": urlsplit(url).hostname,
        "url_sha256": hashlib.sha256(url.encode()).hexdigest(),
    }
    append(
        connection, secret, at, [("webhook", name, {**told, "by": by})]
    )  # a path may be a secret of its own
    return name, words


def stop_hook(connection: sql.Connection, secret: bytes, at: float, by: str, name: str) -> bool:
    """Letters that wait for it are not sent any more; False where there is none that is told anything."""
    mine = sql.and_(HOOKS.c.id == name, HOOKS.c.stopped_at.is_(None))
    if not connection.execute(sql.update(HOOKS).where(mine).values(stopped_at=at)).rowcount:
        return False
    append(connection, secret, at, [("webhook stopped", name, {"webhook": name, "by": by})])
    return True


def announce(connection: sql.Connection, at: float, decisions: Iterable[Mapping[str, Any]]) -> None:
    """Put a letter for every webhook into the outbox, for each of these decisions."""
    hooks = [row[0] for row in _HOOKS.rows(connection)]
    if not hooks:
        return
    letters = []
    for row in decisions:
        told = {"event": "decision", "photo": row["photo_id"], "decision": row["id"], "verdict": row["verdict"],
                "clause": row["clause"], "automatic": row["automatic"], "at": at}  # fmt: skip
        body = json.dumps(told, sort_keys=True)
        letters += [
            {"id": new_id("w"), "hook_id": hook, "body": body, "tries": 0, "next_at": at, "created_at": at,
             "failure": "", "state": "waiting"}
            for hook in hooks
        ]  # fmt: skip
    if letters:
        connection.execute(sql.insert(OUTBOX), letters)


def due(connection: sql.Connection, now: float, hold_until: float, most: int = 50) -> list[Letter]:
    """Letters to send now; they are held back from other senders until ``hold_until``."""
    both = OUTBOX.join(HOOKS, HOOKS.c.id == OUTBOX.c.hook_id)
    rows = connection.execute(
        sql.select(OUTBOX.c.id, HOOKS.c.url, HOOKS.c.secret, OUTBOX.c.body, OUTBOX.c.tries)
        .select_from(both)
        .where(OUTBOX.c.state == "waiting", OUTBOX.c.next_at <= now, HOOKS.c.stopped_at.is_(None))
        .order_by(OUTBOX.c.next_at)
        .limit(most)
    ).all()
    if rows:
        held = OUTBOX.c.id.in_([row.id for row in rows])
        connection.execute(sql.update(OUTBOX).where(held).values(next_at=hold_until))
    return [Letter(*row) for row in rows]


def sent(connection: sql.Connection, letter: Letter, failure: str, now: float) -> None:
    """Note how sending went; an empty ``failure`` is success."""
    tries = letter.tries + 1
    if not failure:
        state, again = "sent", now
    else:
        state, again = (
            ("given up", now) if tries >= MOST_TRIES else ("waiting", now + min(3600.0, 2.0**tries))
        )
    connection.execute(
        sql.update(OUTBOX)
        .where(OUTBOX.c.id == letter.id)
        .values(state=state, tries=tries, next_at=again, failure=failure[:500])
    )


def hook_rows(connection: sql.Connection) -> list[dict[str, Any]]:
    """All webhooks that are not stopped, without their secrets, with how many letters wait and were given up."""
    count = sql.func.count
    waits = count(sql.case((OUTBOX.c.state == "waiting", 1))).label("waiting")
    lost = count(sql.case((OUTBOX.c.state == "given up", 1))).label("given_up")
    rows = connection.execute(
        sql.select(HOOKS.c.id, HOOKS.c.url, HOOKS.c.created_at, waits, lost)
        .select_from(HOOKS.outerjoin(OUTBOX, OUTBOX.c.hook_id == HOOKS.c.id))
        .where(HOOKS.c.stopped_at.is_(None))
        .group_by(HOOKS.c.id, HOOKS.c.url, HOOKS.c.created_at)
        .order_by(HOOKS.c.created_at)
    )
    return [dict(row._mapping) for row in rows]


def signature(secret: str, at: int, body: str) -> str:
    """The header ``Assay-Signature``: the time, and HMAC-SHA256 over time and body, in hex."""
    mac = hmac.new(secret.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"
