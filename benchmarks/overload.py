"""More photos than can be answered: what is answered all the same, how fast the rest is refused, and what is lost.

First the capacity: the greatest rate of answers that an open loop gets, whatever is sent. Then 2x and 10x of it. What
was taken in is asked for one by one afterwards; memory is that of all processes, looked at twice a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.served import Served

from benchmarks.machine import ROOT, cores
from benchmarks.serving_servers import Assay, Target, memory_mb

if TYPE_CHECKING:
    from benchmarks.serving import Bench

Line = dict[str, Any]
TIMES = (2, 10)
SETTLES_S = 60.0


def full(bench: Bench, network: dict[str, Any], folder: Path) -> None:
    """The whole of it for one network, in fp32 on SQLite."""
    args = bench.args
    server = Assay("assay fp32, SQLite", "fp32", options=tuple(args.assay_options.split()))
    seconds = 2 * args.seconds
    with server.running(network, folder / "overload") as target:
        peak, lines = capacity(target, args.pictures, seconds)
        for line in lines:
            bench.write(network=network["name"], server=server.name, mode="capacity", **line)
        for round_ in range(args.rounds):
            for times in TIMES:
                line = step(target, args.pictures, times * peak, 2 * seconds)
                line |= {"times": times, "peak_per_s": peak, **goodput(line, peak, lines)}
                bench.write(
                    network=network["name"], server=server.name, mode="overload", round=round_, **line
                )
                print(f"{network['name']} {times}x: {json.dumps(line)}", flush=True)


def goodput(line: Line, peak: float, at_peak: list[Line]) -> Line:
    """The answers as a share of the peak; and as a share of the peak for each core that the load generator left.

    The generator works on the same cores, and at 10x it works 10 times as hard, which is no fault of the server's.
    """
    best = max(at_peak, key=lambda one: one["per_s"])
    left, left_at_peak = (cores() - one["generator_cores"] for one in (line, best))
    share = line["per_s"] / peak
    return {"goodput": round(share, 3), "goodput_a_core": round(share * left_at_peak / left, 3)}


def capacity(target: Target, pictures: Path, seconds: float) -> tuple[float, list[Line]]:
    """(answers a second at the most, the runs of the open loop that it comes from)."""
    fire(target, pictures, 1.0, "--closed", 4)
    start = fire(target, pictures, seconds, "--closed", 16)["per_s"]
    lines = [fire(target, pictures, seconds, "--open", round(share * start, 1)) for share in (0.9, 1.1, 1.4)]
    return max(line["per_s"] for line in lines), lines


def step(target: Target, pictures: Path, rate: float, seconds: float) -> Line:
    """One open loop, with memory before, at its most and after; ``lost`` of the photos that were taken in."""
    seen: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            seen.append(memory_mb(target.pids))

    before = memory_mb(target.pids)
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with tempfile.TemporaryDirectory() as place:
            taken = Path(place) / "taken.json"
            line = fire(target, pictures, seconds, "--open", round(rate, 1), "--taken", taken, "--warm", 2)
            names = json.loads(taken.read_text())
    finally:
        stop.set()
        watcher.join()
    server = target.served
    lost = undecided(server, names) if server is not None else 0
    after = memory_mb(target.pids)
    return {**line, "taken": len(names), "lost": lost, "memory_before_mb": before,
            "memory_most_mb": max([before, *seen]), "memory_after_mb": after}  # fmt: skip


def undecided(server: Served, names: list[str]) -> int:
    """How many of these photos have no decision, some time later."""
    until = time.monotonic() + SETTLES_S
    left = list(names)
    while left:
        left = [
            name for name in left if server.ask("GET", f"/v1/photos/{name}").body.get("status") != "decided"
        ]
        if not left or time.monotonic() > until:
            break
        time.sleep(0.2)
    return len(left)


def fire(target: Target, pictures: Path, seconds: float, *words: object) -> Line:
    """``benchmarks.load`` in a process of its own.

    Raises
    ------
    RuntimeError : it failed; with its last words.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.load",
        "--pictures",
        str(pictures.resolve()),
        "--seconds",
        f"{seconds:g}",
    ]
    command += [*target.words, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    found: Line = json.loads(done.stdout)
    return found
