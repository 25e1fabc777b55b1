"""One file that is enough to go on: weights, average, optimiser and place in the plan.

safetensors with the small state as JSON in its header: no pickle. Written beside and renamed, so a kill or a
full disk leaves the earlier checkpoint whole. Random state needs no saving: batch.py derives it from the step.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from assay.errors import ModelError
from assay.train.ema import WeightAverage


def save_tensors(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON state to one file, whole or not at all.

    Raises
    ------
    ModelError : the disk is full or the folder cannot be written; an earlier file stays as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(plain, str(temporary), metadata={"state": json.dumps(dict(state))})
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} could not be written",
            got=_reason(error),
            fix="free some space or choose another --out, then go on with --resume",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a file written by ``save_tensors``. Raises ModelError when it is damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read", got=_reason(error), fix="train again without --resume"
        ) from error


def _reason(error: Exception) -> str:
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    return "the disk is full" if full or "No space left" in str(error) else str(error)


def pack(model: nn.Module, average: WeightAverage | None, optimiser: Optimizer) -> dict[str, Tensor]:
    """All tensors of a run in one flat mapping."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{k}": v for k, v in average.values.items()}
    for i, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": torch.as_tensor(v) for k, v in slots.items() if v is not None}
    return {name: value.clone() for name, value in tensors.items()}


def unpack(
    tensors: Mapping[str, Tensor], model: nn.Module, average: WeightAverage | None, optimiser: Optimizer
) -> None:
    """Put the tensors of ``pack`` back in place, bit for bit."""
    own = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    model.load_state_dict(own)
    if average is not None:
        for name, value in average.values.items():
            value.copy_(tensors[f"average.{name}"])
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, i, slot = name.split(".", 2)
            slots.setdefault(int(i), {})[slot] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})
