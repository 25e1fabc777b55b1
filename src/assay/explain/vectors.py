"""`features`: what a network makes of pictures, one vector each, to Parquet or numpy files.

The pictures walk the answer corridor, so a vector comes from exactly the pixels that an answer comes from. A Bundle
gives its embedding and logits without torch; a run folder any layer (``layers.Tap``). Memory does not grow with the
number of pictures.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError, DatasetError, ModelError
from assay.explain.feature_files import TEXTS, FeatureSet, FeatureWriter, Rows, check_suffix, read_features
from assay.explain.picture_stream import Picture, walk
from assay.pipeline import answer
from assay.preprocess import Preprocess
from assay.tables import suggest

if TYPE_CHECKING:
    from assay.card import Card
    from assay.types import Dataset, Prediction

POOLS = ("mean", "max", "none")
_TOLD = 1000
"""Most pictures that are named among those left out."""
_PROBE = 256
"""Most numbers of a probe: enough to tell two networks apart."""

OnProgress = Callable[[int, "int | None"], None]


class Source(Protocol):
    """A network that gives logits and the output of one layer. ``digest`` names its weights."""

    @property
    def card(self) -> Card:
        """Classes, preprocessing and temperature."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the weights' or the Bundle's file."""
        ...

    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, C, S, S) -> logits (B, K), output (B, ...)."""
        ...


@dataclass(frozen=True)
class Run:
    """A run folder as a Source: any layer, by torch."""

    card: Card
    digest: str
    tap: Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]

    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, C, S, S) -> logits (B, K), output (B, ...)."""
        return self.tap(images)


@dataclass(frozen=True)
class Packed:
    """A Bundle as a Source: embedding or logits, without torch."""

    card: Card
    digest: str
    engine: Any
    layer: str

    def __call__(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(B, C, S, S) -> logits (B, K), output (B, F)."""
        if self.layer == "logits":
            logits = np.asarray(self.engine(images))
            return logits, logits
        both: tuple[NDArray[np.float32], NDArray[np.float32]] = self.engine.outputs(images)
        return both


def open_source(model: str | Path, layer: str = "embedding") -> Source:
    """A run folder (torch) or a Bundle (no torch) that gives ``layer``.

    Raises
    ------
    ConfigError : there is no such model or layer; a Bundle holds the embedding and the logits only.
    ModelError, BundleError : it is damaged.
    """
    place = Path(model)
    if not place.exists():
        raise ConfigError(f"{model} does not exist", fix="give a run folder or a .bundle file")
    if place.is_dir():
        from assay.explain.layers import Tap  # noqa: PLC0415 - torch
        from assay.train.predictor import load_run  # noqa: PLC0415 - torch

        found = load_run(place)
        return Run(found.card, file_digest(place / "model.safetensors"), Tap(found.model, layer))
    if layer not in ("embedding", "logits"):
        known = suggest(layer, ["embedding", "logits"])
        raise ConfigError(
            f"a Bundle has no layer {layer!r}", fix=f"{known}; the run folder gives every other layer"
        )
    from assay.runtime.load import load  # noqa: PLC0415 - ONNX Runtime

    loaded = load(place)
    return Packed(loaded.card, loaded.digest, loaded.engine, layer)


def bundle_layers(path: str | Path) -> list[dict[str, Any]]:
    """Name, kind and shape of what a Bundle gives: its embedding and logits."""
    found = []
    for name, kind in (("embedding", "features before the last layer"), ("logits", "scores of the classes")):
        shape = list(_probe_output(open_source(path, name)).shape[1:])
        found.append({"name": name, "kind": kind, "shape": shape, "parameters": 0})
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def describe(source: Source, layer: str, pool: str) -> dict[str, Any]:
    """What a features file says of its network: enough to know it again."""
    card = source.card
    return {
        "format": 1,
        "network": str(card.model.get("model", "")),
        "classes": list(card.classes),
        "layer": layer,
        "pool": pool,
        "digest": source.digest,
        "preprocess": Preprocess(card.preprocess).digest,
        "shape": list(_probe_output(source).shape[1:]),
        "probe": probe(source, pool),
    }


def probe(source: Source, pool: str) -> list[float]:
    """The vector of one rendered picture, thinned to a few hundred numbers.

    A run and the Bundle that was exported from it have different digests, but the same probe.
    """
    vector = pooled(_probe_output(source), pool)[0]
    keep = np.unique(np.linspace(0, len(vector) - 1, min(_PROBE, len(vector))).astype(int))
    return [float(f"{v:.6g}") for v in vector[keep]]


def _probe_output(source: Source) -> NDArray[np.float32]:
    preprocess = Preprocess(source.card.preprocess)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return source(preprocess(pixels)[None])[1]


def pooled(output: NDArray[np.float32], pool: str) -> NDArray[np.float32]:
    """(B, C, H, W), (B, T, F) or (B, F) -> (B, F) float32."""
    if output.ndim <= 2 or pool == "none":
        return output.reshape(len(output), -1)
    places = tuple(range(2, output.ndim)) if output.ndim > 3 else (1,)
    return np.asarray(output.mean(places) if pool == "mean" else output.max(places), dtype=np.float32)


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
