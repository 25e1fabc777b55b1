"""Suppression and RoIAlign in plain torch, for torchvision's detectors where its compiled operators are missing.

PyPI's torchvision is built for one build of torch (``torchvision_ops`` says more). Its detectors are Python, but two of
the functions that they call are compiled: non-maximum suppression, and the pooling of a map inside boxes (He et al.
2017, "Mask R-CNN", section 3). torchvision has a RoIAlign in Python too, but hands it to ``torch.compile``, which wants
a C++ compiler on the machine. Answers are those of the compiled operators; tests hold both to plain loops.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from assay.models.torchvision_ops import declare_missing_ops

_BLOCK = 256
"""Boxes that are compared with each other at once."""
_MOST_READ = 1 << 22
"""Cells of a map that are read at once, before they are added up."""


def fill_missing_ops() -> bool:
    """Let torchvision's detectors call the functions below, where its own cannot be loaded; True when they must.

    Imports torchvision. Where the compiled operators load, nothing is changed.
    """
    declare_missing_ops()
    extension = importlib.import_module("torchvision.extension")
    if extension._has_ops():
        return False
    for module, name, function in (
        ("torchvision.ops.boxes", "nms", nms),
        ("torchvision.ops.poolers", "roi_align", roi_align),
        ("torchvision.models.detection.roi_heads", "roi_align", roi_align),
    ):
        setattr(importlib.import_module(module), name, function)
    return True


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Which of N boxes stay, the best first: of two that overlap by more than the threshold, the better one.

    Parameters
    ----------
    boxes : (N, 4) x1, y1, x2, y2.
    scores : (N,).

    Returns
    -------
    (M,) int64. Blocks of boxes are compared with those that were kept before, then among each other.
    """
    order = scores.detach().argsort(descending=True, stable=True)
    ranked = boxes.detach()[order].float()
    kept = order.new_empty(0)
    for first in range(0, len(order), _BLOCK):
        rows = torch.arange(first, min(first + _BLOCK, len(order)), device=order.device)
        rows = rows[~_clash(ranked[rows], ranked[kept], iou_threshold).any(1)]
        clash = _clash(ranked[rows], ranked[rows], iou_threshold).cpu().numpy()
        stays: list[int] = []
        gone = np.zeros(len(rows), bool)
        for i in range(len(rows)):
            if not gone[i]:
                stays.append(i)
                gone |= clash[i]
        kept = torch.cat([kept, rows[stays]])
    return order[kept]


def _clash(a: Tensor, b: Tensor, iou_threshold: float) -> Tensor:
    """(N, M) whether boxes (N, 4) and (M, 4) overlap by more than the threshold."""
    left, top, right, bottom = a.T[:, :, None]
    left_b, top_b, right_b, bottom_b = b.T[:, None]
    wide = torch.minimum(right, right_b).sub_(torch.maximum(left, left_b)).clamp_min_(0)
    high = torch.minimum(bottom, bottom_b).sub_(torch.maximum(top, top_b)).clamp_min_(0)
    shared = wide.mul_(high)
    both = (right - left) * (bottom - top) + (right_b - left_b) * (bottom_b - top_b)
    return shared > both.sub_(shared).mul_(iou_threshold)


def roi_align(
    input: Tensor,  # noqa: A002 - torchvision's name
    boxes: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """The mean of bilinear samples in each cell of each box; gradients go to ``input``.

    A cell is a weighted sum of a few places of the map, as words in a bag are of a table of vectors: ``embedding_bag``.

    Parameters
    ----------
    input : (B, C, H, W).
    boxes : (K, 5) picture 0 to B - 1, x1, y1, x2, y2; times ``spatial_scale`` they are in cells of the map.
    output_size : (h, w), or the side of a square.
    sampling_ratio : samples along each side of a cell; below 1 as many as there are cells of the map in it.
    aligned : shift by half a cell, so that the first cell of the map reaches from 0 to 1, not from -0.5 to 0.5.

    Returns
    -------
    (K, C, h, w) of the type of ``input``.
    """
    height, width = (output_size, output_size) if isinstance(output_size, int) else output_size
    corners = boxes[:, 1:].detach().float() * spatial_scale - (0.5 if aligned else 0.0)
    sides = corners[:, 2:] - corners[:, :2]
    sides = sides if aligned else sides.clamp_min(1.0)
    counts = torch.full_like(sides, sampling_ratio)
    if sampling_ratio < 1:
        counts = (sides / sides.new_tensor([width, height])).ceil().clamp_min(1)
    table = input.permute(0, 2, 3, 1).flatten(0, 2).float()  # a row for each place of each map
    origin = boxes[:, 0].long() * input.shape[2] * input.shape[3]
    most = int(counts.max()) if len(boxes) else 1
    step = max(1, _MOST_READ // (4 * most * most * height * width))
    found = []
    for rows in torch.arange(len(boxes), device=boxes.device).split(step):
        x, of_x = _taps(corners[rows, 0], sides[rows, 0], counts[rows, 0], most, width, input.shape[3])
        y, of_y = _taps(corners[rows, 1], sides[rows, 1], counts[rows, 1], most, height, input.shape[2])
        places = (y * input.shape[3])[:, :, None, :, None] + x[:, None, :, None, :]  # K h w taps taps
        places = places + origin[rows, None, None, None, None]
        weights = of_y[:, :, None, :, None] * of_x[:, None, :, None, :]
        bags = embedding_bag(
            places.flatten(3).flatten(0, 2),
            table,
            mode="sum",
            per_sample_weights=weights.flatten(3).flatten(0, 2),
        )
        found.append(bags.view(len(rows), height, width, input.shape[1]))
    return torch.cat(found).permute(0, 3, 1, 2).to(input.dtype)


def _taps(
    low: Tensor, side: Tensor, count: Tensor, most: int, cells: int, length: int
) -> tuple[Tensor, Tensor]:
    """Along one axis: which places of a map of ``length`` each cell of each box reads, and their weights.

    ``low``, ``side`` and ``count`` (samples in a cell, up to ``most``) are (K,). Returns two of (K, cells, 2 most),
    padded with weights of 0. A sample more than one place outside the map reads 0.
    """
    sample = torch.arange(most, device=low.device)
    at = (
        torch.arange(cells, device=low.device)[:, None] + (sample + 0.5) / count[:, None, None]
    )  # K cells samples
    at = low[:, None, None] + at * (side / cells)[:, None, None]
    read = (sample < count[:, None, None]) & (at >= -1) & (at <= length)
    share = read / count[:, None, None]
    at = at.clamp(0, length - 1)
    first = at.long()
    behind = at - first
    places = torch.cat([first, (first + 1).clamp_max(length - 1)], 2)
    return places, torch.cat([share * (1 - behind), share * behind], 2)
