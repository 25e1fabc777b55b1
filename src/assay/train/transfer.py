"""From somebody's features to our classes: a linear probe that gives the head its first weights.

Fitting the new head before anything else moves keeps the trunk's features from being torn by a random head
(Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features", section 3).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from assay.errors import ConfigError
from assay.models.classifier import Classifier
from assay.preprocess import Preprocess
from assay.train.cache import PictureCache

L2_CHOICES = (1e-4, 1e-3, 1e-2, 1e-1)


def last_linear(model: Classifier) -> nn.Linear:
    """The layer that gives the logits.

    Raises
    ------
    ConfigError : the network ends in something else than a linear layer.
    """
    layers = [m for m in model.head.modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise ConfigError("this network has no linear head to probe", fix="use --transfer all")
    return layers[-1]


@torch.inference_mode()
def embed_all(
    model: Classifier, cache: PictureCache, preprocess: Preprocess, device: torch.device, batch: int = 32
) -> Tensor:
    """(N, F) pooled features of every cached picture, without augmentation."""
    model.eval()
    parts = []
    for start in range(0, len(cache), batch):
        rows = range(start, min(start + batch, len(cache)))
        pixels = np.stack([preprocess.pixels(cache[i]) for i in rows])
        x = torch.from_numpy(preprocess.normalise(pixels)).to(device)
        parts.append(model.embed(x.contiguous(memory_format=torch.channels_last)).float().cpu())
    return torch.cat(parts)


def fit_linear(features: Tensor, targets: Tensor, classes: int, l2: float) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS: (K, F) weights and (K,) biases for raw features.

    Features are standardised inside, so that one ``l2`` suits all of them, and the scale is folded back.
    """
    mean, std = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    x = (features - mean) / std
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = cross_entropy(x @ weight.T + bias, targets) + 0.5 * l2 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(closure)
    with torch.no_grad():
        folded = weight / std
        return folded, bias - folded @ mean


def probe_head(
    model: Classifier,
    train: tuple[PictureCache, NDArray[np.int64]],
    validation: tuple[PictureCache, NDArray[np.int64]] | None,
    classes: int,
    preprocess: Preprocess,
    device: torch.device,
) -> dict[str, float]:
    """Fit the head on frozen features, with the L2 that validation likes best; {"l2", "accuracy"}."""
    layer = last_linear(model)
    features, targets = embed_all(model, train[0], preprocess, device), torch.from_numpy(train[1])
    held = validation or train
    held_features = embed_all(model, held[0], preprocess, device)
    best: tuple[float, float, Tensor, Tensor] | None = None
    for l2 in L2_CHOICES if validation else (1e-2,):
        weight, bias = fit_linear(features, targets, classes, l2)
        right = (held_features @ weight.T + bias).argmax(1).numpy() == held[1]
        if best is None or right.mean() > best[0]:
            best = (float(right.mean()), l2, weight, bias)
    assert best is not None
    with torch.no_grad():
        layer.weight.copy_(best[2])
        if layer.bias is not None:
            layer.bias.copy_(best[3])
    return {"l2": best[1], "accuracy": best[0]}
