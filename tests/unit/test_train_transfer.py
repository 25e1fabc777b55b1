from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from assay.errors import ConfigError
from assay.models.classifier import Classifier
from assay.train.transfer import fit_linear, last_linear


class Headless(Classifier):
    @property
    def head(self) -> nn.Module:
        return nn.Identity()


def test_the_probe_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 6)).astype(np.float32)
    targets = (features @ rng.normal(size=(6, 3)) + rng.normal(size=(120, 3))).argmax(1)
    scaled = (features - features.mean(0)) / features.std(0)
    oracle = LogisticRegression(C=1 / (0.05 * 120), max_iter=1000, tol=1e-8).fit(scaled, targets)
    weight, bias = fit_linear(torch.from_numpy(features), torch.from_numpy(targets), 3, 0.05)
    mine = torch.softmax(torch.from_numpy(features) @ weight.T + bias, 1).numpy()
    assert np.abs(mine - oracle.predict_proba(scaled)).max() < 2e-3


def test_a_network_without_a_linear_head_is_told() -> None:
    with pytest.raises(ConfigError, match=r"no linear head to probe[\s\S]*--transfer all"):
        last_linear(Headless())
