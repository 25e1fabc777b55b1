"""A linear recurrence along a sequence, all steps at once: h_t = a_t h_(t-1) + b_t with h_0 = b_0.

Two steps of such a recurrence are again one, (a, b) then (a', b') being (a a', a' b + b'), so it is a prefix sum
with another addition and takes log2 T rounds instead of T (Hillis and Steele 1986; for recurrent networks: Martin
and Cundy 2018). Long sequences are cut into chunks of about the square root of their length: scan each chunk, scan
the ends of the chunks, carry those into the chunks (the two-level form of Blelloch 1990, section 1.3). That halves
the work of plain doubling at some hundred steps.

The paper of minGRU scans logarithms to keep products of many gates from vanishing. Here products only ever stand
before values that the recurrence itself would multiply by them, so one that vanishes is as it should be, nothing is
divided, and neither logarithms nor positive values are needed.

The gradient is such a recurrence too, from the end: d_t = g_t + a_(t+1) d_(t+1) for b, and d_t h_(t-1) for a. So the
backward pass is one more scan and keeps two tensors, where differentiating round by round keeps four for each round.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHUNKED_FROM = 24
"""Steps from which on a sequence is scanned in chunks."""


def linear_scan(a: Tensor, b: Tensor) -> Tensor:
    """(B, T, F) factors and (B, T, F) terms -> (B, T, F): h_t = a_t h_(t-1) + b_t, starting from zero.

    Can be differentiated any number of times; without gradients it is plain products and sums, which export.
    """
    wanted = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
    # a drawing of the graph is to show what is computed
    if wanted and not torch.jit.is_tracing():  # type: ignore[attr-defined]
        h: Tensor = _Recurrence.apply(a, b)
        return h
    return _scan(a, b)


class _Recurrence(torch.autograd.Function):
    """The scan with its own gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = _scan(a, b)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        (g,) = gradients
        later = F.pad(a[:, 1:], (0, 0, 0, 1))  # a_(t+1); what is behind the last step counts nothing
        d = linear_scan(later.flip(1), g.flip(1)).flip(1)
        return d * F.pad(h[:, :-1], (0, 0, 1, 0)), d


def _scan(a: Tensor, b: Tensor) -> Tensor:
    steps = int(a.shape[1])
    if steps < CHUNKED_FROM:
        return _double(a, b)[1]
    chunk = _chunk(steps)
    chunks = math.ceil(steps / chunk)
    spare = chunks * chunk - steps
    if spare:  # h stays as it is in what is cut off again
        a, b = F.pad(a, (0, 0, 0, spare), value=1.0), F.pad(b, (0, 0, 0, spare))
    a, b = a.unflatten(1, (chunks, chunk)), b.unflatten(1, (chunks, chunk))  # B N T/N F
    products, inside = _double(a, b)
    ends = _double(products[:, :, -1], inside[:, :, -1])[1]  # B N F: h at the end of each chunk
    before = F.pad(ends[:, :-1], (0, 0, 1, 0)).unsqueeze(2)  # B N 1 F
    return (inside + products * before).flatten(1, 2)[:, :steps]


def scan_products(steps: int) -> int:
    """Multiplications that ``linear_scan`` makes for one feature of one sequence."""
    if steps < CHUNKED_FROM:
        return _double_products(steps)
    chunk = _chunk(steps)
    chunks = math.ceil(steps / chunk)
    return chunks * _double_products(chunk) + _double_products(chunks) + chunks * chunk


def _chunk(steps: int) -> int:
    """A power of two near the square root: doubling wastes nothing on it."""
    return int(2 ** round(math.log2(steps) / 2))


def _double(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(products of all factors up to each step, h) along the last axis but one, by doubling the reach each round."""
    steps, reach = a.shape[-2], 1
    while reach < steps:
        late = a[..., reach:, :]
        b = torch.cat((b[..., :reach, :], b[..., reach:, :] + late * b[..., :-reach, :]), dim=-2)
        a = torch.cat((a[..., :reach, :], late * a[..., :-reach, :]), dim=-2)
        reach *= 2
    return a, b


def _double_products(steps: int) -> int:
    reaches = [2**i for i in range(steps) if 2**i < steps]
    return sum(2 * (steps - reach) for reach in reaches)


class LinearScan(nn.Module):
    """``linear_scan`` as a layer, so that ``describe`` sees it."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(B, T, F), (B, T, F) -> (B, T, F)."""
        return linear_scan(a, b)

    def multiply_adds(self, _inputs: tuple[Tensor, ...], output: Tensor) -> int:
        """Products made for ``output`` (B, T, F)."""
        return scan_products(output.shape[1]) * (output.numel() // output.shape[1])
