"""What a classifier minimises: cross-entropy or focal loss, and two answers to rare classes.

Both take hard targets (B,) and soft ones (B, K) from mixup and cutmix, and give the mean over the batch.

- focal: Lin et al. 2017, "Focal Loss for Dense Object Detection", section 3.2, in its softmax form;
- weights: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", section 3. What differs:
  weights are scaled so that the mean over the training pictures, not over the classes, is 1; so the learning rate
  keeps its meaning;
- logit adjustment: Menon et al. 2021, "Long-tail learning via logit adjustment", section 4.2 (tau 1). The prior is
  added in training only, so the plain logits answer as if all classes were equally frequent.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, one_hot

from assay.configs import TrainConfig
from assay.errors import ConfigError

GAMMA = 2.0
"""Focal loss: how fast well classified pictures lose weight; the paper's best."""
BETA = 0.999
"""Effective number: the paper's middle value; 1,000 pictures of a class count as 632."""


class ClassifyLoss(nn.Module):
    """``loss(logits (B, K) float, targets (B,) int64 or (B, K) float) -> ()``.

    Parameters
    ----------
    weight : (K,) factor of each class, or None.
    prior : (K,) log of each class's share of the training pictures, added to the logits, or None.
    smoothing : share of each target that is spread over all classes.
    gamma : exponent of the focal loss; 0 is cross-entropy.
    """

    weight: Tensor | None
    prior: Tensor | None

    def __init__(
        self,
        *,
        weight: Tensor | None = None,
        prior: Tensor | None = None,
        smoothing: float = 0.0,
        gamma: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("prior", prior)
        self.smoothing = smoothing
        self.gamma = gamma

    def forward(
        self, logits: Float[Tensor, "B K"], targets: Int64[Tensor, " B"] | Float[Tensor, "B K"]
    ) -> Float[Tensor, ""]:
        """The mean loss over the batch."""
        if self.prior is not None:
            logits = logits + self.prior
        if self.gamma:
            return self._focal(logits, targets).mean()
        # reduction "mean" would divide by the weights in this batch, which makes rare classes count less again
        losses = cross_entropy(logits, targets, self.weight, reduction="none", label_smoothing=self.smoothing)
        return losses.mean()

    def _focal(self, logits: Float[Tensor, "B K"], targets: Tensor) -> Float[Tensor, " B"]:
        """The sum over classes of -y (1 - p)^gamma log p."""
        classes = logits.shape[1]
        soft = targets if targets.ndim == 2 else one_hot(targets, classes)
        soft = soft.to(logits.dtype) * (1 - self.smoothing) + self.smoothing / classes
        log_p = log_softmax(logits, dim=1)
        losses = -soft * (1 - log_p.exp()).clamp_min(0) ** self.gamma * log_p  # B K
        if self.weight is not None:
            losses = losses * self.weight
        return losses.sum(1)


def build_loss(config: TrainConfig, class_counts: NDArray[np.int64]) -> ClassifyLoss:
    """The loss that the config names.

    Parameters
    ----------
    class_counts : (K,) training pictures of each class; zeros are allowed.

    Raises
    ------
    ConfigError : no class has a picture, while the counts are needed.
    """
    counts = torch.as_tensor(np.asarray(class_counts), dtype=torch.float64)
    if config.imbalance in ("weights", "logit-adjustment") and not counts.sum() > 0:
        raise ConfigError(f"imbalance {config.imbalance} needs labelled training pictures", got="none")
    return ClassifyLoss(
        weight=effective_weights(counts) if config.imbalance == "weights" else None,
        prior=log_prior(counts) if config.imbalance == "logit-adjustment" else None,
        smoothing=config.label_smoothing,
        gamma=GAMMA if config.loss == "focal" else 0.0,
    )


def effective_weights(counts: Float[Tensor, " K"], beta: float = BETA) -> Float[Tensor, " K"]:
    """(K,) counts -> (K,) float32 weights ~ (1 - beta) / (1 - beta^n), with mean 1 over the pictures."""
    weights = (1 - beta) / (1 - beta ** counts.clamp_min(1))
    return (weights * counts.sum() / (weights * counts).sum()).float()


def log_prior(counts: Float[Tensor, " K"]) -> Float[Tensor, " K"]:
    """(K,) counts -> (K,) float32 log shares; a class without pictures is taken as having one."""
    present = counts.clamp_min(1)
    return (present / present.sum()).log().float()
