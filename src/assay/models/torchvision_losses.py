"""From partly labelled targets to what torchvision's detectors learn from, and Mask R-CNN's losses on it.

torchvision knows whole pictures alone: what has no box is background, and every box has a mask. So pictures that were
looked at for some classes only are left out. Boxes without a mask are another matter: the losses of Mask R-CNN are put
together here from torchvision's parts, in its order, so that such boxes teach boxes and no masks. Masks are compared
as shares of cells at stride 4, as they come, in place of pixels.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from assay.postprocess_masks import CELL

Truth = list[dict[str, Tensor]]


@runtime_checkable
class BoxTargets(Protocol):
    """What is read of ``assay.losses.targets.Targets``, which says what each of them is."""

    @property
    def boxes_xyxy(self) -> Tensor:
        """(N, 4)."""
        ...

    @property
    def box_labels(self) -> Tensor:
        """(N,)."""
        ...

    @property
    def box_picture(self) -> Tensor:
        """(N,)."""
        ...

    @property
    def box_is_example(self) -> Tensor:
        """(N,) bool."""
        ...

    @property
    def box_masks(self) -> Tensor | None:
        """(N, h, w) shares of cells."""
        ...

    @property
    def box_masks_known(self) -> Tensor:
        """(N,) bool."""
        ...

    @property
    def boxes_known(self) -> Tensor:
        """(B,) bool."""
        ...

    @property
    def boxes_exhaustive(self) -> Tensor:
        """(B, K) bool."""
        ...


def detector_losses(net: nn.Module, x: Tensor, targets: BoxTargets, *, masks: bool) -> dict[str, Tensor]:
    """``boxes``, and ``masks`` where they are asked for; see ``TorchvisionDetector.losses``."""
    pictures = (targets.boxes_known & targets.boxes_exhaustive.all(1)).nonzero()[:, 0]
    if not len(pictures):
        nothing = 0.0 * torch.stack([p.flatten()[0] for p in net.parameters()]).sum()
        return {"boxes": nothing, "masks": nothing} if masks else {"boxes": nothing}
    truth = truth_of(targets, pictures, x)
    if masks:
        return _mask_rcnn_losses(net, x[pictures], truth)
    parts: dict[str, Tensor] = net(x[pictures], truth)
    return {"boxes": torch.stack(list(parts.values())).sum()}


def truth_of(targets: BoxTargets, pictures: Tensor, x: Tensor) -> Truth:
    """What torchvision is told of each of the pictures, which are rows of x (B, C, H, W).

    ``boxes`` (N, 4); ``labels`` (N,) from 1 up; ``masks`` (N, h, w) shares of cells, ``masks_known`` (N,). Crowds,
    regions and boxes without area are left out.
    """
    boxes = targets.boxes_xyxy
    is_example = targets.box_is_example & (boxes[:, 2:] > boxes[:, :2]).all(1)
    cells = tuple(-(-side // CELL) for side in x.shape[-2:])
    found = []
    for picture in pictures.tolist():
        own = is_example & (targets.box_picture == picture)
        count = int(own.sum())
        shares = x.new_zeros(count, *cells) if targets.box_masks is None else targets.box_masks[own]
        found.append(
            {
                "boxes": boxes[own],
                "labels": targets.box_labels[own] + 1,
                "masks": shares,
                "masks_known": targets.box_masks_known[own],
            }
        )
    return found


def _mask_rcnn_losses(net: Any, x: Tensor, truth: Truth) -> dict[str, Tensor]:
    """As torchvision's ``GeneralizedRCNN`` and ``RoIHeads`` in training, but for boxes without a mask."""
    heads = import_module("torchvision.models.detection.roi_heads")
    images, _ = net.transform(x)
    maps = net.backbone(images.tensors)
    proposals, parts = net.rpn(images, maps, truth)
    roi = net.roi_heads
    proposals, matched, labels, sides = roi.select_training_samples(proposals, truth)
    seen = roi.box_head(roi.box_roi_pool(maps, proposals, images.image_sizes))
    classes, boxes = heads.fastrcnn_loss(*roi.box_predictor(seen), labels, sides)
    places, wanted, kinds = [], [], []
    for boxes_of, thing, label, told in zip(proposals, matched, labels, truth, strict=True):
        rows = (label > 0).nonzero()[:, 0]
        rows = rows[told["masks_known"][thing[rows]]]
        places.append(boxes_of[rows])
        kinds.append(label[rows])
        of_mask = torch.cat([thing[rows, None].to(boxes_of), boxes_of[rows]], 1)
        shares = told["masks"][:, None].float()
        wanted.append(heads.roi_align(shares, of_mask, (28, 28), 1 / CELL, -1, True)[:, 0])
    drawn = roi.mask_predictor(roi.mask_head(roi.mask_roi_pool(maps, places, images.image_sizes)))
    chosen = drawn[torch.arange(len(drawn), device=drawn.device), torch.cat(kinds)].float()
    loss = binary_cross_entropy_with_logits(chosen, torch.cat(wanted), reduction="sum")
    mean = loss / max(1, chosen.numel()) + 0.0 * drawn.float().sum()
    return {"boxes": torch.stack([*parts.values(), classes, boxes]).sum(), "masks": mean}
