"""The pictures of a part with all that is known of them, decoded once and small enough to be changed quickly.

Images and pixel classes lie in caches of pixels (``cache``), both reduced by the same rule. Boxes are scaled when a
picture is asked for. Masks are resampled the first time that they are asked for, and kept as run lengths, since all
masks of a data set as arrays would be many times its pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.errors import DatasetError, ImageError
from assay.image import read_size
from assay.masks import Mask, encode
from assay.objects import Objects
from assay.pixel_masks import IGNORE, read_pixels
from assay.preprocess import Preprocess
from assay.train.scene import Place, Scene, Things, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assay.train.cache import PictureCache, Render
    from assay.types import Dataset

MARGIN = 1.25
"""Pictures are kept with their long side this much longer than the network's, for crops that zoom in."""


@dataclass(frozen=True)
class Known:
    """What is known of one picture: class index, indices of tags, things, where its pixel classes are, its size.

    None always says that nobody looked.
    """

    label: int | None
    tags: tuple[int, ...] | None
    objects: Objects | None
    pixels: Path | None
    size_hw: tuple[int, int]

    def labelled(self, heads: Sequence[str]) -> tuple[bool, ...]:
        """Whether each head finds something to learn here."""
        there = {
            "class": self.label is not None,
            "tags": self.tags is not None,
            "boxes": self.objects is not None,
            "masks": self.objects is not None
            and (not len(self.objects) or any(m is not None for m in self.objects.masks)),
            "pixels": self.pixels is not None,
        }
        return tuple(there[name] for name in heads)


def read_known(dataset: Dataset, heads: Sequence[str]) -> list[Known]:
    """What is known of every row, as far as these heads need it.

    Raises
    ------
    DatasetError : pictures whose size cannot be read, or is another than the data set says; all named at once.
    """
    found, broken, other = [], [], []
    for sample in dataset:
        objects = sample.objects if "boxes" in heads else None
        try:
            size = read_size(sample.path)
        except ImageError as error:
            broken.append(error.what)
            continue
        if sample.size_hw not in (None, size):
            other.append(f"{sample.path.name} is {size}, not {sample.size_hw}")
        if objects is not None and "masks" not in heads:
            objects = replace(objects, masks=())
        found.append(
            Known(
                sample.label if "class" in heads else None,
                sample.labels if "tags" in heads else None,
                objects,
                sample.pixels if "pixels" in heads else None,
                size,
            )
        )
    if broken:
        raise DatasetError(
            f"{len(broken)} pictures cannot be read",
            got="; ".join(broken[:5]) + ("; ..." if len(broken) > 5 else ""),
            fix="remove or mend them: `assay check DATA` lists them all",
        )
    if other:  # boxes would be scaled by the wrong size, without a word
        raise DatasetError(
            f"{len(other)} pictures have another size (height, width) than the data set says",
            got="; ".join(other[:5]) + ("; ..." if len(other) > 5 else ""),
            fix="correct height_px and width_px: they are those of the upright picture",
        )
    return found


class SceneSource:
    """Scenes by row.

    Parameters
    ----------
    images : pixels of every row, rendered by ``scene_render``.
    planes : pixel classes of the rows that have some, rendered by ``plane_render``, and the row of each there
        (-1 where there is none); None where no head reads them.
    known : of every row.
    """

    def __init__(
        self,
        images: PictureCache,
        known: Sequence[Known],
        planes: PictureCache | None = None,
        plane_of: NDArray[np.int64] | None = None,
    ) -> None:
        self._images, self.known, self._planes, self._plane_of = images, known, planes, plane_of
        self._masks: dict[int, tuple[Mask | None, ...]] = {}

    def __len__(self) -> int:
        return len(self.known)

    def __getitem__(self, row: int) -> Scene:
        """The scene of one row; its image is that of the cache and must not be written to."""
        image = self.image(row)
        known, size_hw = self.known[row], (image.shape[0], image.shape[1])
        things = None
        if known.objects is not None:
            things = self._things(row, known.objects, known.size_hw, size_hw)
        return Scene(image, things, self.pixels(row, size_hw))

    def image(self, row: int) -> NDArray[np.uint8]:
        """(H, W, C) of one row, that of the cache: not to be written to."""
        return self._images[row]

    def pixels(self, row: int, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
        """(H, W) classes of the pixels of one row, at this size where it is given; None where nobody looked."""
        if self._planes is None or self._plane_of is None or self._plane_of[row] < 0:
            return None
        plane = self._planes[int(self._plane_of[row])][:, :, 0]
        return (
            plane
            if size_hw in (None, plane.shape)
            else resampled(plane, Place(size_hw, (0, 0), size_hw), IGNORE)
        )

    def _things(self, row: int, objects: Objects, whole: tuple[int, int], small: tuple[int, int]) -> Things:
        if row not in self._masks:
            self._masks[row] = tuple(_reduced(mask, small) for mask in objects.masks)
        scale = np.array([small[1] / whole[1], small[0] / whole[0]] * 2)
        scaled = replace(objects, boxes_xyxy=objects.boxes_xyxy * scale, masks=self._masks[row])
        return Things.of(scaled, small)


def _reduced(mask: Mask | None, size_hw: tuple[int, int]) -> Mask | None:
    if mask is None or mask.size_hw == size_hw:
        return mask
    plane = resampled(mask.to_array(), Place(size_hw, (0, 0), size_hw), 0)
    return encode(plane) if plane.any() else None  # too small to be drawn: a box alone


def reduced_hw(size_hw: tuple[int, int], side: int) -> tuple[int, int]:
    """The size at which a picture is kept for a network of ``side`` px; never enlarged."""
    scale = min(1.0, round(side * MARGIN) / max(size_hw))
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))


def scene_render(preprocess: Preprocess) -> Render:
    """Path -> (H, W, C) uint8 image, coloured and smoothed as for evaluation, and reduced."""
    side = preprocess.config.size
    return lambda path: preprocess.reduced(path, lambda size_hw: reduced_hw(size_hw, side))


def plane_render(side: int) -> Render:
    """Path of a mask picture -> (H, W, 1) uint8 classes, reduced by the nearest pixel."""

    def render(path: Path) -> NDArray[np.uint8]:
        plane = read_pixels(path)
        small = reduced_hw((plane.shape[0], plane.shape[1]), side)
        return resampled(plane, Place(small, (0, 0), small), IGNORE)[:, :, None]

    return render
