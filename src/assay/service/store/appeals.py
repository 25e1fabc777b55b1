"""Appeals: a seller asks for another look, once for each decision; it goes to somebody else than who decided."""

from __future__ import annotations

import sqlalchemy as sql

from assay.errors import AssayError
from assay.service.store.decisions import MACHINE
from assay.service.store.ids import new_id
from assay.service.store.photos import live_decision
from assay.service.store.record import append
from assay.service.store.reviews import open_task
from assay.service.store.schema import APPEALS

MOST_LETTERS = 2000


class NoAppealError(AssayError):
    """There is nothing to appeal against, or it was done before."""


def appeal(connection: sql.Connection, key: bytes, photo_id: str, text: str, at: float) -> str:
    """Open an appeal against the live decision of a photo; its id.

    Raises
    ------
    NoAppealError : the photo has no decision yet, was accepted, or this decision was appealed against before.
    """
    live = live_decision(connection, photo_id)
    if live is None:
        raise NoAppealError("there is no decision on this photo yet", fix="wait for it")
    if live["verdict"] in ("accept", "review"):
        raise NoAppealError(
            f"the photo's verdict is {live['verdict']}",
            fix="only reject and resubmit can be appealed against",
        )
    asked = sql.select(APPEALS.c.id).where(APPEALS.c.decision_id == live["id"])
    if connection.execute(asked).first() is not None:
        raise NoAppealError("this decision was appealed against before", fix="wait for the answer")
    name = new_id("ap")
    connection.execute(
        sql.insert(APPEALS).values(
            id=name, photo_id=photo_id, decision_id=live["id"], text=text[:MOST_LETTERS], state="open", at=at
        )
    )
    decider = "" if live["decided_by"] == MACHINE else live["decided_by"]
    open_task(connection, photo_id, "appeal", at, not_by=decider)
    append(connection, key, at, [("appeal", photo_id, {"appeal": name, "decision": live["id"]})])
    return name
