"""The card: everything that must travel beside the weights, so that a network means the same everywhere.

Class order, preprocessing and temperature are part of what a network says; a card that lacks one of them, or
holds something this program does not know, is refused rather than guessed at (after Mitchell et al. 2019,
*Model Cards for Model Reporting*, for what else a reader wants to know).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from assay.config import Config
from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import AssayError, BundleError
from assay.fields import field_type, fits, is_number
from assay.files import write_file
from assay.labels import ClassNames
from assay.tables import suggest
from assay.types import NO_CLASSES

FORMAT = 3
"""The newest format that this program reads and the one it writes. 1 had no classes of objects and of pixels, 2 no
choice of decoding and no networks of another precision."""

TASKS = ("classify", "scene")
"""The class of a picture alone, or any of class, tags, boxes, masks and pixels (``ModelConfig.heads``)."""
_CLASSES = ("classes", "object_classes", "pixel_classes")
_MAPPINGS = ("model", "provenance", "metrics", "parity", "thresholds", "licence")
_SCORES = ("boxes", "nms_free", "tags")
_THRESHOLDS = ("abstention", *_SCORES)


@dataclass(frozen=True)
class Card:
    """What travels beside the weights.

    ``temperature`` divides the logits before the softmax. ``model`` is ModelConfig as plain values, with
    ``channels``. ``provenance`` holds the run's command, data, split hash, seed, machine, minutes, versions;
    ``metrics`` the evaluations by part; ``parity`` the measured agreement of each export with the checkpoint;
    ``thresholds`` is empty, or holds under "abstention" when answers are held back (``assay.decide.stored``), under
    "boxes" the ``score`` from which a found thing is told and the target it was picked for, and under "tags" the same,
    and in a run folder under "nms_free" that of the boxes that need no suppression; ``licence`` the licence and origin
    of the weights. ``object_classes`` and ``pixel_classes`` are those of boxes and of pixels, empty where the network
    has no such head.
    """

    classes: ClassNames
    preprocess: PreprocessConfig
    model: Mapping[str, Any]
    temperature: float = 1.0
    task: str = "classify"
    name: str = "model"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    licence: Mapping[str, Any] = field(default_factory=dict)
    object_classes: ClassNames = NO_CLASSES
    pixel_classes: ClassNames = NO_CLASSES
    format: int = FORMAT

    def __post_init__(self) -> None:
        for name in _MAPPINGS:  # plain now, so that a card read back equals the one that was written
            object.__setattr__(self, name, _plain(getattr(self, name)))

    @property
    def channels(self) -> int:
        """Channels of the tensors that the network takes."""
        return int(self.model.get("channels", 3))

    @property
    def heads(self) -> tuple[str, ...]:
        """What the network tells, of ``assay.configs.HEADS``."""
        return tuple(self.model.get("heads") or ("class",))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        named = {name: list(values[name]) for name in _CLASSES}
        return {**values, **named, "preprocess": self.preprocess.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``; every field must be there, and no other.

        Raises
        ------
        BundleError : a newer format; a field that is missing, unknown, of the wrong type or out of range.
        """
        _refuse_newer(values)
        values = _upgraded(values)
        faults = [*_field_faults(cls, values), *_value_faults(values)]
        if faults:
            raise BundleError(
                "the card is not valid",
                got="; ".join(faults[:6]),
                fix="export the run again with `assay export`",
            )
        try:
            classes = {name: ClassNames(values[name]) for name in _CLASSES}
            preprocess = PreprocessConfig.from_dict(values["preprocess"])
            ModelConfig.from_dict({k: v for k, v in values["model"].items() if k != "channels"})
        except AssayError as error:
            raise BundleError("the card is not valid", got=error.what, fix=error.fix) from error
        return cls(**{**values, **classes, "preprocess": preprocess})

    def to_json(self) -> str:
        """Indented JSON, readable by people. Numbers that JSON cannot say (NaN) are null."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of ``to_json``. Raises BundleError as ``from_dict``, and when it is no JSON."""
        try:
            values = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise BundleError(
                "the card is not valid JSON",
                got=str(error)[:200],
                fix="export the run again with `assay export`",
            ) from error
        if not isinstance(values, dict):
            raise BundleError("the card is not a JSON object", got=type(values).__name__)
        return cls.from_dict(values)

    def save(self, path: str | Path) -> None:
        """Write ``card.json``, whole or not at all."""
        write_file(path, (self.to_json() + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read ``card.json``. Raises BundleError, naming the file, when it cannot be read or is not valid."""
        try:
            return cls.from_json(Path(path).read_bytes())
        except OSError as error:
            raise BundleError(f"{path} cannot be read", got=error.strerror or str(error)) from error
        except BundleError as error:
            raise BundleError(f"{path}: {error.what}", got=error.got, fix=error.fix) from error


def _refuse_newer(values: Mapping[str, Any]) -> None:
    got = values.get("format")
    if isinstance(got, int) and not isinstance(got, bool) and got > FORMAT:
        raise BundleError(
            "this Bundle was written by a newer Assay",
            got=f"format {got}; this program reads up to {FORMAT}",
            fix="update assay: pip install --upgrade assay-vision",
        )
    if not isinstance(got, int) or isinstance(got, bool) or got < 1:
        raise BundleError(
            "the card has no valid format number", got=f"{got!r}"[:80], fix="export the run again"
        )


def _upgraded(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A card of an older format as one of today that means the same."""
    if values["format"] == 1:
        values = {"object_classes": [], "pixel_classes": [], **values, "format": 2}
    if values["format"] == 2:
        preprocess = values.get("preprocess")
        if isinstance(preprocess, dict):
            values = {**values, "preprocess": {"decode": "exact", **preprocess}}
        values = {**values, "format": FORMAT}
    return values


def _field_faults(cls: type[Any], values: Mapping[str, Any]) -> list[str]:
    known = [f.name for f in dataclasses.fields(cls)]
    missing = [f"{name} is missing" for name in known if name not in values]
    unknown = [f"unknown field {name!r} ({suggest(name, known)})" for name in values if name not in known]
    return missing + unknown


def _value_faults(values: Mapping[str, Any]) -> list[str]:
    """Faults of the fields that are there; each is one short sentence."""
    faults: list[str] = []
    for name in (*_MAPPINGS, "preprocess"):
        if not isinstance(values.get(name, {}), dict):
            faults.append(f"{name} is no object")
    if not faults:
        faults += _threshold_faults(values.get("thresholds", {}))
    if values.get("task", "classify") not in TASKS:
        faults.append(f"task is {values['task']!r}; this program knows {', '.join(TASKS)}")
    if not isinstance(values.get("name", ""), str):
        faults.append("name is no text")
    temperature = values.get("temperature", 1.0)
    if not is_number(temperature) or not (math.isfinite(temperature) and temperature > 0):
        faults.append(f"temperature is {temperature!r}; it is a number above 0")
    for name in _CLASSES:
        classes = values.get(name, ["one"])
        if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
            faults.append(f"{name} is no list of names")
    if values.get("task", "classify") == "classify" and values.get("classes") == []:
        faults.append("classes is no list of names, or an empty one")
    faults += _head_faults(values)
    if faults or "preprocess" not in values or "model" not in values:
        return faults
    faults = [*_preprocess_faults(values["preprocess"]), *_model_faults(values["model"])]
    return faults or _channel_faults(values["preprocess"], values["model"])


def _head_faults(values: Mapping[str, Any]) -> list[str]:
    """Heads without the classes that they tell."""
    model = values.get("model")
    heads = (model.get("heads") if isinstance(model, dict) else None) or []
    named = {"class": "classes", "tags": "classes", "boxes": "object_classes", "pixels": "pixel_classes"}
    if not isinstance(heads, list) or not all(isinstance(head, str) for head in heads):
        return []  # told as a fault of the model
    empty = [head for head in heads if head in named and values.get(named[head]) == []]
    return [f"{named[head]} is empty, but the network tells {head}" for head in empty]


def _threshold_faults(values: dict[str, Any]) -> list[str]:
    """What is inside is checked by the room that applies it, with the member that belongs to it."""
    faults = [f"unknown field thresholds.{name}" for name in values if name not in _THRESHOLDS]
    wrong = [name for name, value in values.items() if not isinstance(value, dict)]
    faults += [f"thresholds.{name} is no object" for name in wrong]
    for name in _SCORES:
        score = values[name].get("score") if isinstance(values.get(name), dict) else 0.0
        if not is_number(score) or not 0 <= score < 1:
            faults.append(f"thresholds.{name}.score is {score!r}; it is a number from 0 up to 1"[:120])
    return faults


def _preprocess_faults(values: dict[str, Any]) -> list[str]:
    faults = _type_faults("preprocess", PreprocessConfig, values)
    names = [f.name for f in dataclasses.fields(PreprocessConfig)]
    # a default that changes in a later version must not change what an old Bundle does
    faults += [f"preprocess.{name} is missing" for name in names if name not in values]
    for name in ("mean", "std"):
        if not faults and len(values[name]) not in (1, 3):
            faults.append(f"preprocess.{name} has {len(values[name])} numbers; it has 1 or 3")
    return faults


def _model_faults(values: dict[str, Any]) -> list[str]:
    faults = [f"model.{name} is missing" for name in ("model", "channels") if name not in values]
    rest = {name: value for name, value in values.items() if name != "channels"}
    return faults + _type_faults("model", ModelConfig, rest)


def _channel_faults(preprocess: dict[str, Any], model: dict[str, Any]) -> list[str]:
    made = 1 if preprocess["colour"] == "gray" else 3
    if model["channels"] == made:
        return []
    return [
        f"model.channels is {model['channels']!r}, but preprocessing to {preprocess['colour']} gives {made}"
    ]


def _type_faults(section: str, config: type[Config], values: Mapping[str, Any]) -> list[str]:
    """All of them at once, by their place in the card; ranges are the configs' own business."""
    known = [f.name for f in dataclasses.fields(config)]  # type: ignore[arg-type]
    faults = []
    for name, value in values.items():
        if name not in known:
            faults.append(f"unknown field {section}.{name} ({suggest(name, known)})")
        elif not fits(value, *field_type(config, name)):
            faults.append(f"{section}.{name} is {value!r}"[:120])
    return faults


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return values


def _plain(value: Any) -> Any:
    """Mappings, lists and scalars as JSON has them; NaN and infinities as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, str | int | float):  # a numpy scalar
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
