from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from assay.configs import (
    AugmentConfig,
    ModelConfig,
    PreprocessConfig,
    ReadConfig,
    Recipe,
    SplitConfig,
    TrainConfig,
)
from assay.errors import ConfigError
from assay.fields import field_type


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batch": "32"}, "batch is '32' (str); it must be a whole number"),
        ({"batch": None}, "batch is None; it must be a whole number"),
        ({"batch": True}, "batch is True (bool); it must be a whole number"),
        ({"epochs": 2.5}, "epochs is 2.5 (float); it must be a whole number or None"),
        ({"flip": "x"}, "flip is 'x' (str); it must be a finite number"),
        ({"lr": float("nan")}, "lr is nan (float); it must be a finite number or None"),
        ({"lr": 10**400}, "lr is inf (float); it must be a finite number or None"),
        ({"ema": 1}, "ema is 1 (int); it must be True or False"),
        ({"model": 3}, "model is 3 (int); it must be text"),
        ({"optimiser": ["sgd"]}, "optimiser is ['sgd'] (list); it must be text"),
        ({"mean": 0.5}, "mean is 0.5 (float); it must be a tuple of finite numbers"),
        ({"mean": (0.5, "x", 0.5)}, "mean is (0.5, 'x', 0.5) (tuple); it must be a tuple of finite numbers"),
        (
            {"mean": np.zeros(3)},
            "mean is array([0., 0., 0.]) (ndarray); it must be a tuple of finite numbers",
        ),
        ({"model_options": "a=b"}, "model_options is 'a=b' (str); it must be a tuple of texts"),
        ({"batch": 0}, "batch is 0; the least is 1"),
        ({"schedule": "cosin"}, "schedule is 'cosin'; did you mean cosine?"),
    ],
)
def test_a_wrong_value_is_one_line(options, told):
    with pytest.raises(ConfigError) as fault:
        Recipe.from_options(options)
    assert fault.value.what == told
    assert fault.value.fix == "see types and ranges in the help of the command"
    assert fault.value.exit_code == 2


def test_all_faults_of_a_section_at_once():
    with pytest.raises(ConfigError, match=r"batch is '32' .*; lr is -1.0; the least is 0"):
        TrainConfig(batch="32", lr=-1)


def test_a_long_value_is_cut():
    with pytest.raises(ConfigError) as fault:
        TrainConfig(batch="x" * 1000)
    assert len(fault.value.what) < 150


def test_sections_are_checked_too():
    with pytest.raises(ConfigError, match=r"train is \{'epochs': 1\} \(dict\); it must be a TrainConfig"):
        Recipe(train={"epochs": 1})


def test_one_value_has_one_form():
    assert PreprocessConfig(mean=[0, 0, 0]) == PreprocessConfig(mean=(0.0, 0.0, 0.0))
    assert hash(PreprocessConfig(mean=[0, 0, 0])) == hash(PreprocessConfig(mean=(0.0, 0.0, 0.0)))
    found = TrainConfig(batch=np.int64(8), lr=np.float32(0.5), minutes=3)
    assert (found.batch, found.lr, found.minutes) == (8, 0.5, 3.0)
    assert [type(v) for v in (found.batch, found.lr, found.minutes)] == [int, float, float]
    assert ModelConfig(weights=Path("a.safetensors")).weights == "a.safetensors"


def test_a_recipe_travels():
    recipe = Recipe.from_options({"batch": 8, "mean": [0.5], "weights": Path("w.pth"), "root": "x"})
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_types_of_fields():
    assert field_type(TrainConfig, "epochs") == (int, True, False)
    assert field_type(PreprocessConfig, "mean") == (float, False, True)


def test_checking_costs_little():
    sections = (ReadConfig, SplitConfig, PreprocessConfig, AugmentConfig, ModelConfig, TrainConfig)
    Recipe()
    begun = time.process_time()
    for _ in range(20):
        Recipe(**{f"{c.__name__.removesuffix('Config').lower()}": c() for c in sections})
    assert (time.process_time() - begun) / 20 < 0.01
