"""The textbook's detector: a classifier of patches, target or background, that slides over the picture.

    patch 31 x 31 -> five convolutions without padding, strides 2 2 1 1 1 -> one place -> linear -> background, classes

Without padding a network that was trained on patches reads a whole picture at once (Sermanet et al. 2014, "OverFeat",
section 3.5): place (i, j) of its answer is exactly what it says of the patch from pixel (4 i, 4 j) on. The picture is
read at several sizes, so a patch is now a small thing, now a large one (Adelson et al. 1984, pyramids; Dalal and Triggs
2005 slide so). Of patches that overlap, the best stays.

A baseline to compare with, and to learn from. Its boxes are squares of the sizes of the pyramid, its patches know
nothing of what is around them: both cost precision, which boxes that are regressed on wide context win back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from assay.boxes import clip
from assay.detections import Detections
from assay.errors import ConfigError, ImageError
from assay.image import read_image, to_pillow
from assay.labels import ClassNames
from assay.postprocess_boxes import MOST_BEFORE, MOST_BOXES, suppress
from assay.types import NO_CLASSES, Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, STRIDE = 31, 4
"""Pixels of a patch, and from one patch to the next."""
WIDTHS = (16, 32, 48, 64, 64)
IOU_THRESHOLD = 0.4
LEAST_SCORE = 0.05
_MIDDLE, _SPREAD = 127.5, 63.75


class PatchNet(nn.Module):
    """``forward``: pictures (B, 3, H, W) of at least 31 px -> logits (B, 1 + K, h, w), background first.

    A patch of 31 x 31 gives h = w = 1. ``classes`` is K; 1 makes the binary classifier of the textbook.

    Raises
    ------
    ConfigError : there is no class.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise ConfigError("sliding patches look for one class at least", got=str(classes))
        layers: list[nn.Module] = []
        for inputs, outputs, stride in zip((3, *WIDTHS), WIDTHS, (2, 2, 1, 1, 1), strict=False):
            layers += [nn.Conv2d(inputs, outputs, 3, stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Conv2d(WIDTHS[-1], 1 + classes, 1)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B L h w"]:
        """(B, 3, H, W) -> (B, 1 + K, h, w)."""
        logits: Tensor = self.head(self.trunk(x))
        return logits


def to_input(pixels: NDArray[np.uint8]) -> Tensor:
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 about 0."""
    return torch.from_numpy(pixels).movedim(-1, -3).float().sub(_MIDDLE).div(_SPREAD)


@dataclass(frozen=True)
class SlidingPatches:
    """A patch classifier made into a detector.

    Attributes
    ----------
    net : trained on patches of 31 px.
    object_classes : what it looks for, in the order of the logits behind the background.
    sides : in pixels of the picture, the sizes of things that it looks for: a level of the pyramid each.
    """

    net: PatchNet
    object_classes: ClassNames
    sides: tuple[float, ...]

    exportable = False
    why_not_exportable = "sliding patches are a baseline for comparisons; train a detector for a Bundle"

    @property
    def classes(self) -> ClassNames:
        """Of whole pictures it tells none."""
        return NO_CLASSES

    def find(
        self,
        image: NDArray[np.uint8],
        *,
        least_score: float = LEAST_SCORE,
        iou_threshold: float = IOU_THRESHOLD,
        most: int = MOST_BOXES,
    ) -> Detections:
        """Things in a picture (H, W, 3) uint8: squares where a patch looks like a class with ``least_score`` or more.

        Raises
        ------
        ConfigError : the least score is no probability.
        """
        if not 0 <= least_score <= 1:
            raise ConfigError("the least score is from 0 to 1", got=f"{least_score:g}")
        size_hw = (image.shape[0], image.shape[1])
        levels = [self._level(image, side, least_score) for side in self.sides]
        boxes, scores, labels = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        best = np.argsort(-scores, kind="stable")[:MOST_BEFORE]
        boxes, scores, labels = clip(boxes[best], size_hw), scores[best], labels[best]
        kept = suppress(boxes, scores, labels, iou_threshold, most)
        return Detections(boxes[kept], labels[kept], scores[kept])

    def _level(
        self, image: NDArray[np.uint8], side: float, least_score: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.int64]]:
        """Boxes (N, 4), scores and labels at the size at which a thing of ``side`` px fills a patch."""
        height, width = image.shape[:2]
        small = resized(image, (max(1, round(height * SIDE / side)), max(1, round(width * SIDE / side))))
        scale_xy = np.array([small.shape[1] / width, small.shape[0] / height])
        missing = [(0, max(0, SIDE - length)) for length in small.shape[:2]]
        small = np.pad(small, [*missing, (0, 0)], mode="edge")
        with torch.inference_mode():
            chances = self.net.eval()(to_input(small[None])).softmax(1)[0, 1:].numpy()
        labels, rows, columns = np.nonzero(chances >= least_score)
        corner = np.stack([columns, rows], axis=1) * float(STRIDE)
        boxes = np.concatenate([corner, corner + SIDE], axis=1) / np.tile(scale_xy, 2)
        return boxes, chances[labels, rows, columns], labels.astype(np.int64)

    def predict(
        self,
        sources: Iterable[str | Path],
        *,
        least_score: float | None = None,
        masks: bool = True,  # noqa: ARG002 - it has neither
        pixels: bool = True,  # noqa: ARG002
    ) -> Iterator[Prediction]:
        """One Prediction a source, in order, with ``boxes``; one with ``error`` where a picture cannot be read."""
        for source in sources:
            nothing = Prediction(str(source), NO_CLASSES, np.empty(0, np.float32))
            try:
                image = read_image(source)
            except ImageError as error:
                yield replace(nothing, error=str(error))
                continue
            boxes = self.find(image, least_score=LEAST_SCORE if least_score is None else least_score)
            size_hw = (image.shape[0], image.shape[1])
            yield replace(nothing, size_hw=size_hw, boxes=boxes, object_classes=self.object_classes)


def resized(image: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) at another size, antialiased, as patches are read in training and the pyramid later."""
    if image.shape[:2] == size_hw:
        return image
    return np.asarray(to_pillow(image).resize(size_hw[::-1], Image.Resampling.BILINEAR))
