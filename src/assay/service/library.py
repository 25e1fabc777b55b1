"""Edited copies of enrolled photos: those of the policy's file, and what was confirmed while the server runs.

Answerers see no prints, so they match by bytes and by what a network sees; here copies are found by their prints.

A fake is known to this server some seconds after it was confirmed. Copies that were accepted before are looked for at
once, and go to people.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sql

from assay.decide.frames import SIDE
from assay.decide.prints import Prints
from assay.decide.references import Reference, References, read_references
from assay.service.store.photos import live_decision
from assay.service.store.record import append
from assay.service.store.reviews import open_task
from assay.service.store.schema import DECISIONS, PHOTOS, PRINTS, REFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assay.decide.evidence import Evidence
    from assay.decide.policy import Policy

_AT_ONCE = 5000
_FLAT = Prints(np.zeros((SIDE, SIDE), np.uint8))
"""Of a photo whose prints are not known: without structure, so it is found by its digest alone."""


class Library:
    """References of live policies, and confirmed photos. ``matched`` may be called from any thread."""

    def __init__(self) -> None:
        self._files: dict[str, References] = {}
        self._confirmed = References()
        self._seen: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._seen) + sum(len(one) for one in self._files.values())

    def open(self, policy: Policy) -> None:
        """Read a policy's file of references, if it has one. Raises PolicyError where it is damaged."""
        place = policy.references_path
        if place is not None and place.exists():
            self._files[policy.digest] = read_references(place)

    def matched(self, policy: Policy, evidence: Evidence, prints: bytes, item: str) -> Evidence:
        """The evidence with the copies that its prints find, and confirmed photos with the same bytes."""
        if evidence.error is not None or policy.matching is None:
            return evidence
        seen = Prints.from_bytes(prints) if prints else None
        kinds = [
            one for one in (self._files.get(policy.digest), self._confirmed) if one is not None and len(one)
        ]
        found = [match for one in kinds for match in one.match(evidence.photo, seen, None, item or None)]
        known = {(one.list, one.way, one.reference) for one in evidence.matches}
        more = tuple(one for one in found if (one.list, one.way, one.reference) not in known)
        return replace(evidence, matches=(*evidence.matches, *more)) if more else evidence

    def refresh(self, connection: sql.Connection) -> list[Reference]:
        """Take up what was confirmed or removed since; the new ones."""
        rows = connection.execute(sql.select(REFERENCES)).all()
        new: list[Reference] = []
        for row in rows:
            if row.removed_at is not None:
                if self._seen.pop(row.sha256, None) is not None:
                    self._confirmed.remove(row.sha256)
            elif row.sha256 not in self._seen:
                reference = Reference(row.sha256, row.list, row.item or None)
                self._confirmed.add(reference, _prints(row.prints) if row.prints else _FLAT)
                self._seen[row.sha256] = row.at
                new.append(reference)
        return new


def _prints(kept: bytes) -> Prints:
    """As they lie in the database: compressed, for they are small grey pictures."""
    return Prints.from_bytes(zlib.decompress(kept))


def copies_among_accepted(connection: sql.Connection, sha256: str) -> Iterator[Any]:
    """Accepted photos that show the same as this confirmed fake: (photo_id, match)."""
    fake = connection.execute(
        sql.select(REFERENCES).where(REFERENCES.c.sha256 == sha256, REFERENCES.c.removed_at.is_(None))
    ).first()
    if fake is None or not fake.prints:
        return
    alone = References()
    alone.add(Reference(fake.sha256, fake.list, fake.item or None), _prints(fake.prints))
    both = PHOTOS.join(DECISIONS, sql.and_(DECISIONS.c.photo_id == PHOTOS.c.id, DECISIONS.c.live)).join(
        PRINTS, PRINTS.c.photo_id == PHOTOS.c.id
    )
    after = ""
    while True:
        rows = connection.execute(
            sql.select(PHOTOS.c.id, PHOTOS.c.sha256, PRINTS.c.prints)
            .select_from(both)
            .where(DECISIONS.c.verdict == "accept", PHOTOS.c.id > after, PHOTOS.c.id != fake.photo_id)
            .order_by(PHOTOS.c.id)
            .limit(_AT_ONCE)
        ).all()
        for row in rows:
            after = row.id
            for match in alone.match(row.sha256, _prints(row.prints), None, None)[:1]:
                yield row.id, match
        if len(rows) < _AT_ONCE:
            return


def recall(connection: sql.Connection, key: bytes, at: float, photo_id: str, match: Any) -> None:
    """An accepted photo turns out to be a copy of a confirmed fake: a person decides anew."""
    live = live_decision(connection, photo_id)
    if live is None or live["verdict"] != "accept":
        return
    open_task(connection, photo_id, "tie", at, value=9.0)
    append(connection, key, at, [("recall", photo_id, {"decision": live["id"], "match": match.to_dict()})])
