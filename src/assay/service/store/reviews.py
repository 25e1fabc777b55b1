"""The reviewers' queue: leases, answers with ten seconds to take them back, and what an answer does once it is final.

Nobody is given a photo that another one looks at, nor one that they answered before: a second look, an audit or an
appeal goes to somebody else. Copies of one photo are one job, whose answer holds for all of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from assay.errors import AssayError
from assay.service.store.ids import new_id
from assay.service.store.schema import ANSWERS, DECISIONS, PHOTOS, TASKS

LEASE_S = 180.0
"""How long a photo is one reviewer's; a page that is open renews it."""
HOLD_S = 10.0
"""How long an answer can be taken back."""
AGEING_PER_HOUR = 0.5
"""What waiting an hour adds to a task's value, so that none waits for ever."""
ANSWERS_GIVEN = ("accept", "reject", "resubmit")


class NotYoursError(AssayError):
    """The task is somebody else's, was answered, or there is none."""


@dataclass(frozen=True)
class Task:
    """A photo for a reviewer. ``blind``: what the machine said must not be shown. ``copies`` of it wait too."""

    id: str
    photo_id: str
    why: str
    blind: bool
    lease_until: float
    copies: int
    waited_s: float


@dataclass(frozen=True)
class Answer:
    """What a reviewer says. ``truth``: question -> right answer, as far as they said; ``fake``: a confirmed fake."""

    verdict: str
    clause: str
    truth: Mapping[str, str]
    fake: bool = False
    note: str = ""


def next_tasks(
    connection: sql.Connection, reviewer: str, now: float, most: int = 3, lease_s: float = LEASE_S
) -> list[Task]:
    """Lease the most valuable tasks to a reviewer; those that are theirs already come first."""
    mine = sql.and_(TASKS.c.leased_by == reviewer, TASKS.c.lease_until > now)
    worth = TASKS.c.value + (now - TASKS.c.created_at) / 3600.0 * AGEING_PER_HOUR
    other, given = TASKS.alias("other"), ANSWERS.alias("given")
    seen = sql.exists().where(
        given.c.photo_id == TASKS.c.photo_id, given.c.reviewer == reviewer, given.c.state != "undone"
    )
    looked_at = sql.exists().where(
        other.c.alike == TASKS.c.alike,
        other.c.id != TASKS.c.id,
        other.c.state == "open",
        other.c.lease_until > now,
        other.c.leased_by != "",
    )
    free = sql.and_(TASKS.c.lease_until <= now, ~looked_at)
    rows = connection.execute(
        sql.select(TASKS)
        .where(TASKS.c.state == "open", TASKS.c.not_by != reviewer, sql.or_(mine, free), ~seen)
        .order_by(sql.case((mine, 0), else_=1), worth.desc(), TASKS.c.id)
        .limit(4 * most)
    ).all()
    chosen: dict[str, Any] = {}
    for row in rows:
        if len(chosen) < most:
            chosen.setdefault(row.alike, row)
    until = now + lease_s
    taken = TASKS.c.id.in_([row.id for row in chosen.values()])
    connection.execute(sql.update(TASKS).where(taken).values(leased_by=reviewer, lease_until=until))
    return [_task(connection, row, until, now) for row in chosen.values()]


def _task(connection: sql.Connection, row: Any, until: float, now: float) -> Task:
    alike = sql.and_(
        TASKS.c.alike == row.alike, TASKS.c.why == row.why, TASKS.c.state == "open", TASKS.c.id != row.id
    )
    copies = connection.execute(sql.select(sql.func.count()).where(alike)).scalar() or 0
    return Task(row.id, row.photo_id, row.why, row.blind, until, int(copies), now - row.created_at)


def renew_lease(
    connection: sql.Connection, reviewer: str, task_id: str, now: float, lease_s: float = LEASE_S
) -> bool:
    """Keep a task; False where it is no longer theirs."""
    mine = sql.and_(TASKS.c.id == task_id, TASKS.c.leased_by == reviewer, TASKS.c.state == "open")
    return bool(connection.execute(sql.update(TASKS).where(mine).values(lease_until=now + lease_s)).rowcount)


def give_back(connection: sql.Connection, reviewer: str, task_id: str) -> bool:
    """Skip: somebody else may have it; for this reviewer it comes last."""
    mine = sql.and_(TASKS.c.id == task_id, TASKS.c.leased_by == reviewer, TASKS.c.state == "open")
    free = {"leased_by": "", "lease_until": 0.0, "value": TASKS.c.value - 1.0}
    return bool(connection.execute(sql.update(TASKS).where(mine).values(**free)).rowcount)


def answer(
    connection: sql.Connection, reviewer: str, task_id: str, given: Answer, now: float, hold_s: float = HOLD_S
) -> str:
    """Keep an answer, to be taken back for ``hold_s``; its id.

    Raises
    ------
    NotYoursError : the task is not leased to this reviewer.
    """
    row = connection.execute(sql.select(TASKS).where(TASKS.c.id == task_id)).one_or_none()
    if row is None or row.state != "open" or row.leased_by != reviewer or row.lease_until <= now:
        raise NotYoursError(
            "this photo is no longer yours",
            got="the lease ran out, or it was answered",
            fix="take the next one",
        )
    live = connection.execute(
        sql.select(DECISIONS.c.verdict).where(DECISIONS.c.photo_id == row.photo_id, DECISIONS.c.live)
    ).scalar()
    name = new_id("a")
    connection.execute(
        sql.insert(ANSWERS).values(
            id=name,
            task_id=task_id,
            photo_id=row.photo_id,
            reviewer=reviewer,
            verdict=given.verdict,
            clause=given.clause,
            truth=json.dumps(dict(given.truth), sort_keys=True, ensure_ascii=False),
            fake=given.fake,
            note=given.note,
            machine=live or "",
            at=now,
            final_at=now + hold_s,
            state="held",
            seconds=max(0.0, now - (row.lease_until - LEASE_S)),
        )
    )
    connection.execute(sql.update(TASKS).where(TASKS.c.id == task_id).values(state="held"))
    return name


def undo(connection: sql.Connection, reviewer: str, now: float, lease_s: float = LEASE_S) -> str | None:
    """Take back the reviewer's latest answer that is still held; the id of its task, None where there is none."""
    row = connection.execute(
        sql.select(ANSWERS)
        .where(ANSWERS.c.reviewer == reviewer, ANSWERS.c.state == "held", ANSWERS.c.final_at > now)
        .order_by(ANSWERS.c.at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    connection.execute(sql.update(ANSWERS).where(ANSWERS.c.id == row.id).values(state="undone"))
    again = {"state": "open", "leased_by": reviewer, "lease_until": now + lease_s}
    connection.execute(sql.update(TASKS).where(TASKS.c.id == row.task_id).values(**again))
    return str(row.task_id)


def ripe(connection: sql.Connection, now: float, most: int = 100) -> Sequence[Mapping[str, Any]]:
    """Answers that can no longer be taken back and have had no effect yet, each with the ``why`` of its task."""
    both = ANSWERS.join(TASKS, TASKS.c.id == ANSWERS.c.task_id)
    rows = connection.execute(
        sql.select(ANSWERS, TASKS.c.why, TASKS.c.alike)
        .select_from(both)
        .where(ANSWERS.c.state == "held", ANSWERS.c.final_at <= now)
        .order_by(ANSWERS.c.final_at)
        .limit(most)
    ).all()
    return [dict(row._mapping) for row in rows]


def copies_of(connection: sql.Connection, task: Mapping[str, Any]) -> list[Any]:
    """Open review tasks of copies, which the answer holds for too."""
    if task["why"] != "review":
        return []
    alike = sql.and_(
        TASKS.c.alike == task["alike"],
        TASKS.c.why == "review",
        TASKS.c.state == "open",
        TASKS.c.id != task["task_id"],
    )
    return list(connection.execute(sql.select(TASKS.c.id, TASKS.c.photo_id).where(alike)))


def close_task(connection: sql.Connection, task_id: str) -> None:
    """Nobody needs to look any more."""
    connection.execute(sql.update(TASKS).where(TASKS.c.id == task_id).values(state="done"))


def open_task(
    connection: sql.Connection, photo_id: str, why: str, at: float, *, not_by: str = "", value: float = 5.0
) -> str:
    """A further look at a photo that was decided: an appeal, or a tie of two reviewers."""
    name = new_id("t")
    connection.execute(
        sql.insert(TASKS).values(
            id=name,
            photo_id=photo_id,
            why=why,
            blind=True,
            state="open",
            value=value,
            alike=name,
            leased_by="",
            lease_until=0.0,
            not_by=not_by,
            created_at=at,
        )
    )
    return name


def queue_size(connection: sql.Connection, now: float) -> dict[str, Any]:
    """How many tasks of each kind wait, and for how long the oldest does."""
    rows = connection.execute(
        sql.select(TASKS.c.why, sql.func.count(), sql.func.min(TASKS.c.created_at))
        .where(TASKS.c.state == "open")
        .group_by(TASKS.c.why)
    ).all()
    return {why: {"open": count, "oldest_s": round(max(0.0, now - first), 1)} for why, count, first in rows}


def earlier_of_sender(
    connection: sql.Connection, sender: str, photo_id: str, most: int = 12
) -> list[Mapping[str, Any]]:
    """The sender's other photos, the newest first: photo_id, verdict, clause, at."""
    if not sender:
        return []
    both = PHOTOS.join(DECISIONS, sql.and_(DECISIONS.c.photo_id == PHOTOS.c.id, DECISIONS.c.live))
    rows = connection.execute(
        sql.select(PHOTOS.c.id.label("photo_id"), DECISIONS.c.verdict, DECISIONS.c.clause, DECISIONS.c.at)
        .select_from(both)
        .where(PHOTOS.c.sender == sender, PHOTOS.c.id != photo_id, PHOTOS.c.erased_at.is_(None))
        .order_by(PHOTOS.c.received_at.desc())
        .limit(most)
    ).all()
    return [dict(row._mapping) for row in rows]
