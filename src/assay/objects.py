"""What is in one picture: boxes with classes, perhaps masks; and how a table of pictures holds them.

In a table (``types.Dataset``) the column ``objects`` is a list a picture. *Null* says that nobody looked: the picture
is unlabelled for boxes, and teaches nothing, not even that there is nothing. An *empty* list says that somebody looked
and found none, which is a true negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.boxes import as_boxes
from assay.errors import DatasetError
from assay.labels import ClassNames
from assay.masks import Mask

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

ANY_CLASS = -1
"""Label of a region where things of any class may be, in training."""


@dataclass(frozen=True, eq=False)
class Objects:
    """N things in a picture.

    ``boxes_xyxy`` (N, 4) float64 pixels of the upright picture; ``labels`` (N,) int64 positions in the data set's
    ``object_classes``; ``masks`` N masks, None for a thing that has a box alone; ``crowd`` (N,) bool: regions of many
    things, which are no example of one (COCO's ``iscrowd``).
    """

    boxes_xyxy: NDArray[np.float64]
    labels: NDArray[np.int64]
    masks: tuple[Mask | None, ...] = ()
    crowd: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n = len(self.boxes_xyxy)
        if not self.masks:
            object.__setattr__(self, "masks", (None,) * n)
        if self.crowd is None:
            object.__setattr__(self, "crowd", np.zeros(n, bool))
        crowd = self.crowd if self.crowd is not None else ()
        if not len(self.labels) == len(self.masks) == len(crowd) == n:
            raise DatasetError(
                "boxes, labels, masks and crowd differ in number",
                got=f"{n}, {len(self.labels)}, {len(self.masks)}, {len(crowd)}",
            )

    def __len__(self) -> int:
        return len(self.boxes_xyxy)

    @classmethod
    def from_rows(
        cls, rows: Sequence[Mapping[str, Any]], classes: ClassNames, size_hw: tuple[int, int] | None
    ) -> Objects:
        """From a cell of the column ``objects``; ``size_hw`` is the picture's, for its masks.

        Raises
        ------
        DatasetError : there are masks and no size.
        """
        masks = tuple(None if r["mask"] is None else _mask(r["mask"], size_hw) for r in rows)
        return cls(
            as_boxes([r["box"] for r in rows]),
            np.array([classes.position(r["label"]) for r in rows], np.int64),
            masks,
            np.array([bool(r["crowd"]) for r in rows], bool),
        )

    def to_rows(self, classes: ClassNames) -> list[dict[str, Any]]:
        """The cell of the column ``objects``; the inverse of ``from_rows``."""
        crowd = np.zeros(len(self), bool) if self.crowd is None else self.crowd
        return [
            {
                "label": classes[int(label)],
                "box": [float(v) for v in box],
                "mask": None if mask is None else mask.counts,
                "crowd": bool(many),
            }
            for label, box, mask, many in zip(self.labels, self.boxes_xyxy, self.masks, crowd, strict=True)
        ]


def _mask(counts: str, size_hw: tuple[int, int] | None) -> Mask:
    if size_hw is None:
        raise DatasetError(
            "a picture with masks has no size, so they cannot be drawn",
            got="height_px or width_px is empty",
            fix="fill in both columns with the size of the upright picture (`assay.image.read_size`)",
        )
    return Mask(size_hw, counts)


def objects_type() -> pa.DataType:
    """The Arrow type of the column ``objects``: a list of structs of label, box (4 doubles), mask (text), crowd."""
    import pyarrow as pa  # noqa: PLC0415 - a Prediction needs no Arrow

    fields = [
        ("label", pa.string()),
        ("box", pa.list_(pa.float64(), 4)),
        ("mask", pa.string()),
        ("crowd", pa.bool_()),
    ]
    return pa.list_(pa.struct(fields))
