"""Training pictures a second, loading included: Assay and its peers, same network, resolution, batch and pictures.

Rounds are interleaved (A B C, A B C, ...), every run in a process of its own. Three figures of each: the first epoch,
the median of the later ones (what a long run tends to), and pictures a second of the whole process with its start,
caches and validation. The pictures are 800 x 600 JPEGs made from noise, about 150 KB each, so anyone can repeat this.

    python -m benchmarks.throughput --rounds 3
    python -m benchmarks.throughput --rounds 3 --model mobilenet_v3_small      depthwise convolutions
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import (
    PEERS_PYTHON,
    RESULTS,
    append_line,
    cores,
    median,
    peer_environment,
    stamp,
)
from benchmarks.matmul_peak import measure, training_gflop

TOOLS = {
    # name -> (program, options beside network, size, batch, epochs)
    "assay": ("assay", ""),
    "assay, fp32": ("assay", "--precision fp32"),
    "ultralytics": ("ultralytics_classify", ""),
    "ultralytics, all threads, cached": ("ultralytics_classify", "--threads {cores} --cache"),
    "timm script": ("timm_script", ""),
    "timm script, channels_last, bf16": ("timm_script", "--channels-last --bf16"),
    "torchvision script": ("timm_script", "--torchvision --optimiser sgd --lr 0.1 --no-trivial"),
}
TIMM_NAMES = {"mobilenet_v3_small": "mobilenetv3_small_100", "mobilenet_v3_large": "mobilenetv3_large_100"}
"""As timm and Assay call a network that Ultralytics and torchvision know by the key."""
CLASSES = 4
VALIDATION = 8
"""Pictures a class: enough for every tool to validate, too few to matter."""


def make_pictures(out: Path, each: int, seed: int = 0) -> Path:
    """A class-folder tree of synthetic 800 x 600 JPEGs with ``each`` training pictures a class."""
    done = out / f"{each}.done"
    if done.exists():
        return out
    shutil.rmtree(out, ignore_errors=True)
    rng = np.random.default_rng(seed)
    for part, count in (("train", each), ("val", VALIDATION), ("test", VALIDATION)):
        for label in range(CLASSES):
            folder = out / part / f"class-{label}"
            folder.mkdir(parents=True)
            for i in range(count):
                smooth = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8))
                pixels = np.asarray(smooth.resize((800, 600), Image.Resampling.BICUBIC), dtype=np.int16)
                noisy = pixels + rng.integers(-14, 15, pixels.shape, dtype=np.int16) + 8 * label
                picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
                picture.save(folder / f"{part}-{label}-{i:04}.jpg", quality=88)
    done.touch()
    return out


def command_of(tool: str, args: argparse.Namespace, tree: Path, out: Path) -> list[str]:
    """The command line of one run."""
    program, options = TOOLS[tool]
    is_theirs = program == "ultralytics_classify" or "--torchvision" in options
    model = args.model if is_theirs else TIMM_NAMES.get(args.model, args.model)
    shape = ["--out", str(out), "--epochs", str(args.epochs), "--model", model, "--batch", str(args.batch)]
    extra = options.format(cores=cores()).split()
    if program == "assay":
        front = [str(Path(sys.executable).with_name("assay")), "train", str(tree), "--no-progressive"]
        return [*front, *shape, "--size", str(args.size), *extra]
    front = [str(PEERS_PYTHON), "-m", f"benchmarks.peers.{program}", "--tree", str(tree), "--no-test"]
    return [*front, *shape, "--imgsz", str(args.size), *extra]


def rates_of_log(lines: list[dict[str, Any]], batch: int) -> list[float]:
    """Pictures a second of each epoch in the ``log.jsonl`` of an Assay run; validation is not counted."""
    rates, begun, ended, seen = [], 0.0, 0.0, 0
    for line in lines:
        if line["kind"] == "stage" and line["name"] == "train":
            begun, seen = line["seconds"], 0
        elif line["kind"] == "step":
            ended, seen = line["seconds"], seen + batch
        elif line["kind"] == "epoch" and seen:
            rates.append(round(seen / max(ended - begun, 1e-9), 3))
            begun, seen = line["seconds"], 0
    return rates


def read_run(tool: str, out: Path, batch: int) -> dict[str, Any]:
    """Rates by epoch, and what the tool says of its settings."""
    if TOOLS[tool][0] != "assay":
        told = json.loads((out / "outcome.json").read_text("utf-8"))
        return {"rates": told["rates"], "torch_threads": told["torch_threads"], "ready_s": told["ready_s"]}
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text("utf-8").splitlines()]
    run = json.loads((out / "run.json").read_text("utf-8"))
    return {
        "rates": rates_of_log(lines, batch),
        "precision": run["resolved"].get("precision"),
        "torch_threads": run["machine"].get("torch_threads"),
        "ready_s": next((line["seconds"] for line in lines if line.get("name") == "train"), None),
    }


def timed(command: list[str], out: Path, *, is_peer: bool) -> float:
    """Seconds that a command took, which makes the folder ``out`` anew.

    Raises
    ------
    subprocess.CalledProcessError : it failed; its words are in ``NAME.log.txt`` beside the folder.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = peer_environment() if is_peer else None
    begun = time.monotonic()
    with out.with_name(f"{out.name}.log.txt").open("w") as log:
        subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    return time.monotonic() - begun


def run_once(tool: str, args: argparse.Namespace, tree: Path, out: Path) -> dict[str, Any]:
    """One process from its start to its end; a result line."""
    line = {
        "tool": tool,
        "model": args.model,
        "size": args.size,
        "batch": args.batch,
        "pictures": args.pictures,
    }
    line |= stamp()
    wall = timed(command_of(tool, args, tree, out), out, is_peer=TOOLS[tool][0] != "assay")
    told = read_run(tool, out, args.batch)
    return {
        **line,
        **told,
        "first_rate": told["rates"][0],
        "rate": median(told["rates"][1:] or told["rates"]),
        "whole_rate": round(args.pictures * args.epochs / wall, 3),
        "wall_s": round(wall, 1),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--pictures", type=int, default=256, help="training pictures; a multiple of the batch"
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=Path, default=Path("runs/bench/throughput"))
    parser.add_argument("--results", type=Path, default=RESULTS / "throughput.jsonl")
    args = parser.parse_args()
    if args.pictures % args.batch or args.pictures % CLASSES:
        parser.error(f"--pictures must be a multiple of the batch and of {CLASSES}")
    return args


def main() -> int:
    args = parse()
    tools = [tool for tool in args.tools if TOOLS[tool][0] == "assay" or PEERS_PYTHON.exists()]
    for tool in set(args.tools) - set(tools):
        print(f"{tool}: skipped, the peers are not installed: run benchmarks.peers.setup_peers")
    tree = make_pictures(args.runs / "pictures", args.pictures // CLASSES)
    peak, cost = measure(0.5), training_gflop(TIMM_NAMES.get(args.model, args.model), args.size)
    print(f"peak {peak} GFLOP/s; {args.model} at {args.size} px costs {cost:.2f} GFLOP a training picture")
    failed = 0
    for number in range(args.rounds):
        for tool in tools:
            try:
                line = run_once(tool, args, tree, args.runs / tool.replace(", ", "-").replace(" ", "-"))
            except (subprocess.CalledProcessError, OSError, LookupError) as error:
                failed += 1
                print(f"{tool}: failed, {error}", flush=True)
                continue
            share = line["rate"] * cost / max(peak.values())
            line |= {"round": number, "peak_gflops": peak, "gflop_a_picture": round(cost, 3)}
            append_line(args.results, {**line, "peak_share": round(share, 4)})
            print(
                f"round {number}  {tool}: {line['rate']:.1f} pictures/s, {share:.0%} of the peak", flush=True
            )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
