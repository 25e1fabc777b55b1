"""People's answers as they become data: one row for each photo whose answers are final, and why others are left out.

A photo came before people in one of four *arms*. **review**: the machine was not sure, so all of its kind were looked
at. **audit**: it was decided by the machine, and looked at all the same because its digest fell into the audited share;
it stands for ``1 / share`` photos like it. **appeal**: its sender asked for it, so it stands for itself. **tie**: two
people disagreed, and a third had the last word; what it stands for is what it was looked at for in the first place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sql

from assay.errors import AssayError
from assay.service.store.decisions import MACHINE
from assay.service.store.schema import ANSWERS, DECISIONS, PHOTOS, TASKS, VERSIONS

ARMS = ("review", "audit", "tie", "appeal")
ERASED, DISAGREED, NO_SHARE = (
    "the photo was erased",
    "two reviewers disagree, and a third has not answered",
    "it was audited under a policy whose audited share is not known",
)
_LAST_WORDS = ("tie", "appeal")


@dataclass(frozen=True)
class Reviewed:
    """One photo and what people said of it.

    ``truth``: question -> right answer, as far as they said. ``weight`` is how many photos of the traffic it stands
    for. ``answers`` are the ids of the answers behind it, ``policy`` the digest of the policy that had decided on it.
    """

    photo_id: str
    sha256: str
    sender: str
    item: str
    arm: str
    weight: float
    verdict: str
    clause: str
    truth: Mapping[str, str]
    answers: tuple[str, ...]
    policy: str
    at: float


@dataclass(frozen=True)
class Exported:
    """``reviewed`` photos in the order of their ids; ``excluded`` ones as (photo, reason).

    ``answers``: why a look was wanted -> final answers. ``held`` ones can still be taken back, or wait for their turn.
    """

    reviewed: tuple[Reviewed, ...]
    excluded: tuple[tuple[str, str], ...]
    answers: Mapping[str, int] = field(default_factory=dict)
    held: int = 0


def read_reviewed(connection: sql.Connection, shares: Mapping[str, float] | None = None) -> Exported:
    """Everything that people have finally said.

    ``shares``: digest of a policy -> its audited share, for policies that the database does not know of.
    """
    known = {**audit_shares(connection), **(shares or {})}
    reviewed: list[Reviewed] = []
    excluded: list[tuple[str, str]] = []
    counts: Counter[str] = Counter()
    for photo, rows in _by_photo(connection):
        counts.update(row["why"] for row in rows)
        found = _reviewed(rows, known)
        if isinstance(found, str):
            excluded.append((photo, found))
        else:
            reviewed.append(found)
    held = connection.execute(
        sql.select(sql.func.count()).select_from(ANSWERS).where(ANSWERS.c.state == "held")
    ).scalar()
    return Exported(tuple(reviewed), tuple(excluded), dict(sorted(counts.items())), int(held or 0))


def audit_shares(connection: sql.Connection) -> dict[str, float]:
    """Digest of each policy that was ever live -> the share of its automatic verdicts that people see all the same."""
    import yaml  # noqa: PLC0415 - 20 ms

    found: dict[str, float] = {}
    for row in connection.execute(sql.select(VERSIONS.c.policy, VERSIONS.c.text)):
        try:
            told = yaml.safe_load(row.text)
            found[row.policy] = float(told.get("audit", 0.0))
        except (yaml.YAMLError, AttributeError, TypeError, ValueError):
            continue  # a text of a newer program: its audits are left out, with a reason
    return found


def erased_among(connection: sql.Connection, digests: Sequence[str]) -> dict[str, float]:
    """Of these photos' digests those whose every photo was erased -> when the last one was."""
    found: dict[str, float] = {}
    for start in range(0, len(digests), 500):
        rows = connection.execute(
            sql.select(
                PHOTOS.c.sha256, sql.func.count(), sql.func.count(PHOTOS.c.erased_at), sql.func.max(PHOTOS.c.erased_at)
            )
            .where(PHOTOS.c.sha256.in_(digests[start : start + 500]))
            .group_by(PHOTOS.c.sha256)
        ).all()  # fmt: skip
        found |= {digest: float(at) for digest, all_, erased, at in rows if all_ == erased}
    return found


def _by_photo(connection: sql.Connection) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(photo, its final answers, the earliest first)."""
    both = ANSWERS.join(TASKS, TASKS.c.id == ANSWERS.c.task_id).join(
        PHOTOS, PHOTOS.c.id == ANSWERS.c.photo_id
    )
    first = (
        sql.select(DECISIONS.c.policy)
        .where(DECISIONS.c.photo_id == ANSWERS.c.photo_id, DECISIONS.c.decided_by == MACHINE)
        .order_by(DECISIONS.c.seq)
        .limit(1)
        .scalar_subquery()
    )
    names = ("sha256", "sender", "item", "erased_at")
    asked = (
        sql.select(ANSWERS, TASKS.c.why, *(PHOTOS.c[name] for name in names), first.label("policy"))
        .select_from(both)
        .where(ANSWERS.c.state == "final")
        .order_by(ANSWERS.c.photo_id, ANSWERS.c.at, ANSWERS.c.id)
    )
    rows = (dict(row._mapping) for row in connection.execute(asked))
    for photo, of_photo in groupby(rows, key=lambda row: str(row["photo_id"])):
        yield photo, list(of_photo)


def _reviewed(rows: list[dict[str, Any]], shares: Mapping[str, float]) -> Reviewed | str:
    """The row of a photo, or why there is none."""
    last = rows[-1]
    if last["erased_at"] is not None:
        return ERASED
    holds = _holding(rows)
    if holds is None:
        return DISAGREED
    whys = {row["why"] for row in rows}
    arm = next(
        (why for why in ("appeal", "tie", "audit") if why in whys), "review"
    )  # a double look alone came beside one of these
    weight = 1.0
    if not {"appeal", "review"} & whys:  # else it was seen for sure
        share = shares.get(last["policy"] or "", 0.0)
        if not 0 < share <= 1:
            return NO_SHARE
        weight = 1.0 / share
    chosen = holds[-1]
    return Reviewed(
        last["photo_id"],
        last["sha256"],
        last["sender"],
        last["item"],
        arm,
        weight,
        chosen["verdict"],
        chosen["clause"],
        _truth(holds),
        tuple(row["id"] for row in rows),
        last["policy"] or "",
        float(chosen["at"]),
    )


def _holding(rows: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The answers that hold, the last one's verdict being the photo's; None where people disagree."""
    final = [row for row in rows if row["why"] in _LAST_WORDS]
    if final:
        return [final[-1]]
    return rows if len({row["verdict"] for row in rows}) == 1 else None


def _truth(holds: list[dict[str, Any]]) -> dict[str, str]:
    """What those who agree on the verdict said of the questions; nothing of a question that they answer differently."""
    said: dict[str, set[str]] = {}
    for row in holds:
        for question, answer in _told(row).items():
            if answer:
                said.setdefault(str(question), set()).add(str(answer))
    return {question: next(iter(answers)) for question, answers in said.items() if len(answers) == 1}


def _told(row: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads(row["truth"] or "{}")
    except ValueError as error:
        raise AssayError(f"the truth of answer {row['id']} is no JSON", got=str(error)[:200]) from error
    if not isinstance(found, dict):
        raise AssayError(f"the truth of answer {row['id']} is no object", got=type(found).__name__)
    return found
