"""What is measured of pixel classes, counted picture by picture while a network answers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.drawing import background_of as place_of_background
from assay.labels import ClassNames
from assay.metrics.boundary import boundary_counts
from assay.metrics.interval import Floats
from assay.metrics.pool import Ints
from assay.metrics.resample import mean_known
from assay.metrics.scene_section import Section
from assay.metrics.segment import PixelCounts, confusion_of, iou_of, measure_pixels, pixel_class_rows
from assay.pixel_masks import encode_pixels

KEPT_PLANES = 24
"""So many answers are kept as pictures, with the truth: those of the lowest mean IoU."""


@dataclass(frozen=True)
class PixelSection(Section):
    """``estimates`` are those of ``measure_pixels``; ``miou_foreground`` is the mean IoU without ``background``.

    ``confusion`` (K, K) pixels as lists, row truth, column answer. ``per_class`` has a row a class.
    """

    pictures: int
    background: str | None
    per_class: list[dict[str, Any]]
    confusion: list[list[int]]


def background_of(classes: ClassNames) -> str | None:
    """The class that stands for nothing in particular, if there is one."""
    place = place_of_background(classes)
    return None if place is None else classes[place]


def measure_plane(
    counts: PixelCounts, *, draws: int = 1000, seed: int = 0, groups: Ints | None = None
) -> PixelSection:
    """Scores with intervals over pictures, or over whole groups (N,) (``group_numbers``)."""
    background = background_of(counts.classes)
    options: dict[str, Any] = {"draws": draws, "seed": seed, "groups": groups}
    found = measure_pixels(counts, background=background, **options)
    found = {name.replace("no_background", "foreground"): value for name, value in found.items()}
    return PixelSection(
        found, counts.n, background, pixel_class_rows(counts, **options), counts.confusion.tolist()
    )


def picture_ious(counts: PixelCounts) -> Floats:
    """(N,) mean IoU of each picture over the classes that are in it or were told."""
    return mean_known(iou_of(counts.hits, counts.truth, counts.predicted))


@dataclass
class PixelTally:
    """Counts pictures one after another; of the whole planes only those of a few pictures stay, as PNG."""

    classes: ClassNames
    rows: list[int] = field(default_factory=list)
    sums: list[Ints] = field(default_factory=list)
    edges: list[Ints] = field(default_factory=list)
    worst: list[tuple[float, int, bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = np.zeros((len(self.classes),) * 2, np.int64)

    def add(self, row: int, truth: NDArray[np.uint8], answer: NDArray[np.uint8]) -> None:
        """Count a picture, as ``count_pixels`` does.

        Raises
        ------
        ConfigError, DatasetError : as ``count_pixels``.
        """
        k = len(self.classes)
        cells = confusion_of(truth, answer, k)
        self.confusion += cells
        self.rows.append(row)
        self.sums.append(np.stack([np.diag(cells), cells.sum(1), cells.sum(0)]))
        self.edges.append(boundary_counts(truth, answer, k))
        overlap = float(mean_known(iou_of(*self.sums[-1])))
        badness = -overlap if np.isfinite(overlap) else -1.0
        if len(self.worst) == KEPT_PLANES:
            if badness <= self.worst[0][0]:
                return
            heapq.heappop(self.worst)
        heapq.heappush(self.worst, (badness, row, encode_pixels(truth), encode_pixels(answer)))

    def planes(self) -> dict[int, tuple[bytes, bytes]]:
        """Row -> truth and answer as palette PNG, the lowest IoU first."""
        return {row: (truth, answer) for _, row, truth, answer in sorted(self.worst, reverse=True)}

    def counts(self) -> PixelCounts | None:
        """What was counted; None where no picture was."""
        if not self.rows:
            return None
        hits, own, given = np.array(self.sums, np.int64).transpose(1, 0, 2)
        rows = np.array(self.rows, np.int64)
        return PixelCounts(hits, own, given, self.confusion, np.array(self.edges), rows, self.classes)
