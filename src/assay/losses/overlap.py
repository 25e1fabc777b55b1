"""Boxes of a network in torch: from distances to corners, IoU, and its generalisation that has a gradient everywhere.

Generalised IoU: Rezatofighi et al. 2019, "Generalized Intersection over Union", section 3. Numpy's counterparts for
people's boxes are in ``assay.boxes``. A box whose sides have crossed has no area.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-7


def corners(
    points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], distances: Float[Tensor, "*B P 4"]
) -> Float[Tensor, "*B P 4"]:
    """Distances in strides from each point -> x1, y1, x2, y2 in pixels, float32."""
    pixels = distances.float() * strides[:, None]
    return torch.cat((points - pixels[..., :2], points + pixels[..., 2:]), dim=-1)


def paired_iou(a: Float[Tensor, "N 4"], b: Float[Tensor, "N 4"]) -> Float[Tensor, " N"]:
    """(N,) IoU of each of ``a`` with its own of ``b``."""
    shared = _sides(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])).prod(-1)
    return shared / (areas(a) + areas(b) - shared).clamp_min(EPSILON)


def paired_giou(a: Float[Tensor, "N 4"], b: Float[Tensor, "N 4"]) -> Float[Tensor, " N"]:
    """(N,) from -1 to 1: the IoU, less the share of the smallest box around both that neither fills."""
    shared = _sides(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])).prod(-1)
    united = (areas(a) + areas(b) - shared).clamp_min(EPSILON)
    around = _sides(torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])).prod(-1)
    return shared / united - (around - united) / around.clamp_min(EPSILON)


def areas(boxes: Float[Tensor, "N 4"]) -> Float[Tensor, " N"]:
    """(N,) square pixels."""
    return _sides(boxes[:, :2], boxes[:, 2:]).prod(-1)


def _sides(low: Tensor, high: Tensor) -> Tensor:
    return (high - low).clamp_min(0)
