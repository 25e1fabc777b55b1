"""A dead or hung worker is noticed in 2 s, its photos are decided in 5 s, and ready is red while nobody can answer."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.served import Served, Told, drawn, kill, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(shapes_policy: Path, tmp_path: Path) -> Iterator[Served]:
    with served(shapes_policy, tmp_path / "home", "--decoders", "1", "--answerers", "1") as one:
        yield one


def ready_turns(server: Served, wanted: int, within_s: float) -> float:
    """Seconds until ``/v1/ready`` answers so; fails after ``within_s``."""
    begun = time.monotonic()
    while time.monotonic() - begun < within_s:
        if server.ask("GET", "/v1/ready").status == wanted:
            return time.monotonic() - begun
        time.sleep(0.02)
    raise AssertionError(f"ready did not turn {wanted} in {within_s} s")


@pytest.mark.parametrize("kind", ["decoder", "answerer"])
def test_a_killed_worker_is_noticed_and_replaced(server: Served, kind: str) -> None:
    assert server.put(drawn(1)).status == 200
    (old,) = server.workers(kind)
    kill(old)
    ready_turns(server, 503, 2.0)
    told = server.put(drawn(2))  # refused while nobody can answer, or decided by the new one
    assert told.status in (200, 503)
    ready_turns(server, 200, 20)
    assert server.put(drawn(3)).status == 200
    assert server.workers(kind) != [old]


@pytest.mark.parametrize("kind", ["decoder", "answerer"])
def test_a_hung_worker_loses_no_photo(server: Served, kind: str) -> None:
    assert server.put(drawn(1)).status == 200
    (old,) = server.workers(kind)
    found: list[tuple[Told, float]] = []

    def send() -> None:
        begun = time.monotonic()
        found.append((server.put(drawn(2), "wait=20"), time.monotonic() - begun))

    kill(old, signal.SIGSTOP)
    sender = threading.Thread(target=send)
    sender.start()
    ready_turns(server, 503, 3.5)
    sender.join(30)
    told, _ = found[0]
    assert told.status == 200
    assert told.body["status"] == "decided"
    assert told.body["clause"] not in ("unreadable", "failed")
    assert server.workers(kind) != [old]


def test_a_poisonous_photo_harms_no_other(server: Served) -> None:
    import concurrent.futures

    photos = [drawn(n) for n in range(31)]
    photos.insert(17, b"\x89PNG\r\n\x1a\n" + bytes(200))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        told = list(pool.map(server.put, photos))
    assert [one.status for one in told] == [200] * 32
    assert [one.body["verdict"] for one in told].count("resubmit") == 1
    assert told[17].body["clause"] == "unreadable"


def test_a_stop_finishes_what_is_in_work(server: Served, tmp_path: Path) -> None:
    names = [server.put(drawn(n), "").body["photo"] for n in range(40)]
    assert server.stop() == 0
    assert server.start()
    for name in names:
        assert server.ask("GET", f"/v1/photos/{name}?wait=10").body["status"] == "decided"
