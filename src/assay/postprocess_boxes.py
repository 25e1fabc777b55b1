"""From what a network says of points to boxes in the picture: decode, keep the likely ones, suppress duplicates.

Numpy alone: the same code follows a checkpoint, ONNX Runtime and every other engine. Suppression is the plain greedy
one, class by class (Girshick et al. 2014, "R-CNN", section 2.2): of boxes that overlap by more than a threshold the
best stays. Answers of a one-to-one head need none: ``iou_threshold=None``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from assay.boxes import area, clip
from assay.configs import PreprocessConfig
from assay.errors import ConfigError
from assay.preprocess import crop_box, letterbox

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRIDES = (8, 16, 32)
"""Of the levels at which a network looks for things."""
LEAST_SCORE, IOU_THRESHOLD, MOST_BOXES = 0.05, 0.6, 100
MOST_BEFORE = 1000
"""Candidates that suppression looks at, the likeliest ones."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture of ``size_hw`` lies in the network's input: input = picture x scale + shift, in pixels."""

    size_hw: tuple[int, int]
    scale_xy: tuple[float, float] = (1.0, 1.0)
    shift_xy: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, config: PreprocessConfig, size_hw: tuple[int, int]) -> Frame:
        """As ``Preprocess`` lays a picture of this height and width into its square."""
        (height, width), side = size_hw, config.size
        if config.resize == "stretch":
            return cls(size_hw, (side / width, side / height))
        if config.resize == "letterbox":
            left, top, inner_width, inner_height = letterbox((width, height), side)
            return cls(size_hw, (inner_width / width, inner_height / height), (float(left), float(top)))
        x, y, right, _ = crop_box((width, height), config.crop_share)
        scale = side / (right - x)
        return cls(size_hw, (scale, scale), (-x * scale, -y * scale))

    def to_picture(self, boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, 4) in the network's input -> in the picture, not yet clipped."""
        found: NDArray[np.float64] = (boxes_xyxy - np.array(self.shift_xy * 2)) / np.array(self.scale_xy * 2)
        return found

    def to_input(self, boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of ``to_picture``."""
        found: NDArray[np.float64] = boxes_xyxy * np.array(self.scale_xy * 2) + np.array(self.shift_xy * 2)
        return found


class FoundBoxes(NamedTuple):
    """N boxes of one picture, the likeliest first.

    ``boxes_xyxy`` (N, 4) float64 in the picture and inside it; ``scores`` (N,) float32; ``labels`` (N,) int64;
    ``points`` (N,) int64, the point that each is from: its row in the network's answer, where its mask's coefficients
    are.
    """

    boxes_xyxy: NDArray[np.float64]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    points: NDArray[np.int64]


@lru_cache(maxsize=16)
def box_points(
    size_hw: tuple[int, int], strides: tuple[int, ...] = STRIDES
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points (P, 2) of a network's input of this height and width, and the stride (P,) of each.

    The middles of all cells, finest level first, row by row: the order of the network's answers. Worked out once for
    each size, so the arrays cannot be written to.
    """
    points, steps = [], []
    for stride in strides:
        rows, columns = (-(-side // stride) for side in size_hw)
        y, x = np.mgrid[:rows, :columns]
        points.append(np.stack([x.ravel(), y.ravel()], axis=1) * stride + stride / 2)
        steps.append(np.full(rows * columns, stride))
    found = np.concatenate(points).astype(np.float32), np.concatenate(steps).astype(np.float32)
    for array in found:
        array.setflags(write=False)
    return found


def find_boxes(
    logits: NDArray[np.float32],
    distances: NDArray[np.float32],
    size_hw: tuple[int, int],
    frame: Frame,
    *,
    least_score: float = LEAST_SCORE,
    iou_threshold: float | None = IOU_THRESHOLD,
    most: int = MOST_BOXES,
) -> FoundBoxes:
    """The boxes of one picture.

    Parameters
    ----------
    logits : (P, K); a point may be of several classes.
    distances : (P, 4) left, up, right, down from each point, in strides.
    size_hw : height and width of the network's input.
    frame : where the picture lies in that input.
    least_score : probability below which nothing is told.
    iou_threshold : overlap above which the weaker of two boxes of a class goes; None keeps all.
    most : boxes a picture.

    Raises
    ------
    ConfigError : the least score is no probability, or P is not the number of points of such an input.
    """
    points, strides = box_points(size_hw)
    if len(points) != len(logits):
        raise ConfigError(
            f"an input of {size_hw} (height, width) has {len(points)} points", got=str(len(logits))
        )
    if not 0 <= least_score < 1:
        raise ConfigError("the least score is from 0 up to, but not, 1", got=f"{least_score}")
    least = np.float32(least_score)
    # the next score below, since rounding may lift it; flat, as numpy's search along two axes is ten times slower
    likely = np.flatnonzero(logits >= _logit(float(np.nextafter(least, np.float32(0)))))
    at, labels = np.divmod(likely, logits.shape[1])
    strengths = logits[at, labels]
    best = _best(strengths, most if iou_threshold is None else MOST_BEFORE)
    at, labels, strengths = at[best], labels[best], strengths[best]
    boxes = clip(frame.to_picture(corners(points[at], strides[at], distances[at])), frame.size_hw)
    real = area(boxes) > 0
    boxes, at, labels, strengths = boxes[real], at[real], labels[real], strengths[real]
    if iou_threshold is not None:
        kept = suppress(boxes, strengths, labels, iou_threshold, most)
        boxes, at, labels, strengths = boxes[kept], at[kept], labels[kept], strengths[kept]
    scores = (1 / (1 + np.exp(-strengths.astype(np.float64)))).astype(np.float32)
    told = scores >= least
    return FoundBoxes(boxes[told], scores[told], labels[told], at[told])


def corners(
    points: NDArray[np.float32], strides: NDArray[np.float32], distances: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Points (N, 2), their strides (N,) and distances (N, 4) in strides -> (N, 4) x1, y1, x2, y2 in pixels."""
    pixels = distances.astype(np.float64) * strides[:, None]
    return np.concatenate([points - pixels[:, :2], points + pixels[:, 2:]], axis=1)


def suppress(
    boxes_xyxy: NDArray[np.float64],
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    iou_threshold: float = IOU_THRESHOLD,
    most: int | None = None,
) -> NDArray[np.int64]:
    """Which of N boxes stay, the best first; equal scores keep their order. The first ``most`` where it is given.

    Exactly the greedy answer; each step compares the best box left with all others.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, kinds = boxes_xyxy[order], labels[order]
    low, high, areas = boxes[:, :2], boxes[:, 2:], area(boxes)
    left = np.arange(len(order))
    kept: list[int] = []
    while len(left) and (most is None or len(kept) < most):
        first, left = left[0], left[1:]
        kept.append(int(first))
        sides = np.minimum(high[first], high[left]) - np.maximum(low[first], low[left])
        shared = np.maximum(sides[:, 0], 0) * np.maximum(sides[:, 1], 0)
        apart = shared <= iou_threshold * (areas[first] + areas[left] - shared)
        left = left[apart | (kinds[left] != kinds[first])]
    return order[np.array(kept, np.int64)]


def _best(strengths: NDArray[np.float32], most: int) -> NDArray[np.int64]:
    """Positions of the ``most`` greatest, greatest first; of equal ones the first."""
    if len(strengths) > most:
        least = np.partition(strengths, len(strengths) - most)[len(strengths) - most]
        above = np.flatnonzero(strengths >= least)
        return above[np.argsort(-strengths[above], kind="stable")][:most]
    return np.argsort(-strengths, kind="stable")


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability)) if probability else -math.inf
