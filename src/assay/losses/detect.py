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

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from assay.errors import ModelError
from assay.losses.assign import assign
from assay.losses.overlap import corners, paired_giou, paired_iou
from assay.losses.pairs import rank_in_group, rank_in_run
from assay.losses.reach import Reach, Things, outside, reach
from assay.losses.targets import Targets
from assay.models.outputs import BoxOutputs
from assay.objects import ANY_CLASS
from assay.postprocess_masks import CELL

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
    within: Reach | None = None,
) -> BoxSums:
    """Quality focal loss of every labelled point and class, and 1 - GIoU of every positive point."""
    logits, found = outputs.class_logits.float(), corners(points, strides, outputs.distances)
    positives = match(
        logits.detach(), found.detach(), points, strides, targets, one_to_one=one_to_one, within=within
    )
    picture, point, box, iou = positives
    place = picture * len(points) + point
    answer = place * logits.shape[2] + targets.box_labels[box]
    wanted = logits.new_zeros(logits.shape)
    wanted.view(-1)[answer] = iou
    teaches = _teaches(points, targets)
    teaches.view(-1)[answer] = True
    items = torch.tensor(float(len(box)), device=logits.device)
    apart = 1 - paired_giou(found.flatten(0, 1).index_select(0, place), targets.boxes_xyxy[box])
    return BoxSums(
        # times, not indexed by: on a CPU indexing costs more than all the rest
        Sum((quality_focal(logits, wanted) * teaches).sum(), items),
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
    within: Reach | None = None,
) -> Positives:
    """The positive points of all pictures, each matched with its own boxes; ignored regions are no examples."""
    within = reaches(points, strides, targets) if within is None else within
    owner = assign(logits, found, within, one_to_one=one_to_one)
    picture, point = (owner >= 0).nonzero(as_tuple=True)
    box = _examples(targets)[owner[picture, point]]
    return Positives(picture, point, box, paired_iou(found[picture, point], targets.boxes_xyxy[box]))


def reaches(points: Float[Tensor, "P 2"], strides: Float[Tensor, " P"], targets: Targets) -> Reach:
    """The points that things may take, for both answers of a network."""
    index = _examples(targets)
    picture, boxes, labels = (
        given.index_select(0, index)
        for given in (targets.box_picture, targets.boxes_xyxy, targets.box_labels)
    )
    return reach(points, strides, Things(picture, boxes, labels, len(targets.boxes_known)))


def _examples(targets: Targets) -> Int64[Tensor, " N"]:
    """Which boxes are examples."""
    return (targets.box_is_example & targets.boxes_known[targets.box_picture]).nonzero().squeeze(1)


def _teaches(points: Float[Tensor, "P 2"], targets: Targets) -> Bool[Tensor, "B P K"]:
    """Where the absence of a class is known: the class is exhaustive, and the point in no region that ignores it."""
    exhaustive = targets.boxes_exhaustive & targets.boxes_known[:, None]  # B K
    known = exhaustive[:, None].repeat(1, len(points), 1)
    region = (~targets.box_is_example).nonzero().squeeze(1)
    if len(region):
        boxes, labels = targets.boxes_xyxy[region], targets.box_labels[region]
        which, point = (outside(points, boxes) <= 0).nonzero(as_tuple=True)
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
    items = torch.zeros((), device=prototypes.device)
    if targets.box_masks is not None:
        _require_cells(prototypes, targets.box_masks)
        picture, point, box, _ = _compared(positives, targets)
        items = items + len(box)
    if targets.box_masks is None or not len(box):
        return Sum(0.0 * (coefficients.float().sum() + prototypes.float().sum()), items)  # with a graph
    logits = _mask_logits(coefficients, prototypes, picture, point)
    inside = _crops(targets.boxes_xyxy[box], prototypes.shape[2], prototypes.shape[3]).flatten(1)
    return Sum(mask_losses(logits, targets.box_masks[box].flatten(1), inside).sum(), items)


def _compared(positives: Positives, targets: Targets) -> Positives:
    """Those whose masks are known and compared, by picture."""
    known = targets.box_masks_known[positives.box].nonzero().squeeze(1)
    best = known[best_first(positives.box[known], positives.iou[known])]
    kept = best[rank_in_group(positives.picture[best]) < MOST_MASKS]
    kept = kept[positives.picture[kept].argsort(stable=True)]
    return Positives(*(part[kept] for part in positives))


def _mask_logits(
    coefficients: Float[Tensor, "B P M"],
    prototypes: Float[Tensor, "B M h w"],
    picture: Int64[Tensor, " n"],
    point: Int64[Tensor, " n"],
) -> Float[Tensor, "n A"]:
    """Coefficients times prototypes: one product for the batch, of as many rows a picture as the fullest needs."""
    pictures, points, parts = coefficients.shape
    rank = rank_in_group(picture)
    most = int(rank.max()) + 1
    row = picture * most + rank
    own = coefficients.flatten(0, 1).index_select(0, picture * points + point).float()
    rows = own.new_zeros(pictures * most, parts).index_copy(0, row, own)
    every = rows.view(pictures, most, parts) @ prototypes.float().flatten(2)
    return every.flatten(0, 1).index_select(0, row)


def mask_losses(
    logits: Float[Tensor, "n A"], shares: Float[Tensor, "n A"], inside: Bool[Tensor, "n A"]
) -> Float[Tensor, " n"]:
    """(n,) BCE, averaged over the cells inside, + 1 - Dice over the same cells."""
    row, cell = inside.nonzero(as_tuple=True)  # most cells are outside
    at = row * inside.shape[1] + cell
    x, q = (whole.flatten().index_select(0, at) for whole in (logits, shares))

    def over_cells(values: Float[Tensor, " c"]) -> Float[Tensor, " n"]:
        return values.new_zeros(len(inside)).index_add(0, row, values)

    p = x.sigmoid()
    cross = over_cells(bce(x, q, reduction="none")) / inside.sum(1).clamp_min(1)
    # squares below: a share of a half that is met exactly then counts as met
    dice = (2 * over_cells(p * q) + 1) / (over_cells(p.square() + q.square()) + 1)
    return cross + 1 - dice


def best_first(box: Int64[Tensor, " n"], iou: Float[Tensor, " n"]) -> Int64[Tensor, " n"]:
    """An order of n points: the best point of each box, then the second best of each, and so on."""
    order = iou.argsort(descending=True, stable=True)
    order = order[box[order].argsort(stable=True)]  # by box, the best first
    return order[rank_in_run(box[order]).argsort(stable=True)]


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
