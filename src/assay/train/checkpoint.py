"""One file that is enough to go on: weights, average, optimiser and place in the plan.

safetensors with the small state as JSON in its header: no pickle. Written beside and renamed, so a kill or a
full disk leaves the earlier checkpoint whole. Random state needs no saving: batch.py derives it from the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from assay.errors import AssayError, ModelError
from assay.files import write_file
from assay.train.ema import WeightAverage


def save_tensors(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and a JSON state to one file, whole or not at all.

    Raises
    ------
    ModelError : the disk is full or the folder cannot be written; an earlier file stays as it was.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        write_file(path, save(plain, metadata={"state": json.dumps(dict(state))}))
    except AssayError as error:
        fix = "free some space or choose another --out, then go on with --resume"
        raise ModelError(error.what, got=error.got, fix=fix) from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of a file written by ``save_tensors``. Raises ModelError when it is damaged."""
    try:
        with safe_open(str(path), framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read", got=str(error), fix="train again without --resume"
        ) from error


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
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, i, slot = name.split(".", 2)
            slots.setdefault(int(i), {})[slot] = _laid_out_as(parameters[int(i)], value)
    optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """``value`` in the memory layout of its parameter: torch's fused optimisers walk both by address."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
