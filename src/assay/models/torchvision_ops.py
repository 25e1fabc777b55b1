"""Lets timm be imported where torchvision's compiled operators are missing.

PyPI's torchvision wheel is built against the CUDA build of torch. Beside a CPU-only torch its extension
cannot be loaded, and torchvision then stops on import, since it registers shape functions for operators
(``nms``, ``qnms``) that nobody declared. timm needs torchvision's plain Python parts only, so declaring the
two schemas is enough. Calling such an operator still raises torch's own error; Assay calls none.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[torch.library.Library] = []
"""A schema lives as long as its Library object."""


def declare_missing_ops() -> bool:
    """Declare torchvision's operators where its extension cannot be loaded; True when they had to be.

    Does nothing where the real extension loads, where torchvision is imported already or is not installed.
    To be called before the first import of torchvision or timm; calling it again is harmless.
    """
    if _kept or "torchvision" in sys.modules:
        return False
    folder = _torchvision_folder()
    if folder is None or _load_extension(folder):
        return False
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}{_SCHEMA}")
    _kept.append(library)
    return True


def _torchvision_folder() -> Path | None:
    spec = importlib.util.find_spec("torchvision")  # looks the package up without importing it
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _load_extension(folder: Path) -> bool:
    """Whether ``torchvision._C`` can be loaded; found in the way in which torchvision finds it."""
    kinds = (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES)
    spec = importlib.machinery.FileFinder(str(folder), kinds).find_spec("_C")
    if spec is None or spec.origin is None:
        return False
    try:
        torch.ops.load_library(spec.origin)
    except OSError:
        return False
    return True
