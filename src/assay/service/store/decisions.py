"""Keeping a decision: the job goes, the verdict comes, the record grows, people and webhooks are told, all at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from assay.service.store.hooks import announce
from assay.service.store.ids import new_id
from assay.service.store.prepared import Prepared
from assay.service.store.record import append, body_digest
from assay.service.store.schema import DECISIONS, JOBS, PRINTS, TASKS

if TYPE_CHECKING:
    from assay.decide.decision import Decision

_DECISION, _PRINTS, _TASK = (Prepared(sql.insert(table)) for table in (DECISIONS, PRINTS, TASKS))
_GONE = Prepared(
    sql.delete(JOBS)
    .where(JOBS.c.photo_id == sql.bindparam("photo"), JOBS.c.owner == sql.bindparam("whose"))
    .returning(JOBS.c.photo_id)
)
MACHINE = "machine"
"""Who decided, where no person did."""


@dataclass(frozen=True)
class Decided:
    """A decision of the machine, ready to be kept.

    ``value`` is what a person's look is worth (more comes first), ``alike`` joins copies into one job; ``double``
    wants a second look by another person; ``prints`` are the photo's, b"" where there are none.
    """

    photo_id: str
    decision: Decision
    models: dict[str, str]
    value: float = 0.0
    alike: str = ""
    double: bool = False
    prints: bytes = b""


def keep(
    connection: sql.Connection, owner: str, key: bytes, at: float, decided: Sequence[Decided]
) -> list[dict[str, Any] | None]:
    """Keep decisions of jobs that ``owner`` has; their rows. None for a job that somebody else took over meanwhile."""
    kept = [one for one in decided if _GONE.rows(connection, photo=one.photo_id, whose=owner)]
    if not kept:
        return [None] * len(decided)
    rows, entries = [], []
    for one in kept:
        row, entry = _row(one, at)
        rows.append(row)
        entries.append(entry)
    for row, seq in zip(rows, append(connection, key, at, entries), strict=True):
        row["seq"] = seq
    _DECISION.add(connection, rows)
    if prints := [{"photo_id": one.photo_id, "prints": one.prints} for one in kept if one.prints]:
        _PRINTS.add(connection, prints)
    if tasks := [task for one in kept for task in _tasks(one, at)]:
        _TASK.add(connection, tasks)
    announce(connection, at, rows)
    by_photo = {row["photo_id"]: row for row in rows}
    return [by_photo.get(one.photo_id) for one in decided]


def supersede(
    connection: sql.Connection,
    key: bytes,
    at: float,
    photo_id: str,
    decision: dict[str, Any],
    reason: dict[str, Any],
) -> str:
    """Put a new live decision in the place of the old one, as a person or a re-scan wants it; its id.

    ``decision`` has verdict, clause, automatic, decided_by and body (plain values); ``reason`` goes into the record.
    """
    old = connection.execute(
        sql.select(DECISIONS).where(DECISIONS.c.photo_id == photo_id, DECISIONS.c.live)
    ).one_or_none()
    connection.execute(sql.update(DECISIONS).where(DECISIONS.c.photo_id == photo_id).values(live=False))
    body = json.dumps(decision["body"], sort_keys=True, ensure_ascii=False)
    row = {
        "id": new_id("d"), "photo_id": photo_id, "live": True, "verdict": decision["verdict"],
        "clause": decision["clause"], "automatic": decision["automatic"], "audited": False, "kind": "",
        "decided_by": decision["decided_by"], "policy": "" if old is None else old.policy,
        "thresholds": "" if old is None else old.thresholds, "body": body, "at": at,
    }  # fmt: skip
    told = {**_told(row), "instead_of": None if old is None else old.id, **reason}
    row["seq"] = append(connection, key, at, [("decision", photo_id, told)])[0]
    connection.execute(sql.insert(DECISIONS), [row])
    announce(connection, at, [row])
    return str(row["id"])


def _row(one: Decided, at: float) -> tuple[dict[str, Any], tuple[str, str, dict[str, Any]]]:
    decision = one.decision
    body = json.dumps(decision.to_dict(), sort_keys=True, ensure_ascii=False)
    row = {
        "id": new_id("d"), "photo_id": one.photo_id, "live": True, "verdict": decision.verdict,
        "clause": decision.clause, "automatic": decision.automatic, "audited": decision.audited,
        "kind": "" if decision.proposed is None else decision.proposed.kind, "decided_by": MACHINE,
        "policy": decision.policy, "thresholds": decision.thresholds, "body": body, "at": at,
    }  # fmt: skip
    return row, ("decision", one.photo_id, {**_told(row), "models": one.models})


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """What the record says of a decision."""
    return {
        "decision": row["id"], "photo": row["photo_id"], "verdict": row["verdict"], "clause": row["clause"],
        "automatic": row["automatic"], "decided_by": row["decided_by"], "policy": row["policy"],
        "thresholds": row["thresholds"], "body": body_digest(row["body"]),
    }  # fmt: skip


def _tasks(one: Decided, at: float) -> list[dict[str, Any]]:
    """The looks by people that a decision wants."""
    whys = [
        why
        for why, wanted in (("review", one.decision.verdict == "review"), ("audit", one.decision.audited))
        if wanted
    ]
    if whys and one.double:
        whys.append("double")
    return [
        {
            "id": new_id("t"),
            "photo_id": one.photo_id,
            "why": why,
            "blind": why != "review",
            "state": "open",
            "value": one.value - (0.1 if why == "double" else 0.0),
            "alike": one.alike or one.photo_id,
            "leased_by": "",
            "lease_until": 0.0,
            "not_by": "",
            "created_at": at,
        }
        for why in whys
    ]
