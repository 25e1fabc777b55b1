"""From a folder of JPEG files to a file of answers: Assay beside its peers, the same operations, in turns.

The networks are Ultralytics' own with random weights (``peers.ultralytics_graphs``), for Assay cut out of its ONNX
export into Bundles. Every run is a process of its own, from its start to the finished file; rounds go A B C, A B C,
so that what else the machine does hits all alike. Detectors tell things from a score at which about ten are told of a
picture, the same score for all. The limit is that of ``assay bench``: decoding alone and computing alone, sharing the
cores.

    make bench-peers
    python -m benchmarks.answering --pictures 2000 --rounds 3
    python -m benchmarks.answering --networks resnet18 --rounds 1 --pictures 200      a quick look
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import PEERS_PYTHON, RESULTS, append_line, median, peer_environment, read_lines, stamp
from benchmarks.throughput import CLASSES, make_pictures

ASSAY = Path(sys.executable).with_name("assay")
WAYS = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)


def commands(
    network: dict[str, Any], folder: Path, pictures: Path, out: Path, score: float
) -> dict[str, list[str]]:
    """Name of each program -> its command line."""
    name, task, side = network["name"], network["task"], network["side"]
    found: dict[str, list[str]] = {}
    for engine, precision in WAYS:
        target = ["--csv", str(out / f"{engine}-{precision}.csv")] if task != "segment" else []
        target = target or ["--jsonl", str(out / f"{engine}-{precision}.jsonl")]
        least = [] if task == "classify" else ["--least-score", str(score)]
        words = [str(ASSAY), "predict", str(folder / f"{name}.bundle"), str(pictures), *target, *least]
        found[f"assay {engine} {precision}"] = [
            *words,
            "--quiet",
            "--overwrite",
            "--engine",
            engine,
            "--precision",
            precision,
        ]
    peer = [str(PEERS_PYTHON), "-m"]
    common = ["--pictures", str(pictures), "--out", str(out / "peer.txt")]
    for kind in ("pt", "onnx", "openvino"):
        shape = ["--weights", str(folder / network[kind]), "--task", task, "--imgsz", str(side)]
        limit = [] if task == "classify" else ["--conf", str(score)]
        found[f"ultralytics {kind}"] = [
            *peer,
            "benchmarks.peers.ultralytics_predict",
            *shape,
            *limit,
            *common,
        ]
    if task == "classify" and name in ("resnet18", "mobilenet_v3_large"):
        found["torchvision script"] = [
            *peer,
            "benchmarks.peers.torchvision_predict",
            "--model",
            name,
            *common,
        ]
    if name == "resnet18":
        found["transformers pipeline"] = [*peer, "benchmarks.peers.transformers_predict", *common]
    return found


def flat(tree: Path, out: Path, n: int) -> Path:
    """A folder of ``n`` links to the pictures of a class-folder tree."""
    out.mkdir(parents=True, exist_ok=True)
    have = {path.name for path in out.iterdir()}
    for i, path in enumerate(sorted((tree / "train").rglob("*.jpg"))[:n]):
        if f"{i:05}.jpg" not in have:
            os.link(path, out / f"{i:05}.jpg")
    return out


def run(words: list[str], is_peer: bool) -> tuple[float, dict[str, Any]]:
    """(seconds, what it said of itself) of one process."""
    environment = peer_environment() if is_peer else dict(os.environ)
    begun = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    took = time.perf_counter() - begun
    if done.returncode != 0:
        raise SystemExit(f"failed: {shlex.join(words)}\n{done.stderr[-2000:]}")
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1]) if is_peer else {}
    except (ValueError, IndexError):
        told = {}
    return took, told


def score_for_ten(network: dict[str, Any], folder: Path, pictures: list[Path]) -> float:
    """The score from which about ten things a picture are told by a network with random weights."""
    import assay  # noqa: PLC0415

    predictor = assay.load(folder / f"{network['name']}.bundle")
    found = [p.boxes.scores for p in predictor.predict(pictures[:16], least_score=1e-6, masks=False)]
    tenth = sorted(float(scores[min(9, len(scores) - 1)]) for scores in found if len(scores))
    return tenth[len(tenth) // 2] if tenth else 0.25


def main() -> int:
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
    args = parser.parse_args()
    if args.summary:
        print("\n\n".join(tables(read_lines(args.results))))
        return 0
    if not PEERS_PYTHON.exists():
        print("skipped: the peers are not installed; run `make bench-peers`")
        return 0
    from benchmarks.answering_bundles import make_bundle, networks  # noqa: PLC0415 - onnx

    if not (args.folder / "networks.json").exists():
        words = [str(PEERS_PYTHON), "-m", "benchmarks.peers.ultralytics_graphs", "--out", str(args.folder)]
        run(words, is_peer=True)
    tree = make_pictures(args.folder / "tree", -(-args.pictures // CLASSES))
    pictures = flat(tree, args.folder / f"pictures-{args.pictures}", args.pictures)
    files = sorted(pictures.iterdir())
    out = args.folder / "answers"
    out.mkdir(exist_ok=True)
    for network in networks(args.folder):
        if args.networks and network["name"] not in args.networks:
            continue
        make_bundle(network, args.folder, files)
        score = 0.0 if network["task"] == "classify" else score_for_ten(network, args.folder, files)
        programs = commands(network, args.folder, pictures, out, score)
        chosen = {n: w for n, w in programs.items() if any(word in n for word in args.programs)}
        for turn in range(args.rounds):
            for name, words in chosen.items():
                before = stamp()
                took, told = run(words, is_peer=not name.startswith("assay"))
                line = {
                    "kind": "answering",
                    "network": network["name"],
                    "program": name,
                    "round": turn,
                    "pictures": len(files),
                    "seconds": round(took, 2),
                    "per_s": round(len(files) / took, 2),
                    "told": told,
                    "score": score,
                    **before,
                }
                append_line(args.results, line)
                print(f"{network['name']} {name}: {line['per_s']}/s", flush=True)
    print("\n\n".join(tables(read_lines(args.results))))
    return 0


def tables(lines: list[dict[str, Any]]) -> list[str]:
    """One table a network, of the newest series of each: the median rate of each program, and ratios to it."""
    found = []
    for network in dict.fromkeys(line["network"] for line in lines):
        mine = [line for line in lines if line["network"] == network]
        newest = mine[-1]["pictures"]
        rates: dict[str, list[float]] = {}
        for line in mine:
            if line["pictures"] == newest:
                rates.setdefault(line["program"], []).append(line["per_s"])
        middle = {program: median(values[-3:]) for program, values in rates.items()}
        best = max(middle.values())
        rows = [
            f"| {network}, {newest:,} pictures | pictures a second | least - most | of the fastest |",
            "|---|---|---|---|",
        ]
        for program, rate in sorted(middle.items(), key=lambda pair: -pair[1]):
            values = rates[program][-3:]
            rows.append(
                f"| {program} | {rate:.1f} | {min(values):.1f} - {max(values):.1f} | {rate / best:.2f} |"
            )
        found.append("\n".join(rows))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
