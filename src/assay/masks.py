"""Masks of single things, as run lengths: COCO's compressed RLE, column by column (https://cocodataset.org/#format-data).

A mask of a photo takes some hundred bytes in place of a megabyte, and holes and separate parts are kept. Overlaps are
worked out on the runs. Run lengths and polygons go through hotcoco, whose results equal pycocotools'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Mask:
    """Which pixels of a picture of ``size_hw`` belong to a thing; ``counts`` is COCO's compressed text."""

    size_hw: tuple[int, int]
    counts: str

    def to_array(self) -> NDArray[np.bool_]:
        """(H, W) bool."""
        from hotcoco import mask as rle  # noqa: PLC0415 - loaded by those who have masks

        return np.ascontiguousarray(rle.decode(self.to_coco())).astype(bool)

    @property
    def area(self) -> int:
        """How many pixels."""
        from hotcoco import mask as rle  # noqa: PLC0415

        return int(rle.area(self.to_coco()))

    @property
    def box_xyxy(self) -> NDArray[np.float64]:
        """(4,) the smallest box around it; zeros where the mask is empty."""
        from hotcoco import mask as rle  # noqa: PLC0415

        x, y, width, height = rle.to_bbox(self.to_coco())
        return np.array([x, y, x + width, y + height], np.float64)

    def to_coco(self) -> dict[str, Any]:
        """``{"size": [height, width], "counts": text}``."""
        return {"size": list(self.size_hw), "counts": self.counts}


def encode(array: NDArray[Any]) -> Mask:
    """The mask of an (H, W) array: what is not 0 belongs to the thing."""
    from hotcoco import mask as rle  # noqa: PLC0415

    return _of(rle.encode(np.asfortranarray(array != 0, dtype=np.uint8)))


def from_polygons(polygons: Sequence[Sequence[float]], size_hw: tuple[int, int]) -> Mask:
    """The union of polygons, each x1, y1, x2, y2, ... in pixels, rasterised as COCO does.

    Raises
    ------
    DatasetError : a polygon has fewer than three points, an odd number of values, or one that is no number.
    """
    from hotcoco import mask as rle  # noqa: PLC0415

    for polygon in polygons:
        _require_polygon(polygon)
    height, width = size_hw
    if not polygons:
        return encode(np.zeros(size_hw, bool))
    return _of(rle.merge([rle.fr_poly([float(v) for v in polygon], height, width) for polygon in polygons]))


def _require_polygon(polygon: Sequence[float]) -> None:
    fix = "draw at least three points, as x1, y1, x2, y2, x3, y3"
    if len(polygon) % 2:
        raise DatasetError("a polygon has an odd number of values", got=str(len(polygon)), fix=fix)
    if len(polygon) < 6:
        raise DatasetError(
            f"a polygon has {len(polygon) // 2} point{'s' * (len(polygon) != 2)}",
            got=", ".join(map(str, polygon)),
            fix=fix,
        )
    if not np.isfinite(np.asarray(polygon, np.float64)).all():
        raise DatasetError("a polygon has a value that is no number", got=str(list(polygon))[:80], fix=fix)


def from_coco(segmentation: Sequence[Any] | Mapping[str, Any], size_hw: tuple[int, int]) -> Mask:
    """COCO's ``segmentation``: a list of polygons, or run lengths, compressed or as plain numbers.

    Raises
    ------
    DatasetError : it is none of these, or was drawn on a picture of another size.
    """
    if not isinstance(segmentation, Mapping):
        return from_polygons(segmentation, size_hw)
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if list(size or ()) != list(size_hw):
        raise DatasetError(
            "a mask has another size than its picture",
            got=f"mask {size}, picture {list(size_hw)} (height, width)",
            fix="draw it on the upright picture of that size",
        )
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", "replace")
    if isinstance(counts, str):
        return checked_mask(Mask(size_hw, counts))
    return encode(_from_runs(counts, size_hw))


def _from_runs(runs: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) of plain run lengths: zeros first, column by column."""
    lengths = np.asarray(runs if runs is not None else [], np.float64).reshape(-1)
    total = size_hw[0] * size_hw[1]
    if (lengths < 0).any() or (lengths != np.floor(lengths)).any() or lengths.sum() != total:
        raise DatasetError(
            "run lengths do not fill their picture",
            got=f"{lengths.sum():g} pixels of {total:,}",
            fix="write it again with the program that it is from",
        )
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths.astype(np.int64)).reshape(size_hw, order="F")


def checked_mask(mask: Mask) -> Mask:
    """The mask itself, if its text can be read and fills its picture: the library takes any text.

    Raises
    ------
    DatasetError : the text is no run length, or is that of a picture of another size.
    """
    lengths = _lengths(mask.counts)
    total = mask.size_hw[0] * mask.size_hw[1]
    if lengths is None or min(lengths, default=0) < 0 or sum(lengths) != total:
        got = "text that is no run length" if lengths is None else f"{sum(lengths):,} pixels of {total:,}"
        raise DatasetError(
            "run lengths do not fill their picture",
            got=f"{got} ({mask.counts[:40]!r})",
            fix="write it again with the program that it is from",
        )
    return mask


def _lengths(text: str) -> list[int] | None:
    """The numbers in COCO's compressed text: 5 bits a character from "0" up, the sixth says that more follow; from the
    fourth on the difference from the last but one. None where the text is none.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return None if shift else lengths


def union(masks: Sequence[Mask]) -> Mask:
    """One mask of all; they are of one size, and there is at least one."""
    from hotcoco import mask as rle  # noqa: PLC0415

    return _of(rle.merge([mask.to_coco() for mask in masks]))


def iou(a: Sequence[Mask], b: Sequence[Mask], crowd: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """(N, M) intersection over union; where ``crowd`` (M,) is true, over the area of ``a`` alone (COCO's rule)."""
    from hotcoco.primitives import mask_iou  # noqa: PLC0415

    if not a or not b:
        return np.zeros((len(a), len(b)))
    marked = np.zeros(len(b), bool) if crowd is None else np.asarray(crowd, bool)
    found = mask_iou([m.to_coco() for m in a], [m.to_coco() for m in b], marked.tolist())
    return np.asarray(found, np.float64).reshape(len(a), len(b))


def _of(found: Mapping[str, Any]) -> Mask:
    counts = found["counts"]
    height, width = found["size"]
    return Mask((int(height), int(width)), counts.decode("ascii") if isinstance(counts, bytes) else counts)
