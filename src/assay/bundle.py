"""The Bundle: network + card in one file, the artefact in which the two wings meet.

A Bundle is a ZIP archive without compression; its comment holds the SHA-256 of every byte before it, so a
changed byte is noticed. It is read into memory and never unpacked; only the members below are allowed.
Nothing in it can run: JSON, safetensors, and a single-file ONNX graph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from assay.configs import PreprocessConfig
from assay.labels import ClassNames

FORMAT = 1
"""The newest format that this program reads and the one it writes."""


@dataclass(frozen=True)
class Card:
    """What travels beside the weights.

    ``temperature`` divides the logits before the softmax. ``model`` is ModelConfig as plain values, with
    ``channels``. ``provenance`` holds the run's command, data, split hash, seed, machine, minutes and versions;
    ``metrics`` the evaluations by part; ``parity`` the measured agreement of each export with the checkpoint;
    ``licence`` the licence and origin of the weights.
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
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "classes": list(self.classes), "preprocess": self.preprocess.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``to_dict``."""
        return cls(
            **{
                **values,
                "classes": ClassNames(values["classes"]),
                "preprocess": PreprocessConfig.from_dict(values["preprocess"]),
            }
        )

    def to_json(self) -> str:
        """Indented JSON, readable by people."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
