"""Reads the tensors of a weights file without running anything that is in it."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from assay.errors import ModelError

WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
)
"""Where training programs keep the tensors inside a checkpoint; averaged weights before the raw ones."""
_GLOBAL = re.compile(r"(?:GLOBAL|class:?) ([\w.]+)")
_DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    struct.error,
)
"""What torch's reader raises on bytes that are no weights; one for each step at which it may stumble."""


def read_weights_file(path: Path) -> tuple[dict[str, Tensor], bool]:
    """(name -> tensor on the CPU, whether the order of the names means something).

    Raises
    ------
    ModelError : the file is damaged, holds code, or holds no tensors.
    """
    ordered = not _is_safetensors(path)
    content = _read_pickle(path) if ordered else _read_safetensors(path)
    tensors = {k: v for k, v in _tensors(content).items() if not k.endswith("num_batches_tracked")}
    if not tensors:
        got = (
            f"keys {', '.join(map(str, content))[:200]}"
            if isinstance(content, Mapping)
            else type(content).__name__
        )
        raise ModelError(
            f"{path} holds no state dict", got=got, fix="save model.state_dict() and give that file"
        )
    return tensors, ordered


def _is_safetensors(path: Path) -> bool:
    """By content: a header length, then JSON; the suffix decides only for a file too short to tell."""
    with path.open("rb") as stream:
        head = stream.read(9)
    return head[8:9] == b"{" or (len(head) < 9 and path.suffix == ".safetensors")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path, device="cpu")
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_pickle(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on old formats, for developers of torch
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        code = _GLOBAL.search(str(error)) if "nsupported" in str(error) else None
        if code is None:
            raise _damaged(path, error) from error
        raise ModelError(
            f"{path} holds more than tensors, so it was not opened; nothing in it was run",
            got=f"it would call {code[1]}",
            fix="save it anew where you trust it: torch.save(model.state_dict(), ...), or as safetensors",
        ) from error


def _damaged(path: Path, error: Exception) -> ModelError:
    said = str(error).strip().partition("\n")[0][:160] or type(error).__name__
    return ModelError(
        f"{path} is not a weights file, or it is cut short",
        got=f"{path.stat().st_size} bytes; {said}",
        fix="give a .safetensors file or a state dict saved by torch.save; fetch it again if it should be one",
    )


def _tensors(content: Any, depth: int = 3) -> dict[str, Tensor]:
    """The state dict inside nested mappings: the first wrapper that has tensors, else the tensors at hand."""
    if not isinstance(content, Mapping) or depth == 0:
        return {}
    own = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if len(own) > 1:
        return own
    for name in WRAPPERS:
        if inner := _tensors(content.get(name), depth - 1):
            return inner
    return own
