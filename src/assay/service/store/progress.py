"""How a reviewer does today, and how far reviewers agree: Cohen's kappa over photos that two of them answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist, median
from typing import Any

import numpy as np
import sqlalchemy as sql

from assay.metrics.interval import Estimate
from assay.service.store.reviews import ANSWERS_GIVEN
from assay.service.store.schema import ANSWERS, KEYS, TASKS

DAY_S = 86400.0
_COUNTED = ("held", "final")


def own_counts(connection: sql.Connection, reviewer: str, now: float) -> dict[str, int]:
    """A reviewer's answers since midnight (UTC), and the tasks that wait: told after each answer."""
    midnight = now - now % DAY_S
    mine = sql.and_(ANSWERS.c.reviewer == reviewer, ANSWERS.c.at >= midnight, ANSWERS.c.state.in_(_COUNTED))
    today = connection.execute(sql.select(sql.func.count()).where(mine)).scalar() or 0
    free = sql.and_(TASKS.c.state == "open", TASKS.c.not_by != reviewer)
    waiting = connection.execute(sql.select(sql.func.count()).where(free)).scalar() or 0
    return {"today": int(today), "waiting": int(waiting)}


def own_progress(connection: sql.Connection, reviewer: str, now: float) -> dict[str, Any]:
    """The counts, and of the photos that somebody else saw too in 30 days, how many got the same answer."""
    with_me = [pair for pair in answered_twice(connection, now - 30 * DAY_S) if reviewer in pair[2:]]
    same = sum(one == other for one, other, *_ in with_me)
    return {
        **own_counts(connection, reviewer, now),
        "pairs": len(with_me),
        "agreed": same / len(with_me) if with_me else None,
    }


def answered_twice(connection: sql.Connection, since: float) -> list[tuple[str, str, str, str]]:
    """(first verdict, second verdict, first reviewer, second reviewer) of photos with two independent final answers.

    Third looks and appeals are left out: they are made because people differed.
    """
    both = ANSWERS.join(TASKS, TASKS.c.id == ANSWERS.c.task_id)
    rows = connection.execute(
        sql.select(ANSWERS.c.photo_id, ANSWERS.c.verdict, ANSWERS.c.reviewer)
        .select_from(both)
        .where(
            ANSWERS.c.state == "final",
            ANSWERS.c.at >= since,
            TASKS.c.why.in_(("review", "double", "audit")),
        )
        .order_by(ANSWERS.c.photo_id, ANSWERS.c.at, ANSWERS.c.id)
    ).all()
    found: list[tuple[str, str, str, str]] = []
    for first, second in pairwise(rows):
        is_pair = first.photo_id == second.photo_id and first.reviewer != second.reviewer
        if is_pair:
            found.append((first.verdict, second.verdict, first.reviewer, second.reviewer))
    return found


def agreement(connection: sql.Connection, since: float) -> dict[str, Any]:
    """Kappa with its interval, and the table of pairs: rows are the earlier answer."""
    pairs = answered_twice(connection, since)
    table = np.zeros((len(ANSWERS_GIVEN), len(ANSWERS_GIVEN)), np.int64)
    for one, other, *_ in pairs:
        table[ANSWERS_GIVEN.index(one), ANSWERS_GIVEN.index(other)] += 1
    return {
        "pairs": len(pairs),
        "same": int(np.trace(table)),
        "table": table.tolist(),
        "kappa": cohen_kappa(table).to_dict(),
    }


def cohen_kappa(table: Sequence[Sequence[int]] | Any, level: float = 0.95) -> Estimate:
    """Agreement beyond chance of two raters (Cohen 1960); large-sample interval of Fleiss, Cohen and Everitt (1969).

    NaN where there are no pairs, or both raters only ever gave one and the same answer.
    """
    counts = np.asarray(table, np.float64)
    n = counts.sum()
    if not n:
        return Estimate(math.nan, -1.0, 1.0)
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    chance = float(rows @ columns)
    if chance >= 1:
        return Estimate(math.nan, -1.0, 1.0)
    kappa = (float(np.trace(p)) - chance) / (1 - chance)
    diagonal = np.diag(p)
    first = float((diagonal * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    off = p - np.diag(diagonal)
    second = (1 - kappa) ** 2 * float((off * (columns[:, None] + rows[None, :]) ** 2).sum())
    spread = max(0.0, first + second - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(spread)
    return Estimate(kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach))


def people(connection: sql.Connection, since: float) -> list[dict[str, Any]]:
    """Reviewers since then: name, answers that hold, their median seconds, share that was taken back."""
    rows = connection.execute(
        sql.select(ANSWERS.c.reviewer, ANSWERS.c.state, ANSWERS.c.seconds, KEYS.c.name)
        .select_from(ANSWERS.outerjoin(KEYS, KEYS.c.id == ANSWERS.c.reviewer))
        .where(ANSWERS.c.at >= since)
    ).all()
    by: dict[str, list[Any]] = {}
    for row in rows:
        by.setdefault(row.reviewer, []).append(row)
    found = []
    for reviewer, given in by.items():
        held = [row for row in given if row.state != "undone"]
        found.append(
            {
                "name": given[0].name or reviewer,
                "answers": len(held),
                "seconds": median(row.seconds for row in held) if held else 0.0,
                "undone": 1 - len(held) / len(given),
            }
        )
    return sorted(found, key=lambda one: -one["answers"])
