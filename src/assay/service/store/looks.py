"""What a reviewer is shown of a leased task: the photo, why it is here, what the machine said, who sent it before.

A blind task tells nothing of the machine: neither its verdict and clause nor any score, match or finding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from assay.decide.clauses import BUILT_IN
from assay.decide.policy import KNOWN_FAKE, NOTHING, OTHERWISE
from assay.service.store.decisions import MACHINE
from assay.service.store.photos import photo_row
from assay.service.store.reviews import NotYoursError, Task, earlier_of_sender
from assay.service.store.schema import APPEALS, DECISIONS, PHOTOS, REFERENCES, TASKS

if TYPE_CHECKING:
    from assay.decide.policy import Policy

MOST_OPTIONS = 9
"""Answers that have a digit; further ones stand in a menu."""
_MOST_BESIDE = 4
"""As many where the machine's answers are shown; the others are unlikely."""
_SURE = 0.9


def leased_task(connection: sql.Connection, reviewer: str, task_id: str, now: float) -> Task:
    """The task, if it is this reviewer's now. Raises NotYoursError."""
    row = connection.execute(sql.select(TASKS).where(TASKS.c.id == task_id)).one_or_none()
    if row is None or row.state != "open" or row.leased_by != reviewer or row.lease_until <= now:
        raise NotYoursError("this photo is no longer yours", fix="take the next one")
    alike = sql.and_(
        TASKS.c.alike == row.alike, TASKS.c.why == row.why, TASKS.c.state == "open", TASKS.c.id != row.id
    )
    copies = connection.execute(sql.select(sql.func.count()).where(alike)).scalar() or 0
    waited = now - row.created_at
    return Task(row.id, row.photo_id, row.why, row.blind, row.lease_until, int(copies), waited)


def look(
    connection: sql.Connection,
    policy: Policy,
    task: Task,
    language: str,
    classes: Mapping[str, Sequence[str]] | None = None,
    masks: Sequence[str] = (),
) -> dict[str, Any]:
    """Plain values about one task.

    ``classes``: question -> everything that its network can answer; ``masks``: questions whose network draws masks.
    """
    photo = photo_row(connection, task.photo_id)
    told = {} if task.blind else _machine(connection, policy, task.photo_id, language)
    evidence = told.pop("evidence", {})
    matches = evidence.get("matches", [])
    proposed = told.get("proposed")
    clause = None if proposed is None else proposed["clause"]
    earlier = earlier_of_sender(connection, "" if photo is None else photo["sender"], task.photo_id)
    return {
        **asdict(task),
        "view": f"/v1/photos/{task.photo_id}/view?side=1024",
        "photo": {name: photo[name] if photo is not None else "" for name in ("id", "name", "sender", "item")},
        "proposed": None, "threshold": None, "words": "", **told,
        "things": evidence.get("things"),
        "masks": can_mask(evidence, masks),
        "heat": None if task.blind or not evidence else heat_question(policy, proposed),
        "size_hw": evidence.get("size_hw"),
        "matches": matches,
        "questions": questions(policy, evidence, classes or {}),
        "reject_reasons": _told(policy, reject_reasons(policy), language, clause),
        "resubmit_reasons": _told(policy, resubmit_reasons(policy), language, clause),
        "fake_clause": KNOWN_FAKE,
        "appeal": _appeal(connection, task),
        "earlier": [{**one, "words": policy.words(one["clause"], language)} for one in earlier],
        "references": beside(connection, matches, "" if photo is None else photo["item"], task.photo_id),
    }  # fmt: skip


def _machine(connection: sql.Connection, policy: Policy, photo_id: str, language: str) -> dict[str, Any]:
    """The machine's latest decision."""
    row = connection.execute(
        sql.select(DECISIONS)
        .where(DECISIONS.c.photo_id == photo_id, DECISIONS.c.decided_by == MACHINE)
        .order_by(DECISIONS.c.at.desc())
        .limit(1)
    ).one_or_none()
    if row is None or not row.body:
        return {}
    body = json.loads(row.body)
    return {
        "proposed": body.get("proposed"),
        "threshold": body.get("threshold"),
        "words": policy.words(row.clause, language),
        "evidence": body.get("evidence") or {},
    }


def questions(
    policy: Policy, evidence: Mapping[str, Any], classes: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Each question with the answers that a reviewer may choose among, the machine's first."""
    answers, unknown = sorted_answers(policy, evidence.get("answers", {})), evidence.get("unknown", ())
    found = []
    for question in policy:
        given = answers.get(question.name, {})
        named = [name for name in question.answers if name != OTHERWISE]
        nothing = [] if question.head == "class" else [NOTHING]
        every = list(dict.fromkeys([*given, *named, *classes.get(question.name, ()), *nothing]))
        best = next(iter(given), "")
        most = min(_MOST_BESIDE, max(3, len(given))) if given else MOST_OPTIONS
        options = [
            {"name": name, "share": given.get(name), "checked": name == best,
             "passes": question.effect(name).verdict == "pass"}
            for name in every[:most]
        ]  # fmt: skip
        found.append(
            {"name": question.name, "options": options, "more": every[most:], "sure": given.get(best, 0.0) >= _SURE,
             "unknown": question.name in unknown}
        )  # fmt: skip
    return found


def reject_reasons(policy: Policy) -> list[str]:
    """Clauses by which a person may reject: those of the policy's answers, then its further ones."""
    asked = [
        effect.clause or "rule"
        for question in policy
        for effect in question.answers.values()
        if effect.verdict in ("reject", "review")
    ]
    wished = set(_wished(policy))
    own = [name for name in policy.clauses if name not in BUILT_IN and name not in wished]
    return list(dict.fromkeys([*asked, *own])) or ["rule"]


def resubmit_reasons(policy: Policy) -> list[str]:
    """Clauses by which a person may ask for another photo."""
    return list(dict.fromkeys([*_wished(policy), "too-small", "unreadable"]))


def _wished(policy: Policy) -> list[str]:
    return [
        effect.clause or "rule"
        for question in policy
        for effect in question.answers.values()
        if effect.verdict == "resubmit"
    ]


def sorted_answers(policy: Policy, answers: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Questions as the policy has them, answers with the most probable first: kept decisions have both by name."""
    order = {question.name: place for place, question in enumerate(policy)}
    return {
        name: dict(sorted(answers[name].items(), key=lambda pair: (-pair[1], pair[0])))
        for name in sorted(answers, key=lambda name: order.get(name, len(order)))
    }


def can_mask(evidence: Mapping[str, Any], masks: Sequence[str]) -> bool:
    """Whether masks of what was found can be drawn, by the networks of these questions."""
    return any(thing.get("question") in masks for thing in evidence.get("things") or ())


def heat_question(policy: Policy, proposed: Mapping[str, Any] | None) -> str | None:
    """For which question a map of the photo tells most: the one that decided, if a classifier answers it."""
    able = [question.name for question in policy if question.head == "class"]
    decided = None if proposed is None else proposed.get("question")
    wanted = (decided, policy.by, *able)
    return next((name for name in wanted if name in able), None)


def _told(policy: Policy, names: Sequence[str], language: str, machine: str | None) -> list[dict[str, Any]]:
    return [{"name": n, "words": policy.words(n, language), "machine": n == machine} for n in names]


def _appeal(connection: sql.Connection, task: Task) -> str:
    if task.why != "appeal":
        return ""
    mine = sql.and_(APPEALS.c.photo_id == task.photo_id, APPEALS.c.state == "open")
    return str(connection.execute(sql.select(APPEALS.c.text).where(mine)).scalar() or "")


def beside(
    connection: sql.Connection, matches: Sequence[Mapping[str, Any]], item: str, photo_id: str, most: int = 6
) -> list[dict[str, Any]]:
    """References to look at beside the photo: what it matches, then enrolled ones of the item that it is said to be."""
    by_digest = {str(match["reference"]): match for match in matches}
    kept = sql.select(PHOTOS.c.sha256, sql.func.min(PHOTOS.c.id).label("id")).where(
        PHOTOS.c.erased_at.is_(None)
    )
    asked = kept.where(PHOTOS.c.sha256.in_(by_digest)).group_by(PHOTOS.c.sha256)
    held = {row.sha256: row.id for row in connection.execute(asked)}
    found = [
        {"photo_id": held.get(digest), "list": match["list"], "item": match.get("item"), "match": match}
        for digest, match in by_digest.items()
    ]
    if item:
        enrolled = connection.execute(
            sql.select(REFERENCES, PHOTOS.c.erased_at)
            .join(PHOTOS, PHOTOS.c.id == REFERENCES.c.photo_id)
            .where(
                REFERENCES.c.item == item,
                REFERENCES.c.removed_at.is_(None),
                REFERENCES.c.photo_id != photo_id,
            )
            .order_by(REFERENCES.c.at.desc())
            .limit(most)
        )
        found += [
            {
                "photo_id": None if row.erased_at else row.photo_id,
                "list": row.list,
                "item": row.item,
                "match": None,
            }
            for row in enrolled
            if row.sha256 not in by_digest
        ]
    return found[:most]
