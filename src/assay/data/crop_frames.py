"""Where crops are cut: frames around boxes, and frames of background beside them.

The rules, in whole pixels of the upright picture:

- A target's frame is its box, cut off at the border of the picture, plus the margin. With ``min_overlap`` below 1
  the box is first shifted and scaled at random, to an IoU with itself of at least that.
- A background's frame has the size of one of the picture's target frames. Its IoU with every box is at most
  ``max_overlap``, and so is the share of it that all boxes cover together: many small boxes count as one large one.
  Backgrounds of one picture overlap each other by an IoU of 1/2 at most.
- A square frame has the longer side on both, as far as the picture reaches. No frame leaves the picture: it is
  shifted back inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.verb_configs import CropsConfig

Frame = tuple[int, int, int, int]
"""x1, y1, x2, y2; x2 and y2 lie behind the last pixel."""

_TRIES = 200
_MOST_OVERLAP = 0.1
"""Of a file of boxes, where nothing else is asked for: boxes are drawn loosely, so a corner of one is no thing."""
_BETWEEN_BACKGROUNDS = 0.5


class Boxes:
    """The boxes of one picture, (N, 4) xyxy in pixels, ready to be asked how much of a frame they cover."""

    def __init__(self, boxes_xyxy: NDArray[np.float64]) -> None:
        self.xyxy = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
        # the plane between all edges: each cell is covered wholly or not at all
        self._xs, self._ys = np.unique(self.xyxy[:, 0::2]), np.unique(self.xyxy[:, 1::2])
        self._covered = np.zeros((max(len(self._ys) - 1, 0), max(len(self._xs) - 1, 0)))
        for x1, y1, x2, y2 in self.xyxy:
            rows = slice(*np.searchsorted(self._ys, (y1, y2)))
            columns = slice(*np.searchsorted(self._xs, (x1, x2)))
            self._covered[rows, columns] = 1.0

    def iou(self, frame: Sequence[float]) -> float:
        """The greatest IoU of the frame with a box; 0 where there is none."""
        return float(iou(frame, self.xyxy).max(initial=0.0))

    def covered(self, frame: Sequence[float]) -> float:
        """Share of the frame's area that the boxes cover together, 0 to 1."""
        if not self._covered.size:
            return 0.0
        x1, y1, x2, y2 = frame
        wide = np.diff(np.clip(self._xs, x1, x2))
        high = np.diff(np.clip(self._ys, y1, y2))
        return float(high @ self._covered @ wide) / max((x2 - x1) * (y2 - y1), 1e-9)


def iou(frame: Sequence[float], boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) intersection over union of one frame with each of the boxes (N, 4)."""
    x1, y1, x2, y2 = frame
    wide = np.minimum(x2, boxes_xyxy[:, 2]) - np.maximum(x1, boxes_xyxy[:, 0])
    high = np.minimum(y2, boxes_xyxy[:, 3]) - np.maximum(y1, boxes_xyxy[:, 1])
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    areas = (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
    return np.asarray(shared / np.maximum((x2 - x1) * (y2 - y1) + areas - shared, 1e-9))


def clip(box: Sequence[float], size_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """The part of a box inside the picture; without area where they do not meet."""
    height, width = size_hw
    x1, y1, x2, y2 = box
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)


def target_frame(
    box: Sequence[float], size_hw: tuple[int, int], config: CropsConfig, rng: np.random.Generator
) -> Frame:
    """The frame of one target; ``box`` lies in the picture and has an area."""
    x1, y1, x2, y2 = _shaken(box, size_hw, config.min_overlap, rng)
    dx, dy = config.margin * (x2 - x1), config.margin * (y2 - y1)
    x1, y1, x2, y2 = x1 - dx, y1 - dy, x2 + dx, y2 + dy
    if config.square:
        side = max(x2 - x1, y2 - y1)
        x1, y1 = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
        return _inside(x1, y1, side, side, size_hw)
    # a margin ends at the border: shifting would move the target out of the middle for nothing
    x1, y1, x2, y2 = clip((x1, y1, x2, y2), size_hw)
    return _inside(x1, y1, x2 - x1, y2 - y1, size_hw)


def _shaken(
    box: Sequence[float], size_hw: tuple[int, int], least: float, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A random box whose IoU with ``box`` is at least ``least``; the box itself where none is found."""
    x1, y1, x2, y2 = box
    if least < 1:
        wide, high, reach = x2 - x1, y2 - y1, 1 - least
        for _ in range(_TRIES):
            dx, dy = rng.uniform(-reach, reach, 2) * (wide, high)
            sx, sy = np.exp(rng.uniform(-reach, reach, 2)) * (wide, high)
            cx, cy = (x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy
            tried = clip((cx - sx / 2, cy - sy / 2, cx + sx / 2, cy + sy / 2), size_hw)
            if iou(tried, np.array([box], np.float64))[0] >= least:
                return tried
    return x1, y1, x2, y2


def _inside(x: float, y: float, wide: float, high: float, size_hw: tuple[int, int]) -> Frame:
    """Whole pixels, at least one, shifted into the picture and no larger than it."""
    height, width = size_hw
    left, top = round(x), round(y)
    w = min(max(1, round(x + wide) - left), width)
    h = min(max(1, round(y + high) - top), height)
    left, top = min(max(0, left), width - w), min(max(0, top), height - h)
    return left, top, left + w, top + h


def background_frames(
    sizes_hw: Sequence[tuple[int, int]],
    boxes: Boxes,
    size_hw: tuple[int, int],
    config: CropsConfig,
    rng: np.random.Generator,
) -> list[Frame]:
    """A frame of each of the sizes where there is room for it; sizes without room are left out."""
    return [frame for frame in placed_frames(sizes_hw, boxes, size_hw, config, rng) if frame is not None]


def placed_frames(
    sizes_hw: Sequence[tuple[int, int]],
    boxes: Boxes,
    size_hw: tuple[int, int],
    config: CropsConfig,
    rng: np.random.Generator,
) -> list[Frame | None]:
    """As ``background_frames``, with None for each size that has no room."""
    found: list[Frame] = []
    placed: list[Frame | None] = []
    for height, width in sizes_hw:
        frame = _place(min(height, size_hw[0]), min(width, size_hw[1]), boxes, size_hw, found, config, rng)
        placed.append(frame)
        if frame is not None:
            found.append(frame)
    return placed


def _place(
    height: int,
    width: int,
    boxes: Boxes,
    size_hw: tuple[int, int],
    others: Sequence[Frame],
    config: CropsConfig,
    rng: np.random.Generator,
) -> Frame | None:
    taken = np.array(others, np.float64).reshape(-1, 4)
    most = _MOST_OVERLAP if config.max_overlap is None else config.max_overlap
    for _ in range(_TRIES):
        x, y = (int(rng.integers(0, room + 1)) for room in (size_hw[1] - width, size_hw[0] - height))
        frame = (x, y, x + width, y + height)
        if (
            boxes.covered(frame) <= most
            and boxes.iou(frame) <= most
            and iou(frame, taken).max(initial=0.0) <= _BETWEEN_BACKGROUNDS
        ):
            return frame
    return None
