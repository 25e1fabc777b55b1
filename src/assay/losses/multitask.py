"""The losses of a network of several heads on partly labelled pictures.

The contract (tests/unit/test_losses_multitask.py holds it):

- a task without a label in a picture gives exactly zero there, negatives included;
- each loss is divided by the labelled items of the batch it is called with, on all processes: pictures with a class,
  pairs of picture and tag, positive points, labelled pixels; so more unlabelled pictures change nothing, nor does the
  order;
- a task that a batch lacks gives zero, not NaN, and still has a graph, so every process has a gradient to share.

A step of several batches (gradient accumulation) is not one batch: each would be divided by its own items, and a batch
with few labels would weigh as much as one with many. For the gradient of the whole, take ``Losses.items`` of each batch
in a pass without gradients (positive points are known only then), add them up, hand the sums in as ``items``, and add
the gradients up, not their mean.

Loss of class: ``losses.classify``; tags: binary cross-entropy; boxes: quality focal x 1 + GIoU x 2, for both answers;
masks: BCE + Dice, for both answers; pixels: cross-entropy + Dice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from assay.errors import ModelError
from assay.losses.classify import ClassifyLoss
from assay.losses.detect import Sum, box_sums, mask_sum, reaches
from assay.losses.reach import Reach
from assay.losses.segment import pixel_sums
from assay.losses.targets import Targets
from assay.models.outputs import BoxOutputs, Outputs

TASKS = ("class", "tags", "boxes", "masks", "pixels")
WEIGHTS = {"giou": 2.0}
"""Within a task; 1 where it is left out."""

Reduce = Callable[[Tensor], Tensor]


class Losses(NamedTuple):
    """``tasks``: a scalar for each task that the network has a head for.

    ``parts``: what they are the sums of, for the log, detached, as ``task.part`` or ``task.one-to-one.part``.
    ``items``: of each part how many there are in this batch, on all processes.
    """

    tasks: dict[str, Tensor]
    parts: dict[str, Tensor]
    items: dict[str, Tensor]


class MultiTaskLoss(nn.Module):
    """``loss(outputs, targets) -> Losses``.

    Parameters
    ----------
    classify : loss of the class; plain cross-entropy where it is left out.
    reduce : adds a tensor up over all processes; the identity where there is one.
    processes : how many there are. Their gradients are averaged later, so each loss is multiplied by it.

    In eval mode each process counts for itself, so one may try more batches than another.
    """

    def __init__(
        self, *, classify: ClassifyLoss | None = None, reduce: Reduce | None = None, processes: int = 1
    ) -> None:
        super().__init__()
        self.classify = classify or ClassifyLoss()
        self._reduce = reduce or (lambda counts: counts)
        self.processes = processes

    def forward(
        self, outputs: Outputs, targets: Targets, *, items: Mapping[str, Tensor] | None = None
    ) -> Losses:
        """The losses of all heads that the network has.

        ``items``: for each part what its sum is divided by, where this batch is one of several of a step.
        """
        sums = self._sums(outputs, targets)
        if not sums:
            raise ModelError("the network gives nothing to learn from", fix="build it with a head")
        counts = torch.stack([part.items.float() for part in sums.values()])
        counts, factor = (self._reduce(counts), self.processes) if self.training else (counts, 1)
        own = dict(zip(sums, counts, strict=True))
        over = own if items is None else items
        means = {
            name: WEIGHTS.get(name.rpartition(".")[2], 1.0) * factor * part.total / over[name].clamp_min(1)
            for name, part in sums.items()
        }
        tasks: dict[str, Tensor] = {}
        for name, mean in means.items():
            task = name.partition(".")[0]
            tasks[task] = tasks[task] + mean if task in tasks else mean
        return Losses(tasks, {name: mean.detach() for name, mean in means.items()}, own)

    def _sums(self, outputs: Outputs, targets: Targets) -> dict[str, Sum]:
        """Every part of every task, the same ones in the same order on every process."""
        has_boxes = outputs.boxes is not None or outputs.boxes_one_to_one is not None
        if has_boxes and (outputs.points is None or outputs.strides is None):
            raise ModelError("boxes come without their points", fix="hand in what the network's forward gave")
        sums: dict[str, Sum] = {}
        if outputs.class_logits is not None:
            sums["class.cross-entropy"] = self._class_sum(outputs.class_logits, targets.labels)
        if outputs.tag_logits is not None:
            sums["tags.cross-entropy"] = _tag_sum(outputs.tag_logits, targets.tags)
        if outputs.points is not None and outputs.strides is not None:
            within = reaches(outputs.points, outputs.strides, targets)
            for kind, boxes in (("", outputs.boxes), ("one-to-one.", outputs.boxes_one_to_one)):
                if boxes is not None:
                    sums |= _of_boxes(kind, boxes, outputs, targets, within)
        if outputs.pixel_logits is not None:
            pixels = pixel_sums(outputs.pixel_logits, targets.pixels)
            sums |= {"pixels.cross-entropy": pixels.cross_entropy, "pixels.dice": pixels.dice}
        return dict(sorted(sums.items(), key=lambda item: TASKS.index(item[0].partition(".")[0])))

    def _class_sum(self, logits: Tensor, labels: Tensor) -> Sum:
        known = labels >= 0
        zero, items = 0.0 * logits.float().sum(), known.sum().float()
        if not bool(known.any()):
            return Sum(zero, items)
        return Sum(zero + self.classify(logits[known].float(), labels[known]) * items, items)


def _tag_sum(logits: Tensor, tags: Tensor) -> Sum:
    known = tags >= 0
    losses = binary_cross_entropy_with_logits(logits.float(), tags.clamp_min(0), reduction="none")
    return Sum((losses * known).sum(), known.sum().float())


def _of_boxes(
    kind: str, boxes: BoxOutputs, outputs: Outputs, targets: Targets, within: Reach
) -> dict[str, Sum]:
    """The parts of one of the two answers. The twin teaches itself alone, so the prototypes are detached there."""
    assert outputs.points is not None
    assert outputs.strides is not None
    one_to_one = bool(kind)
    found = box_sums(boxes, outputs.points, outputs.strides, targets, one_to_one=one_to_one, within=within)
    sums = {f"boxes.{kind}quality": found.quality, f"boxes.{kind}giou": found.giou}
    if boxes.coefficients is not None and outputs.prototypes is not None:
        prototypes = outputs.prototypes.detach() if one_to_one else outputs.prototypes
        sums[f"masks.{kind}overlap"] = mask_sum(boxes.coefficients, prototypes, found.positives, targets)
    return sums
