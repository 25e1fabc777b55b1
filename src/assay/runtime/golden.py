"""A few pictures with the answers that the checkpoint gave, inside of each Bundle: is this the same network here?

Another processor or another version of the engine may compute another thing without an error. Running the golden
pictures once when a Bundle is loaded notices that, in the preprocessing's normalisation as in the network.

The answers are named as the engine names them: ``logits`` of a classifier, every output of a network of several heads.
Of large outputs a spread of values is kept (``sample``), so that a Bundle stays small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from assay.errors import BundleError
from assay.preprocess import Preprocess
from assay.runtime.precisions import golden_limit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.card import Card

    Answers = Mapping[str, NDArray[Any]]

MOST_VALUES = 4096
"""Of one output for one picture that are kept."""

_PIXELS, _LOGITS = "pixels", "logits"
_FIX = "export the run again with `assay export`"


def pack_golden(pixels: NDArray[np.uint8], answers: NDArray[np.float32] | Answers) -> bytes:
    """The member ``golden.safetensors``.

    Parameters
    ----------
    pixels : (n, S, S, C) uint8.
    answers : a classifier's logits (n, K) float32, or name -> (n, ...) of every output.
    """
    named = _sampled(answers) if isinstance(answers, Mapping) else {_LOGITS: answers}
    kept = {name: np.ascontiguousarray(value, np.float32) for name, value in named.items()}
    return bytes(save({_PIXELS: np.ascontiguousarray(pixels), **kept}))


def sample(values: NDArray[Any]) -> NDArray[Any]:
    """(n, ...) -> (n, m): all values of each, or up to ``MOST_VALUES`` that are spread over every axis."""
    flat = values.reshape(len(values), -1)
    step = -(-flat.shape[1] // MOST_VALUES)
    while (
        step > 1 and math.gcd(step, flat.shape[1]) > 1
    ):  # else one axis is met at the same places again and again
        step += 1
    return flat[:, :: max(1, step)]


def _sampled(answers: Answers) -> dict[str, NDArray[Any]]:
    return {name: sample(value) for name, value in answers.items()}


def read_golden(data: bytes, card: Card) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]]]:
    """(n, S, S, C) uint8, and name -> (n, m) float32. Raises BundleError when they do not fit the card."""
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError("golden.safetensors cannot be read", got=str(error)[:200]) from error
    answers = dict(tensors)
    pixels = answers.pop(_PIXELS, None)
    side, channels = card.preprocess.size, card.channels
    if (
        pixels is None
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (side, side, channels)
        or len(pixels) == 0
        or not answers
        or any(a.dtype != np.float32 or a.ndim != 2 or len(a) != len(pixels) for a in answers.values())
        or (card.task == "classify" and list(answers) != [_LOGITS])
        or (card.task == "classify" and answers[_LOGITS].shape[1] != len(card.classes))
    ):
        shapes = ", ".join(f"{name} {value.shape} {value.dtype}" for name, value in tensors.items())
        told = f"logits (n, {len(card.classes)})" if card.task == "classify" else "every output (n, m)"
        raise BundleError(
            "golden.safetensors does not fit the card",
            got=shapes,
            fix=f"pixels (n, {side}, {side}, {channels}) uint8 and {told} float32",
        )
    return pixels, answers


def check_golden(data: bytes, engine: Any, card: Card) -> float:
    """Greatest difference of a value, as a share of the greatest of its output (at least 1).

    It may be up to ``golden_limit`` for the engine's precision: a Bundle that ``assay export --tolerance`` let through
    stays valid, and so does an answer in integers that is as far off as it was on the machine of the export.

    Parameters
    ----------
    engine : as ``runtime.engines.engine.Engine``.

    Raises
    ------
    BundleError : the engine does not give the answers that the checkpoint gave.
    """
    worst, apart = golden_distance(data, engine, card)
    limit = golden_limit(card, getattr(engine, "precision", "fp32"))
    if not apart <= limit:
        told = "scores" if worst == _LOGITS else f"{worst}: values"
        raise BundleError(
            "the network does not answer here as it did when it was exported",
            got=f"{told} differ by {apart:.2g} of their scale; at most {limit:.3g} is allowed",
            fix=f"update {getattr(engine, 'name', 'onnxruntime')}, or {_FIX}",
        )
    return apart


def golden_distance(data: bytes, engine: Any, card: Card) -> tuple[str, float]:
    """The output that is furthest off, and its greatest difference, as a share of its greatest value (at least 1).

    Raises
    ------
    BundleError : the golden pictures do not fit the card, or the network's outputs do not fit them.
    """
    pixels, expected = read_golden(data, card)
    x = Preprocess(card.preprocess).normalise(pixels)
    found = {_LOGITS: np.asarray(engine(x))} if card.task == "classify" else _sampled(engine.scene(x))
    _require_same_shapes(found, expected, card)
    apart = {name: _apart(found[name], values) for name, values in expected.items()}
    worst = max(apart, key=lambda name: math.inf if math.isnan(apart[name]) else apart[name])
    return worst, apart[worst]


def _require_same_shapes(found: Answers, expected: Answers, card: Card) -> None:
    shapes = [{name: value.shape for name, value in answers.items()} for answers in (found, expected)]
    if shapes[0] == shapes[1]:
        return
    if card.task == "classify":
        got = f"scores of shape {found[_LOGITS].shape} for {len(card.classes)} classes"
    else:
        got = f"outputs {', '.join(found)}; the golden pictures have {', '.join(expected)}"
    raise BundleError("the network's answer does not fit the classes", got=got, fix=_FIX)


def _apart(found: NDArray[Any], expected: NDArray[Any]) -> float:
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(found - expected).max(initial=0.0)) / scale
