"""Training pictures a second of a detector, loading included: Assay's and Ultralytics' newest nano networks at 320 px.

The pictures are a rendered shop (640 px), so anyone can repeat this. Each tool trains its own nano network by its own
recipe, mosaics and all: no network is in both. What a picture costs in each, by torch's own counter, stands beside the
rate. Rounds are interleaved, every run in a process of its own.

    python -m benchmarks.throughput_detection --rounds 3
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import PEERS_PYTHON, RESULTS, append_line, cores, median, peer_environment, stamp
from benchmarks.throughput import rates_of_log, timed

ASSAY = str(Path(sys.executable).with_name("assay"))
TOOLS = {
    # name -> options of each
    "assay": "",
    "assay, fp32": "--precision fp32",
    "ultralytics yolo26n": "--model yolo26n.yaml",
    "ultralytics yolo11n": "--model yolo11n.yaml",
    "ultralytics yolo26n, all threads, cached": "--model yolo26n.yaml --threads {cores} --cache",
}
COST = """
import json, sys, torch
from torch.utils.flop_counter import FlopCounterMode
from ultralytics import YOLO
model = YOLO(sys.argv[1], task="detect").model.train()
counter = FlopCounterMode(display=False)
def total(found):
    if isinstance(found, torch.Tensor):
        return found.sum() if found.is_floating_point() and found.requires_grad else 0
    if isinstance(found, dict):
        found = found.values()
    return sum(total(value) for value in found)
with counter:
    total(model(torch.randn(2, 3, 320, 320))).backward()
print(json.dumps(counter.get_total_flops() / 2 / 1e9))
"""


def make_shop(out: Path, n: int) -> Path:
    """A rendered shop with boxes, dealt to parts, and the same as COCO and YOLO; the folder that holds all."""
    done = out / f"{n}.done"
    if not done.exists():
        shutil.rmtree(out, ignore_errors=True)
        scenes, dealt = str(out / "shop" / "scenes" / "scenes.parquet"), str(out / "dealt.parquet")
        for words in (
            ["render", str(out / "shop"), "--n", str(n), "--size", "640", "--new", "0"],
            ["split", scenes, "--group-column", "seller", "--out", dealt],
            ["convert", dealt, str(out / "coco"), "--to", "coco"],
            ["convert", dealt, str(out / "yolo"), "--to", "yolo"],
        ):
            subprocess.run([ASSAY, *words], check=True, stdout=subprocess.DEVNULL)
        done.touch()
    return out


def command_of(tool: str, args: argparse.Namespace, shop: Path, out: Path) -> list[str]:
    """The command line of one run."""
    options = TOOLS[tool].format(cores=cores()).split()
    shape = ["--out", str(out), "--epochs", str(args.epochs), "--batch", str(args.batch)]
    if tool.startswith("assay"):
        front = [
            ASSAY,
            "train",
            str(shop / "dealt.parquet"),
            "--heads",
            "boxes",
            "--quiet",
            "--no-progressive",
        ]
        return [*front, *shape, "--size", str(args.size), *options]
    truth = next((shop / "coco").rglob("*.json"))
    front = [str(PEERS_PYTHON), "-m", "benchmarks.peers.ultralytics_detect", "--no-test"]
    front += ["--truth", str(truth), "--yolo", str(shop / "yolo")]
    return [*front, *shape, "--imgsz", str(args.size), *options]


def read_run(tool: str, out: Path, batch: int) -> dict[str, Any]:
    """Rates by epoch, and what the tool says of its settings."""
    if not tool.startswith("assay"):
        told = json.loads((out / "outcome.json").read_text("utf-8"))
        return {name: told[name] for name in ("rates", "torch_threads", "ready_s", "parameters")}
    lines = [json.loads(text) for text in (out / "log.jsonl").read_text("utf-8").splitlines()]
    run = json.loads((out / "run.json").read_text("utf-8"))
    return {
        "rates": rates_of_log(lines, batch),
        "precision": run["resolved"].get("precision"),
        "parameters": run.get("parameters"),
        "ready_s": next((line["seconds"] for line in lines if line.get("name") == "train"), None),
    }


def cost_of(tool: str, size: int) -> float:
    """Billions of operations of a forward and backward pass of one picture."""
    if not tool.startswith("assay"):
        model = TOOLS[tool].split()[1]
        words = [str(PEERS_PYTHON), "-c", COST.replace("320", str(size)), model]
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=peer_environment())
        return float(json.loads(done.stdout.splitlines()[-1]))
    import torch  # noqa: PLC0415 - heavy
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415

    from assay.configs import ModelConfig  # noqa: PLC0415
    from assay.models.multitask import Heads, build_multitask  # noqa: PLC0415

    network = build_multitask(ModelConfig(), Heads(boxes=11)).train()
    counter = FlopCounterMode(display=False)
    with counter:
        found = network(torch.randn(2, 3, size, size)).named().values()
        sum(value.float().sum() for value in found).backward()
    return float(counter.get_total_flops() / 2 / 1e9)


def run_once(tool: str, args: argparse.Namespace, shop: Path, out: Path) -> dict[str, Any]:
    """One process from its start to its end; a result line."""
    line = {"tool": tool, "size": args.size, "batch": args.batch, "pictures": args.pictures, **stamp()}
    wall = timed(command_of(tool, args, shop, out), out, is_peer=not tool.startswith("assay"))
    line["wall_s"] = round(wall, 1)
    told = read_run(tool, out, args.batch)
    return {**line, **told, "first_rate": told["rates"][0], "rate": median(told["rates"][1:])}


def table(lines: list[dict[str, Any]]) -> list[str]:
    """One row a tool: medians over rounds, and the ratio to the best peer."""
    rates: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        rates.setdefault(line["tool"], []).append(line)
    later = {tool: median([line["rate"] for line in mine]) for tool, mine in rates.items()}
    best = max((rate for tool, rate in later.items() if not tool.startswith("assay")), default=None)
    rows = [
        "| network and tool | px | batch | first epoch | later epochs | of the best peer | GFLOP a picture | rounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for tool, rate in sorted(later.items(), key=lambda pair: -pair[1]):
        mine = rates[tool]
        first = median([line["first_rate"] for line in mine])
        ratio = "-" if best is None else f"{rate / best:.2f} x"
        rows.append(
            f"| {tool} | {mine[-1]['size']} | {mine[-1]['batch']} | {first:.1f} | **{rate:.1f}** | {ratio} "
            f"| {mine[-1]['gflop_a_picture']:.1f} | {len(mine)} |"
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", nargs="*", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=320, help="of the shop; parts are dealt from them")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--runs", type=Path, default=Path("runs/bench/throughput-detection"))
    parser.add_argument("--results", type=Path, default=RESULTS / "throughput_detection.jsonl")
    args = parser.parse_args()
    tools = [tool for tool in args.tools if tool.startswith("assay") or PEERS_PYTHON.exists()]
    for tool in set(args.tools) - set(tools):
        print(f"{tool}: skipped, the peers are not installed: run `make bench-peers`")
    shop = make_shop(args.runs / "pictures", args.pictures)
    costs = {tool: round(cost_of(tool, args.size), 2) for tool in tools}
    for number in range(args.rounds):
        for tool in tools:
            line = run_once(tool, args, shop, args.runs / tool.replace(", ", "-").replace(" ", "-"))
            append_line(args.results, {**line, "round": number, "gflop_a_picture": costs[tool]})
            print(f"round {number}  {tool}: {line['rate']:.1f} pictures/s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
