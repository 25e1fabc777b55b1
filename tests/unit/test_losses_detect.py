"""Losses of boxes and masks: values by hand, and what partial labels leave out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from assay.errors import ModelError
from assay.losses.detect import Positives, best_first, box_sums, mask_losses, mask_sum, match, quality_focal
from assay.losses.overlap import corners
from assay.losses.targets import Target, Targets, collate, cover
from assay.models.box_head import points_of
from assay.models.multitask import Heads
from assay.models.outputs import BoxOutputs
from assay.objects import ANY_CLASS

SIDE, CLASSES = 32, 3
HEADS = Heads(boxes=CLASSES, masks=True)
POINTS, STRIDES = points_of([torch.zeros(1, 1, n, n) for n in (4, 2, 1)], (8, 16, 32))
BOXES = torch.tensor([[2.0, 2, 14, 14], [17, 15, 31, 29]])
LABELS = torch.tensor([1, 2])


def outputs(pictures: int, seed: int = 0) -> BoxOutputs:
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(pictures, 21, CLASSES, generator=g) - 2
    distances = 2 * torch.rand(pictures, 21, 4, generator=g)
    made = (logits, distances, torch.randn(pictures, 21, 4, generator=g))
    return BoxOutputs(*(t.requires_grad_() for t in made))


def goal(*pictures: Target) -> Targets:
    return collate(pictures, HEADS, (SIDE, SIDE))


def boxes(**more) -> Target:
    return Target(boxes_xyxy=BOXES, box_labels=LABELS, **more)


def sums(found: BoxOutputs, targets: Targets, **options):
    return box_sums(found, POINTS, STRIDES, targets, **options)


def test_quality_focal_by_hand():
    x, q = torch.tensor([0.0, 2.0, -3.0]), torch.tensor([1.0, 0.3, 0.0])
    p = x.sigmoid()
    wanted = (q - p).abs() ** 2 * -(q * p.log() + (1 - q) * (1 - p).log())
    torch.testing.assert_close(quality_focal(x, q), wanted)


def test_quality_focal_is_zero_where_the_score_is_the_quality():
    quality = torch.tensor([0.2, 0.5, 0.9])
    torch.testing.assert_close(quality_focal(quality.logit(), quality), torch.zeros(3), atol=1e-12, rtol=0)


def test_sums_over_all_points_by_hand():
    found, targets = outputs(1), goal(boxes())
    told = sums(found, targets)
    picture, point, box, iou = told.positives
    assert {*box.tolist()} == {0, 1}
    wanted = torch.zeros(1, 21, CLASSES)
    wanted[picture, point, LABELS[box]] = iou
    p = found.class_logits.sigmoid()
    by_hand = ((wanted - p) ** 2 * bce(found.class_logits, wanted, reduction="none")).sum()
    torch.testing.assert_close(told.quality.total, by_hand)
    assert told.quality.items == told.giou.items == len(box)


def test_a_perfect_answer_costs_nothing():
    inside = (BOXES[:, None, :2] < POINTS) & (BOXES[:, None, 2:] > POINTS)  # G P 2
    home = inside.all(-1).int().argmax(0)
    held = inside.all(-1).any(0)  # P
    sides = (torch.cat([POINTS, POINTS], 1) - BOXES[home]) * torch.tensor([1.0, 1, -1, -1])
    logits = torch.full((1, 21, CLASSES), -40.0)
    logits[0, held, LABELS[home[held]]] = 40.0
    told = sums(BoxOutputs(logits, (sides / STRIDES[:, None])[None]), goal(boxes()))
    assert told.positives.point.tolist() == held.nonzero().squeeze(1).tolist()  # IoU 1 each, so all take part
    assert told.quality.total.item() == pytest.approx(0, abs=1e-6)
    assert told.giou.total.item() == pytest.approx(0, abs=1e-5)


def test_looked_and_found_none_is_a_negative_and_not_looked_is_nothing():
    found = outputs(2)
    empty = Target(boxes_xyxy=torch.zeros(0, 4), box_labels=torch.zeros(0).long())
    told = sums(found, goal(empty, Target()))
    assert told.quality.items == 0
    told.quality.total.backward()
    grad = found.class_logits.grad
    assert (grad[0] > 0).all()  # every score of the empty picture is pushed down
    assert (grad[1] == 0).all()  # exactly
    torch.testing.assert_close(
        told.quality.total, quality_focal(found.class_logits[0], torch.zeros(21, 3)).sum()
    )


def test_classes_that_are_not_exhaustive_have_no_negatives():
    found = outputs(1)
    told = sums(found, goal(boxes(boxes_exhaustive=torch.tensor([True, False, False]))))
    told.quality.total.backward()
    grad = found.class_logits.grad[0]
    assert (grad[:, 0] != 0).all()
    for box, label in enumerate(LABELS.tolist()):
        own = told.positives.point[told.positives.box == box]
        assert {*grad[:, label].nonzero().squeeze(1).tolist()} == {*own.tolist()}


def test_a_crowd_is_neither_an_example_nor_background():
    found, crowd = outputs(1), torch.tensor([False, True])
    told = sums(found, goal(boxes(box_crowd=crowd)))
    assert {*told.positives.box.tolist()} == {0}
    told.quality.total.backward()
    inside = ((BOXES[1, :2] <= POINTS) & (BOXES[1, 2:] >= POINTS)).all(1)
    grad = found.class_logits.grad[0]
    assert inside.any()
    assert (grad[inside, 2] == 0).all()
    assert (grad[~inside, 2] != 0).all()
    assert (grad[:, 0] != 0).all()


def test_boxes_without_positives_have_a_graph_and_zero_gradient():
    found = outputs(2)
    told = sums(found, goal(Target(), Target(label=1)))
    assert told.quality.total == told.giou.total == 0
    (told.quality.total + told.giou.total).backward()
    assert (found.class_logits.grad == 0).all()
    assert (found.distances.grad == 0).all()


def test_the_twin_learns_one_point_a_thing():
    told = sums(outputs(2), goal(boxes(), boxes()), one_to_one=True)
    assert sorted(told.positives.box.tolist()) == [0, 1, 2, 3]
    assert told.positives.picture.tolist() == [0, 0, 1, 1]


def test_matching_keeps_pictures_apart():
    found = outputs(3)
    logits, placed = found.class_logits.detach(), corners(POINTS, STRIDES, found.distances.detach())
    positives = match(logits, placed, POINTS, STRIDES, goal(boxes(), Target(), boxes()), one_to_one=False)
    assert {*positives.picture.tolist()} == {0, 2}
    assert all(
        (box < 2) == (picture == 0) for box, picture in zip(positives.box, positives.picture, strict=True)
    )


def test_best_points_of_each_box_come_first():
    box, iou = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0.1, 0.9, 0.5, 0.2, 0.3, 0.4])
    assert best_first(box, iou).tolist() == [1, 3, 5, 2, 4, 0]
    assert best_first(box[:0], iou[:0]).tolist() == []


def masked(**more) -> Target:
    masks = torch.zeros(2, SIDE, SIDE, dtype=torch.bool)
    masks[0, 2:14, 2:14] = True
    masks[1, 15:29, 17:31] = True
    return boxes(box_masks=cover(masks), **more)


def test_cells_know_how_much_of_them_is_covered():
    mask = torch.zeros(1, 6, 9, dtype=torch.bool)
    mask[0, 2:6, 3:8] = True
    shares = cover(mask)[0]
    assert shares.shape == (2, 3)
    np.testing.assert_allclose(shares, [[2 / 16, 8 / 16, 0], [2 / 16, 8 / 16, 0]])


def test_mask_loss_by_hand():
    logits, shares = torch.tensor([[2.0, -1.0, 0.0]]), torch.tensor([[1.0, 0.5, 0.0]])
    inside = torch.tensor([[True, True, False]])
    p = logits[0, :2].sigmoid()
    q = shares[0, :2]
    cross = -(q * p.log() + (1 - q) * (1 - p).log()).mean()
    dice = (2 * (p * q).sum() + 1) / ((p**2).sum() + (q**2).sum() + 1)
    torch.testing.assert_close(mask_losses(logits, shares, inside)[0], cross + 1 - dice)


def test_a_mask_that_is_met_costs_only_what_its_edge_cells_must():
    shares = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    inside = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(
        mask_losses(80 * shares - 40, shares, inside), torch.zeros(1), atol=1e-6, rtol=0
    )


def test_masks_outside_their_box_are_not_looked_at():
    found, targets = outputs(1), goal(masked())
    prototypes = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1), requires_grad=True)
    positives = Positives(torch.tensor([0]), torch.tensor([0]), torch.tensor([0]), torch.tensor([0.5]))
    told = mask_sum(found.coefficients, prototypes, positives, targets)
    assert told.items == 1
    told.total.backward()
    seen = prototypes.grad.abs().sum((0, 1)) > 0
    assert seen[:5, :5].all()  # cells 0 to 3 touch the box (2 to 14 px), and one more
    assert not seen[5:].any()
    assert not seen[:, 5:].any()
    assert found.coefficients.grad[0, 1:].abs().sum() == 0


def test_boxes_without_masks_teach_no_mask():
    found = outputs(2)
    prototypes = torch.randn(2, 4, 8, 8, requires_grad=True)
    told = sums(found, goal(masked(box_masks_known=torch.tensor([True, False])), boxes()))
    masks = mask_sum(found.coefficients, prototypes, told.positives, goal(masked(), boxes()))
    fewer = mask_sum(
        found.coefficients,
        prototypes,
        told.positives,
        goal(masked(box_masks_known=torch.tensor([True, False])), boxes()),
    )
    counts = [(told.positives.box == i).sum() for i in range(2)]
    assert masks.items == sum(counts)
    assert fewer.items == counts[0]
    fewer.total.backward()
    assert (prototypes.grad[1] == 0).all()


def test_no_masks_at_all_have_a_graph():
    found = outputs(1)
    prototypes = torch.randn(1, 4, 8, 8, requires_grad=True)
    told = mask_sum(found.coefficients, prototypes, sums(found, goal(boxes())).positives, goal(boxes()))
    assert told.total == told.items == 0
    told.total.backward()
    assert (prototypes.grad == 0).all()


def test_at_most_64_points_of_a_picture_have_their_masks_compared():
    many = 100
    found, targets = outputs(1), goal(masked())
    point = torch.arange(many) % 21
    positives = Positives(torch.zeros(many).long(), point, torch.arange(many) % 2, torch.rand(many))
    told = mask_sum(found.coefficients, torch.randn(1, 4, 8, 8), positives, targets)
    assert told.items == 64


def test_masks_of_another_size_are_told():
    found, targets = outputs(1), goal(masked())
    positives = sums(found, targets).positives
    with pytest.raises(
        ModelError, match=r"masks \(8, 8\), prototypes \(16, 16\) .*\n  fix: make them with .*cover"
    ):
        mask_sum(found.coefficients, torch.randn(1, 4, 16, 16), positives, targets)


@pytest.mark.parametrize("crowd", [None, torch.tensor([False, True])])
def test_a_region_of_any_class_gives_no_negative_and_is_never_an_example(crowd):
    found = outputs(1)
    told = sums(
        found, goal(Target(boxes_xyxy=BOXES, box_labels=torch.tensor([1, ANY_CLASS]), box_crowd=crowd))
    )
    assert {*told.positives.box.tolist()} == {0}
    told.quality.total.backward()
    own = torch.zeros(21, dtype=torch.bool)
    own[told.positives.point] = True  # what lies in both still learns its thing
    inside = ((BOXES[1, :2] <= POINTS) & (BOXES[1, 2:] >= POINTS)).all(1)
    grad = found.class_logits.grad[0]
    assert (inside & ~own).any()
    assert (grad[inside & ~own] == 0).all()
    assert (grad[inside][:, [0, 2]] == 0).all()
    assert (grad[~inside] != 0).all()


def test_a_large_sum_in_half_precision_is_no_nan():
    found = BoxOutputs(*(torch.full((1, 21, n), 3000.0, dtype=torch.half) for n in (CLASSES, 4, 4)))
    told = sums(found, goal(Target()))
    assert told.giou.total == 0
    prototypes = torch.full((1, 4, 8, 8), 3000.0, dtype=torch.half)
    assert mask_sum(found.coefficients, prototypes, told.positives, goal(Target())).total == 0
