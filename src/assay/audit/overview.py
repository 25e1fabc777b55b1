"""The plain numbers of a data set: how many pictures by part and class, how large, of which formats."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from assay.audit.facts import Facts
from assay.data.flat_objects import FlatObjects
from assay.types import PARTS, Dataset


def overview_of(facts: Facts) -> dict[str, Any]:
    """Sizes in pixels (least, middle, greatest of the shorter and longer side), formats, bytes, broken files."""
    readable = facts.readable
    width, height = facts.column("width")[readable], facts.column("height")[readable]
    formats = Counter(str(name) for name in facts.column("format")[readable])
    return {
        "readable": int(readable.sum()),
        "broken": int((~readable).sum()),
        "bytes": int(facts.column("bytes").sum()),
        "formats": dict(formats.most_common()),
        "turned": int((facts.column("orientation")[readable] != 1).sum()),
        "shorter_side": _spread(np.minimum(width, height)),
        "longer_side": _spread(np.maximum(width, height)),
    }


def _spread(values: Any) -> dict[str, int]:
    """Least, quartiles and greatest; empty without values."""
    if not len(values):
        return {}
    names = ("least", "low", "middle", "high", "greatest")
    cuts = np.quantile(values, (0, 0.25, 0.5, 0.75, 1))
    return {name: round(float(cut)) for name, cut in zip(names, cuts, strict=True)}


def things_of(dataset: Dataset) -> dict[str, Any]:
    """``things``: class -> how many things, and ``pixel_classes``: how many; empty of a plain set of classes."""
    told: dict[str, Any] = {}
    if "objects" in dataset.table.column_names:
        things = FlatObjects.of(dataset)
        counts = np.bincount(things.labels, minlength=len(dataset.object_classes))
        told["things"] = {name: int(n) for name, n in zip(dataset.object_classes, counts, strict=True)}
    if len(dataset.pixel_classes):
        told["pixel_classes"] = len(dataset.pixel_classes)
    return told


def class_sizes(dataset: Dataset) -> dict[str, int]:
    """Class -> pictures that have it as their one label, in class order."""
    counts = np.bincount(dataset.targets[dataset.targets >= 0], minlength=len(dataset.classes))
    return {name: int(n) for name, n in zip(dataset.classes, counts, strict=True)}


def counts_by_part(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Part -> class -> pictures; empty where there are no parts."""
    if not dataset.parts:
        return {}
    column = np.array(dataset.table["part"].to_pylist(), dtype=object)
    found = {}
    for part in (name for name in PARTS if name in dataset.parts):
        targets = dataset.targets[column == part]
        counts = np.bincount(targets[targets >= 0], minlength=len(dataset.classes))
        found[part] = {name: int(n) for name, n in zip(dataset.classes, counts, strict=True)}
    return found
