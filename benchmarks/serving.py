"""Photos a second over HTTP, and how long one waits: Assay, every decision stored, beside servers that store nothing.

JPEG uploads over loopback, the load generator on the same cores as the servers (``benchmarks.load``). Networks:
*yolo11n-cls*, the smallest classifier that people serve (a nano of 2.8 million parameters: overhead shows), and
*resnet18*, where the network weighs most. Servers: LitServe and a plain FastAPI app around ONNX Runtime, each in the
best of a few settings (``serving_servers``), and ``assay serve`` as it is without options, in fp32 and int8, on SQLite
and on PostgreSQL. Both peers decode with Pillow and prepare as the Bundle's card says; a third row decodes JPEGs
smaller, as Assay does by itself.

Rounds go A B C, A B C, every server started anew. In each: 8 clients in a closed loop, and an open loop at one rate for
all. In the first round also 1 and 16 clients, and the greatest rate of the open loop with p99 <= 500 ms (halving). The
limit is that of ``assay bench``: 1 / (1 / decode + 1 / network), each alone on all cores.

    make bench-peers
    python -m benchmarks.serving                          25 minutes, on a machine that does nothing else
    python -m benchmarks.serving --rounds 1 --seconds 2 --tries 2 --networks yolo11n-cls         a quick look
    python -m benchmarks.serving --overload               2x and 10x of what it can do; 5 minutes
    python -m benchmarks.serving --summary
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.postgres import postgres_server

from benchmarks import overload, serving_summary
from benchmarks.answering import flat, networks
from benchmarks.machine import PEERS_PYTHON, RESULTS, append_line, read_lines, stamp
from benchmarks.serving_servers import Assay, Peer, Target, cpu_s, drafted, memory_mb, settings_of
from benchmarks.throughput import CLASSES, make_pictures

OPEN = {"yolo11n-cls": 60.0, "resnet18": 20.0, "mobilenet_v3_large": 60.0}
"""Photos a second of the open loop that all servers get."""
LIMIT_MS = 500.0
Line = dict[str, Any]


class Bench:
    """Writes lines that all say of which series they are."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.series = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def write(self, **line: Any) -> None:
        append_line(self.args.results, {"kind": "serving", "series": self.series, **line, **stamp()})

    def load(self, target: Target, *words: object, seconds: float | None = None) -> Line:
        """One run of the load generator, and what the server used meanwhile."""
        before, begun = cpu_s(target.pids), time.monotonic()
        found = overload.fire(target, self.args.pictures, seconds or self.args.seconds, *words)
        answered = max(1, found["answered"])
        spent = cpu_s(target.pids) - before
        found["server_cores"] = round(spent / (time.monotonic() - begun), 2)
        found["cpu_ms_an_answer"] = round(1000 * spent / answered, 2)
        return found


def choose(bench: Bench, kind: str, network: dict[str, Any], folder: Path) -> Peer:
    """The setting of a peer that answers most at 8 clients."""
    best: tuple[float, Peer] | None = None
    for peer in settings_of(kind)[: bench.args.settings]:
        with peer.running(network, folder / "choose") as target:
            found = bench.load(target, "--closed", 8, seconds=min(3.0, bench.args.seconds))
        bench.write(network=network["name"], server=peer.name, settings=peer.label, mode="setting", **found)
        print(f"{network['name']} {peer.name}, {peer.label}: {found['per_s']}/s", flush=True)
        if best is None or found["per_s"] > best[0]:
            best = found["per_s"], peer
    assert best is not None
    return best[1]


def measure(bench: Bench, server: Peer | Assay, network: dict[str, Any], folder: Path, turn: int) -> None:
    """One round of one server."""
    name, args = network["name"], bench.args
    about = {"network": name, "server": server.name, "settings": server.label, "round": turn}
    with server.running(network, folder) as target:
        bench.load(target, "--closed", 2, "--warm", 0, seconds=1.0)
        found = bench.load(target, "--closed", 8)
        bench.write(**about, mode="closed", memory_mb=memory_mb(target.pids), **found)
        print(f"{turn} {name} {server.name}: {found['per_s']}/s, p99 {found.get('p99_ms')} ms", flush=True)
        bench.write(**about, mode="open", **bench.load(target, "--open", OPEN[name]))
        if turn == 0:
            for clients in (1, 16):
                more = bench.load(target, "--closed", clients, seconds=min(3.0, args.seconds))
                bench.write(**about, mode="closed", **more)
            most = greatest(bench, target, found["per_s"])
            bench.write(**about, mode="greatest", limit_ms=LIMIT_MS, **most)
            print(f"  at p99 <= {LIMIT_MS:.0f} ms: {most['open_per_s']}/s", flush=True)


def greatest(bench: Bench, target: Target, start: float) -> Line:
    """The run of an open loop with the greatest rate whose p99 is within the limit; 0 where none is."""
    low: Line = {"open_per_s": 0.0}
    high, rate = None, 0.85 * start
    for _ in range(bench.args.tries):
        found = bench.load(target, "--open", round(rate, 2), "--warm", 0.5)
        fine = (
            found.get("p99_ms", 1e9) <= LIMIT_MS and set(found["statuses"]) == {"200"} and not found["faults"]
        )
        if fine:
            low, rate = found, 1.15 * rate if high is None else (rate + high) / 2
        else:
            high = rate
            rate = (low["open_per_s"] + rate) / 2 if low["open_per_s"] else 0.7 * rate
    return low


def limits(bench: Bench, network: dict[str, Any]) -> None:
    """What ``assay bench`` says of decoding and of the network alone."""
    command = [
        sys.executable,
        "-m",
        "assay",
        "bench",
        str(network["bundle"]),
        str(bench.args.pictures),
        "--json",
    ]
    command += ["--engine", "onnxruntime", "--rounds", "3", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    for way in told["ways"]:
        if way["fault"] is None and way["precision"] in ("fp32", "int8"):
            bench.write(
                network=network["name"], server="limit", settings="", mode="limit", precision=way["precision"],
                decode_per_s=told["decode_per_s"], engine_per_s=way["engine_per_s"],
                per_s=round(1 / (1 / told["decode_per_s"] + 1 / way["engine_per_s"]), 1),
            )  # fmt: skip


@contextlib.contextmanager
def database(args: argparse.Namespace) -> Iterator[str | None]:
    """A PostgreSQL for the time of the benchmark; None where there is none, or none is wanted."""
    with contextlib.ExitStack() as stack:
        address = None
        if not args.without_postgres:
            try:
                address = stack.enter_context(postgres_server())
            except pytest.skip.Exception as skipped:
                print(f"PostgreSQL: skipped, {skipped}")
        yield address


def assays(postgres: str | None, options: tuple[str, ...] = ()) -> list[Assay]:
    """Assay in both precisions on each database."""
    places = {"SQLite": "sqlite"} | ({"PostgreSQL": postgres} if postgres else {})
    return [
        Assay(f"assay {precision}, {name}", precision, place, options, " ".join(options))
        for precision in ("fp32", "int8")
        for name, place in places.items()
    ]


def prepared(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The networks, with Bundle and graph, and the folder of pictures in ``args.pictures``."""
    from benchmarks.answering_bundles import make_bundle  # noqa: PLC0415 - onnx

    folder = args.folder
    args.pictures = flat(
        make_pictures(folder / "tree", -(-args.count // CLASSES)),
        folder / f"pictures-{args.count}",
        args.count,
    )
    found = []
    for network in networks(folder, args.pictures):
        if network["name"] in args.networks:
            bundle = folder / f"{network['name']}.bundle"
            if not bundle.exists():
                make_bundle(network, folder, sorted(args.pictures.iterdir()))
            onnx = (folder / network["onnx"]).resolve()
            found.append({**network, "bundle": bundle, "onnx": onnx})
    return found


def compare(bench: Bench, found: list[dict[str, Any]], folder: Path) -> None:
    """All servers in rounds."""
    args = bench.args
    with database(args) as postgres:
        for network in found:
            servers: list[Peer | Assay] = []
            if PEERS_PYTHON.exists():
                peers = [choose(bench, kind, network, folder) for kind in ("litserve", "fastapi")]
                servers += [*peers, drafted(peers[1])]
            servers = [
                s
                for s in [*servers, *assays(postgres, tuple(args.assay_options.split()))]
                if any(word in s.name for word in args.servers)
            ]
            limits(bench, network)
            for turn in range(args.rounds):
                for number, server in enumerate(servers):
                    own = folder / f"{turn}-{number}"
                    measure(bench, server, network, own, turn)
                    shutil.rmtree(own, ignore_errors=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*", default=["yolo11n-cls", "resnet18"])
    parser.add_argument("--servers", nargs="*", default=[""], help="words; servers whose name contains one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--tries", type=int, default=5, help="rates that are tried for p99 <= 500 ms")
    parser.add_argument("--settings", type=int, default=9, help="settings of each peer that are tried")
    parser.add_argument("--count", type=int, default=500, help="different pictures on the disk")
    parser.add_argument("--assay-options", default="", help="words for `assay serve` (default: as it comes)")
    parser.add_argument("--without-postgres", action="store_true")
    parser.add_argument("--overload", action="store_true", help="the overload promise instead")
    parser.add_argument("--folder", type=Path, default=Path("runs/answering"))
    parser.add_argument("--results", type=Path, default=RESULTS / "serving.jsonl")
    parser.add_argument("--summary", action="store_true", help="print the tables of what is there, and stop")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.summary:
        print("\n".join(serving_summary.tables(read_lines(args.results))))
        return 0
    if not PEERS_PYTHON.exists():
        print("the peers are not installed (`make bench-peers`): Assay alone")
    bench, found = Bench(args), prepared(args)
    with tempfile.TemporaryDirectory(prefix="assay-serving-") as place:
        folder = Path(place)
        os.chmod(folder, 0o755)  # noqa: PTH101 - PostgreSQL runs as another user
        if args.overload:
            for network in found:
                overload.full(bench, network, folder)
        else:
            compare(bench, found, folder)
    print("\n".join(serving_summary.tables(read_lines(args.results))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
