"""What a tool answered to the test part, scored against the table's own labels, picture by picture."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.metrics.interval import wilson
from benchmarks.data.coarse import coarse_of, coarse_right
from benchmarks.data.tree import tree_name


@dataclass(frozen=True)
class Answers:
    """What a tool said of the test part, in the tool's own order of pictures."""

    names: list[str]
    probs: NDArray[Any]
    targets: NDArray[np.int64]
    classes: list[str]
    facts: dict[str, Any]


def read_assay(out: Path) -> Answers:
    """Answers of an Assay run folder."""
    evaluation = out / "evaluation"
    about = json.loads((evaluation / "test.json").read_text("utf-8"))
    validation = json.loads((evaluation / "validation.json").read_text("utf-8"))
    run = json.loads((out / "run.json").read_text("utf-8"))
    facts = {
        "tool_version": f"assay {run['versions']['assay']}",
        "validation": validation["metrics"]["accuracy"]["value"],
        "minutes_by_itself": run["minutes"],
        "torch_threads": run["machine"].get("torch_threads"),
        "run_split_hash": run["split_hash"],
        "unreadable": len(about["unreadable"]),
    }
    return _answers(evaluation / "test.npz", about["classes"], facts)


def read_peer(out: Path) -> Answers:
    """Answers of a peer's script."""
    told = json.loads((out / "outcome.json").read_text("utf-8"))
    facts = {
        "tool_version": told["tool"],
        "validation": told["validation"],
        "minutes_used": told["minutes"],
        "torch_threads": told["torch_threads"],
        "epochs": told["epochs"],
    }
    return _answers(out / "test.npz", told["classes"], facts)


def _answers(file: Path, classes: list[str], facts: dict[str, Any]) -> Answers:
    with np.load(file, allow_pickle=False) as arrays:
        names = [tree_name(str(path)) for path in arrays["paths"]]
        return Answers(names, arrays["probs"], arrays["targets"], classes, facts)


def score(answers: Answers, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Accuracy with Wilson's interval, and which pictures were right, against the table's own labels.

    Rights are bits in the order of the pictures' names, as hex digits: two lines with the same ``pictures`` are
    compared picture by picture from the lines alone.

    Raises
    ------
    ValueError : the answers are not of the table's test pictures, or the tool saw other labels.
    """
    test = sorted((row for row in rows if row["part"] == "test"), key=lambda row: tree_name(row["path"]))
    names = [tree_name(row["path"]) for row in test]
    place = {name: i for i, name in enumerate(answers.names)}
    if sorted(place) != names:
        raise ValueError(
            f"{len(place)} answered pictures are not the {len(names)} test pictures of the table"
        )
    order = np.array([place[name] for name in names])
    probs, targets = answers.probs[order], answers.targets[order]
    for row, target in zip(test, targets, strict=True):
        if answers.classes[target] != row["label"]:
            raise ValueError(f"{row['path']} is {row['label']}, the tool has {answers.classes[target]}")
    scored = {"pictures": _digest(names), **_rights(probs.argmax(1) == targets)}
    if "coarse" in rows[0]:
        scored["coarse"] = _rights(coarse_right(probs, targets, answers.classes, coarse_of(rows)))
    if "group" in rows[0]:
        numbers = {group: i for i, group in enumerate(sorted({row["group"] for row in test}))}
        scored["groups"] = [numbers[row["group"]] for row in test]
    return scored


def _rights(right: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "n": len(right),
        "k": int(right.sum()),
        "accuracy": wilson(int(right.sum()), len(right)).to_dict(),
        "right": np.packbits(right).tobytes().hex(),
    }


def _digest(names: list[str]) -> str:
    return hashlib.blake2b("\0".join(names).encode(), digest_size=8).hexdigest()


def split_digest(rows: list[dict[str, str]]) -> str:
    """16 hex digits over path, label and part of every row: the same for every tool."""
    return _digest(sorted("\0".join((row["path"], row["label"], row["part"])) for row in rows))
