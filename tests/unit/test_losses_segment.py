"""Losses of pixels: values by hand, void, absent classes, odd sizes."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, interpolate

from assay.losses.segment import enlarge, pixel_sums

VOID = 255


def certain(pixels: torch.Tensor, classes: int, strength: float = 60.0) -> torch.Tensor:
    """Logits (B, S, h, w) that give every pixel its class; void pixels class 0."""
    known = pixels.long().where(pixels != VOID, 0)
    return strength * torch.nn.functional.one_hot(known, classes).permute(0, 3, 1, 2).float()


def drawn(seed: int = 0, batch: int = 2, side: int = 8, classes: int = 3) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randint(classes, (batch, side, side), generator=g, dtype=torch.uint8)


def test_a_perfect_answer_costs_nothing_with_absent_classes_too():
    pixels = drawn(classes=2)  # of five classes
    pixels[1, :4] = VOID
    told = pixel_sums(certain(pixels, 5), pixels)
    assert told.dice.total.item() == pytest.approx(0, abs=1e-6)
    assert told.cross_entropy.total.item() == pytest.approx(0, abs=1e-6)
    assert told.cross_entropy.items == 64 + 32
    assert told.dice.items == 2


def test_cross_entropy_is_torchs_over_all_labelled_pixels():
    pixels = drawn()
    pixels[0, 2:5, 1] = VOID
    logits = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    told = pixel_sums(logits, pixels).cross_entropy
    wanted = cross_entropy(logits, pixels.long(), ignore_index=VOID)
    torch.testing.assert_close(told.total / told.items, wanted)


def test_dice_by_hand():
    pixels = torch.tensor([[[0, 0], [1, VOID]]], dtype=torch.uint8)
    logits = torch.tensor([2.0, 0.0, -1.0])[None, :, None, None].expand(1, 3, 2, 2).contiguous()
    p = logits[0, :, 0, 0].softmax(0)
    # three labelled pixels, all with the same probabilities; class 2 is absent and has no say
    first = 1 - 2 * 2 * p[0] / (3 * p[0] + 2)
    second = 1 - 2 * 1 * p[1] / (3 * p[1] + 1)
    told = pixel_sums(logits, pixels).dice
    torch.testing.assert_close(told.total, (first + second) / 2)


def test_void_pixels_have_no_gradient():
    pixels = drawn()
    pixels[:, :, 4:] = VOID
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    told = pixel_sums(logits, pixels)
    (told.cross_entropy.total + told.dice.total).backward()
    assert (logits.grad[..., 4:] == 0).all()
    assert (logits.grad[..., :4] != 0).any()


@pytest.mark.parametrize("pixels", [None, torch.full((2, 8, 8), VOID, dtype=torch.uint8)])
def test_no_labelled_pixel_gives_zero_with_a_graph(pixels):
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    told = pixel_sums(logits, pixels)
    assert told.cross_entropy.total == told.dice.total == told.cross_entropy.items == told.dice.items == 0
    (told.cross_entropy.total + told.dice.total).backward()
    assert (logits.grad == 0).all()


def test_pictures_add_up_in_any_order_and_unlabelled_ones_add_nothing():
    pixels = drawn(batch=3)
    pixels[1] = VOID
    logits = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    whole = pixel_sums(logits, pixels)
    parts = [pixel_sums(logits[i : i + 1], pixels[i : i + 1]) for i in range(3)]
    for name in ("cross_entropy", "dice"):
        torch.testing.assert_close(getattr(whole, name).total, sum(getattr(p, name).total for p in parts))
        assert getattr(whole, name).items == sum(getattr(p, name).items for p in parts)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(pixel_sums(logits[order], pixels[order]).dice.total, whole.dice.total)
    labelled = torch.tensor([0, 2])
    torch.testing.assert_close(pixel_sums(logits[labelled], pixels[labelled]).dice.total, whole.dice.total)


def test_gradients_are_finite_at_certainty():
    pixels = drawn()
    logits = certain(2 - pixels, 3, 200.0).requires_grad_()
    told = pixel_sums(logits, pixels)
    (told.cross_entropy.total + told.dice.total).backward()
    assert logits.grad.isfinite().all()


def test_bf16_logits_are_summed_in_fp32():
    pixels = drawn(side=16)
    logits = torch.randn(2, 3, 4, 4).bfloat16()
    assert pixel_sums(logits, pixels).cross_entropy.total.dtype == torch.float32


def test_enlarging_keeps_cells_where_they_are():
    cells = torch.randn(1, 2, 3, 4)
    whole = enlarge(cells, (12, 16))
    torch.testing.assert_close(whole, interpolate(cells, size=(12, 16), mode="bilinear"))
    torch.testing.assert_close(enlarge(cells, (9, 14)), whole[..., :9, :14])  # 9 and 14 px have 3 and 4 cells
    half = enlarge(cells, (6, 8))  # labels at half the side
    torch.testing.assert_close(enlarge(cells, (5, 7)), half[..., :5, :7])  # and of 9 and 14 px
    assert enlarge(cells, (3, 4)) is cells


def test_a_large_sum_in_half_precision_is_no_nan():
    told = pixel_sums(torch.full((1, 3, 8, 8), 3000.0, dtype=torch.half), None)
    assert told.cross_entropy.total == told.dice.total == 0
