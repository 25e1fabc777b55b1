"""From prototypes and coefficients to masks in the picture's own pixels, each worked out inside its box alone.

A mask is the sign of coefficients times prototypes (Bolya et al. 2019, "YOLACT", section 3.3). What differs:

- the prototypes are cut to the box first, mixed there, and enlarged there, so the cost follows the boxes and not the
  picture;
- the edge is found in the picture's pixels, not in the network's;
- a thing that was found has a mask, however thin it is.

Enlarging is bilinear, as two small matrix products. Classes of pixels are enlarged the same way, some rows at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from assay.masks import Mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.postprocess_boxes import Frame

CELL = 4
"""Pixels of the network's input along a side of a cell of the pixel branch, where masks are compared too."""
ROWS = 64
"""Rows of a picture whose classes are worked out together: memory stays small for large photos."""


class MaskCrop(NamedTuple):
    """A mask from row ``top`` and column ``left`` on: ``pixels`` (h, w) bool; everything around is outside."""

    top: int
    left: int
    pixels: NDArray[np.bool_]


def cut_masks(
    boxes_xyxy: NDArray[np.float64],
    coefficients: NDArray[np.float32],
    prototypes: NDArray[np.float32],
    frame: Frame,
) -> list[MaskCrop]:
    """A mask for each of N boxes.

    Parameters
    ----------
    boxes_xyxy : (N, 4) in the picture, inside it.
    coefficients : (N, M) of the points that the boxes are from.
    prototypes : (M, h, w) at a quarter of the network's input.
    frame : where the picture lies in that input.
    """
    crops = []
    for box, weights in zip(boxes_xyxy, coefficients, strict=True):
        left, top = (int(v) for v in np.floor(box[:2]))
        right, bottom = (int(v) for v in np.ceil(box[2:]))
        first_row, down = _taps(top, bottom, frame, 1, prototypes.shape[1])
        first_column, across = _taps(left, right, frame, 0, prototypes.shape[2])
        inside = prototypes[
            :, first_row : first_row + down.shape[1], first_column : first_column + across.shape[1]
        ]
        low = (weights @ inside.reshape(len(weights), -1)).reshape(inside.shape[1:])
        enlarged = (across @ low.T) @ down.T  # by columns, as run lengths want it
        crops.append(MaskCrop(top, left, (enlarged > _edge(enlarged)).T))
    return crops


def _edge(logits: NDArray[np.float32]) -> float:
    """The logit from which on a pixel is inside: 0; where none is above, that of half the greatest probability.

    A thing thinner than a cell covers less than half of each, and was learned so. It has been found, so its mask is
    where it is likeliest, not nowhere.
    """
    greatest = float(logits.max(initial=-np.inf))
    if greatest > 0 or not np.isfinite(greatest):
        return 0.0
    return greatest - float(np.log(2 + np.exp(greatest)))  # the logit of half the probability


def to_masks(crops: Sequence[MaskCrop], size_hw: tuple[int, int]) -> list[Mask]:
    """Run lengths of the masks on a picture of this height and width, without drawing the picture."""
    from hotcoco import mask as rle  # noqa: PLC0415 - loaded by those who have masks

    runs = [{"size": list(size_hw), "counts": _runs(crop, size_hw).tolist()} for crop in crops]
    return [Mask(size_hw, str(rle.rle_to_string(run))) for run in runs]


def label_pixels(logits: NDArray[np.float32], frame: Frame, cell: float = CELL) -> NDArray[np.uint8]:
    """Semantic logits (S, h, w), a row for each ``cell`` of the network's input -> (H, W) class of every pixel."""
    height, width = frame.size_hw
    first, across = _taps(0, width, frame, 0, logits.shape[2], cell)
    seen = logits[:, :, first : first + across.shape[1]] @ across.T  # S h W
    classes = np.empty((height, width), np.uint8)
    for top in range(0, height, ROWS):
        bottom = min(top + ROWS, height)
        first, down = _taps(top, bottom, frame, 1, logits.shape[1], cell)
        classes[top:bottom] = _greatest(np.matmul(down, seen[:, first : first + down.shape[1]]))  # S rows W
    return classes


def _greatest(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``values.argmax(0)``, plane by plane, which is several times faster along an axis that is not the last."""
    best, which = values[0].copy(), np.zeros(values.shape[1:], np.uint8)
    for i, plane in enumerate(values[1:], 1):
        which[plane > best] = i
        np.maximum(best, plane, out=best)
    return which


def _taps(
    start: int, stop: int, frame: Frame, axis: int, cells: int, cell: float = CELL
) -> tuple[int, NDArray[np.float32]]:
    """Pixels ``start`` to ``stop`` of the picture along x (axis 0) or y (1), as mixtures of cells.

    Returns the first cell that is needed and a matrix (pixels, cells) of at most two weights a row that add up to 1.
    Beyond the middle of the outermost cells their values go on.
    """
    middles = (np.arange(start, stop) + 0.5) * frame.scale_xy[axis] + frame.shift_xy[axis]
    at = np.clip(middles / cell - 0.5, 0, cells - 1)
    below = at.astype(np.int64)
    above = np.minimum(below + 1, cells - 1)
    share = (at - below).astype(np.float32)
    first, pixels = int(below[0]), np.arange(len(at))
    taps = np.zeros((len(at), int(above[-1]) + 1 - first), np.float32)
    taps[pixels, above - first] = share
    taps[pixels, below - first] += 1 - share
    return first, taps


def _runs(crop: MaskCrop, size_hw: tuple[int, int]) -> NDArray[np.int64]:
    """Lengths of runs down the columns of the whole picture, outside first."""
    height, width = crop.pixels.shape
    columns = np.zeros((width, height + 1), bool)  # one row more: every column ends outside
    columns[:, :height] = crop.pixels.T
    flat = np.concatenate([[False], columns.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    column, row = np.divmod(edges, height + 1)
    places = (crop.left + column) * size_hw[0] + crop.top + row
    # where a crop has the picture's height, a column's end may be the next one's beginning: one run, not two
    alone = np.concatenate([[True], places[1:] != places[:-1], [True]])
    places = places[alone[: len(places)] & alone[1 : len(places) + 1]]
    total = size_hw[0] * size_hw[1]
    ends = [] if total in places[-1:] else [total]
    edges = np.concatenate([[0], places, ends]).astype(np.int64)
    return edges[1:] - edges[:-1]
