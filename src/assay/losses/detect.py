"""What boxes and their masks minimise, under partial labels. Everything here is a sum and the number of items in it.

- classes: quality focal loss (Li et al. 2020, "Generalized Focal Loss", section 3.1) on the IoU that a point's own box
  reaches, so a score says how good the box is;
- boxes: 1 - GIoU (Rezatofighi et al. 2019);
- masks: binary cross-entropy and Dice (Milletari et al. 2016, "V-Net", section 3) of prototypes times coefficients,
  inside the labelled box (Bolya et al. 2019, "YOLACT", section 3).

What differs. Whether the absence of a class teaches is asked for each picture and each class: a picture in which nobody
looked gives exactly nothing; a class that is not exhaustively labelled gives nothing but its given boxes; a crowd of a
class gives no negatives of that class, a region of any class none at all. Masks are compared at a quarter of the side
with the share of each cell that is covered, so an edge inside a cell is learned too; the crop is one cell wider than
the box, so what lies just outside is learned as outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from assay.errors import ModelError
from assay.losses.assign import Reach, assign, reach
from assay.losses.overlap import corners, paired_giou, paired_iou
from assay.losses.targets import ANY_CLASS, CELL, Targets
from assay.models.outputs import BoxOutputs

FOCUS = 2.0
"""Exponent of the quality focal loss; the paper's best."""
MOST_MASKS = 64
"""Points of one picture whose masks are compared."""


class Sum(NamedTuple):
    """A loss summed over ``items``, both scalars; the mean is taken over the whole batch, on all processes."""

    total: Float[Tensor, ""]
    items: Float[Tensor, ""]


class Positives(NamedTuple):
    """The n points of a batch that learn a thing: their picture, their point, their box in the targets, and the IoU."""

    picture: Int64[Tensor, " n"]
    point: Int64[Tensor, " n"]
    box: Int64[Tensor, " n"]
    iou: Float[Tensor, " n"]


class BoxSums(NamedTuple):
    """Of the classes and of the boxes, both over the positive points; and which points these are."""

    quality: Sum
    giou: Sum
    positives: Positives


def box_sums(
    outputs: BoxOutputs,
    points: Float[Tensor, "P 2"],
    strides: Float[Tensor, " P"],
    targets: Targets,
    *,
    one_to_one: bool = False,
    within: Mapping[int, Reach] | None = None,
) -> BoxSums:
    """Quality focal loss of every labelled point and class, and 1 - GIoU of every positive point."""
    logits, found = outputs.class_logits.float(), corners(points, strides, outputs.distances)
    positives = match(
        logits.detach(), found.detach(), points, strides, targets, one_to_one=one_to_one, within=within
    )
    picture, point, box, iou = positives
    labels = targets.box_labels[box]
    wanted = torch.zeros_like(logits)
    wanted[picture, point, labels] = iou
    teaches = _teaches(points, targets)
    teaches[picture, point, labels] = True
    items = torch.tensor(float(len(box)), device=logits.device)
    apart = 1 - paired_giou(found[picture, point], targets.boxes_xyxy[box])
    return BoxSums(
        Sum(quality_focal(logits[teaches], wanted[teaches]).sum(), items),
        # with the zero product a batch without a thing still has a graph
        Sum(apart.sum() + 0.0 * outputs.distances.float().sum(), items),
        positives,
    )


def quality_focal(logits: Float[Tensor, "*n"], quality: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """|quality - p|^2 BCE(p, quality): cross-entropy with a soft label, less where it is met already."""
    apart = (quality - logits.sigmoid()).abs() ** FOCUS
    return apart * bce(logits, quality, reduction="none")


def match(
    logits: Float[Tensor, "B P K"],
    found: Float[Tensor, "B P 4"],
    points: Float[Tensor, "P 2"],
    strides: Float[Tensor, " P"],
    targets: Targets,
    *,
    one_to_one: bool,
    within: Mapping[int, Reach] | None = None,
) -> Positives:
    """The positive points of all pictures, each matched with its own boxes; ignored regions are no examples."""
    owners = torch.full(logits.shape[:2], -1, dtype=torch.int64, device=logits.device)
    for i, mine in _examples(targets):
        owner = assign(
            logits[i],
            found[i],
            points,
            strides,
            targets.boxes_xyxy[mine],
            targets.box_labels[mine],
            one_to_one=one_to_one,
            within=None if within is None else within[i],
        )
        owners[i] = torch.where(owner >= 0, mine[owner.clamp_min(0)], -1)
    picture, point = (owners >= 0).nonzero(as_tuple=True)
    box = owners[picture, point]
    return Positives(picture, point, box, paired_iou(found[picture, point], targets.boxes_xyxy[box]))


def reaches(points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], targets: Targets) -> dict[int, Reach]:
    """Picture -> the points that its things may take, for both answers of a network."""
    return {i: reach(points, strides, targets.boxes_xyxy[mine]) for i, mine in _examples(targets)}


def _examples(targets: Targets) -> Iterator[tuple[int, Int64[Tensor, " n"]]]:
    """Each picture that has examples, and which boxes these are."""
    single = targets.box_is_example & targets.boxes_known[targets.box_picture]
    for i in targets.box_picture[single].unique().tolist():
        yield i, ((targets.box_picture == i) & single).nonzero().squeeze(1)


def _teaches(points: Float[Tensor, "P 2"], targets: Targets) -> Bool[Tensor, "B P K"]:
    """Where the absence of a class is known: the class is exhaustive, and the point in no region that ignores it."""
    exhaustive = targets.boxes_exhaustive & targets.boxes_known[:, None]  # B K
    known = exhaustive[:, None].repeat(1, len(points), 1)
    region = (~targets.box_is_example).nonzero().squeeze(1)
    if len(region):
        boxes, labels = targets.boxes_xyxy[region], targets.box_labels[region]
        inside = (points >= boxes[:, None, :2]).all(-1) & (points <= boxes[:, None, 2:]).all(-1)  # R P
        which, point = inside.nonzero(as_tuple=True)
        picture, label = targets.box_picture[region[which]], labels[which]
        of_any, of_one = label == ANY_CLASS, label != ANY_CLASS
        known[picture[of_any], point[of_any]] = False
        known[picture[of_one], point[of_one], label[of_one]] = False
    return known


def mask_sum(
    coefficients: Float[Tensor, "B P M"],
    prototypes: Float[Tensor, "B M h w"],
    positives: Positives,
    targets: Targets,
) -> Sum:
    """BCE + Dice of the masks of at most 64 positive points a picture, each thing's best point first."""
    total = 0.0 * (coefficients.float().sum() + prototypes.float().sum())
    items = torch.zeros((), device=total.device)
    if targets.box_masks is None:
        return Sum(total, items)
    _require_cells(prototypes, targets.box_masks)
    known = targets.box_masks_known[positives.box]
    for i in positives.picture[known].unique().tolist():
        mine = ((positives.picture == i) & known).nonzero().squeeze(1)
        mine = mine[best_first(positives.box[mine], positives.iou[mine])[:MOST_MASKS]]
        box = positives.box[mine]
        logits = coefficients[i, positives.point[mine]].float() @ prototypes[i].float().flatten(1)
        inside = _crops(targets.boxes_xyxy[box], prototypes.shape[2], prototypes.shape[3]).flatten(1)
        total = total + mask_losses(logits, targets.box_masks[box].flatten(1), inside).sum()
        items = items + len(mine)
    return Sum(total, items)


def mask_losses(
    logits: Float[Tensor, "n A"], shares: Float[Tensor, "n A"], inside: Bool[Tensor, "n A"]
) -> Float[Tensor, " n"]:
    """(n,) BCE, averaged over the cells inside, + 1 - Dice over the same cells."""
    size = inside.sum(1).clamp_min(1)
    cross = (bce(logits, shares, reduction="none") * inside).sum(1) / size
    p, q = logits.sigmoid() * inside, shares * inside
    # squares below: a share of a half that is met exactly then counts as met
    dice = (2 * (p * q).sum(1) + 1) / (p.square().sum(1) + q.square().sum(1) + 1)
    return cross + 1 - dice


def best_first(box: Int64[Tensor, " n"], iou: Float[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """An order of n points: the best point of each box, then the second best of each, and so on."""
    order = iou.argsort(descending=True, stable=True)
    order = order[box[order].argsort(stable=True)]  # by box, the best first
    _, counts = box[order].unique_consecutive(return_counts=True)
    start = (counts.cumsum(0) - counts).repeat_interleave(counts)
    rank = torch.arange(len(box), device=box.device) - start
    return order[rank.argsort(stable=True)]


def _crops(boxes: Float[Tensor, "n 4"], height: int, width: int) -> Bool[Tensor, "n h w"]:
    """Which cells each box touches, and one more on every side."""
    cells = boxes / CELL
    x, y = (torch.arange(n, device=boxes.device) for n in (width, height))
    columns = (x + 2 > cells[:, :1]) & (x - 1 < cells[:, 2:3])  # n w
    rows = (y + 2 > cells[:, 1:2]) & (y - 1 < cells[:, 3:])  # n h
    return rows[:, :, None] & columns[:, None]


def _require_cells(prototypes: Tensor, masks: Tensor) -> None:
    if masks.shape[1:] != prototypes.shape[2:]:
        raise ModelError(
            "masks of the targets do not lie on the cells of the prototypes",
            got=f"masks {tuple(masks.shape[1:])}, prototypes {tuple(prototypes.shape[2:])} (height, width)",
            fix="make them with assay.losses.targets.cover from masks of the network's input size",
        )
