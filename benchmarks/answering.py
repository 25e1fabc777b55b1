"""From a folder of JPEG files to a file of answers: Assay beside its peers, the same operations, in turns.

The networks are Ultralytics' own (``peers.ultralytics_graphs``), for Assay cut out of its ONNX export into Bundles.
Every run is a process of its own, from its start to the finished file; rounds go A B C, A B C, so that what else the
machine does hits all alike. All detectors tell things from the same score on, suppress at the same overlap, and tell as
many at most. Assay decodes JPEGs smaller where the Bundle allows it, which no peer does: rows with ``whole`` switch
that off.

    make bench-peers
    python -m benchmarks.answering --pictures 2000 --rounds 3
    python -m benchmarks.answering --networks resnet18 --rounds 1 --pictures 200      a quick look
    python -m benchmarks.answering --summary
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.answering_programs import Program, programs, things_in
from benchmarks.answering_summary import tables
from benchmarks.machine import PEERS_PYTHON, RESULTS, append_line, peer_environment, read_lines, stamp
from benchmarks.throughput import CLASSES, make_pictures


def flat(tree: Path, out: Path, n: int) -> Path:
    """A folder of ``n`` links to the pictures of a class-folder tree."""
    out.mkdir(parents=True, exist_ok=True)
    have = {path.name for path in out.iterdir()}
    for i, path in enumerate(sorted((tree / "train").rglob("*.jpg"))[:n]):
        if f"{i:05}.jpg" not in have:
            os.link(path, out / f"{i:05}.jpg")
    return out


def run(words: list[str], *, peer: bool) -> tuple[float, dict[str, Any]]:
    """(seconds, what it said of itself) of one process.

    Raises
    ------
    SystemExit : it failed; with its last words.
    """
    environment = peer_environment() if peer else dict(os.environ)
    begun = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    took = time.perf_counter() - begun
    if done.returncode != 0:
        raise SystemExit(f"failed: {shlex.join(words)}\n{done.stderr[-2000:]}")
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1]) if peer else {}
    except (ValueError, IndexError):
        told = {}
    return took, told


def measure(program: Program, count: int) -> dict[str, Any]:
    """One run of one program: the rate, and how many things it told."""
    before = stamp()
    took, told = run(program.words, peer=program.peer)
    if not program.peer:
        told = {"things": things_in(program.answers)}
    return {"seconds": round(took, 2), "per_s": round(count / took, 2), "told": told, **before}


def networks(folder: Path, pictures: Path) -> list[dict[str, Any]]:
    """What ``peers.ultralytics_graphs`` wrote; it is asked to where there is nothing."""
    listed = folder / "networks.json"
    if not listed.exists():
        graphs = ["benchmarks.peers.ultralytics_graphs", "--pictures", str(pictures), "--out", str(folder)]
        run([str(PEERS_PYTHON), "-m", *graphs], peer=True)
    found: list[dict[str, Any]] = json.loads(listed.read_text("utf-8"))
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="*")
    parser.add_argument("--programs", nargs="*", default=[""], help="words; programs whose name contains one")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/answering"))
    parser.add_argument("--results", type=Path, default=RESULTS / "answering.jsonl")
    parser.add_argument("--summary", action="store_true", help="print the tables of what is there, and stop")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.summary:
        print("\n".join(tables(read_lines(args.results))))
        return 0
    if not PEERS_PYTHON.exists():
        print("skipped: the peers are not installed; run `make bench-peers`")
        return 0
    from benchmarks.answering_bundles import make_bundle  # noqa: PLC0415 - onnx

    tree = make_pictures(args.folder / "tree", -(-args.pictures // CLASSES))
    pictures = flat(tree, args.folder / f"pictures-{args.pictures}", args.pictures)
    files, out = sorted(pictures.iterdir()), args.folder / "answers"
    out.mkdir(exist_ok=True)
    series = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for network in networks(args.folder, pictures):
        if args.networks and network["name"] not in args.networks:
            continue
        make_bundle(network, args.folder, files)
        chosen = [
            program
            for program in programs(network, args.folder, pictures, out)
            if any(word in program.name for word in args.programs)
        ]
        for turn in range(args.rounds):
            for program in chosen:
                line = measure(program, len(files))
                about = {"kind": "answering", "series": series, "network": network["name"]}
                about |= {"program": program.name, "round": turn, "pictures": len(files)}
                append_line(args.results, about | line)
                print(f"{network['name']} {program.name}: {line['per_s']}/s", flush=True)
    print("\n".join(tables(read_lines(args.results))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
