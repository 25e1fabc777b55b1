"""What is known of pictures, so that a loss can tell "there is none" from "nobody looked".

One ``Target`` a picture, in which each task may be missing; ``collate`` makes the ``Targets`` of a batch from them. The
contract (partial labels): what is unlabelled teaches nothing, absences included. Boxes that are given say that these
things are there; only for the classes in ``boxes_exhaustive`` do they also say that there are no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from assay.errors import DatasetError
from assay.models.multitask import Heads
from assay.objects import ANY_CLASS
from assay.pixel_masks import IGNORE
from assay.postprocess_masks import CELL


@dataclass(frozen=True)
class Target:
    """One picture; every field may be left out. Boxes are pixels of the network's input.

    Attributes
    ----------
    label : class index, -1 for none.
    tags : (T,) 1 where a tag applies, 0 where it does not, -1 where nobody looked.
    boxes_xyxy : (N, 4); None where nobody looked; no rows where nothing was found.
    box_labels : (N,) class indices; -1 is a region where things of any class may be: no example of one, and no
        background of any class.
    box_crowd : (N,) regions of many things of a class: no example of one, and no background of that class.
    box_masks : (N, h, w) share of each cell at stride 4 that the mask covers (``cover``).
    box_masks_known : (N,) which of them are known; all, where masks are given without it.
    boxes_exhaustive : (K,) classes of which every thing has its box; all, where it is left out.
    pixels : (H, W) class of every pixel, 255 where it is not known.
    """

    label: int = -1
    tags: Float[Tensor, " T"] | None = None
    boxes_xyxy: Float[Tensor, "N 4"] | None = None
    box_labels: Int64[Tensor, " N"] | None = None
    box_crowd: Bool[Tensor, " N"] | None = None
    box_masks: Float[Tensor, "N h w"] | None = None
    box_masks_known: Bool[Tensor, " N"] | None = None
    boxes_exhaustive: Bool[Tensor, " K"] | None = None
    pixels: UInt8[Tensor, "H W"] | None = None

    def __post_init__(self) -> None:
        parts = (self.boxes_xyxy, self.box_labels, self.box_crowd, self.box_masks, self.box_masks_known)
        counts = [len(part) for part in parts if part is not None]
        if len(set(counts)) > 1 or (self.boxes_xyxy is None) != (self.box_labels is None):
            raise DatasetError(
                "boxes, their labels, crowd and masks differ in number",
                got=", ".join("none" if part is None else str(len(part)) for part in parts),
            )


@dataclass(frozen=True)
class Targets:
    """A batch of B pictures. Boxes of all pictures lie in one list of N, ``box_picture`` says whose each is.

    Attributes
    ----------
    labels : (B,) class index, -1 for none.
    tags : (B, T) 1, 0 or -1 (not known).
    boxes_xyxy, box_labels, box_crowd, box_masks_known : (N, ...), see ``Target``; ``box_is_example`` of them all.
    box_picture : (N,) 0 to B - 1.
    box_masks : (N, h, w) shares of cells, or None where no mask is known.
    boxes_known : (B,) whether anybody looked for boxes.
    boxes_exhaustive : (B, K) classes for which the absence of a box is a negative.
    pixels : (B, H, W) classes, 255 where not known; None where no pixel is known.
    """

    labels: Int64[Tensor, " B"]
    tags: Float[Tensor, "B T"]
    boxes_xyxy: Float[Tensor, "N 4"]
    box_labels: Int64[Tensor, " N"]
    box_picture: Int64[Tensor, " N"]
    box_crowd: Bool[Tensor, " N"]
    box_masks: Float[Tensor, "N h w"] | None
    box_masks_known: Bool[Tensor, " N"]
    boxes_known: Bool[Tensor, " B"]
    boxes_exhaustive: Bool[Tensor, "B K"]
    pixels: UInt8[Tensor, "B H W"] | None

    @property
    def box_is_example(self) -> Bool[Tensor, " N"]:
        """(N,) a single thing of a known class; the others are regions that teach nothing."""
        return ~self.box_crowd & (self.box_labels != ANY_CLASS)

    def to(self, device: torch.device | str) -> Targets:
        """The same on ``device``."""
        there = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in there.items() if v is not None})


def collate(pictures: Sequence[Target], heads: Heads, size_hw: tuple[int, int]) -> Targets:
    """The targets of a batch whose pictures go into the network as (H, W) = ``size_hw``.

    Labels of tasks that the network has no head for are left out.
    """
    boxes = [(i, t) for i, t in enumerate(pictures) if heads.boxes and t.boxes_xyxy is not None]
    known = torch.zeros(len(pictures), dtype=torch.bool)
    known[[i for i, _ in boxes]] = True
    counts = torch.tensor([_count(t) for _, t in boxes], dtype=torch.int64)
    return Targets(
        labels=torch.tensor([t.label for t in pictures]),
        tags=torch.stack([_tags(t, heads.tags) for t in pictures]),
        boxes_xyxy=_joined([t.boxes_xyxy for _, t in boxes], torch.zeros(0, 4)),
        box_labels=_joined([t.box_labels for _, t in boxes], torch.zeros(0, dtype=torch.int64)),
        box_picture=torch.tensor([i for i, _ in boxes], dtype=torch.int64).repeat_interleave(counts),
        box_crowd=_joined([_crowd(t) for _, t in boxes], torch.zeros(0).bool()),
        box_masks=_masks([t for _, t in boxes], size_hw) if heads.masks else None,
        box_masks_known=_joined([_masks_known(t) for _, t in boxes], torch.zeros(0).bool()),
        boxes_known=known,
        boxes_exhaustive=torch.stack([_exhaustive(t, heads.boxes) for t in pictures]),
        pixels=_pixels(pictures) if heads.pixels else None,
    )


def cover(masks: Bool[Tensor, "N H W"], cell: int = CELL) -> Float[Tensor, "N h w"]:
    """(N, H, W) bool -> (N, ceil(H / cell), ceil(W / cell)): the share of each cell that a mask covers."""
    height, width = masks.shape[1:]
    padded = pad(masks.float(), (0, -width % cell, 0, -height % cell))
    return avg_pool2d(padded, cell)


def _or(value: Tensor | None, default: Tensor) -> Tensor:
    return default if value is None else value


def _count(target: Target) -> int:
    return 0 if target.boxes_xyxy is None else len(target.boxes_xyxy)


def _tags(target: Target, tags: int) -> Float[Tensor, " T"]:
    return target.tags if tags and target.tags is not None else torch.full((tags,), -1.0)


def _crowd(target: Target) -> Bool[Tensor, " N"]:
    return _or(target.box_crowd, torch.zeros(_count(target), dtype=torch.bool))


def _masks_known(target: Target) -> Bool[Tensor, " N"]:
    return _or(target.box_masks_known, torch.full((_count(target),), target.box_masks is not None))


def _exhaustive(target: Target, classes: int) -> Bool[Tensor, " K"]:
    """Nothing of a picture in which nobody looked."""
    if not classes or target.boxes_xyxy is None:
        return torch.zeros(classes, dtype=torch.bool)
    return _or(target.boxes_exhaustive, torch.ones(classes, dtype=torch.bool))


def _joined(parts: Sequence[Tensor | None], none: Tensor) -> Tensor:
    return torch.cat([part for part in parts if part is not None] or [none])


def _masks(targets: Sequence[Target], size_hw: tuple[int, int]) -> Float[Tensor, "N h w"] | None:
    """Those of all boxes in order, zeros where they are not known; None where none is."""
    if all(t.box_masks is None for t in targets):
        return None
    cells = tuple(-(-side // CELL) for side in size_hw)
    return torch.cat([_or(t.box_masks, torch.zeros(_count(t), *cells)) for t in targets])


def _pixels(targets: Sequence[Target]) -> UInt8[Tensor, "B H W"] | None:
    """Of the size in which they come; void where a picture has none; None where no picture has any."""
    given = [t.pixels for t in targets if t.pixels is not None]
    if not given:
        return None
    void = torch.full(given[0].shape, IGNORE, dtype=torch.uint8)
    return torch.stack([_or(t.pixels, void) for t in targets])
