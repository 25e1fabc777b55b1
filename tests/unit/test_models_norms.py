"""Batch norms folded away by a publisher, and their opening."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from assay.configs import ModelConfig, PreprocessConfig
from assay.errors import ModelError
from assay.image import read_image
from assay.models.build import build_model
from assay.models.norms import has_folded_norms, reopen_norms
from assay.models.weights import load_weights
from assay.preprocess import Preprocess


def folded(seed: int = 0) -> nn.Module:
    """A small network whose norms do nothing but add a bias."""
    torch.manual_seed(seed)
    model = build_model(ModelConfig(model="csp-nano"), 4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.normal_(module.bias)
    return model


def test_only_folded_norms_are_seen_as_such():
    assert has_folded_norms(folded())
    assert not has_folded_norms(build_model(ModelConfig(model="csp-nano"), 4))
    assert not has_folded_norms(nn.Linear(2, 2))
    trained = folded()
    trained(torch.rand(4, 3, 32, 32))  # in train mode: statistics move
    assert not has_folded_norms(trained)


def test_opening_keeps_the_function_and_makes_norms_that_normalise():
    model = folded().eval()
    x = torch.rand(24, 3, 32, 32)
    with torch.no_grad():
        before = model.embed(x)
    opened = reopen_norms(model, x.split(5))
    assert opened == sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    with torch.no_grad():
        torch.testing.assert_close(model.embed(x), before, atol=1e-4, rtol=1e-4)
        whole = copy.deepcopy(model).train()(x)  # the batch's statistics are those that were stored
        torch.testing.assert_close(whole, model(x), atol=1e-4, rtol=1e-3)
    assert not has_folded_norms(model)


def test_the_statistics_are_those_of_all_batches_together():
    model = nn.Sequential(nn.BatchNorm2d(3))
    nn.init.ones_(model[0].bias)
    x = torch.randn(30, 3, 4, 4) * torch.tensor([1.0, 5.0, 0.1]).view(3, 1, 1) + torch.tensor(
        [100.0, 0, -7]
    ).view(3, 1, 1)
    reopen_norms(model, x.split(7))
    torch.testing.assert_close(model[0].running_mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(model[0].running_var, x.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)


def test_modes_and_hooks_are_put_back():
    model = folded().train()
    model.trunk.stem.eval()
    reopen_norms(model, [torch.rand(2, 3, 32, 32)])
    assert model.training
    assert not model.trunk.stem.training
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_a_network_without_folded_norms_is_left_alone():
    model = build_model(ModelConfig(model="cnn", width=4, depth=2), 3)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert reopen_norms(model, [torch.rand(2, 3, 16, 16)]) == 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_no_pictures_are_refused():
    with pytest.raises(ModelError, match="without pictures"):
        reopen_norms(folded(), [])


@pytest.mark.shared
def test_published_weights_with_folded_norms(shared_data):
    model = build_model(ModelConfig(model="mobilenetv2_100", model_options=("pad_type=same",)), 10).eval()
    load_weights(model, shared_data / "backbones" / "mobilenetv2_100_from_coral_uint8.fp16.pth")
    assert has_folded_norms(model)
    pre = Preprocess(PreprocessConfig(size=64, mean=(0.5,) * 3, std=(0.5,) * 3))
    paths = sorted((shared_data / "clothing" / "train").glob("*/*.jpg"))[::200]
    x = torch.from_numpy(np.stack([pre(read_image(path)) for path in paths]))
    with torch.no_grad():
        before = model.embed(x)
        assert reopen_norms(model, x.split(4)) == 52
        torch.testing.assert_close(model.embed(x), before, atol=1e-4, rtol=1e-4)
