"""Does a map depend on what the network learned? Weights are replaced by chance, from the head down, and maps compared.

Adebayo et al. 2018 (Sanity Checks for Saliency Maps), section 3.1. A kind of map that stays as it was shows the picture
(its edges, say), not the network. What differs: a layer's weights are shuffled among themselves rather than drawn
anew, which keeps their spread in any kind of layer; and batch norms in shuffled layers are measured again, so that the
network stays awake.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from assay.models.classifier import Classifier

LEVELS = (("the head", 0.0, 1), ("the head and the later half", 0.5, 1), ("everything", 1.0, 3))
"""What is shuffled, the share of the trunk's blocks (counted from its end), and how many shuffles are looked at."""

Floats = NDArray[np.float64]


def randomised(model: Classifier, share: float, x: Tensor, seed: int = 0) -> Classifier:
    """A copy whose head, and the last ``share`` of whose other blocks, have their weights shuffled.

    ``x`` (B, C, H, W) are pictures by which shuffled batch norms are measured again.
    """
    twin = copy.deepcopy(model).eval()
    blocks = twin.blocks()
    kept = round((1 - share) * (len(blocks) - 1))
    shuffled = {id(p) for block in blocks[kept:] for p in block}
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in twin.parameters():  # in the network's own order, so that one seed gives one result
            if id(parameter) in shuffled:
                _shuffle(parameter, generator)
    _measure_norms([m for m in twin.modules() if isinstance(m, _BatchNorm) and _is_in(m, shuffled)], twin, x)
    return twin


def _shuffle(parameter: Tensor, generator: torch.Generator) -> None:
    """Deal the values anew; those of a few numbers only, such as a scale, get new signs as well."""
    order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
    values = parameter.flatten()[order]
    if parameter.numel() < 32:
        signs = torch.randint(0, 2, (parameter.numel(),), generator=generator).to(parameter) * 2 - 1
        values = values * signs
    parameter.copy_(values.reshape(parameter.shape))


def _is_in(norm: _BatchNorm, shuffled: set[int]) -> bool:
    return any(id(p) in shuffled for p in norm.parameters(recurse=False))


def _measure_norms(norms: list[_BatchNorm], model: nn.Module, x: Tensor) -> None:
    """Give these batch norms the statistics of what now reaches them."""
    if not norms:
        return
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over batches
        norm.train()
    with torch.no_grad():
        for part in x.split(16):
            if len(part) > 1 or len(x) == 1:
                model(part)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()


def similarity(before: Floats, after: Floats) -> Floats:
    """(N,) Spearman's rank correlation of two maps (N, g, g) of each picture.

    NaN where the map before is flat, as there is nothing to compare; 0 where only the one after is.
    """
    a, b = (_ranks(cells.reshape(len(cells), -1)) for cells in (before, after))
    a, b = (ranks - ranks.mean(1, keepdims=True) for ranks in (a, b))
    spread = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    shared = np.divide((a * b).sum(1), spread, out=np.zeros(len(a)), where=spread > 0)
    return np.where((a**2).sum(1) > 0, shared, np.nan)


def _ranks(rows: Floats) -> Floats:
    """(N, M) -> ranks (N, M); equal values share their mean rank."""
    found = np.empty_like(rows)
    for i, row in enumerate(rows):
        _, place, count = np.unique(row, return_inverse=True, return_counts=True)
        found[i] = (np.cumsum(count) - (count - 1) / 2)[place]
    return found
