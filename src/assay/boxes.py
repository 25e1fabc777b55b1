"""Boxes as corners: (N, 4) float64 x1, y1, x2, y2 in pixels of the upright picture, unless a name says otherwise.

Pixels are squares: the first one reaches from 0 to 1, so a box around it is 0, 0, 1, 1, and its area is 1. COCO counts
the same way; Pascal VOC names pixels from 1 and includes the last one (``data.formats.voc_objects``). Numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Boxes = NDArray[np.float64]


def as_boxes(values: ArrayLike) -> Boxes:
    """(N, 4) float64 of anything that holds boxes; an empty list gives (0, 4)."""
    return np.asarray(values, np.float64).reshape(-1, 4)


def area(boxes: Boxes) -> NDArray[np.float64]:
    """(N,) areas in square pixels; 0 for a box that ends before it begins."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    found: NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return found


def overlap(a: Boxes, b: Boxes) -> NDArray[np.float64]:
    """(N, M) square pixels that each of ``a`` shares with each of ``b``."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.maximum(sides, 0.0)
    found: NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return found


def iou(a: Boxes, b: Boxes, crowd: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """(N, M) intersection over union.

    ``crowd`` (M,): where true, ``b`` is a region with many things, and what counts is the share of ``a`` inside it
    (COCO's rule). Two boxes without area overlap by 0.
    """
    shared = overlap(a, b)
    whole = area(a)[:, None] + np.where(False if crowd is None else crowd, 0.0, area(b))[None, :]
    whole = whole - np.where(False if crowd is None else crowd, 0.0, 1.0) * shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def clip(boxes: Boxes, size_hw: tuple[int, int]) -> Boxes:
    """The part of each box inside a picture of this height and width."""
    height, width = size_hw
    found: Boxes = np.clip(boxes, 0.0, np.array([width, height, width, height], np.float64))
    return found


def from_xywh(boxes_xywh: Boxes) -> Boxes:
    """Upper left corner, width and height (COCO) -> corners."""
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def to_xywh(boxes: Boxes) -> Boxes:
    """The inverse of ``from_xywh``."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def from_centres(boxes_cxcywh: Boxes, size_hw: tuple[int, int]) -> Boxes:
    """Centre, width and height as fractions of the picture (YOLO) -> corners in pixels."""
    scale = np.array([size_hw[1], size_hw[0]], np.float64)
    centre, half = boxes_cxcywh[:, :2] * scale, boxes_cxcywh[:, 2:] * scale / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def to_centres(boxes: Boxes, size_hw: tuple[int, int]) -> Boxes:
    """The inverse of ``from_centres``."""
    scale = np.array([size_hw[1], size_hw[0]], np.float64)
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([centre / scale, sides / scale], axis=1)


def upright(boxes: Boxes, stored_hw: tuple[int, int], orientation: int) -> Boxes:
    """Boxes drawn on the pixels as they are stored -> on the picture turned upright by its EXIF orientation, 1 to 8.

    Raises
    ------
    ConfigError : the orientation is not 1 to 8.
    """
    if not 1 <= orientation <= 8:
        raise ConfigError(f"an EXIF orientation is 1 to 8, not {orientation}")
    height, width = stored_hw
    x, y = boxes[:, 0::2], boxes[:, 1::2]  # N 2: of both corners
    if orientation in (2, 3, 7, 8):
        x = width - x
    if orientation in (3, 4, 6, 7):
        y = height - y
    if orientation >= 5:
        x, y = y, x
    corners = (x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)) if len(boxes) else (x[:, 0],) * 4
    return np.stack(corners, axis=1)
