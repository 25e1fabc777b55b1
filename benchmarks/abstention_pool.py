"""What a network said of a set of pictures, kept on disk: logits, embedding, target and sender of each.

Passes over pictures take minutes on two cores, the statistics on top of them seconds; a pool that fits the run's
weights is read instead of made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.unknown import choose_reference
from assay.postprocess import probabilities
from assay.train.calibrate import Watcher
from assay.train.predictor import load_run
from benchmarks.data.tree import read_rows


@dataclass(frozen=True, eq=False)
class Pool:
    """N pictures seen by a network: ``targets`` -1 where the class is none of the network's, ``groups`` "" for none."""

    logits: NDArray[np.float32]
    embedding: NDArray[np.float32]
    targets: NDArray[np.int64]
    groups: NDArray[np.str_]
    temperature: float

    @property
    def probs(self) -> NDArray[np.float32]:
        """(N, K) calibrated probabilities."""
        return probabilities(self.logits, self.temperature)

    def __len__(self) -> int:
        return len(self.targets)


def digest_of(run: Path) -> str:
    """16 hex digits of the run's weights."""
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()[:16]


def see(run: Path, name: str, rows: Iterable[dict[str, str]], root: Path, cache: Path) -> Pool:
    """The pool of the rows (path, and label and group where there are any) below ``root``."""
    file = cache / f"{digest_of(run)}-{name}.npz"
    if file.exists():
        with np.load(file, allow_pickle=False) as kept:
            return Pool(
                *(kept[key] for key in ("logits", "embedding", "targets", "groups")),
                float(kept["temperature"]),
            )
    predictor, watcher, listed = load_run(run), Watcher(), list(rows)
    seen = [p.error is None for p in predictor.observe([root / row["path"] for row in listed], watcher)]
    listed = [row for row, fine in zip(listed, seen, strict=True) if fine]
    classes = predictor.classes
    pool = Pool(
        np.concatenate(watcher.logits),
        np.concatenate(watcher.embedding),
        np.array([classes.position(row["label"]) if row.get("label") in classes else -1 for row in listed]),
        np.array([row.get("group", "") for row in listed]),
        predictor.card.temperature,
    )
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{key: np.asarray(getattr(pool, key)) for key in Pool.__dataclass_fields__})
    print(f"saw {len(pool)} pictures of {name}", flush=True)
    return pool


def part_of(table: Path, *parts: str) -> list[dict[str, str]]:
    """The rows of some parts of a table."""
    return [row for row in read_rows(table) if row["part"] in parts]


def reference_of(run: Path, table: Path, root: Path, cache: Path, name: str) -> Pool:
    """The training pictures that unknown-ness compares with, chosen as `assay calibrate` does."""
    rows = part_of(table, "train")
    names = sorted({row["label"] for row in rows})
    chosen = choose_reference(np.array([names.index(row["label"]) for row in rows]))
    return see(run, f"{name}-reference", [rows[int(i)] for i in chosen], root, cache)


def folder_rows(folder: Path) -> list[dict[str, str]]:
    """Every picture of a folder, at any depth, without labels."""
    return [{"path": p.relative_to(folder).as_posix()} for p in sorted(folder.rglob("*.jp*g"))]


def take(pool: Pool, rows: NDArray[Any]) -> Pool:
    """Some pictures of a pool, in this order; a picture may come twice."""
    return Pool(
        pool.logits[rows], pool.embedding[rows], pool.targets[rows], pool.groups[rows], pool.temperature
    )
