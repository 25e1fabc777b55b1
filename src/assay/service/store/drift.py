"""Whether photos still look like those that the thresholds were found with: the machine's answers against theirs.

The labelled photos give the expected share of each cell: a kind of verdict, sure enough or not. The shares of a week
are held against them by the population stability index, the sum of (a - e) ln(a / e); 0.1 and 0.25 are the limits in
common use (Lewis 1994; Siddiqi 2006). Of k cells that did not move, n photos and m labels give (k - 1) (1 / n + 1 / m)
by chance alone (the index is close to a chi-squared statistic over n), so that much is taken off.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from assay.decide.budgets import Budgets
from assay.service.store.decisions import MACHINE
from assay.service.store.schema import DECISIONS

DAY_S = 86400
LIMITS = (0.1, 0.25)
WINDOW = 7
"""Days that are taken together: weekends differ, and a single day has few photos of each kind."""
ENOUGH = 50
"""Photos from which on a day tells something."""
_UNKNOWN, _HALF = "unknown", 0.5

Cell = tuple[str, bool]
"""Name of a kind, and whether the answer was sure enough for its threshold."""


def drift(connection: sql.Connection, budgets: Budgets, now: float, days: int = 30) -> dict[str, Any]:
    """A row a day: photos, the index of the ``WINDOW`` days up to it, the share of photos that no network knows.

    ``last`` is the index of the last row that is told by enough photos.
    """
    expected, labels = expected_shares(budgets), sum(kind.labels for kind in budgets.kinds)
    names = {name for name, _ in expected}  # wishes for a person have no labels to be held against
    first = (int(now) // DAY_S - days + 1) * DAY_S
    before = WINDOW - 1
    counts = _daily(connection, first - before * DAY_S)
    rows = []
    for i in range(days):
        cells = counts.get(i + before, {})
        photos = sum(cells.values())
        known: dict[Cell, int] = defaultdict(int)
        for day in range(i, i + WINDOW):
            for cell, n in counts.get(day, {}).items():
                known[cell] += n if cell[0] in names else 0
        index = stability_index(expected, known, labels) if expected and sum(known.values()) else None
        unknown = sum(n for cell, n in cells.items() if cell[0] == _UNKNOWN)
        rows.append(
            {"from": first + i * DAY_S, "photos": photos, "index": index,
             "unknown": unknown / photos if photos else None, "enough": sum(known.values()) >= ENOUGH}
        )  # fmt: skip
    sure = [row["index"] for row in rows if row["index"] is not None and row["enough"]]
    last = sure[-1] if sure else None
    return {"days": rows, "last": last, "told": _told(last), "limits": list(LIMITS)}


def _told(index: float | None) -> str:
    if index is None:
        return "none"
    return "stable" if index < LIMITS[0] else "moved" if index < LIMITS[1] else "shifted"


def expected_shares(budgets: Budgets) -> dict[Cell, float]:
    """Cell -> its share among the labelled photos; nothing where there are none."""
    found: dict[Cell, float] = defaultdict(float)
    total = sum(kind.labels for kind in budgets.kinds)
    if not total:
        return {}
    for kind in budgets.kinds:
        kept = kind.kept if kind.threshold is not None else 0.0
        found[kind.name, True] += kind.labels * kept / total
        found[kind.name, False] += kind.labels * (1 - kept) / total
    return dict(found)


def stability_index(expected: Mapping[Cell, float], counts: Mapping[Cell, int], labels: int) -> float:
    """The index of counted cells against expected shares, less what chance gives; 0 at least.

    Every cell is counted half a photo more, so none is empty.
    """
    cells = {cell for cell, share in expected.items() if share > 0} | set(counts)
    total = sum(counts.values()) + _HALF * len(cells)
    spare = 1 / (1000 + len(cells))
    whole = sum(max(expected.get(cell, 0.0), spare) for cell in cells)
    index = 0.0
    for cell in cells:
        share = (counts.get(cell, 0) + _HALF) / total
        wanted = max(expected.get(cell, 0.0), spare) / whole
        index += (share - wanted) * math.log(share / wanted)
    chance = (len(cells) - 1) * (1 / max(1, sum(counts.values())) + 1 / max(1, labels))
    return max(0.0, index - chance)


def _daily(connection: sql.Connection, first: int) -> dict[int, dict[Cell, int]]:
    """Number of the day -> cell -> photos. Photos that no network knows are a cell of their own."""
    day = (sql.cast(DECISIONS.c.at, sql.BigInteger) - first) // DAY_S
    rows = connection.execute(
        sql.select(
            day.label("day"), DECISIONS.c.kind, DECISIONS.c.automatic, DECISIONS.c.clause,
            sql.func.count().label("photos"),
        )
        .where(DECISIONS.c.decided_by == MACHINE, DECISIONS.c.at >= float(first))
        .group_by(sql.text("day"), DECISIONS.c.kind, DECISIONS.c.automatic, DECISIONS.c.clause)
    ).all()  # fmt: skip
    found: dict[int, dict[Cell, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        name = _UNKNOWN if row.clause == _UNKNOWN else row.kind
        found[int(row.day)][name, bool(row.automatic)] += int(row.photos)
    return found
