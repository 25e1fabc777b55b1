"""The pictures that a network finds most alike: exact cosine neighbours, block by block.

No index: a product of two matrices of float32 reads a million vectors of 1,280 numbers in a few seconds, finds the
true neighbours, and needs no library. Memory is one block and the best so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError, DatasetError
from assay.explain.feature_files import FeatureSet, read_features
from assay.explain.picture_stream import Picture
from assay.explain.source import Source, open_source, probe
from assay.explain.vectors import read_vectors
from assay.preprocess import Preprocess

_SAME_PROBE = 1e-2
"""Greatest difference of two probes, a share of their length, of a network and its own export."""


@dataclass(frozen=True)
class Neighbour:
    """A picture among those of a features file. ``similarity`` is the cosine, -1 to 1."""

    path: str
    file: Path
    label: str | None
    prediction: str | None
    similarity: float
    part: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "label": self.label,
            "prediction": self.prediction,
            "part": self.part,
            "similarity": round(self.similarity, 6),
        }


@dataclass(frozen=True)
class Likeness:
    """A picture, what the network answers, and its neighbours, the most alike first."""

    path: str
    file: Path
    prediction: str | None
    confidence: float
    neighbours: tuple[Neighbour, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = [neighbour.to_dict() for neighbour in self.neighbours]
        return {
            "path": self.path,
            "prediction": self.prediction,
            "confidence": round(self.confidence, 6),
            "neighbours": found,
        }


def neighbours(
    model: str | Path, photos: Sequence[str | Path], among: str | Path | FeatureSet, *, top: int = 8
) -> list[Likeness]:
    """For each photo its ``top`` most alike pictures of a features file.

    The layer and pooling are those of the file. The photo itself is left out where the file holds it.

    Raises
    ------
    ConfigError : the file was made by another network or from other preprocessing; top below 1.
    DatasetError : a photo cannot be read, or the features file is damaged.
    """
    if top < 1:
        raise ConfigError(f"top is {top}", fix="ask for at least one neighbour")
    found = among if isinstance(among, FeatureSet) else read_features(among)
    source = open_source(model, str(found.about["layer"]))
    require_same_network(source, found)
    queries = [Picture(str(photo), Path(photo)) for photo in photos]
    vectors, answers = _query_vectors(source, queries, str(found.about["pool"]))
    own = {str(q.file.resolve()): i for i, q in enumerate(queries)}
    skip = _own_rows(found, own)
    rows, similarity = nearest(vectors, found, top, skip)
    return [
        Likeness(
            query.path,
            query.file,
            *answers[i],
            neighbours=tuple(
                neighbour(found, int(r), float(s))
                for r, s in zip(rows[i], similarity[i], strict=True)
                if r >= 0
            ),
        )
        for i, query in enumerate(queries)
    ]


def neighbour(found: FeatureSet, row: int, similarity: float) -> Neighbour:
    """A row of a features file as a Neighbour."""
    values = {name: found.rows[name][row].as_py() for name in ("path", "label", "prediction", "part")}
    return Neighbour(file=found.place(row), similarity=similarity, **values)


def _query_vectors(
    source: Source, queries: list[Picture], pool: str
) -> tuple[NDArray[np.float32], list[tuple[str | None, float]]]:
    pieces: list[NDArray[np.float32]] = []
    answers: list[tuple[str | None, float]] = []
    for rows, errors in read_vectors(source, queries, pool):
        if errors:
            raise DatasetError(f"{errors[0]['path']} cannot be read", got=errors[0]["error"])
        pieces.append(rows.vectors)
        answers += list(zip(rows.texts["prediction"], rows.confidence, strict=True))
    return np.concatenate(pieces), answers


def _own_rows(found: FeatureSet, own: dict[str, int]) -> dict[int, set[int]]:
    """Query number -> rows of the file that are the very same picture."""
    names = {Path(file).name for file in own}
    same: dict[int, set[int]] = {}
    for row, path in enumerate(found.column("path")):
        if Path(path).name in names:  # resolving every path of a million would take minutes
            query = own.get(str(found.place(row).resolve()))
            if query is not None:
                same.setdefault(query, set()).add(row)
    return same


def nearest(
    queries: NDArray[np.float32],
    among: FeatureSet,
    top: int,
    skip: dict[int, set[int]] | None = None,
    keep: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and cosine similarities of the ``top`` nearest of each query.

    Parameters
    ----------
    queries : (Q, F).
    among : N vectors of the same length.
    top : neighbours of each; -1 fills the rows where there are fewer.
    skip : query number -> rows that shall not be its neighbours.
    keep : (N,) rows that may be neighbours at all; all when not given.

    Returns
    -------
    rows (Q, top) int64, the most alike first. Similarities (Q, top).

    Raises
    ------
    ConfigError : the lengths differ.
    """
    if queries.shape[1] != among.dim:
        raise ConfigError(f"vectors of {queries.shape[1]} numbers among those of {among.dim}")
    unit = unit_length(queries)
    rows = np.full((len(unit), top), -1, np.int64)
    best = np.full((len(unit), top), -np.inf, np.float32)
    start = 0
    for block in among.blocks():
        scores = unit @ unit_length(block).T  # Q, b
        if keep is not None:
            scores[:, ~keep[start : start + len(block)]] = -np.inf
        for query, barred in (skip or {}).items():
            inside = [row - start for row in barred if start <= row < start + len(block)]
            scores[query, inside] = -np.inf
        numbers = np.broadcast_to(np.arange(start, start + len(block)), scores.shape)
        rows, best = _merge(rows, best, numbers, scores, top)
        start += len(block)
    rows[~np.isfinite(best)] = -1
    return rows, best


def _merge(
    rows: NDArray[np.int64],
    best: NDArray[np.float32],
    numbers: NDArray[np.int64],
    scores: NDArray[np.float32],
    top: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best of those kept so far and a further block."""
    if scores.shape[1] > 4 * top:  # a full sort of a block for a handful of neighbours would be waste
        part = np.argpartition(-scores, top, axis=1)[:, : top + 1]
        part.sort(axis=1)
        numbers, scores = np.take_along_axis(numbers, part, 1), np.take_along_axis(scores, part, 1)
    every, all_scores = np.concatenate([rows, numbers], 1), np.concatenate([best, scores], 1)
    order = np.argsort(-all_scores, axis=1, kind="stable")[:, :top]
    return np.take_along_axis(every, order, 1), np.take_along_axis(all_scores, order, 1)


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, F) divided by their lengths, so that products are cosines; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), dtype=np.float32)


def require_same_network(source: Source, found: FeatureSet) -> None:
    """Refuse vectors that were made by another network: their neighbours would mean nothing.

    A Bundle and the run that it was exported from count as one network: they give the same vector for a rendered
    picture.

    Raises
    ------
    ConfigError : another network, or other preprocessing.
    """
    about = found.about
    again = "write the features again with this model: assay features MODEL DATA --out FILE"
    if about["preprocess"] != Preprocess(source.card.preprocess).digest:
        raise ConfigError(
            f"{found.path} was made from otherwise prepared pictures",
            got=f"preprocessing {about['preprocess']}",
            fix=again,
        )
    if about["digest"] == source.digest:
        return
    old, new = np.asarray(about["probe"]), np.asarray(probe(source, str(about["pool"])))
    scale = float(np.linalg.norm(old))
    if old.shape != new.shape or float(np.linalg.norm(old - new)) > _SAME_PROBE * max(scale, 1e-6):
        raise ConfigError(
            f"{found.path} was made by another network",
            got=f"{about['network']} with weights {str(about['digest'])[:12]}, not {source.digest[:12]}",
            fix=again,
        )
