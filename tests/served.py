"""A screening service of the tests' own, in a process of its own, and what talks to it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

STARTS_S = 60.0


class Told(NamedTuple):
    """An answer over HTTP."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Served:
    """``assay serve POLICY`` on a free port; ``words`` is a key with all scopes."""

    policy: Path
    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    words: str = ""
    process: subprocess.Popen[str] | None = None
    log: list[str] = field(default_factory=list)
    _follower: threading.Thread | None = None

    def start(self) -> Served:
        """Start, and wait until it says where it listens."""
        if not self.words:
            self.words = self.new_key("submit", "review", "operate")
        command = [sys.executable, "-m", "assay", "serve", str(self.policy), "--folder", str(self.folder)]
        command += ["--port", str(self.port), *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._follower = threading.Thread(target=self._follow, args=(self.process,), daemon=True)
        self._follower.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r":(\d+)$", line.strip())
        if found is None:
            self.process.wait(10)
            self._close()
            raise AssertionError(f"the server did not start: {line}{''.join(self.log[-40:])}")
        self.port = int(found[1])
        return self

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.log.append(line)

    def _close(self) -> None:
        """Let go of what a process that has ended has left."""
        assert self.process is not None
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self._follower is not None:
            self._follower.join(10)

    def stop(self, how: int = signal.SIGTERM, wait_s: float = 40) -> int:
        """Stop; the exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(wait_s)
        self._close()
        return code

    def kill(self) -> None:
        """Without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self._close()

    def new_key(self, *scopes: str, per_minute: int = 0) -> str:
        """The words of a new key."""
        command = [
            sys.executable,
            "-m",
            "assay",
            "keys",
            "add",
            str(self.policy),
            "--folder",
            str(self.folder),
        ]
        command += ["--name", "test", "--per-minute", str(per_minute)]
        if "--database" in self.options:
            command += ["--database", self.options[self.options.index("--database") + 1]]
        for scope in scopes:
            command += ["--scope", scope]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, *, words: str | None = None,
        timeout: float = 30, **headers: str,
    ) -> Told:  # fmt: skip
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            return ask(connection, method, path, body, self.words if words is None else words, **headers)
        finally:
            connection.close()

    def put(self, data: bytes, query: str = "wait=10", **more: Any) -> Told:
        """Send a photo."""
        return self.ask("PUT", f"/v1/photos?{query}", data, **more)

    def workers(self, kind: str) -> list[int]:
        """Process ids of the decoders, or the answerers."""
        assert self.process is not None
        return [pid for pid, words in children(self.process.pid) if f"assay.service.workers.{kind}" in words]


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | dict[str, Any] | None, words: str,
    **headers: str,
) -> Told:  # fmt: skip
    """One request on a connection."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if words:
        sent["Authorization"] = f"Bearer {words}"
    data: bytes | None = None if isinstance(body, dict) else body
    if isinstance(body, dict):
        data = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    connection.request(method, path, data, sent)
    answer = connection.getresponse()
    raw = answer.read()
    kind = answer.headers.get("content-type", "")
    told = json.loads(raw) if "json" in kind and raw else raw
    return Told(answer.status, told, {name.lower(): value for name, value in answer.headers.items()})


@contextlib.contextmanager
def served(policy: Path, folder: Path, *options: str) -> Iterator[Served]:
    """A server that is stopped, and killed if it does not stop."""
    server = Served(policy, folder, options)
    try:
        yield server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            try:
                server.stop()
            except subprocess.TimeoutExpired:
                server.kill()


def children(pid: int) -> list[tuple[int, str]]:
    """(process id, command line) of all below a process."""
    found: list[tuple[int, str]] = []
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parents[int(place.name)] = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
                lines[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    for one in parents:
        above = one
        while above in parents and above != pid:
            above = parents[above]
        if above == pid and one != pid:
            found.append((one, lines[one]))
    return found


def drawn(seed: int, side: int = 64, kind: str = "PNG") -> bytes:
    """The bytes of a picture that no other seed has."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(seed)
    picture = np.full((side, side, 3), noise.integers(0, 255, 3), np.uint8)
    low, high = side // 4, side // 2 + int(noise.integers(0, side // 4))
    picture[low:high, low:high] = noise.integers(0, 255, 3)
    picture[0, :4] = noise.integers(0, 255, (4, 3))
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind)
    return stream.getvalue()


def kill(pid: int, how: int = signal.SIGKILL) -> None:
    """Without a word where it is gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
