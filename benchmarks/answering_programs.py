"""The programs of ``benchmarks.answering``: the command line of each, and what it told."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import PEERS_PYTHON

ASSAY = Path(sys.executable).with_name("assay")
WAYS = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
WHOLE = (("openvino", "fp32"), ("openvino", "int8"))
"""Ways that are measured once more with JPEGs decoded at their whole size, as the peers decode them."""


@dataclass(frozen=True)
class Program:
    """``answers`` is the file that it writes."""

    name: str
    words: list[str]
    answers: Path
    peer: bool = False


def programs(network: dict[str, Any], folder: Path, pictures: Path, out: Path) -> list[Program]:
    """Assay in every way, and the peers that can answer this network."""
    task, name = network["task"], network["name"]
    found = [_assay(network, folder, pictures, out, *way) for way in WAYS]
    found += [_assay(network, folder, pictures, out, *way, whole=True) for way in WHOLE]
    found += [_ultralytics(network, folder, pictures, out, kind) for kind in ("pt", "onnx", "openvino")]
    found.append(_ultralytics(network, folder, pictures, out, "onnx", batch=8))
    if task == "classify" and name in ("resnet18", "mobilenet_v3_large"):
        found.append(_script("torchvision script", "torchvision_predict", pictures, out, "--model", name))
    if name == "resnet18":
        found.append(_script("transformers pipeline", "transformers_predict", pictures, out))
    return found


def things_in(answers: Path) -> int:
    """Things that Assay told: rows with a thing in a CSV file, boxes in JSON lines; 0 for a classifier."""
    with answers.open(encoding="utf-8", newline="") as file:
        if answers.suffix == ".csv":
            return sum(1 for row in csv.DictReader(file) if row.get("thing"))
        return sum(len(json.loads(line).get("boxes") or ()) for line in file)


def _assay(
    network: dict[str, Any],
    folder: Path,
    pictures: Path,
    out: Path,
    engine: str,
    precision: str,
    *,
    whole: bool = False,
) -> Program:
    """Labels and boxes go into a CSV file, masks as run lengths into JSON lines."""
    kind = "jsonl" if network["task"] == "segment" else "csv"
    answers = out / f"{engine}-{precision}.{kind}"
    words = [str(ASSAY), "predict", str(folder / f"{network['name']}.bundle"), str(pictures)]
    words += [f"--{kind}", str(answers), "--quiet", "--overwrite"]
    words += ["--engine", engine, "--precision", precision]
    words += [] if network["task"] == "classify" else ["--least-score", str(network["score"])]
    words += ["--exact-decode"] * whole
    return Program(f"assay {engine} {precision}{', whole' * whole}", words, answers)


def _ultralytics(
    network: dict[str, Any], folder: Path, pictures: Path, out: Path, kind: str, batch: int = 1
) -> Program:
    answers = out / "peer.txt"
    words = [str(PEERS_PYTHON), "-m", "benchmarks.peers.ultralytics_predict"]
    words += ["--weights", str(folder / network[kind]), "--task", network["task"]]
    words += ["--imgsz", str(network["side"]), "--batch", str(batch)]
    words += ["--pictures", str(pictures), "--out", str(answers)]
    words += [] if network["task"] == "classify" else ["--conf", str(network["score"])]
    return Program(f"ultralytics {kind}{f', batch {batch}' * (batch > 1)}", words, answers, peer=True)


def _script(name: str, module: str, pictures: Path, out: Path, *more: str) -> Program:
    answers = out / "peer.txt"
    words = [str(PEERS_PYTHON), "-m", f"benchmarks.peers.{module}", *more]
    return Program(name, [*words, "--pictures", str(pictures), "--out", str(answers)], answers, peer=True)
