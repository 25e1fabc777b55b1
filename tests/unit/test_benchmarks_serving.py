"""The serving benchmark's own arithmetic, and its load generator against a server that does as it is told."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from tests.served import drawn

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import load, overload, serving, serving_summary  # noqa: E402


@pytest.fixture
def pictures(tmp_path):
    for i in range(2):
        (tmp_path / f"{i}.jpg").write_bytes(drawn(i, kind="JPEG"))
    return tmp_path


class Handler(BaseHTTPRequestHandler):
    """200 with a verdict; each third request is refused."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]] = []

    def do_PUT(self):
        Handler.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        refused = len(Handler.bodies) % 3 == 0
        body = b"{}" if refused else b'{"photo": "p", "automatic":true}'
        self.send_response(429 if refused else 200)
        for name, value in {"Retry-After": "2"}.items() if refused else ():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Handler.bodies = []
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found.server_port
    found.shutdown()
    found.server_close()
    thread.join()


@pytest.mark.parametrize("how", [("--closed", "2"), ("--open", "60"), ("--open", "40", "--expect")])
def test_the_generator_counts_what_it_gets(server, pictures, tmp_path, how):
    taken = tmp_path / "taken.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.load",
        "--port",
        str(server),
        "--pictures",
        str(pictures),
        *how,
    ]
    command += ["--seconds", "0.8", "--warm", "0.2", "--good", '"automatic":true', "--taken", str(taken)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found["statuses"]) == {"200", "429"}
    assert found["faults"] == {}
    assert found["refused_with_retry_after"] == found["statuses"]["429"]
    assert found["statuses"]["200"] + found["statuses"]["429"] == found["due"]
    assert found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]
    assert found["answered"] == len(Handler.bodies)
    assert len(json.loads(taken.read_text())) == found["answered"] - len(Handler.bodies) // 3
    assert len(set(Handler.bodies)) == len(Handler.bodies)  # nothing could be answered from memory


def test_each_upload_is_another_jpeg_that_can_be_read(pictures):
    import io

    import numpy as np
    from PIL import Image

    args = argparse.Namespace(method="PUT", path="/", port=1, key="", expect=False, most_pictures=9)
    uploads = load.Uploads(pictures, args)
    found = [b"".join(uploads.next()[1]) for _ in range(4)]
    assert len(set(found)) == 4
    first, third = (np.asarray(Image.open(io.BytesIO(data))) for data in (found[0], found[2]))
    assert (first == third).all()


def shot(begun, seconds, status=200, late=0.0):
    return load.Shot(begun, begun + seconds, late, status, status == 429, status == 200, "")


def test_latencies_count_from_when_a_photo_was_due():
    shots = [shot(t / 10, 0.5 if t % 10 == 9 else 0.01) for t in range(20)] + [shot(1.0, 0.002, 429)]
    found = load.told(shots, 0.0, 2.0)
    assert found["due"] == 21
    assert found["per_s"] == 19 / 2  # the answer after the end does not count
    assert found["p50_ms"] == 10.0
    assert found["p99_ms"] == 500.0
    assert found["statuses"] == {200: 20, 429: 1}
    assert found["refused_p99_ms"] == 2.0


def test_a_schedule_does_not_wait_for_the_server(pictures, monkeypatch):
    args = argparse.Namespace(
        method="PUT", path="/", port=1, key="", expect=False, most_pictures=9, seed=0, timeout=5.0, closed=0,
        good="", taken=None,
    )  # fmt: skip
    run = load.Load(args, load.Uploads(pictures, args))

    async def slow(*_, **__):
        await asyncio.sleep(0.3)
        return load.Answer(200, b"", b"")

    monkeypatch.setattr(load.Connection, "ask", slow)
    begun = time.perf_counter()
    asyncio.run(run.opened(100.0, begun, begun + 0.5))
    assert 25 < len(run.shots) < 80
    assert max(one.late for one in run.shots) < 0.25


class Steps:
    """A server that keeps the limit up to 70 photos a second."""

    args = argparse.Namespace(tries=6)

    def load(self, _target, _how, rate, *_):
        fine = rate <= 70
        return {"open_per_s": rate, "p99_ms": 100.0 if fine else 900.0, "statuses": {"200": 5}, "faults": {}}


def test_the_greatest_rate_is_found_from_both_sides():
    for start in (40.0, 80.0, 200.0):
        found = serving.greatest(Steps(), None, start)
        assert 55 < found["open_per_s"] <= 70


def lines():
    found = []
    for turn, (peer, mine) in enumerate([(50, 60), (40, 60), (60, 60)]):
        for server, rate in (("litserve", 30), ("fastapi", peer), ("assay int8, SQLite", mine)):
            base = {
                "series": "a",
                "network": "n",
                "server": server,
                "settings": "x",
                "round": turn,
                "per_s": rate,
            }
            base |= {"p50_ms": 10.0, "p99_ms": 20.0, "cpu_ms_an_answer": 5.0, "memory_mb": 100.0}
            found.append({**base, "mode": "closed", "clients": 8})
            found.append({**base, "mode": "open", "open_per_s": 20.0})
    found.append(
        {"series": "a", "network": "n", "server": "limit", "mode": "limit", "precision": "int8", "per_s": 120}
    )
    return found


def test_ratios_are_those_of_one_round():
    told = serving_summary.ratios(lines())
    assert told["assay int8, SQLite"] == pytest.approx([1.2, 1.5, 1.0])
    rows = serving_summary.tables(lines())
    assert "| assay int8, SQLite | **60** (60 - 60) | 1.20 x (1.00 - 1.50) | 10, 20 |" in "\n".join(rows)
    assert "| 50 % |" in "\n".join(rows)


def test_the_overload_table_tells_what_was_lost():
    at_peak = [{"per_s": 50.0, "generator_cores": 0.0}]
    some = []
    for times, rate in ((2, 48.0), (10, 45.0)):
        line = {
            "series": "a",
            "network": "n",
            "mode": "overload",
            "times": times,
            "peak_per_s": 50.0,
            "per_s": rate,
        }
        line |= {
            "open_per_s": 50.0 * times,
            "generator_cores": 0.2,
            "statuses": {"200": 90, "429": 10},
            "faults": {},
        }
        line |= {
            "refused_with_retry_after": 10,
            "p50_ms": 5.0,
            "p99_ms": 9.0,
            "refused_p50_ms": 1.0,
            "lost": 0,
        }
        line |= {
            "refused_p99_ms": 2.0,
            "taken": 90,
            "memory_before_mb": 1,
            "memory_most_mb": 2,
            "memory_after_mb": 2,
        }
        some.append({**line, **overload.goodput(line, 50.0, at_peak)})
    assert some[1]["goodput"] == 0.9
    assert some[1]["goodput_a_core"] > 0.9
    rows = serving_summary.tables(some)
    assert len(rows) == 4
    assert "| 10 x 50 | 500 | 45 | 90 % (least 90) |" in rows[3]
    assert "| 10 of 10 | 1, 2 | 0 | 90, 0 | 1, 2, 2 |" in rows[3]
