"""Figures of the operator's page: what came, what became of it, what waits, and what blind audits say of the machine.

How good automatic verdicts are is told from the audit arm alone: other answers of people are no random sample.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from assay.decide.bets import clopper_pearson
from assay.decide.budgets import Budgets
from assay.decide.monitor import KEPT, WATCHED, WITHDRAWN, Monitor
from assay.metrics.interval import Estimate
from assay.service.store.decisions import MACHINE
from assay.service.store.reviews import queue_size
from assay.service.store.schema import ANSWERS, DECISIONS, HOOKS, OUTBOX, TASKS, VERSIONS

RANGES = {"day": (24, 3600), "week": (28, 6 * 3600), "month": (30, 86400)}
"""Name -> number of bars, and the seconds of each."""
VERDICTS = ("accept", "resubmit", "review", "reject")
"""From the lowest layer of the chart to the highest."""
AGES = ((600, "10min"), (3600, "1h"), (4 * 3600, "4h"), (86400, "1d"), (None, "more"))
_JUDGED = ("accept", "reject")


def traffic(connection: sql.Connection, now: float, name: str) -> dict[str, Any]:
    """The machine's verdicts in each bar of a range, and in all of them."""
    number, size = RANGES[name]
    first = (int(now) // size - number + 1) * size
    bar = (sql.cast(DECISIONS.c.at, sql.BigInteger) - first) // size
    rows = connection.execute(
        sql.select(
            bar.label("bar"), DECISIONS.c.verdict, DECISIONS.c.automatic, sql.func.count().label("photos")
        )
        .where(DECISIONS.c.decided_by == MACHINE, DECISIONS.c.at >= float(first))
        .group_by(sql.text("bar"), DECISIONS.c.verdict, DECISIONS.c.automatic)
    ).all()
    bars: list[dict[str, Any]] = [{"from": first + i * size, "verdicts": {}} for i in range(number)]
    verdicts: dict[str, int] = defaultdict(int)
    automatic = 0
    for row in rows:
        place = bars[max(0, min(int(row.bar), number - 1))]["verdicts"]
        place[row.verdict] = place.get(row.verdict, 0) + row.photos
        verdicts[row.verdict] += row.photos
        automatic += row.photos if row.automatic else 0
    photos = sum(verdicts.values())
    share = automatic / photos if photos else None
    totals = {
        "photos": photos, "automatic": automatic, "automatic_share": share, "verdicts": dict(verdicts)
    }  # fmt: skip
    return {"range": name, "bar_s": size, "bars": bars, "totals": totals}


def queue(connection: sql.Connection, now: float) -> dict[str, Any]:
    """Tasks that wait: by kind, by age, and the oldest."""
    kinds = queue_size(connection, now)
    made = connection.execute(sql.select(TASKS.c.created_at).where(TASKS.c.state == "open")).scalars()
    ages = dict.fromkeys((name for _, name in AGES), 0)
    for at in made:
        ages[next(name for limit, name in AGES if limit is None or now - at < limit)] += 1
    return {
        "open": sum(one["open"] for one in kinds.values()),
        "oldest_s": max((one["oldest_s"] for one in kinds.values()), default=None),
        "kinds": kinds,
        "ages": ages,
    }


def kinds(
    connection: sql.Connection, budgets: Budgets, monitor: Monitor, since: float
) -> list[dict[str, Any]]:
    """Each kind of automatic verdict: its promise, its audits, its precision with an exact interval, its burn."""
    rows = connection.execute(
        sql.select(DECISIONS.c.verdict, DECISIONS.c.kind, sql.func.count().label("photos"))
        .where(DECISIONS.c.decided_by == MACHINE, DECISIONS.c.automatic, DECISIONS.c.at >= since)
        .group_by(DECISIONS.c.verdict, DECISIONS.c.kind)
    ).all()
    given = {(row.verdict, row.kind): int(row.photos) for row in rows}
    watches = {(one.verdict, one.name): one for one in monitor.watches}
    found = []
    for kind in budgets.kinds:
        watch = watches.get((kind.verdict, kind.name))
        audited, wrong = (0, 0) if watch is None else (watch.observed, watch.wrong)
        missed = clopper_pearson(wrong, audited)
        precision = Estimate(1 - missed.value, 1 - missed.high, 1 - missed.low)
        found.append(
            {
                "verdict": kind.verdict,
                "name": kind.name,
                "automatic": given.get((kind.verdict, kind.name), 0),
                "accepted": kind.risk,
                "confidence": kind.confidence,
                "threshold": kind.threshold,
                "audited": audited,
                "wrong": wrong,
                "precision": precision.to_dict(),
                "state": None if watch is None else watch.state,
                "burn": watch.burn.used if watch is not None and audited else None,
                "allowed": 0.0 if watch is None else watch.burn.allowed,
                "missing": kind.missing,
                "told": {lang: "" if watch is None else watch.words(lang) for lang in ("en", "zh")},
            }
        )
    order = (WITHDRAWN, WATCHED, KEPT, None)
    return sorted(found, key=lambda one: (order.index(one["state"]), one["verdict"], one["name"]))


def recall(connection: sql.Connection, since: float) -> list[dict[str, Any]]:
    """Of all photos that people would accept (reject), the share that the machine did by itself.

    The machine's verdicts stand for as many right ones as their audits say; photos that people decided are counted.
    The bounds take both audited shares at their worst, each at 97.5 %, so they hold together at 95 %.
    """
    automatic = _automatic(connection, since)
    audits = _audits(connection, since)
    by_people = _by_people(connection, since)
    found = []
    for verdict in _JUDGED:
        other = _JUDGED[1 - _JUDGED.index(verdict)]
        seen = sum(audits[verdict].values())
        if not seen or not automatic[verdict]:
            continue
        right = clopper_pearson(audits[verdict][verdict], seen, 0.975)
        missed = clopper_pearson(audits[other][verdict], sum(audits[other].values()), 0.975)
        values = []
        for hit, miss in (
            (right.value, missed.value if sum(audits[other].values()) else 0.0),
            (right.low, missed.high if automatic[other] else 0.0),
            (right.high, missed.low),
        ):
            done, left = automatic[verdict] * hit, automatic[other] * miss + by_people[verdict]
            values.append(done / (done + left) if done + left else 0.0)
        found.append({"verdict": verdict, "recall": Estimate(*values).to_dict(), "audited": seen})
    return found


def _automatic(connection: sql.Connection, since: float) -> dict[str, int]:
    rows = connection.execute(
        sql.select(DECISIONS.c.verdict, sql.func.count())
        .where(DECISIONS.c.decided_by == MACHINE, DECISIONS.c.automatic, DECISIONS.c.at >= since)
        .group_by(DECISIONS.c.verdict)
    )
    return {**dict.fromkeys(_JUDGED, 0), **{verdict: int(n) for verdict, n in rows}}


def _audits(connection: sql.Connection, since: float) -> dict[str, dict[str, int]]:
    """The machine's verdict -> what blind reviewers said -> how often."""
    both = ANSWERS.join(TASKS, TASKS.c.id == ANSWERS.c.task_id)
    rows = connection.execute(
        sql.select(ANSWERS.c.machine, ANSWERS.c.verdict, sql.func.count())
        .select_from(both)
        .where(TASKS.c.why == "audit", ANSWERS.c.state == "final", ANSWERS.c.at >= since)
        .group_by(ANSWERS.c.machine, ANSWERS.c.verdict)
    )
    found: dict[str, dict[str, int]] = {verdict: defaultdict(int) for verdict in _JUDGED}
    for machine, person, number in rows:
        if machine in found:
            found[machine][person] += int(number)
    return found


def _by_people(connection: sql.Connection, since: float) -> dict[str, int]:
    """What people decided of photos that the machine gave to them."""
    first = DECISIONS.alias("first")
    rows = connection.execute(
        sql.select(DECISIONS.c.verdict, sql.func.count())
        .select_from(DECISIONS.join(first, first.c.photo_id == DECISIONS.c.photo_id))
        .where(
            DECISIONS.c.live,
            DECISIONS.c.decided_by != MACHINE,
            first.c.decided_by == MACHINE,
            first.c.verdict == "review",
            first.c.at >= since,
        )
        .group_by(DECISIONS.c.verdict)
    )
    return {**dict.fromkeys(_JUDGED, 0), **{verdict: int(n) for verdict, n in rows}}


def versions(connection: sql.Connection, most: int = 20) -> list[dict[str, Any]]:
    """Policies that were live, the newest first."""
    names = ("id", "policy", "thresholds", "name", "version", "from_at", "until_at", "models")
    rows = connection.execute(
        sql.select(*(VERSIONS.c[name] for name in names)).order_by(VERSIONS.c.from_at.desc()).limit(most)
    )
    return [{**row._mapping, "models": json.loads(row.models or "{}")} for row in rows]


def live_since(connection: sql.Connection) -> float:
    """From when on the live policy decides; 0 where none was written down."""
    at = connection.execute(
        sql.select(sql.func.max(VERSIONS.c.from_at)).where(VERSIONS.c.until_at.is_(None))
    ).scalar()
    return float(at or 0.0)


def hooks(connection: sql.Connection) -> dict[str, Any]:
    """Each webhook with its letters; ``failing`` counts those whose last try failed."""
    rows = connection.execute(
        sql.select(OUTBOX.c.hook_id, OUTBOX.c.state, sql.func.count())
        .group_by(OUTBOX.c.hook_id, OUTBOX.c.state)
    )  # fmt: skip
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for hook, state, number in rows:
        counts[hook][state] = int(number)
    found = []
    for hook in connection.execute(sql.select(HOOKS).order_by(HOOKS.c.created_at)):
        failure = _last_failure(connection, hook.id)
        states: Mapping[str, int] = counts[hook.id]
        found.append(
            {"id": hook.id, "url": hook.url, "stopped_at": hook.stopped_at, "sent": states.get("sent", 0),
             "waiting": states.get("waiting", 0), "gone": states.get("given up", 0), "failure": failure}
        )  # fmt: skip
    failing = sum(bool(one["failure"]) and one["stopped_at"] is None for one in found)
    return {"list": found, "failing": failing}


def _last_failure(connection: sql.Connection, hook_id: str) -> str:
    """Why the newest letter that was tried did not arrive; empty where it did."""
    tried = sql.and_(OUTBOX.c.hook_id == hook_id, OUTBOX.c.tries > 0)
    row = connection.execute(
        sql.select(OUTBOX.c.failure)
        .where(tried)
        .order_by(OUTBOX.c.created_at.desc(), OUTBOX.c.id.desc())
        .limit(1)
    ).first()
    return "" if row is None else str(row.failure)
