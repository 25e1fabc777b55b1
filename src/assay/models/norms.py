"""Opens batch norms that a publisher folded into the convolutions.

Many published weights come from inference files (TFLite, ONNX), in which each batch norm is multiplied into its
convolution: what is left says weight 1, mean 0, variance 1. Such a network answers rightly, but fine-tuning it in
train mode normalises by the batch's statistics and so computes another function from the first step on. Here each
norm is given the statistics of its own input, and weight and bias are set so that the function in eval mode is the
same as before:

    y = a x + c  with  a = weight / sqrt(var + eps), c = bias - a mean;
    new mean m and variance v of x, new weight a sqrt(v + eps), new bias c + a m.

One pass suffices: in eval mode the inputs of all norms stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from assay.errors import ModelError

LEAST_SHARE = 0.5
"""Share of a network's norms that must be folded for the network to count as folded."""


def has_folded_norms(model: nn.Module) -> bool:
    """Whether most batch norms do nothing but add a bias. A fresh network (biases all zero) does not count."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    return bool(norms) and len(folded_norms(model)) >= LEAST_SHARE * len(norms)


def folded_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Name -> batch norm with weight 1, mean 0, variance 1 and some bias."""
    norms = {name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm)}
    return {name: norm for name, norm in norms.items() if _is_folded(norm)}


def _is_folded(norm: _BatchNorm) -> bool:
    if not norm.affine or norm.running_mean is None or norm.running_var is None:
        return False
    one = torch.ones_like(norm.running_var)
    # eps may have been taken off the variance or the weight
    idle = torch.allclose(norm.running_var, one, atol=2e-3) and torch.allclose(norm.weight, one, atol=2e-3)
    return idle and not bool(norm.running_mean.any()) and bool(norm.bias.any())


@torch.no_grad()
def reopen_norms(model: nn.Module, batches: Iterable[Tensor]) -> int:
    """Give every folded norm the statistics of its input over ``batches``; returns how many were opened.

    ``batches`` are network inputs (B, C, H, W), prepared as in evaluation; some hundred pictures of the data to be
    trained on are plenty. Outputs in eval mode stay the same up to rounding; the train / eval mode is put back.

    Raises
    ------
    ModelError : there are no batches.
    """
    moments = {norm: _Moments() for norm in folded_norms(model).values()}
    hooks = [norm.register_forward_pre_hook(moments[norm].add) for norm in moments]
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        for batch in batches:
            model(batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    seen = {norm: stats for norm, stats in moments.items() if stats.count}
    if moments and not seen:
        raise ModelError("batch norms cannot be opened without pictures", fix="give at least one batch")
    for norm, stats in seen.items():
        _open(norm, stats)
    return len(seen)


class _Moments:
    """Mean and variance of each channel over everything seen (Chan et al. 1983, merged pairwise, in float64)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros(())
        self.squares = torch.zeros(())

    def add(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """A forward pre-hook: takes in the norm's input (B, C, ...)."""
        x = inputs[0].float()
        axes = [0, *range(2, x.ndim)]
        count = x.numel() // x.shape[1]
        variance, mean = (t.double() for t in torch.var_mean(x, axes, correction=0))
        total = self.count + count
        step = mean - self.mean.to(mean)
        self.squares = self.squares.to(mean) + variance * count + step.square() * self.count * count / total
        self.mean = self.mean.to(mean) + step * count / total
        self.count = total


def _open(norm: _BatchNorm, stats: _Moments) -> None:
    if norm.running_mean is None or norm.running_var is None:
        return
    slope = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    offset = norm.bias.double() - slope * norm.running_mean.double()
    variance = stats.squares / stats.count
    norm.running_mean.copy_(stats.mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    norm.bias.copy_(offset + slope * stats.mean)
