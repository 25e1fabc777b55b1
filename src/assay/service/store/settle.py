"""What people's answers do once they can no longer be taken back.

A review decides. An audit is held against the machine's verdict: the monitor counts it, and where it was wrong the
person's verdict holds. Two reviewers who disagree get a third. An appeal decides anew. A confirmed fake is enrolled, so
that its copies are known from now on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sql

from assay.service.store.decisions import MACHINE, supersede
from assay.service.store.photos import live_decision, photo_row
from assay.service.store.reviews import close_task, copies_of, open_task, ripe
from assay.service.store.schema import ANSWERS, APPEALS, PRINTS, REFERENCES

Audited = Callable[[sql.Connection, Mapping[str, Any], bool], None]
"""(connection, the machine's decision, whether it was right): the monitor's turn, in the same transaction."""


@dataclass
class Settled:
    """What was done: ids of photos with a new decision, and of confirmed fakes."""

    answers: int = 0
    decided: list[str] = field(default_factory=list)
    fakes: list[str] = field(default_factory=list)


def settle(connection: sql.Connection, key: bytes, now: float, on_audit: Audited, most: int = 100) -> Settled:
    """Give effect to answers that are final by now, in this transaction."""
    done = Settled()
    for given in ripe(connection, now, most):
        final = sql.update(ANSWERS).where(ANSWERS.c.id == given["id"], ANSWERS.c.state == "held")
        if not connection.execute(final.values(state="final")).rowcount:
            continue  # another server was faster
        done.answers += 1
        close_task(connection, given["task_id"])
        if _is_erased(connection, given["photo_id"]):
            continue
        _EFFECTS[given["why"]](connection, key, now, given, on_audit, done)
        if given["fake"]:
            _enrol_fake(connection, given, now)
            done.fakes.append(given["photo_id"])
    return done


def _is_erased(connection: sql.Connection, photo_id: str) -> bool:
    photo = photo_row(connection, photo_id)
    return photo is None or photo["erased_at"] is not None


def _review(
    connection: sql.Connection,
    key: bytes,
    now: float,
    given: Mapping[str, Any],
    on_audit: Audited,
    done: Settled,
) -> None:
    del on_audit
    _decide(connection, key, now, given["photo_id"], given, done)
    for copy in copies_of(connection, given):
        close_task(connection, copy.id)
        _decide(connection, key, now, copy.photo_id, given, done)
    _compare(connection, given, now)


def _audit(
    connection: sql.Connection,
    key: bytes,
    now: float,
    given: Mapping[str, Any],
    on_audit: Audited,
    done: Settled,
) -> None:
    live = live_decision(connection, given["photo_id"])
    if live is None or live["decided_by"] != MACHINE:
        return  # an appeal was faster: no verdict of the machine is left to be held against
    right = given["verdict"] == live["verdict"]
    on_audit(connection, live, right)
    if not right:
        _decide(connection, key, now, given["photo_id"], given, done)


def _double(
    connection: sql.Connection,
    key: bytes,
    now: float,
    given: Mapping[str, Any],
    on_audit: Audited,
    done: Settled,
) -> None:
    del key, on_audit, done
    _compare(connection, given, now)


def _last_word(
    connection: sql.Connection,
    key: bytes,
    now: float,
    given: Mapping[str, Any],
    on_audit: Audited,
    done: Settled,
) -> None:
    """A tie or an appeal."""
    del on_audit
    before = live_decision(connection, given["photo_id"])
    _decide(connection, key, now, given["photo_id"], given, done)
    if given["why"] == "appeal":
        changed = before is None or before["verdict"] != given["verdict"]
        mine = sql.and_(APPEALS.c.photo_id == given["photo_id"], APPEALS.c.state == "open")
        state = {"state": "changed" if changed else "upheld", "answered_at": now}
        connection.execute(sql.update(APPEALS).where(mine).values(**state))


_EFFECTS = {"review": _review, "audit": _audit, "double": _double, "tie": _last_word, "appeal": _last_word}


def _compare(connection: sql.Connection, given: Mapping[str, Any], now: float) -> None:
    """Two final answers that differ want a third reviewer."""
    rows = connection.execute(
        sql.select(ANSWERS.c.reviewer, ANSWERS.c.verdict).where(
            ANSWERS.c.photo_id == given["photo_id"], ANSWERS.c.state == "final"
        )
    ).all()
    if len(rows) == 2 and rows[0].verdict != rows[1].verdict:
        open_task(connection, given["photo_id"], "tie", now)


def _decide(
    connection: sql.Connection, key: bytes, now: float, photo_id: str, given: Mapping[str, Any], done: Settled
) -> None:
    body = {
        "verdict": given["verdict"],
        "clause": given["clause"],
        "why": given["why"],
        "answer": given["id"],
        "truth": given["truth"],
        "fake": given["fake"],
    }
    decision = {
        "verdict": given["verdict"],
        "clause": given["clause"],
        "automatic": False,
        "decided_by": given["reviewer"],
        "body": body,
    }
    supersede(connection, key, now, photo_id, decision, {"why": given["why"], "answer": given["id"]})
    done.decided.append(photo_id)


def _enrol_fake(connection: sql.Connection, given: Mapping[str, Any], now: float) -> None:
    photo = photo_row(connection, given["photo_id"])
    if photo is None or photo["erased_at"] is not None:
        return
    prints = connection.execute(sql.select(PRINTS.c.prints).where(PRINTS.c.photo_id == photo["id"])).scalar()
    same = sql.and_(REFERENCES.c.sha256 == photo["sha256"], REFERENCES.c.list == "fake")
    connection.execute(sql.delete(REFERENCES).where(same))
    connection.execute(
        sql.insert(REFERENCES).values(
            sha256=photo["sha256"],
            list="fake",
            item=photo["item"],
            prints=prints or b"",
            photo_id=photo["id"],
            added_by=given["reviewer"],
            at=now,
        )
    )
