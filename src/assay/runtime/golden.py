"""A few pictures with the answers that the checkpoint gave, inside of each Bundle: is this the same network here?

Another processor or another version of the engine may compute another thing without an error. Running the golden
pictures once when a Bundle is loaded notices that, in the preprocessing's normalisation as in the network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from assay.errors import BundleError
from assay.preprocess import Preprocess

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card
    from assay.pipeline import Engine

TOLERANCE = 1e-3
"""Greatest difference of a logit, as a share of the greatest logit (at least 1); a card may allow more."""


def pack_golden(pixels: NDArray[np.uint8], logits: NDArray[np.float32]) -> bytes:
    """(n, S, S, C) uint8 and (n, K) float32 as the member ``golden.safetensors``."""
    return bytes(save({"pixels": np.ascontiguousarray(pixels), "logits": np.ascontiguousarray(logits)}))


def read_golden(data: bytes, card: Card) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(n, S, S, C) uint8 and (n, K) float32. Raises BundleError when they do not fit the card."""
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError("golden.safetensors cannot be read", got=str(error)[:200]) from error
    pixels, logits = tensors.get("pixels"), tensors.get("logits")
    side, channels = card.preprocess.size, card.channels
    if (
        pixels is None
        or logits is None
        or pixels.dtype != np.uint8
        or logits.dtype != np.float32
        or pixels.shape[1:] != (side, side, channels)
        or logits.shape != (len(pixels), len(card.classes))
        or len(pixels) == 0
    ):
        shapes = ", ".join(f"{name} {value.shape} {value.dtype}" for name, value in tensors.items())
        raise BundleError(
            "golden.safetensors does not fit the card",
            got=shapes,
            fix=f"pixels (n, {side}, {side}, {channels}) uint8 and logits (n, {len(card.classes)}) float32",
        )
    return pixels, logits


def golden_limit(card: Card) -> float:
    """What is allowed: ``TOLERANCE``, or the tolerance that the export was made with where that is more."""
    parity = card.parity.get("onnx")
    stored = parity.get("tolerance") if isinstance(parity, dict) else None
    if not isinstance(stored, int | float) or isinstance(stored, bool) or not math.isfinite(stored):
        return TOLERANCE
    return max(TOLERANCE, float(stored))


def check_golden(data: bytes, engine: Engine, card: Card) -> float:
    """Greatest difference of a logit, as a share of the greatest logit (at least 1).

    It may be up to ``golden_limit(card)``: a Bundle that ``assay export --tolerance`` let through stays valid.

    Raises
    ------
    BundleError : the engine does not give the answers that the checkpoint gave.
    """
    pixels, expected = read_golden(data, card)
    found = np.asarray(engine(Preprocess(card.preprocess).normalise(pixels)))
    if found.shape != expected.shape:
        raise BundleError(
            "the network's answer does not fit the classes",
            got=f"scores of shape {found.shape} for {len(pixels)} pictures and {len(card.classes)} classes",
            fix="export the run again with `assay export`",
        )
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / scale
    limit = golden_limit(card)
    if not difference <= limit:
        raise BundleError(
            "the network does not answer here as it did when it was exported",
            got=f"scores differ by {difference:.2g} of their scale; at most {limit:g} is allowed",
            fix="update onnxruntime, or export the run again with `assay export`",
        )
    return difference
