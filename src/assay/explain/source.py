"""A network as a source of vectors: logits and the output of one layer, from a run folder or from a Bundle.

A run gives any layer and needs torch (``layers.Tap``); a Bundle gives its embedding and logits and must not need it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.errors import ConfigError
from assay.preprocess import Preprocess
from assay.tables import suggest

if TYPE_CHECKING:
    from assay.card import Card

POOLS = ("mean", "max", "none")
_PROBE = 256
"""Most numbers of a probe: enough to tell two networks apart."""


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
        from assay.train.predictor import load_classifier  # noqa: PLC0415 - torch

        found = load_classifier(place)
        return Run(found.card, file_digest(place / "model.safetensors"), Tap(found.model, layer))
    if layer not in ("embedding", "logits"):
        known = suggest(layer, ["embedding", "logits"])
        raise ConfigError(
            f"a Bundle has no layer {layer!r}", fix=f"{known}; the run folder gives every other layer"
        )
    from assay.runtime.load import load_classifier as load_bundle  # noqa: PLC0415 - ONNX Runtime

    loaded = load_bundle(place)
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
