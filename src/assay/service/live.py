"""The policy that decides now, with the processes that answer for it; another one can take its place at any moment.

A photo keeps the policy under which its decoding began until it is decided, so no decision mixes two.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from assay.decide.budgets import NO_BUDGETS, Budgets, Kind, read_budgets, thresholds_path
from assay.decide.monitor import Monitor, Watched, watch_all
from assay.decide.policy_read import read_policy
from assay.service.snapshot import snapshot
from assay.service.store.ids import new_id
from assay.service.store.record import append
from assay.service.store.schema import VERSIONS, WATCHES
from assay.service.workers.pool import Answerers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.decide.policy import Policy
    from assay.service.settings import ServeConfig
    from assay.service.workers.facts import Facts


@dataclass
class Live:
    """A policy, its thresholds and its answerers. ``monitor`` is what audits say; ``in_work`` photos are under it."""

    path: Path
    policy: Policy
    budgets: Budgets
    answerers: Answerers
    monitor: Monitor
    in_work: int = 0
    _watched: Watched | None = field(default=None, repr=False)

    @property
    def facts(self) -> Facts:
        """What answers: networks, their digests, and what they need of a photo."""
        return self.answerers.facts

    @property
    def thresholds(self) -> Watched:
        """Those of the policy, less what the monitor has withdrawn."""
        if self._watched is None or self._watched.withdrawn != self.monitor.withdrawn:
            self._watched = Watched(self.budgets, self.monitor.withdrawn)
        return self._watched

    @property
    def models(self) -> dict[str, str]:
        """Question -> digest and precision of its network."""
        return dict(self.facts.models)


async def open_live(path: Path, config: ServeConfig, cores: int, copies: Path) -> Live:
    """Read a policy, copy its files below ``copies``, and start what answers by the copy.

    Raises
    ------
    AssayError : a mistake in the policy or a Bundle, or thresholds of another policy.
    """
    policy = read_policy(path)
    beside = thresholds_path(path)
    budgets = read_budgets(beside) if beside.exists() else NO_BUDGETS
    number = config.answerers or cores
    copy = await asyncio.to_thread(snapshot, policy, copies, f"{policy.digest[:12]}-{budgets.digest[:12]}")
    answerers = Answerers(copy, number, config.engine, config.precision, threads=1)
    await answerers.start()
    try:
        if budgets is not NO_BUDGETS:
            budgets.require_for(policy, answerers.facts.models)
    except BaseException:
        await answerers.stop()
        raise
    return Live(path, policy, budgets, answerers, watch_all(budgets))


def note_version(connection: sql.Connection, key: bytes, at: float, live: Live) -> None:
    """Write down that this policy decides from now on, unless it did already; and take up what audits said of it."""
    last = connection.execute(
        sql.select(VERSIONS).where(VERSIONS.c.until_at.is_(None)).order_by(VERSIONS.c.from_at.desc()).limit(1)
    ).one_or_none()
    told = (live.policy.digest, live.budgets.digest, json.dumps(live.models, sort_keys=True))
    if last is not None and (last.policy, last.thresholds, last.models) == told:
        return
    connection.execute(sql.update(VERSIONS).where(VERSIONS.c.until_at.is_(None)).values(until_at=at))
    name = new_id("v")
    connection.execute(
        sql.insert(VERSIONS).values(
            id=name,
            policy=told[0],
            thresholds=told[1],
            name=live.policy.name,
            version=live.policy.version,
            path=str(live.path),
            text=live.path.read_text("utf-8"),
            budgets=json.dumps(live.budgets.to_dict(), ensure_ascii=False),
            models=told[2],
            from_at=at,
        )
    )
    body = {"version": name, "policy": told[0], "thresholds": told[1], "models": live.models}
    append(connection, key, at, [("version", name, body)])


def read_monitor(connection: sql.Connection, budgets: Budgets) -> Monitor:
    """What audits have said of these thresholds so far."""
    state = connection.execute(
        sql.select(WATCHES.c.state).where(WATCHES.c.thresholds == budgets.digest)
    ).scalar()
    return watch_all(budgets) if state is None else Monitor.from_dict(json.loads(state))


def count_audit(
    connection: sql.Connection, key: bytes, at: float, decision: Mapping[str, Any], right: bool
) -> None:
    """Give one audited answer to the monitor of the thresholds that decided it; a withdrawal goes into the record."""
    budgets = _budgets_of(connection, decision)
    if budgets is None:
        return
    monitor = read_monitor(connection, budgets)
    if not any((one.verdict, one.name) == (decision["verdict"], decision["kind"]) for one in monitor.watches):
        return  # a rejection by a match has no threshold that could be withdrawn
    after = monitor.answered(decision["verdict"], decision["kind"], right)
    connection.execute(sql.delete(WATCHES).where(WATCHES.c.thresholds == budgets.digest))
    connection.execute(
        sql.insert(WATCHES).values(thresholds=budgets.digest, state=json.dumps(after.to_dict()), at=at)
    )
    for verdict, kind in sorted(after.withdrawn - monitor.withdrawn):
        words = after.watch(verdict, kind).words()
        body = {"verdict": verdict, "kind": kind, "thresholds": budgets.digest, "why": words}
        append(connection, key, at, [("withdrawal", decision["id"], body)])


def _budgets_of(connection: sql.Connection, decision: Mapping[str, Any]) -> Budgets | None:
    """The thresholds by which a photo was decided: those with its digest, else those of its policy at that time.

    What was withdrawn then gives a digest of its own, so the time decides where none fits.
    """
    rows = connection.execute(
        sql.select(VERSIONS.c.budgets, VERSIONS.c.thresholds)
        .where(VERSIONS.c.policy == decision["policy"], VERSIONS.c.from_at <= decision["at"])
        .order_by(VERSIONS.c.from_at.desc())
    ).all()
    for row in [one for one in rows if one.thresholds == decision["thresholds"]] or rows[:1]:
        told = json.loads(row.budgets)
        told.pop("format")
        return Budgets(kinds=tuple(Kind(**one) for one in told.pop("kinds")), **told)
    return None
