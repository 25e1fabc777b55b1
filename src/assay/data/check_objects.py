"""Faults of boxes, masks and pixels that show in the rows alone. No file is opened.

What the reader kept out comes first. Then boxes that reach outside their picture, the same box twice, classes of things
that no part or one part alone has. Where the picture's size is not in the table, nothing is said about outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from assay.data.faults import faults_of
from assay.data.problems import Problem, problem
from assay.types import Dataset

_OUTSIDE_PX = 1.0
"""Rounding puts a side a pixel outside; that is no fault."""


@dataclass
class _Seen:
    """Places that were found, and how often each class occurs in each part."""

    outside: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    boxes: int = 0
    labelled: int = 0


def describes_things(dataset: Dataset) -> bool:
    """Whether the data set says what is in pictures, or in their pixels, rather than what a picture is."""
    names = set(dataset.table.column_names)
    return bool(names & {"objects", "pixels"})


def check_objects(dataset: Dataset) -> Iterator[Problem]:
    """Every fault of the things in the pictures, kind by kind."""
    yield from _kept_out(dataset)
    if "objects" not in dataset.table.column_names or not len(dataset):
        return
    seen = _look(dataset)
    if not seen.labelled:
        yield problem("warning", "no-boxes-known", "no picture has boxes", "label some", (), 1)
        return
    if not seen.boxes:
        fix = "boxes are drawn where something is; a data set without any teaches only that there is nothing"
        yield problem("warning", "no-boxes", "every picture is labelled as empty", fix, (), 1)
    if seen.outside:
        what = "one box reaches outside its picture|{n} boxes reach outside their pictures"
        fix = "if many do, sizes are swapped or the boxes were drawn on a turned picture; training cuts them off"
        yield problem("warning", "box-outside", what, fix, seen.outside)
    if seen.twice:
        what = "one box is there twice|{n} boxes are there twice"
        yield problem("warning", "same-box-twice", what, "remove one of each", seen.twice)
    yield from _classes(dataset, seen)


def _kept_out(dataset: Dataset) -> Iterator[Problem]:
    faults, count = faults_of(dataset)
    if count:
        what = "one thing could not be used and is kept out|{n} things could not be used and are kept out"
        fix = (
            faults[0].fix
            if len({f.fix for f in faults}) == 1
            else "`assay convert --json` names the first 1,000 with their fixes"
        )
        yield problem("warning", "kept-out", what, fix, [str(fault) for fault in faults], count)


def _look(dataset: Dataset) -> _Seen:
    seen = _Seen()
    names = [
        n for n in ("path", "part", "objects", "height_px", "width_px") if n in dataset.table.column_names
    ]
    for batch in dataset.table.select(names).to_batches(max_chunksize=2048):
        for row in batch.to_pylist():
            if row["objects"] is not None:
                _look_at(row["objects"], row, seen)
    return seen


def _look_at(things: list[dict], row: dict, seen: _Seen) -> None:  # type: ignore[type-arg]
    seen.labelled += 1
    seen.boxes += len(things)
    height, width = row.get("height_px"), row.get("width_px")
    counted: Counter[tuple[str, tuple[float, ...]]] = Counter()
    for thing in things:
        box = np.asarray(thing["box"], np.float64)
        seen.counts[row.get("part") or "", thing["label"]] += 1
        counted[thing["label"], tuple(box)] += 1
        if height is None or width is None:
            continue
        if box[:2].min() < -_OUTSIDE_PX or box[2] > width + _OUTSIDE_PX or box[3] > height + _OUTSIDE_PX:
            seen.outside.append(f"{row['path']} {thing['label']} ({', '.join(f'{v:g}' for v in box)})")
    seen.twice += [f"{row['path']} {label}" for (label, _), n in counted.items() if n > 1]


def _classes(dataset: Dataset, seen: _Seen) -> Iterator[Problem]:
    """Classes without any box, and classes that one part alone lacks."""
    held = {label for _, label in seen.counts}
    if none := [name for name in dataset.object_classes if name not in held]:
        what = "one class of things has no box|{n} classes of things have no box"
        yield problem("warning", "empty-object-class", what, "label some, or take it out", none)
    parts = sorted({part for part, _ in seen.counts} - {""})
    lacking = [
        f"{name} ({part})"
        for part in parts
        for name in dataset.object_classes
        if name in held and not seen.counts[part, name]
    ]
    if lacking:
        what = "one class of things is missing in a part|classes of things are missing in parts, {n} times"
        yield problem("warning", "object-class-missing", what, "deal the parts anew, or label more", lacking)
