"""`features`: what a network makes of pictures, one vector each, to Parquet or numpy files.

The pictures walk the answer corridor, so a vector comes from exactly the pixels that an answer comes from. A Bundle
gives its embedding and logits without torch; a run folder any layer (``layers.Tap``). Memory does not grow with the
number of pictures.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError, DatasetError, ModelError
from assay.explain.feature_files import TEXTS, FeatureSet, check_suffix, read_features
from assay.explain.feature_writer import FeatureWriter, Rows
from assay.explain.picture_stream import Picture, walk
from assay.explain.source import POOLS, Source, describe, open_source, pooled
from assay.pipeline import answer
from assay.tables import suggest

if TYPE_CHECKING:
    from assay.types import Dataset, Prediction

_TOLD = 1000
"""Most pictures that are named among those left out."""

OnProgress = Callable[[int, "int | None"], None]


def features(
    model: str | Path,
    pictures: Dataset | str | Path | Iterable[str | Path] | None,
    out: str | Path,
    *,
    layer: str = "embedding",
    pool: str = "mean",
    part: str | None = None,
    batch: int = 32,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> FeatureSet:
    """Write what ``layer`` makes of each picture, with label, part, group, answer and confidence.

    >>> import assay
    >>> found = assay.features("shop.bundle", "photos", "features.parquet")  # doctest: +SKIP
    >>> found.vectors().shape  # doctest: +SKIP
    (1200, 320)

    Parameters
    ----------
    model : a run folder, or a Bundle (embedding and logits only, without torch).
    pictures : a Dataset; a folder with a folder a class or a table (labels are kept); files, or a folder without
        classes. The run's own pictures when None.
    out : .parquet, .npy or .npz; see ``assay.explain.feature_files``.
    layer : ``embedding``, ``logits``, ``stage1`` ... ``stage4``, or the name of a module of the network.
    pool : how a map (C, H, W) or a sequence (T, F) becomes a vector: its mean or greatest value over places, or
        "none", which keeps all and flattens. A layer that gives vectors stays as it is.
    part : only this part of a data set.
    batch : most pictures in one call of the network.
    workers : decoding threads; by the number of cores when not given.
    on_progress : called with (pictures done, pictures in all or None).

    Raises
    ------
    ConfigError : an unknown model, layer, pool, part or ending. DatasetError : no picture could be read.
    ModelError, BundleError : the model is damaged. AssayError : the disk is full.
    """
    check_suffix(out)
    if pool not in POOLS:
        raise ConfigError(f"unknown pool {pool!r}", fix=suggest(pool, list(POOLS)))
    source = open_source(model, layer)
    found = walk(pictures, model, part)
    about = {
        **describe(source, layer, pool),
        "name": Path(model).stem,
        "root": found.root,
        "data": found.name,
    }
    left: list[dict[str, str]] = []
    with FeatureWriter(out, about) as writer:
        done = failed = 0
        for batch_rows in read_vectors(source, found.pictures, pool, batch=batch, workers=workers):
            rows, errors = batch_rows
            if len(rows.vectors):
                writer.write(rows)
            failed += len(errors)
            left += errors[: _TOLD - len(left)]
            done += len(rows.vectors) + len(errors)
            if on_progress is not None:
                on_progress(done, found.count)
        if writer.n == 0:
            raise _nothing(done, left)
        writer.about |= {"left_out": failed, "left_out_pictures": left}
    return read_features(out)


def _nothing(done: int, left: list[dict[str, str]]) -> DatasetError:
    if not done:
        return DatasetError("there are no pictures", fix="check the path and the part")
    return DatasetError(
        f"none of the {done} pictures can be read", got=left[0]["error"], fix="run `assay check` on them"
    )


def read_vectors(
    source: Source,
    pictures: Iterable[Picture],
    pool: str,
    *,
    batch: int = 32,
    workers: int | None = None,
) -> Iterator[tuple[Rows, list[dict[str, str]]]]:
    """(rows, pictures that were left out with their errors), about a batch at a time, in order."""
    engine, waiting = _Recorder(source, pool), deque[Picture]()

    def paths() -> Iterator[Path]:
        for picture in pictures:
            waiting.append(picture)
            yield picture.file

    answers = answer(paths(), engine, source.card, batch=batch, workers=workers)
    kept: list[tuple[Picture, Prediction, NDArray[np.float32]]] = []
    errors: list[dict[str, str]] = []
    for prediction in answers:
        picture, vector = waiting.popleft(), engine.take(prediction)
        if vector is None:
            errors.append({"path": picture.path, "error": prediction.error or "its vector is not finite"})
        else:
            kept.append((picture, prediction, vector))
        if len(kept) + len(errors) >= batch:
            yield _rows(kept), errors
            kept, errors = [], []
    if kept or errors:
        yield _rows(kept), errors


class _Recorder:
    """The corridor's engine; keeps the vector of each picture until its Prediction comes out, in the same order."""

    def __init__(self, source: Source, pool: str) -> None:
        self._source, self._pool = source, pool
        self._vectors: deque[NDArray[np.float32]] = deque()

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        logits, output = self._source(images)
        vectors = pooled(output, self._pool)
        if len(vectors) != len(images):
            raise ModelError(f"{len(vectors)} vectors for {len(images)} pictures")
        self._vectors.extend(vectors)
        return logits

    def take(self, prediction: Prediction) -> NDArray[np.float32] | None:
        """The vector behind a Prediction; None where the picture could not be read or computed."""
        if prediction.error is not None and prediction.size_hw == (0, 0):  # never came to the network
            return None
        vector = self._vectors.popleft()
        return vector if prediction.error is None and np.isfinite(vector).all() else None


def _rows(kept: list[tuple[Picture, Prediction, NDArray[np.float32]]]) -> Rows:
    texts: dict[str, list[str | None]] = {name: [] for name in TEXTS}
    for picture, prediction, _ in kept:
        values = (picture.path, picture.label, picture.part, picture.group, prediction.label)
        for name, value in zip(TEXTS, values, strict=True):
            texts[name].append(value)
    vectors = np.stack([vector for *_, vector in kept]) if kept else np.empty((0, 0), np.float32)
    return Rows(vectors, texts, [prediction.confidence for _, prediction, _ in kept])
