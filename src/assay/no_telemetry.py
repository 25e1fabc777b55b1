"""Libraries that report home unless told otherwise are told, before they are imported. Standard library only."""

from __future__ import annotations

import os

_SWITCHES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29 on: on by default on Linux too, read once at its import
    "HF_HUB_DISABLE_TELEMETRY": "1",  # what timm fetches published weights with, where --pretrained asks for them
}


def forbid_telemetry() -> None:
    """Switch it off for this process and those that it starts. To be called before such a library is imported."""
    os.environ.update(_SWITCHES)
