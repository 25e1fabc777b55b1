"""What is kept of an evaluation, picture by picture: truth and answers, in the order of the network's classes.

Everything that is measured of a network of several heads is worked out from this, so it can be measured again at
another score, on fewer pictures, or beside another network, without asking the network a second time. Of pixels only
counts are kept, and the answers of a few pictures to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.detections import Detections
from assay.labels import ClassNames
from assay.metrics.interval import group_numbers
from assay.metrics.matches import Matches, match
from assay.metrics.panoptic import PanopticCounts
from assay.metrics.pool import Ints, pool
from assay.metrics.segment import PixelCounts
from assay.objects import Objects


@dataclass(frozen=True, eq=False)
class SceneMaterial:
    """Truth and answers of N pictures that could be read.

    ``heads`` are those that were measured. ``targets`` (N,) are class indices, -1 where none is known, ``probs`` (N, K)
    the answers; ``tags`` (N, K) int8 is 1, 0 or -1 (nobody looked), ``tag_scores`` (N, K) the answers; K is 0 where
    there is no such head. ``truth`` is None where nobody looked for things. ``pixels`` and ``panoptic`` count those
    pictures that their ``rows`` name. ``planes`` are truth and answer of a few pictures, by row, as palette PNG.
    """

    paths: list[str]
    groups: list[str | None] | None
    sizes_hw: Ints
    heads: tuple[str, ...]
    classes: ClassNames
    object_classes: ClassNames
    pixel_classes: ClassNames
    targets: Ints
    probs: NDArray[np.float32]
    tags: NDArray[np.int8]
    tag_scores: NDArray[np.float32]
    truth: tuple[Objects | None, ...]
    found: tuple[Detections, ...]
    pixels: PixelCounts | None = None
    panoptic: PanopticCounts | None = None
    planes: Mapping[int, tuple[bytes, bytes]] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    @cached_property
    def boxes(self) -> Matches:
        """Detections matched with things by their boxes."""
        return match(pool(self.truth, self.found, self.object_classes))

    @cached_property
    def masks(self) -> Matches:
        """Detections matched with things by their masks, in pictures where every thing has one."""
        truth = [None if one is None or None in one.masks else one for one in self.truth]
        return match(pool(truth, self.found, self.object_classes, kind="masks"))

    def groups_of(self, rows: Ints) -> Ints | None:
        """(M,) group number of each of these pictures, None where no group holds two of them."""
        return group_numbers(None if self.groups is None else [self.groups[int(i)] for i in rows], len(rows))
