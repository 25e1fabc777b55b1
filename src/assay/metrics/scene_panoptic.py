"""Panoptic quality of a network with masks and pixels: things on top, the best first, and under them the pixel classes
that are no things.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assay.detections import Detections
from assay.labels import ClassNames
from assay.masks import Mask
from assay.metrics.interval import Floats
from assay.metrics.panoptic import PanopticCounts, count_segments, paint
from assay.objects import Objects

LEAST_IN_SIGHT = 0.5
"""A found thing of which better ones leave less than this share in sight is left out (Kirillov et al., section 5)."""


def panoptic_classes(object_classes: ClassNames, pixel_classes: ClassNames) -> ClassNames:
    """The classes of things, and after them those of pixels that are no things."""
    return ClassNames([*object_classes, *(name for name in pixel_classes if name not in object_classes)])


@dataclass
class PanopticTally:
    """Counts pictures one after another, of detections with ``score`` or more."""

    object_classes: ClassNames
    pixel_classes: ClassNames
    score: float
    rows: list[int] = field(default_factory=list)
    sums: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.classes = panoptic_classes(self.object_classes, self.pixel_classes)
        self.stuff = [
            -1 if name in self.object_classes else self.classes.position(name) for name in self.pixel_classes
        ]

    def add(
        self,
        row: int,
        truth: Objects,
        true_pixels: NDArray[np.uint8],
        found: Detections,
        found_pixels: NDArray[np.uint8],
    ) -> None:
        """Count a picture; it is left out where a thing has no mask.

        Truth has no order from front to back: of true things that overlap the smaller one lies on top, crowds below.
        """
        told, size_hw = found.at_least(self.score), (true_pixels.shape[0], true_pixels.shape[1])
        shapes, outlines = _whole(truth.masks), _whole(told.masks)
        if shapes is None or outlines is None:
            return
        crowd = [False] * len(shapes) if truth.crowd is None else truth.crowd.tolist()
        order = sorted(range(len(shapes)), key=lambda i: (crowd[i], shapes[i].area))
        own = paint(
            [shapes[i] for i in order],
            [int(truth.labels[i]) for i in order],
            size_hw,
            pixels=true_pixels,
            stuff=self.stuff,
            crowd=[crowd[i] for i in order],
        )
        answer = paint(
            outlines,
            told.labels.tolist(),
            size_hw,
            pixels=found_pixels,
            stuff=self.stuff,
            least_share=LEAST_IN_SIGHT,
        )
        self.rows.append(row)
        self.sums.append(count_segments(own, answer, len(self.classes)))

    def counts(self) -> PanopticCounts | None:
        """What was counted; None where no picture was."""
        if not self.rows:
            return None
        return PanopticCounts(np.array(self.sums), np.array(self.rows, np.int64), self.classes)


def _whole(masks: tuple[Mask | None, ...]) -> list[Mask] | None:
    known = [mask for mask in masks if mask is not None]
    return known if len(known) == len(masks) else None
