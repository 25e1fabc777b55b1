"""Kill any process of a service at random moments while photos come in, then count: none lost, none decided twice."""

from __future__ import annotations

import http.client
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sql
from tests.served import Served, ask, drawn, kill

from assay.service.home import open_home
from assay.service.store.database import Database
from assay.service.store.engine import open_engine
from assay.service.store.jobs import waiting
from assay.service.store.record import verify
from assay.service.store.schema import DECISIONS, PHOTOS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Counted:
    """``taken`` photos were answered with 200 or 202; the rest must be 0 but for ``kills``."""

    kills: dict[str, int]
    taken: int
    refused: int
    lost: int
    twice: int
    undecided: int
    faults: int


def kill_and_count(
    server: Served, kills: int, *, seed: int = 0, database: str | None = None, whole: float = 0.2,
    on_kill: Callable[[int], None] = lambda _: None,
) -> Counted:  # fmt: skip
    """``whole`` is the share of kills that hit the server itself, which is then started again."""
    noise, taken, refused = random.Random(seed), [], [0]
    lock, stop = threading.Lock(), threading.Event()
    senders = [threading.Thread(target=_send, args=(server, n, taken, refused, lock, stop)) for n in range(3)]
    for sender in senders:
        sender.start()
    counts = {"server": 0, "decoder": 0, "answerer": 0}
    while sum(counts.values()) < kills:
        time.sleep(noise.uniform(0.05, 0.6))
        if noise.random() < whole:
            server.kill()
            server.start()
            counts["server"] += 1
        else:
            kind = noise.choice(["decoder", "answerer"])
            alive = server.workers(kind)
            if not alive:
                continue
            kill(noise.choice(alive))
            counts[kind] += 1
        on_kill(sum(counts.values()))
    stop.set()
    for sender in senders:
        sender.join()
    return _count(server, counts, taken, refused[0], database)


def _send(
    server: Served,
    number: int,
    taken: list[str],
    refused: list[int],
    lock: threading.Lock,
    stop: threading.Event,
) -> None:
    n = 0
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    while not stop.is_set():
        n += 1
        try:
            told = ask(connection, "PUT", "/v1/photos", drawn(1_000_000 * (number + 1) + n), server.words)
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()  # opens itself again
            time.sleep(0.02)
            continue
        with lock:
            if told.status in (200, 202):
                taken.append(told.body["photo"])
            else:
                refused[0] += 1
        if told.status not in (200, 202):
            time.sleep(0.05)
        time.sleep(0.01)
    connection.close()


def _count(
    server: Served, kills: dict[str, int], taken: list[str], refused: int, address: str | None
) -> Counted:
    home = open_home(server.folder, lock=False)
    database = Database(open_engine(address, Path(server.folder)))
    try:
        until = time.monotonic() + 120
        while database.read_now(waiting)[0] and time.monotonic() < until:
            time.sleep(0.2)

        def count(connection: sql.Connection) -> tuple[set[str], dict[str, int], int]:
            known = set(connection.execute(sql.select(PHOTOS.c.id)).scalars())
            each = sql.select(DECISIONS.c.photo_id, sql.func.count()).group_by(DECISIONS.c.photo_id)
            found = {row[0]: row[1] for row in connection.execute(each)}
            return known, found, waiting(connection)[0]

        known, found, undecided = database.read_now(count)
        faults = database.read_now(lambda c: verify(c, home.key, home.anchors())).faults
        lost = sum(name not in known or name not in found for name in taken)
        twice = sum(n > 1 for n in found.values())
        return Counted(kills, len(taken), refused, lost, twice, undecided, len(faults))
    finally:
        database.close()
