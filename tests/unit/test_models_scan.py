"""The parallel scan is the recurrence, step by step: values, gradients, extremes, any length."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from assay.models.scan import CHUNKED_FROM, LinearScan, linear_scan, scan_products

LENGTHS = [1, 2, 3, 7, 8, CHUNKED_FROM - 1, CHUNKED_FROM, 31, 64, 100, 257, 400]


def step_by_step(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    h, states = torch.zeros_like(b[:, 0]), []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


def random_gates(steps: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(steps)
    a = torch.rand(2, steps, 3, generator=generator, dtype=dtype)
    return a, torch.randn(2, steps, 3, generator=generator, dtype=dtype)


@pytest.mark.parametrize("steps", LENGTHS)
def test_it_is_the_loop_with_its_gradients(steps):
    a, b = random_gates(steps)
    wanted, found = [], []
    for scan, kept in ((step_by_step, wanted), (linear_scan, found)):
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        h = scan(x, y)
        (h * torch.linspace(-1, 1, h.numel(), dtype=h.dtype).reshape(h.shape)).sum().backward()
        kept += [h.detach(), torch.zeros_like(a) if x.grad is None else x.grad, y.grad]
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_small_differences():
    a, b = (t[:, :30, :1].requires_grad_() for t in random_gates(30))
    assert torch.autograd.gradcheck(linear_scan, (a, b))
    assert torch.autograd.gradgradcheck(linear_scan, (a[:, :26], b[:, :26]))


def test_no_gradient_is_asked_of_what_needs_none():
    a, b = random_gates(30)
    assert not linear_scan(a, b).requires_grad
    h = linear_scan(a, b.requires_grad_())
    h.sum().backward()
    assert b.grad is not None
    assert a.grad is None


@pytest.mark.parametrize("steps", [20, 400])
def test_gates_that_are_shut_or_open_are_exact(steps):
    _, b = random_gates(steps, torch.float32)
    torch.testing.assert_close(linear_scan(torch.zeros_like(b), b), b, rtol=0, atol=0)
    ones = torch.ones_like(b)
    torch.testing.assert_close(linear_scan(ones, ones)[0, :, 0], torch.arange(1.0, steps + 1))


def test_vanishing_and_negative_factors_stay_finite():
    a = torch.full((1, 1000, 2), 1e-30)
    a[..., 1] = -0.9
    a.requires_grad_()
    b = torch.ones(1, 1000, 2, requires_grad=True)
    h = linear_scan(a, b)
    h.sum().backward()
    assert h.isfinite().all()
    assert a.grad.isfinite().all()
    assert b.grad.isfinite().all()
    assert h[0, -1, 0].item() == 1.0
    assert h[0, -1, 1].item() == pytest.approx(1 / 1.9)


def test_single_precision_is_as_good_as_the_loop():
    a, b = random_gates(400)
    a = 0.9 + 0.1 * a
    exact = step_by_step(a, b)
    mine = (linear_scan(a.float(), b.float()).double() - exact).abs().max().item()
    loop = (step_by_step(a.float(), b.float()).double() - exact).abs().max().item()
    assert mine < 3 * loop


class _Products(TorchDispatchMode):
    """Counts what goes through elementwise multiplications."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.mul.Tensor:
            self.count += out.numel()
        return out


@pytest.mark.parametrize("steps", LENGTHS)
def test_the_count_of_products_is_what_is_made(steps):
    a, b = random_gates(steps)
    with torch.no_grad(), _Products() as products:
        h = LinearScan()(a, b)
    assert products.count == 2 * 3 * scan_products(steps)
    assert LinearScan().multiply_adds((a, b), h) == products.count


def test_chunks_halve_the_work():
    doubling = sum(2 * (400 - 2**i) for i in range(9))
    assert scan_products(400) < 0.65 * doubling
