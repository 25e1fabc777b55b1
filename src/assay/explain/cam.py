"""Class activation maps: which cells of the last feature map speak for a class.

All four weigh the channels of one map (see ``target``) and add them up; they differ in the weights.

- Grad-CAM (Selvaraju et al. 2017, equations 1 and 2): the mean gradient of the logit over a channel.
- Grad-CAM++ (Chattopadhay et al. 2018, equations 10 and 19): gradients weighed so that each of several objects counts.
- LayerCAM (Jiang et al. 2021, equations 4 and 5): every cell by its own positive gradient.
- Score-CAM (Wang et al. 2020, section 3.2): no gradient; each channel is laid over the picture as a mask, and what the
  network then says is its weight. What differs: only the channels with the largest spread are tried, as their number
  decides the time (Li et al. 2021, Faster Score-CAM), and scores are probabilities against those of a blurred picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.explain.maps import blur, finish, resize
from assay.explain.target import frozen, maps_and_gradients
from assay.models.classifier import Classifier

CHANNELS = 16
"""Channels that Score-CAM tries: a forward pass each."""
AT_ONCE = 32
"""Pictures in one forward pass."""


def grad_cam(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM. x (B, C, H, W), classes (B,) int64 -> (B, H, W) float32 in [0, 1].

    Raises
    ------
    ModelError : the network has no map.
    """
    maps, gradients = maps_and_gradients(model, x, classes)
    weights = gradients.mean((2, 3), keepdim=True)  # B C 1 1
    return finish((weights * maps).sum(1), _size(x))


def grad_cam_plus_plus(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM++. x (B, C, H, W), classes (B,) int64 -> (B, H, W) float32 in [0, 1].

    The score is the exponential of the logit, as in the paper, whose higher derivatives are powers of the first.

    Raises
    ------
    ModelError : the network has no map.
    """
    maps, gradients = maps_and_gradients(model, x, classes)
    squared, cubed = gradients.square(), gradients**3
    below = 2 * squared + maps.sum((2, 3), keepdim=True) * cubed
    alpha = torch.where(
        below.abs() > 0, squared / torch.where(below.abs() > 0, below, torch.ones_like(below)), 0.0
    )
    weights = (alpha * gradients.clamp(min=0)).sum((2, 3), keepdim=True)
    return finish((weights * maps).sum(1), _size(x))


def layer_cam(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """LayerCAM. x (B, C, H, W), classes (B,) int64 -> (B, H, W) float32 in [0, 1].

    Raises
    ------
    ModelError : the network has no map.
    """
    maps, gradients = maps_and_gradients(model, x, classes)
    return finish((gradients.clamp(min=0) * maps).sum(1), _size(x))


def score_cam(model: Classifier, x: Tensor, classes: Tensor) -> Tensor:
    """Score-CAM. x (B, C, H, W), classes (B,) int64 -> (B, H, W) float32 in [0, 1].

    Raises
    ------
    ModelError : the network has no map.
    """
    maps, _ = maps_and_gradients(model, x, classes)
    count = min(CHANNELS, maps.shape[1])
    loud = maps.flatten(2).var(2, correction=0).topk(count, dim=1).indices  # B N
    chosen = maps.gather(1, loud[:, :, None, None].expand(-1, -1, *maps.shape[2:]))  # B N h w
    weights = _mask_scores(model, x, classes, _masks(chosen))
    return finish((weights[:, :, None, None] * chosen).sum(1), _size(x))


def _masks(chosen: Tensor) -> Tensor:
    """(B, N, h, w) -> [0, 1], channel by channel; a channel without spread covers everything."""
    low, high = chosen.amin((2, 3), keepdim=True), chosen.amax((2, 3), keepdim=True)
    return (chosen - low) / torch.where(high > low, high - low, torch.ones_like(low))


def _mask_scores(model: Classifier, x: Tensor, classes: Tensor, masks: Tensor) -> Tensor:
    """(B, N): the weight of each mask, by what is said of the picture where it lets through, blurred elsewhere."""
    side = max(x.shape[2:])
    veiled = blur(x, side / 12)
    scores = torch.empty(masks.shape[:2], device=x.device)
    with frozen(model), torch.inference_mode():
        for i, (picture, back) in enumerate(zip(x, veiled, strict=True)):
            for start in range(0, masks.shape[1], AT_ONCE):
                cover = resize(masks[i, start : start + AT_ONCE], _size(x)).unsqueeze(1)  # n 1 H W
                seen = back + cover * (picture - back)
                scores[i, start : start + AT_ONCE] = model(seen).float().softmax(1)[:, classes[i]]
        nothing = model(veiled).float().softmax(1).gather(1, classes.to(x.device).unsqueeze(1))
    return (scores - nothing).softmax(1)


def _size(x: Tensor) -> tuple[int, int]:
    return int(x.shape[2]), int(x.shape[3])
