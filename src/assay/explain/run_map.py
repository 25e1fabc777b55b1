"""The features of a run's own pictures, kept in its folder: a map of the held-out ones, and what mistakes resemble.

    RUN/features/embedding.parquet   vectors: held-out pictures, and training pictures to look for neighbours among
    RUN/features/map.json            the map (``projection``) with its scores
    RUN/features/neighbours.json     for the surest mistakes, the training pictures that the network finds most alike

Each file names the digest of the weights, so one that belongs to earlier weights is made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from assay.data.own_pictures import own_pictures
from assay.errors import AssayError, DatasetError
from assay.explain.feature_files import FeatureSet, read_features
from assay.explain.neighbours import nearest
from assay.explain.projection import MOST, choose_evenly, project
from assay.explain.source import file_digest
from assay.explain.vectors import features
from assay.files import write_file
from assay.metrics.evaluation import Evaluation
from assay.types import Dataset

HELD_OUT = ("validation", "test")
MOST_TRAIN = 3000
"""Training pictures among which neighbours are sought: as many as a report can wait for."""
MISTAKES, NEIGHBOURS = 12, 6
FORMAT = 1

OnProgress = Callable[[int, "int | None"], None]


def make_run_map(run: str | Path, *, on_progress: OnProgress | None = None, seed: int = 0) -> None:
    """Make what is missing of the three files; does nothing where all are there for these weights.

    Raises
    ------
    ConfigError : the pictures are not where they were. DatasetError : there are no held-out pictures.
    AssayError : the run is damaged, the disk is full.
    """
    folder = Path(run)
    if read_run_map(folder) is not None and read_run_neighbours(folder) is not None:
        return
    digest = file_digest(folder / "model.safetensors")
    found = _kept(folder, digest)
    if found is None:
        found = features(
            folder, _choose(folder, seed), _home(folder) / "embedding.parquet", on_progress=on_progress
        )
    _write_map(folder, found, digest, seed)
    _write_neighbours(folder, found, digest)


def read_run_map(run: str | Path) -> dict[str, Any] | None:
    """What ``make_run_map`` wrote: scores and points; None where there is none for these weights."""
    return _read(Path(run), "map.json", "points")


def read_run_neighbours(run: str | Path) -> dict[str, Any] | None:
    """What ``make_run_map`` wrote: mistakes with their neighbours; None where there is none for these weights."""
    return _read(Path(run), "neighbours.json", "mistakes")


def _read(folder: Path, name: str, wanted: str) -> dict[str, Any] | None:
    try:
        found = json.loads((_home(folder) / name).read_text("utf-8"))
        current = found["format"] == FORMAT and found["digest"] == file_digest(folder / "model.safetensors")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if current and isinstance(found.get(wanted), list) else None


def _home(folder: Path) -> Path:
    return folder / "features"


def _kept(folder: Path, digest: str) -> FeatureSet | None:
    try:
        found = read_features(_home(folder) / "embedding.parquet")
    except AssayError:
        return None
    return found if found.about.get("digest") == digest else None


def _choose(folder: Path, seed: int) -> Dataset:
    """Held-out pictures for the map, the surest mistakes for certain, and training pictures for comparison."""
    dataset = own_pictures(folder)
    column = dataset.table["part"].to_pylist() if "part" in dataset.table.column_names else []
    parts = np.array([part or "" for part in column] or [""] * len(dataset))
    held = np.flatnonzero(np.isin(parts, HELD_OUT))
    if not len(held):
        raise DatasetError(
            "this run has no held-out pictures to draw a map of", got=f"parts: {dataset.parts or 'none'}"
        )
    train = np.flatnonzero(parts == "train")
    labels = np.asarray(dataset.table["label"].to_pylist(), dtype=object)
    rows = [
        held[choose_evenly(list(labels[held]), MOST, seed)],
        train[choose_evenly(list(labels[train]), MOST_TRAIN, seed)],
        _rows_of(dataset, _mistakes(folder)),
    ]
    return dataset.take(np.unique(np.concatenate(rows)).astype(np.int64))


def _rows_of(dataset: Dataset, paths: list[str]) -> NDArray[np.int64]:
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import

    wanted = pa.array(paths, type=pa.string())
    found = pc.is_in(dataset.table["path"].cast(pa.string()), value_set=wanted)
    return np.flatnonzero(np.asarray(found)).astype(np.int64)


def _mistakes(folder: Path) -> list[str]:
    """Paths of the surest mistakes of the evaluation that the report is about."""
    for part in ("test", "validation"):
        try:
            e = Evaluation.load(folder / "evaluation" / f"{part}.json")
        except AssayError:
            continue
        wrong = np.flatnonzero(~e.right)
        sure = wrong[np.argsort(-e.confidence[wrong], kind="stable")][:MISTAKES]
        return [e.paths[int(row)] for row in sure]
    return []


def _write_map(folder: Path, found: FeatureSet, digest: str, seed: int) -> None:
    parts, labels = np.asarray(found.column("part"), dtype=object), found.column("label")
    held = np.flatnonzero(np.isin(parts.astype(str), HELD_OUT))
    projection = project(found.vectors()[held], [labels[int(row)] for row in held], most=MOST, seed=seed)
    columns = {name: found.column(name) for name in ("path", "label", "part", "prediction", "confidence")}
    points = [
        {
            **{name: values[int(held[row])] for name, values in columns.items()},
            "x": round(float(x), 4),
            "y": round(float(y), 4),
        }
        for row, (x, y) in zip(projection.rows, projection.xy, strict=True)
    ]
    about = {
        "network": found.about["network"],
        "root": found.about["root"],
        "left_out": found.about["left_out"],
    }
    _save(folder, "map.json", digest, {**about, "scores": projection.scores(), "points": points})


def _write_neighbours(folder: Path, found: FeatureSet, digest: str) -> None:
    parts = np.asarray([part or "" for part in found.column("part")])
    train = parts == "train"
    paths, mistakes = found.column("path"), _mistakes(folder)
    row_of = {path: row for row, path in enumerate(paths)}
    rows = [row_of[path] for path in mistakes if path in row_of]
    columns = {name: found.column(name) for name in ("path", "label", "prediction", "confidence")}
    told = []
    if rows and train.any():
        vectors = found.vectors()[rows]
        near, similarity = nearest(vectors, found, NEIGHBOURS, keep=train)
        for row, others, scores in zip(rows, near, similarity, strict=True):
            alike = [
                {"path": paths[int(r)], "label": columns["label"][int(r)], "similarity": round(float(s), 4)}
                for r, s in zip(others, scores, strict=True)
                if r >= 0
            ]
            told.append({**{name: values[row] for name, values in columns.items()}, "neighbours": alike})
    about = {"among": int(train.sum()), "root": found.about["root"]}
    _save(folder, "neighbours.json", digest, {**about, "mistakes": told})


def _save(folder: Path, name: str, digest: str, values: dict[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, "digest": digest, **values}, ensure_ascii=False, allow_nan=False)
    write_file(_home(folder) / name, text.encode())
