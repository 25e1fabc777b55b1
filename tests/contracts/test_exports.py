"""Networks of every kind go through the exporter and answer in the engine as they do in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.configs import ModelConfig
from assay.export.onnx import scene_to_onnx, to_onnx
from assay.models.build import build_model
from assay.models.multitask import Heads, build_multitask
from assay.runtime.engines.engine import SCENE_ENDS
from assay.runtime.engines.onnxruntime import OnnxRuntimeEngine
from assay.tables import MODELS

OWN = [
    ModelConfig(model="cnn", width=8),
    ModelConfig(model="csp-nano", dropout=0.2, drop_path=0.1),
    ModelConfig(model="resnet9", width=8),
    ModelConfig(model="rnn-bilstm", width=8, dropout=0.2),
    ModelConfig(model="rnn-bigru", width=8),
    ModelConfig(model="rnn-renet", width=8),
    ModelConfig(model="rnn-mingru", width=8, drop_path=0.1),
]
TIMM = [
    ModelConfig(model="resnet18"),
    ModelConfig(model="mobilenetv2_100", model_options=("pad_type=same",)),
    ModelConfig(model="vit_tiny_patch16_224", model_options=("img_size=64",)),
    ModelConfig(model="convnext_atto"),
    ModelConfig(model="efficientnet_b0"),
]


FAST = {"boxes", "class+boxes+pixels"}
SUBSETS = {
    "class": Heads(classes=3),
    "boxes": Heads(boxes=2, masks=True),
    "pixels": Heads(pixels=3),
    "class+boxes": Heads(classes=3, tags=2, boxes=2),
    "class+pixels": Heads(classes=3, tags=2, pixels=3),
    "boxes+pixels": Heads(boxes=2, masks=True, pixels=3),
    "class+boxes+pixels": Heads(classes=3, tags=2, boxes=2, masks=True, pixels=3),
}


def check(config, channels, size):
    torch.manual_seed(0)
    model = build_model(config, 5, channels).eval()
    vary_norms(model)
    engine = OnnxRuntimeEngine(to_onnx(model, channels=channels, size=size), threads=1)
    for n in (1, 3):
        x = torch.randn(n, channels, size, size)
        with torch.inference_mode():
            logits, features = model(x).numpy(), model.embed(x).numpy()
        scale = max(1.0, np.abs(logits).max())
        np.testing.assert_allclose(engine(x.numpy()), logits, atol=1e-4 * scale)
        np.testing.assert_allclose(
            engine.embed(x.numpy()), features, atol=1e-4 * max(1.0, np.abs(features).max())
        )


def check_scene(config, heads, *, without=(), channels=3, size=64):
    """Every output by name, at batches of 1 and 3, and their names."""
    torch.manual_seed(0)
    model = build_multitask(config, heads, channels).eval().without(*without)
    vary_norms(model)
    engine = OnnxRuntimeEngine(scene_to_onnx(model, channels=channels, size=size), threads=1)
    for n in (1, 3):
        x = torch.randn(n, channels, size, size)
        with torch.inference_mode():
            expected = {name: value.numpy() for name, value in model(x).named().items()}
        found = engine.scene(x.numpy())
        assert set(found) == set(expected) == set(engine.ends)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-4 * max(1.0, np.abs(value).max()))
    return set(engine.ends)


def vary_norms(model):
    for module in model.modules():  # untrained norms hide a wrong mean or variance
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)


def test_every_own_network_is_exported_here():
    assert {config.model for config in OWN} >= set(MODELS) - {"csp-small", "csp-base"}  # csp-nano, but wider


@pytest.mark.parametrize("config", OWN, ids=lambda config: config.model)
@pytest.mark.parametrize(("channels", "size"), [(3, 64), (1, 72)])
def test_own_networks(config, channels, size):
    check(config, channels, size)


@pytest.mark.slow
@pytest.mark.parametrize("config", TIMM, ids=lambda config: config.model)
def test_timm_networks(config):
    check(config, 3, 64)


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SUBSETS]
)
def test_every_subset_of_heads(name):
    check_scene(
        ModelConfig(model="csp-nano", width=0.34), SUBSETS[name], without=["one-to-one"] * ("boxes" in name)
    )


def test_the_engine_knows_every_output():
    """Whole, as it learns, with both kinds of boxes; grey, and at a side that is no multiple of 32."""
    heads = SUBSETS["class+boxes+pixels"]
    assert check_scene(ModelConfig(model="csp-nano", width=0.34), heads, channels=1, size=72) == set(
        SCENE_ENDS
    )


@pytest.mark.slow
@pytest.mark.parametrize("config", TIMM, ids=lambda config: config.model)
def test_heads_on_timm_networks(config):
    check_scene(config, SUBSETS["class+boxes+pixels"], without=["one-to-many"])
