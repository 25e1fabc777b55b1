"""A model is upgraded and rolled back under load: no failed request, and no decision that mixes two versions."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

import sqlalchemy as sql
import yaml
from tests.served import drawn, served
from tests.tiny_policy import SHAPES

from assay.service.store.database import Database
from assay.service.store.engine import open_engine
from assay.service.store.schema import DECISIONS, RECORD, VERSIONS

if TYPE_CHECKING:
    from pathlib import Path


def test_swaps_under_load(shapes_policy: Path, tmp_path: Path) -> None:
    swaps, statuses, stop = 4, [], threading.Event()
    with served(shapes_policy, tmp_path / "home") as server:

        def send(number: int) -> None:
            n = 0
            while not stop.is_set():
                n += 1
                statuses.append(server.put(drawn(1000 * number + n)).status)

        senders = [threading.Thread(target=send, args=(number,)) for number in range(1, 4)]
        for sender in senders:
            sender.start()
        digests = [server.ask("GET", "/v1/operate/policy").body["policy"]]
        for swap in range(swaps):
            told = {**SHAPES, "version": str(2 + swap % 2), "least_side_px": 16 + swap % 2}
            new = tmp_path / "new.yaml"
            new.write_text(yaml.safe_dump(told, allow_unicode=True), "utf-8")
            new.replace(shapes_policy)
            done = server.ask("POST", "/v1/operate/reload", timeout=60)
            assert done.status == 200, done
            digests.append(done.body["policy"])
            time.sleep(0.3)
        stop.set()
        for sender in senders:
            sender.join()
        broken = tmp_path / "broken.yaml"
        broken.write_text("format: 1\nname: [", "utf-8")
        broken.replace(shapes_policy)
        refused = server.ask("POST", "/v1/operate/reload")
        assert refused.status == 400
        assert "no YAML" in refused.body["title"]
        assert server.ask("GET", "/v1/operate/policy").body["policy"] == digests[-1]
    assert set(statuses) == {200}
    assert len(set(digests)) == 3
    database = Database(open_engine(None, tmp_path / "home"))
    try:
        rows = database.read_now(lambda c: c.execute(sql.select(DECISIONS.c.policy, DECISIONS.c.body)).all())
        versions = database.read_now(lambda c: list(c.execute(sql.select(VERSIONS.c.policy)).scalars()))
        record = database.read_now(
            lambda c: list(c.execute(sql.select(RECORD.c.body).where(RECORD.c.kind == "decision")).scalars())
        )
    finally:
        database.close()
    assert {row.policy for row in rows} <= set(digests)
    assert all(json.loads(row.body)["policy"] == row.policy for row in rows)
    assert all(json.loads(body)["models"] for body in record)
    assert versions == digests
