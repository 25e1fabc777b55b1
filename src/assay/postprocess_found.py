"""From the finished boxes of a detector such as torchvision's to what is told of a picture. Numpy alone.

A mask comes as chances in a small grid that lies in its box (He et al. 2017, "Mask R-CNN", section 3). It is read at
the middle of every pixel of the picture, bilinearly, with nothing outside the grid, and cut at one half: as the
authors' Detectron2 pastes masks, in place of torchvision, which rounds the box to whole pixels first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.boxes import area, clip
from assay.detections import Detections
from assay.postprocess_masks import MaskCrop, to_masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.masks import Mask
    from assay.postprocess_boxes import Frame

IS_MASK = 0.5


def read_found(
    outputs: Mapping[str, NDArray[Any]], frame: Frame, least_score: float, *, masks: bool = True
) -> Detections:
    """The things of one picture from its ``found_boxes`` (N, 4), ``found_scores``, ``found_labels``, ``found_masks``.

    Rows with a score of 0 are filling. ``frame`` says where the picture lies in the network's input.
    """
    boxes = frame.to_picture(outputs["found_boxes"].astype(np.float64))
    inside = clip(boxes, frame.size_hw)
    scores = outputs["found_scores"]
    kept = (scores > 0) & (scores >= least_score) & (area(inside) > 0)
    drawn: tuple[Mask, ...] = ()
    if masks and "found_masks" in outputs:
        crops = paste_masks(boxes[kept], outputs["found_masks"][kept], frame.size_hw)
        drawn = tuple(to_masks(crops, frame.size_hw))
    return Detections(inside[kept], outputs["found_labels"][kept], scores[kept], drawn)


def paste_masks(
    boxes_xyxy: NDArray[np.float64], chances: NDArray[np.floating[Any]], size_hw: tuple[int, int]
) -> list[MaskCrop]:
    """Boxes (N, 4), which may reach beyond the picture, and a grid (N, m, m) in each -> the masks in the picture."""
    crops = []
    for whole, part, grid in zip(boxes_xyxy, clip(boxes_xyxy, size_hw), chances, strict=True):
        left, top = (int(v) for v in np.floor(part[:2]))
        right, bottom = (int(v) for v in np.ceil(part[2:]))
        down = _taps(top, bottom, whole[1], whole[3], grid.shape[0])
        across = _taps(left, right, whole[0], whole[2], grid.shape[1])
        crops.append(MaskCrop(top, left, down @ grid.astype(np.float32) @ across.T >= IS_MASK))
    return crops


def _taps(start: int, stop: int, low: float, high: float, cells: int) -> NDArray[np.float32]:
    """(pixels, cells): pixels ``start`` to ``stop`` as mixtures of the cells between ``low`` and ``high``."""
    at = (np.arange(start, stop) + 0.5 - low) / (high - low) * cells - 0.5
    apart = np.abs(at[:, None] - np.arange(cells))
    shares: NDArray[np.float32] = np.maximum(1 - apart, 0).astype(np.float32)
    return shares
