"""What the classes of pixels minimise: cross-entropy over pixels, and Dice over the classes that a picture has.

Dice for several classes: Milletari et al. 2016, "V-Net", section 3. What differs: it is taken picture by picture and
over the classes present in it alone, so a perfect answer costs 0 whatever is absent, pictures can be added up in any
order and over processes, and a class that is nowhere has no say (cross-entropy punishes it where it is claimed). Pixels
of class 255 are void: in no sum at all.

Logits are enlarged to the labels' size, which may be that of the picture or any smaller one: labels at half the side
cost a quarter of the time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from assay.losses.detect import Sum
from assay.pixel_masks import IGNORE
from assay.postprocess_masks import CELL


class PixelSums(NamedTuple):
    """Cross-entropy over labelled pixels, Dice over pictures with any labelled pixel."""

    cross_entropy: Sum
    dice: Sum


def pixel_sums(logits: Float[Tensor, "B S h w"], pixels: UInt8[Tensor, "B H W"] | None) -> PixelSums:
    """Both sums; 0 of 0 items, with a graph, where no pixel has a label."""
    zero = 0.0 * logits.float().sum()
    none = torch.zeros((), device=logits.device)
    if pixels is None or bool((pixels == IGNORE).all()):
        return PixelSums(Sum(zero, none), Sum(zero, none))
    labelled = (pixels != IGNORE).flatten(1).any(1)
    # on a CPU enlarging is fastest with classes last, softmax over planes: 25 times as fast as over few neighbours
    small = logits[labelled].float().contiguous(memory_format=torch.channels_last)
    planes = enlarge(small, (pixels.shape[1], pixels.shape[2])).contiguous().flatten(2)
    log_p = planes.log_softmax(1)  # b S A
    given = pixels[labelled].flatten(1).long()  # b A
    seen = given != IGNORE
    of_truth = log_p.gather(1, given.where(seen, 0)[:, None]).squeeze(1)  # b A
    cross = -(of_truth * seen).sum()
    dice, present = _dice_terms(log_p, of_truth, given, seen)
    apart = (dice * present).sum(1) / present.sum(1)  # b
    return PixelSums(Sum(zero + cross, seen.sum().float()), Sum(zero + apart.sum(), labelled.sum().float()))


def _dice_terms(log_p: Tensor, of_truth: Tensor, given: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """1 - Dice of every picture and class (b, S), and which classes each picture has."""
    pictures, classes, _ = log_p.shape
    empty = torch.zeros(pictures, classes + 1, device=log_p.device)
    home = given.where(seen, classes)  # void is counted as one class more and left out below
    shared = empty.scatter_add(1, home, of_truth.exp())[:, :classes]
    truth = empty.scatter_add(1, home, torch.ones_like(of_truth))[:, :classes]
    claimed = (log_p.exp() * seen[:, None]).sum(2)
    return 1 - 2 * shared / (claimed + truth).clamp_min(1), truth > 0


def enlarge(logits: Float[Tensor, "B S h w"], size_hw: tuple[int, int]) -> Float[Tensor, "B S H W"]:
    """Logits at a quarter of the side as those of (H, W) labels, bilinear.

    Where the picture's side is no multiple of 4, its last cells reach beyond it: they are enlarged whole, then cut, for
    labels of the picture's side and of half of it. Other sizes are met by plain resizing.
    """
    height, width = logits.shape[2:]
    for step in (CELL, CELL // 2):
        whole = (height * step, width * step)
        if all(0 <= w - side < step for w, side in zip(whole, size_hw, strict=True)):
            return interpolate(logits, size=whole, mode="bilinear")[..., : size_hw[0], : size_hw[1]]
    return logits if (height, width) == size_hw else interpolate(logits, size=size_hw, mode="bilinear")
