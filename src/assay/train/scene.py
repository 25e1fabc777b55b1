"""A picture together with all that is known of it, and the geometry that moves both: resize, move, cut, flip, join.

The rules, the same for every change:

- A box is what is left of its thing. Where the frame cuts a thing that has a mask, the box is the hull of the mask's
  remaining pixels, so a chair whose seat is cut off is boxed by its legs; without a mask it is the part of the box
  inside. A thing that is not cut keeps its box, moved exactly, in fractions of pixels.
- A thing of which less than ``Least.share`` is left, or that is narrower than ``Least.side_px``, is no fair example:
  nobody could name it. It is no background either. So its region joins ``ignored_xyxy``, where an answer of its class
  is neither right nor wrong. Regions of many things (COCO's crowd) are there from the start, with their class too.
- A pixel's class does not depend on how much of its thing is left, so pixel masks keep it. Masks are resampled by the
  nearest pixel: no class arises between two others.
- What lies outside the picture is grey in the image, ``IGNORE`` in the pixel mask, and empty of things.
- None is not nothing. ``things`` or ``pixels`` is None where nobody looked; joined with a picture where somebody did,
  the picture without becomes an ignored region of any class, and its pixels ``IGNORE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from assay.boxes import area, clip
from assay.errors import DatasetError
from assay.objects import ANY_CLASS, Objects
from assay.pixel_masks import IGNORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    MaskArray = NDArray[np.bool_]

T = TypeVar("T", bound=np.generic)

PAD_LEVEL = 114
"""Grey outside the picture where nothing else is said: the default of ``PreprocessConfig.pad_value``."""

_ROUNDING_PX = 1e-6


def _no_boxes() -> Boxes:
    return np.zeros((0, 4))


def _no_labels() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Least:
    """What must be left of a thing for it to stay an example: a share of its area, and a side in px of the result."""

    share: float = 0.2
    side_px: float = 1.0


@dataclass(frozen=True, eq=False)
class Things:
    """N things in a picture of H x W.

    ``boxes_xyxy`` (N, 4) float64 px; ``labels`` (N,) int64; ``masks`` N arrays (H, W) bool, None for a thing that has
    a box alone; ``ignored_xyxy`` (M, 4) regions that neither hold an example of their class, ``ignored_labels`` (M,),
    nor are background of it; the label -1 stands for all classes.
    """

    boxes_xyxy: Boxes
    labels: NDArray[np.int64]
    masks: tuple[MaskArray | None, ...]
    ignored_xyxy: Boxes = field(default_factory=_no_boxes)
    ignored_labels: NDArray[np.int64] = field(default_factory=_no_labels)

    def __post_init__(self) -> None:
        if len(self.ignored_xyxy) != len(self.ignored_labels):
            raise DatasetError(
                "ignored regions and their labels differ in number",
                got=f"{len(self.ignored_xyxy)} and {len(self.ignored_labels)}",
                fix="give each region its class, or -1 for all classes",
            )

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, objects: Objects, size_hw: tuple[int, int]) -> Things:
        """From a Sample's objects: boxes cut off at the picture's border, crowds as ignored regions of their class."""
        boxes = clip(objects.boxes_xyxy, size_hw)
        crowd = np.zeros(len(objects), bool) if objects.crowd is None else objects.crowd
        there = area(boxes) > 0
        kept, ignored = np.flatnonzero(there & ~crowd), np.flatnonzero(there & crowd)
        masks = [None if (mask := objects.masks[i]) is None else mask.to_array() for i in kept]
        labels = objects.labels
        return cls(boxes[kept], labels[kept], tuple(masks), boxes[ignored], labels[ignored])


@dataclass(frozen=True, eq=False)
class Scene:
    """``image`` (H, W, C) uint8; ``things``, and ``pixels`` (H, W) uint8 classes, each None where nobody looked."""

    image: NDArray[np.uint8]
    things: Things | None = None
    pixels: NDArray[np.uint8] | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture is put: resized to ``scaled_hw``, its corner at ``offset_yx`` of a canvas of ``canvas_hw``, in
    whole px; what reaches over the canvas is cut off.
    """

    scaled_hw: tuple[int, int]
    offset_yx: tuple[int, int]
    canvas_hw: tuple[int, int]

    @property
    def seen_xyxy(self) -> tuple[int, int, int, int]:
        """The part of the canvas that the picture covers; without area where it covers none."""
        (h, w), (y, x), (height, width) = self.scaled_hw, self.offset_yx, self.canvas_hw
        left, top = min(max(0, x), width), min(max(0, y), height)
        return left, top, max(left, min(width, x + w)), max(top, min(height, y + h))


def placed(scene: Scene, place: Place, least: Least = Least(), pad: int = PAD_LEVEL) -> Scene:
    """The scene as ``place`` shows it, with the grey level ``pad`` around it."""
    return Scene(
        _placed_image(scene.image, place, pad),
        None if scene.things is None else _placed_things(scene.things, scene.size_hw, place, least),
        None if scene.pixels is None else resampled(scene.pixels, place, IGNORE),
    )


def _placed_image(image: NDArray[np.uint8], place: Place, pad: int) -> NDArray[np.uint8]:
    """Only the part that is seen is resampled; bilinear, antialiased."""
    canvas = np.full((*place.canvas_hw, image.shape[2]), pad, np.uint8)
    x1, y1, x2, y2 = place.seen_xyxy
    if x1 == x2 or y1 == y2:
        return canvas
    (top, left), (h, w) = place.offset_yx, place.scaled_hw
    if (h, w) == image.shape[:2]:
        canvas[y1:y2, x1:x2] = image[y1 - top : y2 - top, x1 - left : x2 - left]
        return canvas
    rows, columns = image.shape[0] / h, image.shape[1] / w
    box = ((x1 - left) * columns, (y1 - top) * rows, (x2 - left) * columns, (y2 - top) * rows)
    whole = Image.fromarray(image if image.shape[2] == 3 else image[:, :, 0])
    seen = whole.resize((x2 - x1, y2 - y1), Image.Resampling.BILINEAR, box=_inside(box, whole.size))
    canvas[y1:y2, x1:x2] = np.asarray(seen).reshape(y2 - y1, x2 - x1, image.shape[2])
    return canvas


def _inside(box: tuple[float, ...], size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box, if rounding has carried it over the border."""
    left, top, right, bottom = box
    return max(left, 0.0), max(top, 0.0), min(right, float(size_wh[0])), min(bottom, float(size_wh[1]))


def resampled(plane: NDArray[T], place: Place, outside: int) -> NDArray[T]:
    """A plane (H, W) as ``place`` shows it, by the nearest pixel: the one under the centre of the new one."""
    return _Look((plane.shape[0], plane.shape[1]), place)(plane, outside)


class _Look:
    """``resampled`` for all planes of one picture: which pixels are seen is worked out once."""

    def __init__(self, size_hw: tuple[int, int], place: Place) -> None:
        (top, left), (h, w) = place.offset_yx, place.scaled_hw
        x1, y1, x2, y2 = place.seen_xyxy
        self._canvas_hw, self._seen = place.canvas_hw, (slice(y1, y2), slice(x1, x2))
        self._rows = _sources(y1 - top, y2 - top, size_hw[0], h)
        self._columns = _sources(x1 - left, x2 - left, size_hw[1], w)

    def __call__(self, plane: NDArray[T], outside: int) -> NDArray[T]:
        canvas = np.full(self._canvas_hw, outside, plane.dtype)
        canvas[self._seen] = plane.take(self._rows, axis=0).take(self._columns, axis=1)
        return canvas


def _sources(first: int, end: int, source: int, scaled: int) -> NDArray[np.int64]:
    """For new pixels ``first`` to ``end`` the old ones under their centres, in integers: a centre is (2 i + 1) / 2."""
    centres: NDArray[np.int64] = (2 * np.arange(first, end, dtype=np.int64) + 1) * source // (2 * scaled)
    return centres


def _placed_things(things: Things, size_hw: tuple[int, int], place: Place, least: Least) -> Things:
    scale = np.array([place.scaled_hw[1] / size_hw[1], place.scaled_hw[0] / size_hw[0]] * 2)
    shift = np.array([place.offset_yx[1], place.offset_yx[0]] * 2, np.float64)
    whole, regions = things.boxes_xyxy * scale + shift, things.ignored_xyxy * scale + shift
    see = _Look(size_hw, place)
    masks = [
        None if m is None else see(m, 0) if m.shape == size_hw else resampled(m, place, 0)
        for m in things.masks
    ]
    left = clip(whole, place.canvas_hw)
    share = area(left) / np.maximum(area(whole), 1e-12)
    for i in np.flatnonzero((np.abs(left - whole) > _ROUNDING_PX).any(axis=1)):
        mask, before = masks[i], things.masks[i]
        if mask is not None and before is not None:
            left[i] = _hull(mask, left[i])
            share[i] = mask.sum() / max(before.sum() * scale[0] * scale[1], 1e-12)
    sides = (left[:, 2:] - left[:, :2]).min(axis=1, initial=np.inf)
    is_kept = (share >= least.share) & (sides >= least.side_px) & (area(left) > 0)
    kept = np.flatnonzero(is_kept)
    ignored = np.concatenate([clip(regions, place.canvas_hw), left[~is_kept]])
    labels = np.concatenate([things.ignored_labels, things.labels[~is_kept]])
    seen = area(ignored) > 0
    return Things(left[kept], things.labels[kept], tuple(masks[i] for i in kept), ignored[seen], labels[seen])


def _hull(mask: MaskArray, box: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4,) the smallest box around the mask, no larger than ``box``; without area where nothing is left."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.array([box[0], box[1], box[0], box[1]])
    x1, y1 = max(box[0], columns[0]), max(box[1], rows[0])
    return np.array([x1, y1, max(x1, min(box[2], columns[-1] + 1)), max(y1, min(box[3], rows[-1] + 1))])


def flipped(scene: Scene, *, vertical: bool = False) -> Scene:
    """The mirror image, left to right or upside down. Twice is the identity."""
    axis = 0 if vertical else 1
    things = scene.things
    if things is not None:
        length = scene.size_hw[axis]
        things = replace(
            things,
            boxes_xyxy=_mirrored(things.boxes_xyxy, length, 1 - axis),
            ignored_xyxy=_mirrored(things.ignored_xyxy, length, 1 - axis),
            masks=tuple(None if m is None else np.ascontiguousarray(np.flip(m, axis)) for m in things.masks),
        )
    pixels = None if scene.pixels is None else np.ascontiguousarray(np.flip(scene.pixels, axis))
    return Scene(np.ascontiguousarray(np.flip(scene.image, axis)), things, pixels)


def _mirrored(boxes: Boxes, length: int, first: int) -> Boxes:
    """Boxes mirrored along x (``first`` = 0) or y (1) of a picture this long."""
    turned = boxes.copy()
    turned[:, first], turned[:, first + 2] = length - boxes[:, first + 2], length - boxes[:, first]
    return turned


def joined(
    tiles: Sequence[tuple[Scene, Place]], corners_yx: Sequence[tuple[int, int]], size_hw: tuple[int, int]
) -> Scene:
    """One scene of several: each tile, already placed as its Place says, with its corner at ``corners_yx``.

    Tiles do not overlap, and fill it.
    """
    image = np.zeros((*size_hw, tiles[0][0].image.shape[2]), np.uint8)
    pixels = np.full(size_hw, IGNORE, np.uint8)
    parts: list[Things] = []
    for (scene, place), (y, x) in zip(tiles, corners_yx, strict=True):
        height, width = scene.size_hw
        image[y : y + height, x : x + width] = scene.image
        if scene.pixels is not None:
            pixels[y : y + height, x : x + width] = scene.pixels
        things = _unlooked(place) if scene.things is None else scene.things  # empty things are falsy
        parts.append(_moved(things, (y, x), size_hw))
    return Scene(
        image,
        _together(parts) if any(scene.things is not None for scene, _ in tiles) else None,
        pixels if any(scene.pixels is not None for scene, _ in tiles) else None,
    )


def _unlooked(place: Place) -> Things:
    """A tile where nobody looked: what is seen of its picture is ignored for all classes; grey around is background."""
    seen = np.array([place.seen_xyxy], np.float64)
    seen = seen[area(seen) > 0]
    return Things(_no_boxes(), _no_labels(), (), seen, np.full(len(seen), ANY_CLASS))


def _moved(things: Things, corner_yx: tuple[int, int], size_hw: tuple[int, int]) -> Things:
    """The same things in a larger picture."""
    y, x = corner_yx
    shift = np.array([x, y, x, y], np.float64)
    masks: list[MaskArray | None] = []
    for mask in things.masks:
        if mask is not None:
            whole = np.zeros(size_hw, bool)
            whole[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
            masks.append(whole)
        else:
            masks.append(None)
    return replace(
        things,
        boxes_xyxy=things.boxes_xyxy + shift,
        masks=tuple(masks),
        ignored_xyxy=things.ignored_xyxy + shift,
    )


def _together(parts: Sequence[Things]) -> Things:
    return Things(
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.labels for part in parts]),
        tuple(mask for part in parts for mask in part.masks),
        np.concatenate([part.ignored_xyxy for part in parts]),
        np.concatenate([part.ignored_labels for part in parts]),
    )
