"""Networks of every kind go through the exporter and answer in the engine as they do in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from assay.configs import ModelConfig
from assay.export.onnx import to_onnx
from assay.models.build import build_model
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


def check(config, channels, size):
    torch.manual_seed(0)
    model = build_model(config, 5, channels).eval()
    for module in model.modules():  # untrained norms hide a wrong mean or variance
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
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
