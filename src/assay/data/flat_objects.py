"""All things of a data set as flat arrays, and what is odd about them: the look of ``assay check`` and the doctor.

A set like COCO has 860,000 things, so nothing here loops over them in Python but the hulls of masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.boxes import area, as_boxes, from_xywh, iou
from assay.types import Dataset, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
    Boxes = NDArray[np.float64]

OUTSIDE_PX = 1.0
"""Rounding puts a side a pixel outside; that is no fault."""

OFF_PX, OFF_SHARE = 3.0, 0.1
"""A mask disagrees with its box where a side of its hull is off by more than both: so many pixels, and so much of the
box's own width or height. Polygons drawn by hand and their boxes differ by a pixel or two."""

SAME_IOU = 0.95
"""Two boxes of one class that overlap by this are one thing, drawn twice: two things beside each other never do."""


@dataclass(frozen=True)
class FlatObjects:
    """N things in the order of the rows.

    ``rows`` (N,) is the picture's row; ``boxes_xyxy`` (N, 4) pixels; ``labels`` (N,) positions in ``object_classes``;
    ``crowd`` (N,) bool; ``masks`` N run lengths, None without one; ``sizes_hw`` (P, 2) of the P pictures, NaN where the
    table does not say; ``looked`` (P,) whether somebody looked for things there.
    """

    rows: Rows
    boxes_xyxy: Boxes
    labels: Rows
    crowd: NDArray[np.bool_]
    masks: Sequence[str | None]
    sizes_hw: NDArray[np.float64]
    looked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, dataset: Dataset) -> FlatObjects:
        """The things of a data set; none of one without the column ``objects``."""
        table = dataset.table
        sizes = np.stack([_side(table, name) for name in ("height_px", "width_px")], axis=1)
        if "objects" not in table.column_names:
            nothing = np.zeros(0, np.int64)
            looked = np.zeros(len(table), bool)
            return cls(nothing, np.zeros((0, 4)), nothing, np.zeros(0, bool), [], sizes, looked)
        cells = table["objects"].combine_chunks()
        cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        things = cells.flatten()
        boxes = pc.struct_field(things, "box").flatten().to_numpy(zero_copy_only=False)
        names = pa.array(list(dataset.object_classes), pa.string())
        return cls(
            rows=pc.list_parent_indices(cells).to_numpy(zero_copy_only=False).astype(np.int64),
            boxes_xyxy=as_boxes(boxes),
            labels=class_codes(pc.struct_field(things, "label"), names),
            crowd=pc.fill_null(pc.struct_field(things, "crowd"), False).to_numpy(zero_copy_only=False),
            masks=pc.struct_field(things, "mask").to_pylist(),
            sizes_hw=sizes,
            looked=pc.is_valid(cells).to_numpy(zero_copy_only=False),
        )

    @cached_property
    def hulls_xyxy(self) -> Boxes:
        """(N, 4) the smallest box around each mask; NaN without a mask, or where its picture's size is not known."""
        from hotcoco import mask as rle  # noqa: PLC0415 - loaded by those who have masks

        found = np.full((len(self), 4), np.nan)
        sizes = self.sizes_hw[self.rows]
        known = np.isfinite(sizes[:, 0] * sizes[:, 1])
        drawn = [i for i, counts in enumerate(self.masks) if counts is not None and known[i]]
        for start in range(0, len(drawn), _BATCH):
            block = drawn[start : start + _BATCH]
            masks = [{"size": [int(n) for n in sizes[i]], "counts": self.masks[i]} for i in block]
            found[block] = from_xywh(as_boxes(rle.to_bbox(masks)))
        return found

    @property
    def sides_px(self) -> NDArray[np.float64]:
        """(N,) square root of the area of each box, COCO's measure of size."""
        return np.asarray(np.sqrt(area(self.boxes_xyxy)))

    def crowded(self) -> tuple[Rows, Rows]:
        """(pictures with far more things than the others, see ``MANY``; how many things), most first."""
        counts = np.bincount(self.rows, minlength=len(self.looked))
        usual = float(np.quantile(counts[counts > 0], 0.5, method="lower")) if len(self) else 0.0
        rows = np.flatnonzero(counts > max(MANY, MANY_TIMES * usual))
        rows = rows[np.argsort(-counts[rows], kind="stable")]
        return rows, counts[rows]

    def outside(self, *, swapped: bool = False) -> NDArray[np.bool_]:
        """(N,) whether the box reaches out of its picture; ``swapped``: out of one of its height by its width."""
        height, width = (self.sizes_hw[self.rows, i] for i in ((1, 0) if swapped else (0, 1)))
        x1, y1, x2, y2 = self.boxes_xyxy.T
        reaches = (x2 > width + OUTSIDE_PX) | (y2 > height + OUTSIDE_PX) | (np.minimum(x1, y1) < -OUTSIDE_PX)
        return np.asarray(np.isfinite(height * width) & reaches)

    def in_turned_frame(self) -> Rows:
        """Pictures whose boxes reach outside, and would all lie inside were width and height swapped."""
        reaching = np.unique(self.rows[self.outside()])
        return np.setdiff1d(reaching, np.unique(self.rows[self.outside(swapped=True)]))

    def masks_off(self) -> tuple[Rows, NDArray[np.float64]]:
        """(things whose mask and box disagree, by how many pixels), see ``OFF_PX``; crowds are left alone."""
        off = np.abs(self.hulls_xyxy - self.boxes_xyxy)  # N 4
        sides = np.tile(self.boxes_xyxy[:, 2:] - self.boxes_xyxy[:, :2], 2)
        is_off = (off > np.maximum(OFF_PX, OFF_SHARE * sides)).any(axis=1) & ~self.crowd
        things = np.flatnonzero(is_off)
        return things, np.nan_to_num(off).max(axis=1, initial=0.0)[things]

    def twice(self) -> Rows:
        """Things whose very box and class another one of the picture has: all but the first of each."""
        key = np.column_stack([self.rows, self.labels, self.boxes_xyxy, self.crowd])
        _, first, inverse = np.unique(key, axis=0, return_index=True, return_inverse=True)
        return np.flatnonzero(first[np.reshape(inverse, -1)] != np.arange(len(self)))

    def nearly_twice(self, *, other_class: bool = False) -> list[tuple[int, int]]:
        """Pairs of things that lie on each other (``SAME_IOU``), of one class but not the very same box; with
        ``other_class`` pairs of two classes, the very same boxes among them. Crowds are left alone.
        """
        starts = np.flatnonzero(np.diff(self.rows, prepend=-1))
        ends = np.append(starts[1:], len(self))
        found: list[tuple[int, int]] = []
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if 1 < end - start <= _MOST_PAIRED:
                found += self._pairs(start, end, other_class)
        return found

    def _pairs(self, start: int, end: int, other_class: bool) -> list[tuple[int, int]]:
        boxes, labels, crowd = self.boxes_xyxy[start:end], self.labels[start:end], self.crowd[start:end]
        same = labels[:, None] == labels[None, :]
        near = (iou(boxes, boxes) >= SAME_IOU) & ~crowd[:, None] & ~crowd[None, :]
        equal = (boxes[:, None] == boxes[None]).all(axis=2)
        near &= ~same if other_class else same & ~equal
        return [(start + int(a), start + int(b)) for a, b in zip(*np.nonzero(np.triu(near, 1)), strict=True)]

    def sides_at(self, size: int) -> NDArray[np.float64]:
        """(N,) ``sides_px`` once pictures are ``size`` px on their longer side; NaN where their size is not known."""
        return np.asarray(self.sides_px * (size / self.sizes_hw.max(axis=1))[self.rows])

    def size_for(self, side_px: float, share: float) -> int | None:
        """The least longer side of pictures, a multiple of 32, at which this share of things has at least this side.

        None where nothing is known.
        """
        needed = side_px / self.sides_at(1)[~self.crowd]
        needed = needed[np.isfinite(needed)]
        if not len(needed):
            return None
        return 32 * math.ceil(float(np.quantile(needed, share, method="higher")) / 32)


MANY, MANY_TIMES = 1000, 20.0
"""A picture with more things than both, the second in times of the middle one's, is hardly labelled by hand."""

_BATCH = 4096
_MOST_PAIRED = 2000
"""More things of one picture are not compared in pairs: that would take a table of millions."""


def _side(table: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), np.float64)
