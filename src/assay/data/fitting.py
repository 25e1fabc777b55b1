"""What becomes of single things that do not fit into a format though it has a place for their kind.

A box that reaches far out of its picture is no fraction of it (yolo); two masks cannot share a pixel (mask-png). Who
converts wants the rest all the same, and to be told: such things are cut to what fits, or their picture is left out. A
writer refuses them, as nobody who merely writes should find them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from assay.data.names import some
from assay.objects import objects_type
from assay.types import Dataset

Cell = list[dict[str, Any]] | None


@dataclass
class Fitted:
    """``dataset`` as it fits. ``left_out`` and ``changed`` are the paths of pictures by the sentence that says why;
    ``{n}`` in a sentence is the number of things, or of pictures that are left out. ``notes`` are sentences about how
    the rest is written, by which nothing is lost.
    """

    dataset: Dataset
    left_out: dict[str, list[str]] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, path: str, why: str) -> None:
        """Note a picture that cannot stay."""
        self.left_out.setdefault(why, []).append(path)

    def change(self, path: str, why: str) -> None:
        """Note a thing of a picture that is not as it was; once a thing."""
        self.changed.setdefault(why, []).append(path)

    @property
    def what_changed(self) -> list[str]:
        """A sentence for each reason of a change, with the first pictures."""
        return _told(self.changed)

    @property
    def what_is_left_out(self) -> list[str]:
        """A sentence for each reason for which pictures are left out, with the first of them."""
        return _told(self.left_out)

    @property
    def pictures_left_out(self) -> list[str]:
        """Paths in the order of the reasons."""
        return [path for paths in self.left_out.values() for path in paths]


def _told(reasons: Mapping[str, Sequence[str]]) -> list[str]:
    return [
        f"{why.format(n=f'{len(paths):,}')} ({some((PurePosixPath(p).name for p in dict.fromkeys(paths)), 5)})"
        for why, paths in reasons.items()
    ]


@runtime_checkable
class Fits(Protocol):
    """A format that can say how single things are made to fit."""

    def fit(self, dataset: Dataset) -> Fitted:
        """The data set as the format can hold it, and what was done. Raises nothing of single things."""
        ...


def fit_cells(fitted: Fitted, change: Callable[[int, str, Cell], Cell | None]) -> None:
    """Replace the cells ``objects`` of ``fitted.dataset``: ``change`` is called with (row, path, cell) of every picture
    with things, notes what it does in ``fitted``, and gives the new cell.

    A picture that is noted as left out goes; one that loses all its things is not one without any: nobody looked there.
    """
    dataset = fitted.dataset
    paths, cells = dataset.table["path"].to_pylist(), dataset.table["objects"].to_pylist()
    done: list[Cell] = []
    for row, (path, cell) in enumerate(zip(paths, cells, strict=True)):
        found = change(row, path, cell) if cell else cell
        done.append(None if cell and not found else found)
    if not (fitted.changed or fitted.left_out):
        return
    at = dataset.table.column_names.index("objects")
    table = dataset.table.set_column(at, "objects", pa.array(done, objects_type()))
    gone = set(fitted.pictures_left_out)
    kept = replace(dataset, table=table)
    fitted.dataset = kept.select(np.array([path not in gone for path in paths])) if gone else kept
