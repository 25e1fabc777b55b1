"""Audits that find too many wrong verdicts withdraw a kind: from then on people decide, and the record says why."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sql
from tests.shop_policy import SHOP

from assay.decide.budgets import Budgets, Kind
from assay.decide.decision import decide
from assay.decide.evidence import Evidence
from assay.decide.monitor import Watched
from assay.decide.policy_read import parse_policy
from assay.service.live import count_audit, read_monitor
from assay.service.store import decisions, photos, record, reviews, settle
from assay.service.store.database import Database
from assay.service.store.engine import open_engine
from assay.service.store.ids import new_id
from assay.service.store.migrate import migrate
from assay.service.store.schema import RECORD, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"k" * 32


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    engine = open_engine(None, tmp_path)
    migrate(engine)
    made = Database(engine)
    yield made
    made.close()


def kinds() -> tuple[Kind, ...]:
    return tuple(Kind("accept", name, 0.05, 0.95, 0.9, 400, 0, 1.0, 0.0, None) for name in ("bag", "shoe"))


def test_wrong_audits_withdraw_one_kind_and_then_another(database: Database) -> None:
    policy = parse_policy({**SHOP, "audit": 1.0}, "shop")
    budgets = Budgets(policy.rules, {}, kinds(), 800, 800)
    now = time.time()
    row: dict[str, Any] = {
        "id": "v_1", "policy": policy.digest, "thresholds": budgets.digest, "name": "shop", "version": "1",
        "path": "", "text": "", "models": "{}", "from_at": now - 1, "until_at": None,
    }  # fmt: skip
    row["budgets"] = json.dumps(budgets.to_dict())
    database.write_now(lambda c: c.execute(sql.insert(VERSIONS).values(**row)))

    def verdict(kind: str) -> tuple[str, str]:
        """Decide one photo, let a reviewer say that it is wrong, and settle."""
        name = new_id("p")
        monitor = database.read_now(lambda c: read_monitor(c, budgets))
        sha = f"{abs(hash(name)):064x}"[:64]
        upload = photos.Upload(name, sha, 1, "k", time.time())
        database.write_now(lambda c: photos.take_in(c, upload, "s", time.time() + 9))
        answers = {"product": {"product": 0.99}, "kind": {kind: 0.99}, "genuine": {"genuine": 0.99}}
        found = decide(policy, Watched(budgets, monitor.withdrawn), Evidence(name, sha, (500, 500), answers))
        one = decisions.Decided(name, found, {}, alike=sha)
        database.write_now(lambda c: decisions.keep(c, "s", KEY, time.time(), [one]))
        at, given = time.time(), reviews.Answer("reject", "mark", {})
        for task in database.write_now(lambda c: reviews.next_tasks(c, "k_r", at, 9)):
            database.write_now(lambda c, t=task: reviews.answer(c, "k_r", t.id, given, at))
        database.write_now(
            lambda c: settle.settle(
                c, KEY, at + 20, lambda c, d, right: count_audit(c, KEY, at + 20, d, right)
            )
        )
        return found.verdict, found.clause

    told = [verdict("bag") for _ in range(30)]
    assert told[0] == ("accept", "all-right")
    assert told[-1] == ("review", "withdrawn")
    told = [verdict("shoe") for _ in range(30)]  # decided while another kind is withdrawn already
    assert told[0] == ("accept", "all-right")
    assert told[-1] == ("review", "withdrawn")
    gone = database.read_now(
        lambda c: c.execute(sql.select(RECORD.c.body).where(RECORD.c.kind == "withdrawal")).all()
    )
    assert len(gone) == 2
    assert database.read_now(lambda c: record.verify(c, KEY)).faults == ()
