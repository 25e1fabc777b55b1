from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from assay.configs import TrainConfig
from assay.errors import ModelError
from assay.train.checkpoint import load_tensors, pack, save_tensors, unpack
from assay.train.ema import WeightAverage
from assay.train.optim import build_optimiser, parameter_groups, set_lr


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    return model.to(memory_format=torch.channels_last)  # where a restored layout can go wrong


def optimiser_for(model: nn.Module, name: str) -> torch.optim.Optimizer:
    groups = parameter_groups([list(m.parameters()) for m in model.children()], 0.05, 0.8)
    return build_optimiser(groups, TrainConfig(optimiser=name), 1e-2)


def step(model: nn.Module, optimiser: torch.optim.Optimizer, average: WeightAverage, seed: int) -> float:
    torch.manual_seed(seed)
    loss = model(torch.randn(4, 3, 8, 8)).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    average.update(model, 10.0)
    return float(loss.detach())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "nadam", "radam"])
def test_going_on_from_a_checkpoint_is_bit_for_bit(tmp_path: Path, name: str) -> None:
    model = network()
    optimiser, average = optimiser_for(model, name), WeightAverage(model)
    for seed in range(3):
        step(model, optimiser, average, seed)
    save_tensors(tmp_path / "c.safetensors", pack(model, average, optimiser), {"updates": average.updates})
    expected = [step(model, optimiser, average, seed) for seed in range(3, 7)]

    other = network()
    resumed, other_average = optimiser_for(other, name), WeightAverage(other)
    tensors, state = load_tensors(tmp_path / "c.safetensors")
    unpack(tensors, other, other_average, resumed)
    other_average.updates = state["updates"]
    assert [step(other, resumed, other_average, seed) for seed in range(3, 7)] == expected
    for mine, theirs in zip(average.values.values(), other_average.values.values(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_full_disk_keeps_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, {"step": 1})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match=r"could not be written[\s\S]*disk is full[\s\S]*--resume"):
        save_tensors(path, {"a": torch.zeros(2)}, {"step": 2})
    assert load_tensors(path)[1] == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"not tensors")
    with pytest.raises(ModelError, match="cannot be read"):
        load_tensors(path)


def test_vectors_are_never_decayed_and_lower_blocks_learn_slower() -> None:
    model = network()
    groups = parameter_groups([list(m.parameters()) for m in model.children()], 0.05, 0.5)
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])
    assert sorted({group["lr_scale"] for group in groups}) == [0.125, 0.25, 1.0]
    optimiser = build_optimiser(groups, TrainConfig(), 1.0)
    set_lr(optimiser, 2.0)
    assert sorted({group["lr"] for group in optimiser.param_groups}) == [0.25, 0.5, 2.0]


def test_the_average_of_constant_weights_is_those_weights() -> None:
    model = network()
    average = WeightAverage(model)
    for _ in range(5):
        average.update(model, 3.0)
    for name, value in model.state_dict().items():
        assert torch.equal(average.values[name], value)
