"""Thresholds as files: plain values for JSON, reference embeddings and held-out scores as safetensors.

What was promised stands in the plain part, readable by people. Reading checks every field: a Bundle may come from
anywhere.
The plain part holds a digest of the arrays, so that the halves of two calibrations are not taken for one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from assay.decide.abstention import Abstention, Calibration
from assay.decide.conformal import KINDS, PredictionSets
from assay.decide.threshold import RiskThreshold
from assay.decide.unknown import MOST, Unknown
from assay.errors import AssayError, BundleError
from assay.files import write_file
from assay.labels import ClassNames
from assay.verb_configs import AbstainConfig

PLAIN, ARRAYS = "abstention.json", "abstention.safetensors"
"""Names of the two files in a run folder; the second is a Bundle's member too."""

FORMAT = 1
_FIX = "calibrate again with `assay calibrate RUN`, and export the run again"


def to_parts(abstention: Abstention) -> tuple[dict[str, Any], bytes]:
    """(plain values, safetensors bytes)."""
    arrays: dict[str, NDArray[Any]] = {}
    unknown = abstention.unknown
    if unknown is not None:
        arrays = {
            "reference": np.ascontiguousarray(unknown.reference),
            "scores": np.ascontiguousarray(unknown.scores),
            "weights": np.ascontiguousarray(unknown.weights),
        }
    data = bytes(save_arrays(arrays))
    sets = abstention.sets
    plain = {
        "format": FORMAT,
        "config": abstention.config.to_dict(),
        "classes": abstention.classes.digest,
        "temperature": abstention.temperature,
        "calibration": _finite(asdict(abstention.calibration)),
        "threshold": _finite(asdict(abstention.threshold)),
        "sets": _finite({**asdict(sets), "limits": [_number(limit) for limit in sets.limits]}),
        "unknown": None
        if unknown is None
        else {"neighbours": unknown.neighbours, "spread": list(unknown.spread)},
        "arrays": _digest(data),
    }
    return plain, data


def from_parts(plain: Mapping[str, Any], data: bytes, classes: ClassNames) -> Abstention:
    """The inverse of ``to_parts``, for a network with these ``classes``.

    Raises
    ------
    BundleError : a field is missing, unknown or wrong, the arrays are others, or the classes are.
    """
    try:
        return _read(plain, data, classes)
    except (KeyError, TypeError, ValueError, SafetensorError, AssayError) as error:
        told = error.what if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
        raise BundleError("the stored thresholds are not valid", got=told[:300], fix=_FIX) from error


def save_abstention(abstention: Abstention, folder: str | Path) -> None:
    """Write both files into a run folder, each whole or not at all; the plain one, which is looked for, last."""
    plain, data = to_parts(abstention)
    write_file(Path(folder) / ARRAYS, data)
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    write_file(Path(folder) / PLAIN, (text + "\n").encode())


def load_abstention(folder: str | Path, classes: ClassNames) -> Abstention | None:
    """What ``save_abstention`` wrote; None where a run has no thresholds. Raises BundleError when damaged."""
    parts = read_parts(folder)
    return None if parts is None else from_parts(*parts, classes)


def read_parts(folder: str | Path) -> tuple[dict[str, Any], bytes] | None:
    """Both files of a run folder, the arrays unread; None where there are none."""
    place = Path(folder)
    if not (place / PLAIN).is_file():
        return None
    try:
        plain = json.loads((place / PLAIN).read_text("utf-8"))
        data = (place / ARRAYS).read_bytes()
    except (OSError, ValueError) as error:
        raise BundleError(f"{place / PLAIN} cannot be read", got=str(error)[:200], fix=_FIX) from error
    if not isinstance(plain, dict):
        raise BundleError(f"{place / PLAIN} is no JSON object", got=type(plain).__name__, fix=_FIX)
    return plain, data


def _read(plain: Mapping[str, Any], data: bytes, classes: ClassNames) -> Abstention:
    known = {
        "format",
        "config",
        "classes",
        "temperature",
        "calibration",
        "threshold",
        "sets",
        "unknown",
        "arrays",
    }
    if set(plain) != known:
        raise ValueError(f"fields {', '.join(sorted(set(plain) ^ known))} are missing or unknown")
    if plain["format"] != FORMAT:
        raise ValueError(f"format {plain['format']!r}; this program reads {FORMAT}")
    if plain["arrays"] != _digest(data):
        raise ValueError("its arrays are of another calibration")
    if plain["classes"] != classes.digest:
        raise ValueError("they were fitted for other classes")
    config = AbstainConfig.from_dict(plain["config"])
    temperature = _positive(plain["temperature"])
    return Abstention(
        config,
        classes,
        temperature,
        _calibration(plain["calibration"]),
        _threshold(plain["threshold"]),
        _sets(plain["sets"], len(classes)),
        _unknown(plain["unknown"], data, config.false_alarm),
    )


def _calibration(values: Mapping[str, Any]) -> Calibration:
    found = Calibration(**{**values, "accuracy": _or_nan(values["accuracy"])})
    whole = [found.pictures, found.unreadable, *([] if found.groups is None else [found.groups])]
    if found.unit not in ("picture", "group") or not all(type(n) is int and n >= 0 for n in whole):
        raise ValueError("calibration says of no pictures or groups")
    return found


def _threshold(values: Mapping[str, Any]) -> RiskThreshold:
    found = RiskThreshold(**{**values, "found": _or_nan(values["found"])})
    for name in ("threshold", "least_risk"):
        value = getattr(found, name)
        if value is not None and not 0 <= _number_of(value) <= 1:
            raise ValueError(f"{name} is {value!r}")
    for name in ("risk", "confidence", "coverage"):
        if not 0 <= _number_of(getattr(found, name)) <= 1:
            raise ValueError(f"{name} is {getattr(found, name)!r}")
    return found


def _sets(values: Mapping[str, Any], classes: int) -> PredictionSets:
    limits = tuple(math.inf if limit is None else _number_of(limit) for limit in values["limits"])
    found = PredictionSets(**{**values, "limits": limits, "found": _or_nan(values["found"])})
    if found.kind not in KINDS or len(limits) not in (1, classes):
        raise ValueError(f"sets of kind {found.kind!r} with {len(limits)} limits")
    if not (0 < _number_of(found.coverage) < 1 and 0 <= _number_of(found.mean_size) <= classes):
        raise ValueError("coverage or size of the sets")
    return found


def _unknown(values: Mapping[str, Any] | None, data: bytes, false_alarm: float) -> Unknown | None:
    if values is None:
        return None
    arrays = load_arrays(data)
    reference, scores, weights = arrays["reference"], arrays["scores"], arrays["weights"]
    fits = reference.dtype == np.float16 and reference.ndim == 2 and 0 < len(reference) <= MOST
    fits = fits and scores.dtype == weights.dtype == np.float64 and scores.shape == weights.shape
    if not fits or scores.ndim != 1 or not len(scores) or not np.isfinite(reference).all():
        raise ValueError("reference, scores or weights have another shape or type")
    if (np.diff(scores) < 0).any() or not (weights > 0).all():
        raise ValueError("scores do not rise, or weights are not above 0")
    neighbours, (first, second) = values["neighbours"], values["spread"]
    if type(neighbours) is not int or not 0 < neighbours <= len(reference):
        raise ValueError(f"neighbours is {neighbours!r}")
    spread = (_positive(first), _positive(second))
    return Unknown(reference, neighbours, spread, scores, weights, false_alarm)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number_of(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _positive(value: Any) -> float:
    number = _number_of(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{value!r} is not above 0")
    return number


def _or_nan(value: Any) -> float:
    return math.nan if value is None else _number_of(value)


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """NaN as None: JSON has no word for it."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
