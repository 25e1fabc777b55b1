"""The servers of ``benchmarks.serving``: how each is started, spoken to and stopped.

Assay is started as a shop starts it, ``assay serve POLICY``, and its policy asks one question that every photo passes;
its thresholds are zero, so that each verdict stands without a person and the whole way to the record is walked. The
peers answer and keep nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.postgres import new_database
from tests.served import Served, children

from assay.bundle import load_bundle
from assay.decide.budgets import Budgets, Kind, thresholds_path
from assay.decide.decision import ALL
from assay.decide.policy_read import read_policy
from benchmarks.machine import PEERS_PYTHON, ROOT, cores, peer_environment

STARTS_S = 90.0
QUESTION = "what"


@dataclass(frozen=True)
class Target:
    """A running server: ``words`` go to ``benchmarks.load``; ``pids`` are its first processes."""

    words: tuple[str, ...]
    pids: tuple[int, ...]
    served: Served | None = None


@dataclass(frozen=True)
class Peer:
    """``kind`` is "fastapi" or "litserve"; ``settings`` go to it as they are, ``label`` tells them."""

    name: str
    kind: str
    label: str
    settings: dict[str, Any] = field(default_factory=dict)

    @contextlib.contextmanager
    def running(self, network: dict[str, Any], folder: Path) -> Iterator[Target]:
        port = free_port()
        told = {"onnx": str(network["onnx"]), "side": network["side"], "port": port, **self.settings}
        environment = {**peer_environment(), "ASSAY_BENCH_SERVER": json.dumps(told)}
        command = [str(PEERS_PYTHON), "-m", f"benchmarks.peers.serve_{self.kind}"]
        method, path = ("PUT", "/") if self.kind == "fastapi" else ("POST", "/predict")
        words = ["--port", str(port), "--method", method, "--path", path, "--good", "label"]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "peer.log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                _wait(process, port, folder / "peer.log")
                yield Target(tuple(words), (process.pid,))
            finally:
                _stop(process)


@dataclass(frozen=True)
class Assay:
    """``database`` is "sqlite", or the address of a PostgreSQL server in which each run gets a database of its own."""

    name: str
    precision: str
    database: str = "sqlite"
    options: tuple[str, ...] = ()
    label: str = ""

    @contextlib.contextmanager
    def running(self, network: dict[str, Any], folder: Path) -> Iterator[Target]:
        policy = write_policy(folder, network["bundle"], self.precision)
        options = ("--precision", self.precision, "--no-open-door", *self.options)
        if self.database != "sqlite":
            options += ("--database", new_database(self.database))
        server = Served(policy, folder / "home", options)
        server.start()
        try:
            words = ("--port", str(server.port), "--path", "/v1/photos?wait=10", "--key", server.words)
            words += ("--good", '"automatic":true')
            assert server.process is not None
            yield Target(words, (server.process.pid, *_postgres()), server)
        finally:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                assert server.process is not None
                server.process.kill()
                server.process.wait(10)


def write_policy(folder: Path, bundle: Path, precision: str, *, least: float | None = 0.0) -> Path:
    """A policy with one question, and thresholds of ``least`` beside it, or none."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"shop-{precision}.yaml"
    told = {
        "format": 1,
        "name": "shop",
        "version": "1",
        "questions": {QUESTION: {"model": str(bundle.resolve()), "answers": {"*": "pass"}}},
        "automatic": {"accept": {"risk": 0.5, "confidence": 0.5}},
    }
    path.write_text(yaml.safe_dump(told), "utf-8")
    if least is None:
        return path
    digest = f"{load_bundle(bundle).digest} {precision}"
    kind = Kind("accept", ALL, 0.5, 0.5, least, 1, 0, 1.0, 0.0, None)
    Budgets(read_policy(path).rules, {QUESTION: digest}, (kind,), 1, 1).save(thresholds_path(path))
    return path


def _postgres() -> tuple[int, ...]:
    """A PostgreSQL that this process has started: what it does is a part of the server's work."""
    return tuple(pid for pid, words in children(os.getpid()) if "/bin/postgres -D" in words)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def memory_mb(pids: tuple[int, ...]) -> float:
    """Memory of processes and all below them, shared pages by their share (PSS), in MB."""
    total = 0
    for pid in all_below(pids):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return round(total / 1024, 1)


def cpu_s(pids: tuple[int, ...]) -> float:
    """Seconds of processor time that these processes and all below them have used, those that ended left out."""
    ticks = 0
    for pid in all_below(pids):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def all_below(pids: tuple[int, ...]) -> set[int]:
    """Process ids, and those of all that they have started."""
    return {one for pid in pids for one in (pid, *(child for child, _ in children(pid)))}


def settings_of(kind: str) -> list[Peer]:
    """What a peer is tried with; the best of them goes into the rounds."""
    both = cores()
    if kind == "litserve":
        ways = [
            ("1 worker", {"workers": 1, "batch": 1, "threads": both}),
            (f"{both} workers", {"workers": both, "batch": 1, "threads": 1}),
            (f"{both} workers, fast queue", {"workers": both, "batch": 1, "threads": 1, "fast_queue": True}),
            ("1 worker, batches of 8", {"workers": 1, "batch": 8, "threads": both, "batch_timeout": 0.005}),
            (
                f"{both} workers, batches of 4",
                {"workers": both, "batch": 4, "threads": 1, "batch_timeout": 0.005},
            ),
        ]
        base: dict[str, Any] = {"fast_queue": False, "batch_timeout": 0.0, "draft": False}
    else:
        ways = [
            (f"{both} threads, 1 each in ONNX Runtime", {"pool": both, "threads": 1, "processes": 1}),
            (f"{both} threads, {both} in ONNX Runtime", {"pool": both, "threads": both, "processes": 1}),
            ("8 threads, 1 each in ONNX Runtime", {"pool": 8, "threads": 1, "processes": 1}),
            (f"{both} processes of 1 thread", {"pool": 1, "threads": 1, "processes": both}),
        ]
        base = {"draft": False}
    return [Peer(kind, kind, label, {**base, **way}) for label, way in ways]


def drafted(peer: Peer) -> Peer:
    """The same with Pillow's own shrinking of JPEGs, which few write and Assay has built in."""
    name = f"{peer.kind}, JPEG decoded smaller"
    return Peer(name, peer.kind, peer.label, {**peer.settings, "draft": True})


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until somebody listens."""
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit(f"a peer did not start:\n{log.read_text()[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started: it leads a session of its own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
