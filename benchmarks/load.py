"""Send JPEG uploads to a server, as fast as it answers or by a schedule, and tell rates and latencies as one JSON line.

*Closed*: so many clients, each sending its next photo when the last one is answered. *Open*: arrivals by a Poisson
process of a given rate, whatever the server does; a latency counts from the moment the schedule names, so time that a
photo waits for its turn is in it. Each upload is made different from all others (a comment in the JPEG), so nothing can
be answered from memory. Connections are kept alive; a request is written from bytes that were made before.

Standard library and, where it is there, uvloop: this process runs beside the server on the same cores.

    python -m benchmarks.load --port 8000 --pictures FOLDER --closed 8 --seconds 5
    python -m benchmarks.load --port 8000 --pictures FOLDER --open 100 --seconds 5 --path '/v1/photos?wait=10' --key KEY
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"
MOST_OPEN = 3000
"""Connections at once; an arrival beyond them waits, which its latency tells (``late``)."""


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes

    @property
    def closes(self) -> bool:
        return b"\r\nconnection: close" in self.head

    @property
    def retry_after(self) -> bool:
        return b"\r\nretry-after: " in self.head


class Shot(NamedTuple):
    """``begun`` is when it was due, ``ended`` when its answer was whole; ``late`` how long after it was due it left."""

    begun: float
    ended: float
    late: float
    status: int
    retry_after: bool
    good: bool
    fault: str


class Uploads:
    """Requests of many pictures in turn, no two with the same bytes; ``next`` gives (head, body in parts)."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        words = [
            f"{args.method} {args.path} HTTP/1.1",
            f"Host: {HOST}:{args.port}",
            "Content-Type: image/jpeg",
        ]
        words += [f"Authorization: Bearer {args.key}"] * bool(args.key) + [
            "Expect: 100-continue"
        ] * args.expect
        self._front = "\r\n".join(words).encode()
        self._token, self._numbers = secrets.token_bytes(8), count()
        self._pictures = []
        for path in sorted(folder.rglob("*.jpg"))[: args.most_pictures]:
            data = path.read_bytes()
            at = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
            self._pictures.append((data[:at], data[at:]))
        if not self._pictures:
            raise SystemExit(f"no JPEG files in {folder}")

    def next(self) -> tuple[bytes, tuple[bytes, ...]]:
        number = next(self._numbers)
        start, rest = self._pictures[number % len(self._pictures)]
        comment = b"\xff\xfe\x00\x12" + self._token + number.to_bytes(8, "big")
        length = len(start) + len(comment) + len(rest)
        return self._front + b"\r\nContent-Length: %d\r\n\r\n" % length, (start, comment, rest)


class Connection:
    """One that is kept alive; ``ask`` sends one request and reads its answer."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, head: bytes, body: tuple[bytes, ...], *, expect: bool) -> Answer:
        if self._reader is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port, limit=1 << 18)
        reader, writer = self._reader, self._writer
        if reader is None or writer is None:
            raise ConnectionError("closed")
        if not expect:
            writer.writelines((head, *body))
        else:
            writer.write(head)
            text = await reader.readuntil(b"\r\n\r\n")
            if not text.startswith(b"HTTP/1.1 100"):
                return await self._rest(reader, text)
            writer.writelines(body)
        return await self._rest(reader, await reader.readuntil(b"\r\n\r\n"))

    async def _rest(self, reader: asyncio.StreamReader, text: bytes) -> Answer:
        head = text.lower()
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 : head.index(b"\r\n", at + 2)]) if at >= 0 else 0
        answer = Answer(int(head[9:12]), head, await reader.readexactly(length))
        if answer.closes:
            self.close()
        return answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


@dataclass
class Load:
    """``shots`` of a run; ``taken`` are the ids of photos that the server took in."""

    args: argparse.Namespace
    uploads: Uploads
    shots: list[Shot] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    _free: deque[Connection] = field(default_factory=deque)

    async def closed(self, clients: int, begun: float, until: float) -> None:
        del begun

        async def client() -> None:
            connection = Connection(self.args.port)
            while (now := time.perf_counter()) < until:
                await self._shoot(connection, now)
            connection.close()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def opened(self, rate: float, begun: float, until: float) -> None:
        noise, due, tasks = random.Random(self.args.seed), begun, set()
        turns = asyncio.Semaphore(MOST_OPEN)
        while (due := due + noise.expovariate(rate)) < until:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            elif len(tasks) % 64 == 0:
                await asyncio.sleep(0)
            task = asyncio.create_task(self._arrive(due, turns))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks, timeout=self.args.timeout + 5)
        for connection in self._free:
            connection.close()

    async def _arrive(self, due: float, turns: asyncio.Semaphore) -> None:
        async with turns:
            connection = self._free.pop() if self._free else Connection(self.args.port)
            await self._shoot(connection, due)
            self._free.append(connection)

    async def _shoot(self, connection: Connection, due: float) -> None:
        args, left = self.args, time.perf_counter()
        try:
            async with asyncio.timeout(args.timeout):
                answer = await connection.ask(*self.uploads.next(), expect=args.expect)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            connection.close()
            now, name = time.perf_counter(), type(error).__name__
            self.shots.append(Shot(due, now, left - due, 0, False, False, name))
            if args.closed:
                await asyncio.sleep(0.01)
            return
        good = answer.status == 200 and args.good.encode() in answer.body
        if args.taken is not None and answer.status in (200, 202):
            self.taken.append(json.loads(answer.body)["photo"])
        ended = time.perf_counter()
        self.shots.append(Shot(due, ended, left - due, answer.status, answer.retry_after, good, ""))


def percentiles(values: list[float], *which: float) -> list[float]:
    """Those of the values, by nearest rank; nothing where there are none."""
    ordered = sorted(values)
    return [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in which] if ordered else []


def told(shots: list[Shot], begun: float, until: float) -> dict[str, Any]:
    """What happened between two moments: rates by when answers came, latencies of what was due then."""
    seconds = until - begun
    due = [shot for shot in shots if begun <= shot.begun < until]
    good = [shot for shot in due if shot.good]
    refused = [shot for shot in due if shot.status in (429, 503)]
    found: dict[str, Any] = {
        "seconds": round(seconds, 2),
        "due": len(due),
        "per_s": round(sum(shot.good and begun <= shot.ended < until for shot in shots) / seconds, 2),
        "statuses": dict(Counter(shot.status for shot in due if shot.status)),
        "faults": dict(Counter(shot.fault for shot in due if shot.fault)),
        "not_good": sum(shot.status == 200 and not shot.good for shot in due),
        "refused_with_retry_after": sum(shot.retry_after for shot in refused),
    }
    for name, some in (("", good), ("refused_", refused)):
        times = [1000 * (shot.ended - shot.begun) for shot in some]
        for label, value in zip(("p50", "p95", "p99"), percentiles(times, 0.5, 0.95, 0.99), strict=False):
            found[f"{name}{label}_ms"] = round(value, 2)
    found["late_p99_ms"] = round(1000 * next(iter(percentiles([s.late for s in due], 0.99)), 0.0), 2)
    return found


async def run(args: argparse.Namespace) -> dict[str, Any]:
    """One run; what is told of it. ``answered`` counts the time before too."""
    load = Load(args, Uploads(args.pictures, args))
    began = time.perf_counter()
    until, used = began + args.warm + args.seconds, time.process_time()
    how = load.opened(args.open, began, until) if args.open else load.closed(args.closed, began, until)
    await how
    if args.taken is not None:
        args.taken.write_text(json.dumps(load.taken))
    found = {"open_per_s": args.open} if args.open else {"clients": args.closed}
    found |= told(load.shots, began + args.warm, until)
    spent = (time.process_time() - used) / (args.warm + args.seconds)
    answered = sum(shot.status > 0 for shot in load.shots)
    return {**found, "answered": answered, "generator_cores": round(spent, 3)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of JPEG files")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--closed", type=int, default=0, metavar="N", help="clients")
    how.add_argument("--open", type=float, default=0.0, metavar="RATE", help="arrivals a second")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm", type=float, default=1.0, help="seconds before, that do not count")
    parser.add_argument("--method", default="PUT")
    parser.add_argument("--path", default="/")
    parser.add_argument("--key", default="")
    parser.add_argument("--good", default="", help="a word of an answer that counts")
    parser.add_argument(
        "--expect", action="store_true", help="a body only when asked for (Expect: 100-continue)"
    )
    parser.add_argument("--timeout", type=float, default=30.0)
    parser.add_argument("--most-pictures", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--taken", type=Path, help="write the ids of photos that were taken in to this file")
    return parser.parse_args()


def main() -> int:
    args = parse()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    runner = asyncio.Runner()
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - not everywhere

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner:
        print(json.dumps(runner.run(run(args))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
