"""Losses against values worked out by hand and by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from assay.configs import TrainConfig
from assay.errors import ConfigError
from assay.losses.classify import build_loss, effective_weights, log_prior

COUNTS = np.array([80, 15, 5])
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-3.0, 1.0, 2.0], [0.0, 4.0, 0.0]])
TARGETS = torch.tensor([0, 1, 2, 0])
KINDS = [
    {},
    {"label_smoothing": 0.1},
    {"imbalance": "weights"},
    {"imbalance": "logit-adjustment"},
    {"loss": "focal"},
    {"loss": "focal", "imbalance": "weights", "label_smoothing": 0.1},
]


def loss_of(**options):
    return build_loss(TrainConfig(**options), COUNTS)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def test_plain_cross_entropy_is_torchs():
    torch.testing.assert_close(loss_of()(LOGITS, TARGETS), cross_entropy(LOGITS, TARGETS))
    torch.testing.assert_close(
        loss_of()(LOGITS[1:2], TARGETS[1:2]), torch.tensor(np.log(3), dtype=torch.float32)
    )


@pytest.mark.parametrize("options", KINDS)
def test_soft_targets_of_one_class_equal_hard_ones(options):
    loss = loss_of(**options)
    soft = one_hot(TARGETS, 3).float()
    torch.testing.assert_close(loss(LOGITS, soft), loss(LOGITS, TARGETS))


@pytest.mark.parametrize(
    "options", [k for k in KINDS if "label_smoothing" not in k and k.get("loss") != "focal"]
)
def test_mixed_targets_mix_the_losses(options):
    loss, share = loss_of(**options), 0.3
    other = torch.tensor([1, 2, 0, 2])
    mixed = share * one_hot(TARGETS, 3).float() + (1 - share) * one_hot(other, 3).float()
    wanted = share * loss(LOGITS, TARGETS) + (1 - share) * loss(LOGITS, other)
    torch.testing.assert_close(loss(LOGITS, mixed), wanted)


@pytest.mark.parametrize("options", KINDS)
def test_the_order_of_samples_changes_nothing(options):
    loss, order = loss_of(**options), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss(LOGITS[order], TARGETS[order]), loss(LOGITS, TARGETS))


@pytest.mark.parametrize("options", KINDS)
def test_gradients_are_finite_even_at_certainty(options):
    logits = torch.tensor([[100.0, -100.0, 0.0], [-100.0, 100.0, 0.0]], requires_grad=True)
    loss_of(**options)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad.isfinite().all()


def test_focal_loss_by_hand():
    p = torch.softmax(LOGITS, 1)[torch.arange(4), TARGETS]
    wanted = (-((1 - p) ** 2) * p.log()).mean()
    torch.testing.assert_close(loss_of(loss="focal")(LOGITS, TARGETS), wanted)


def test_label_smoothing_by_hand():
    log_p = log_softmax(LOGITS.double().numpy())
    soft = np.eye(3)[TARGETS] * 0.9 + 0.1 / 3
    wanted = -(soft * log_p).sum(1).mean()
    assert loss_of(label_smoothing=0.1)(LOGITS, TARGETS).item() == pytest.approx(wanted, rel=1e-5)


def test_effective_weights_follow_cui():
    weights = effective_weights(torch.tensor(COUNTS, dtype=torch.float64))
    raw = (1 - 0.999) / (1 - 0.999**COUNTS)
    np.testing.assert_allclose(weights, raw * COUNTS.sum() / (raw * COUNTS).sum(), rtol=1e-6)
    assert (weights.numpy() * COUNTS).sum() / COUNTS.sum() == pytest.approx(1, rel=1e-6)
    assert weights[2] > weights[1] > weights[0]


def test_weighted_loss_is_not_divided_by_the_weights_of_the_batch():
    loss = loss_of(imbalance="weights")
    alone = torch.tensor([2])
    wanted = loss.weight[2] * cross_entropy(LOGITS[2:3], alone)
    torch.testing.assert_close(loss(LOGITS[2:3], alone), wanted)


def test_equal_counts_weigh_nothing():
    loss = build_loss(TrainConfig(imbalance="weights"), np.array([7, 7, 7]))
    torch.testing.assert_close(loss(LOGITS, TARGETS), cross_entropy(LOGITS, TARGETS))


def test_logit_adjustment_adds_the_log_prior():
    wanted = cross_entropy(LOGITS + torch.tensor(np.log(COUNTS / 100), dtype=torch.float32), TARGETS)
    torch.testing.assert_close(loss_of(imbalance="logit-adjustment")(LOGITS, TARGETS), wanted)


@pytest.mark.parametrize("imbalance", ["weights", "logit-adjustment"])
def test_a_class_without_pictures_gives_finite_losses(imbalance):
    loss = build_loss(TrainConfig(imbalance=imbalance), np.array([5, 0, 3]))
    assert loss(LOGITS, torch.tensor([1, 1, 0, 2])).isfinite()
    assert log_prior(torch.tensor([5.0, 0.0, 3.0])).isfinite().all()


def test_no_pictures_at_all_are_refused():
    with pytest.raises(ConfigError, match="needs labelled training pictures"):
        build_loss(TrainConfig(imbalance="weights"), np.zeros(3, np.int64))


def test_buffers_are_of_float32_and_stay_so():
    loss = loss_of(imbalance="logit-adjustment")
    assert loss.prior.dtype == torch.float32
    assert loss(LOGITS, TARGETS).dtype == torch.float32
    assert list(loss.parameters()) == []
