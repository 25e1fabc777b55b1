"""What a peer's script leaves behind: ``outcome.json``, and for classifiers ``test.npz`` in the shape of Assay's own.

Runs in the peers' environment: numpy and the standard library only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

STARTED = time.time()
"""When the process began, near enough: scripts import this module before anything heavy."""


def minutes_used() -> float:
    """Minutes since the process began."""
    return (time.time() - STARTED) / 60


def list_pictures(tree: Path, classes: Sequence[str], part: str = "test") -> tuple[list[Path], list[int]]:
    """(paths, class numbers) of the pictures of one part of a class-folder tree, in the order of their names."""
    pairs = [(path, i) for i, name in enumerate(classes) for path in (tree / part / name).iterdir()]
    pairs.sort(key=lambda pair: pair[0].name)
    return [path for path, _ in pairs], [i for _, i in pairs]


def write_outcome(
    out: Path, paths: Sequence[Path], targets: Sequence[int], probs: Any, classes: Sequence[str], **facts: Any
) -> dict[str, Any]:
    """Write the answers and the facts of a run; returns what ``outcome.json`` holds.

    ``probs`` (N, K) and ``targets`` (N,) follow ``classes``; ``paths`` are known by their file names.
    """
    wanted = np.asarray(targets, dtype=np.int64)
    probs = np.asarray(probs, dtype=np.float32).reshape(len(wanted), -1) if len(wanted) else np.zeros((0, 1))
    right = probs.argmax(1) == wanted
    out.mkdir(parents=True, exist_ok=True)
    names = np.array([path.name for path in paths], dtype=np.str_)
    np.savez_compressed(out / "test.npz", paths=names, targets=wanted, probs=probs, right=right)
    told = {
        "accuracy": float(right.mean()) if len(right) else None,
        "n": len(right),
        "classes": list(classes),
    }
    return write_facts(out, **told, **facts)


def write_facts(out: Path, **facts: Any) -> dict[str, Any]:
    """Write ``outcome.json`` alone; returns what it holds. ``minutes_in_all`` ends here."""
    told = {**facts, "minutes_in_all": round(minutes_used(), 3)}
    out.mkdir(parents=True, exist_ok=True)
    part = out / "outcome.json.part"
    part.write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    part.replace(out / "outcome.json")
    return told
