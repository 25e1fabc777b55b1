"""The classes of things: how many there are of each, in which parts, and whether the parts are enough to tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.checkups.classes import FEW, SOME
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, Level, finding
from assay.data.check_objects import classes_lacking
from assay.data.names import some

if TYPE_CHECKING:
    from assay.data.flat_objects import FlatObjects


def check_object_classes(examination: Examination, things: FlatObjects) -> Iterator[Finding]:
    """Classes without a thing, with hardly any, and those that one part lacks."""
    names = list(examination.dataset.object_classes)
    counts = np.bincount(things.labels[~things.crowd], minlength=len(names))
    empty = [name for name, n in zip(names, counts, strict=True) if n == 0]
    if empty:
        yield finding(
            "warning",
            "empty-object-classes",
            "Classes without a thing",
            "One class of things has no box.|{n} classes of things have no box.",
            "Take them out of the list of classes, or label some.",
            [Item((), (), name) for name in empty],
        )
    kinds: tuple[tuple[int, int, Level, str], ...] = (
        (FEW, 1, "warning", "tiny-object-classes"),
        (SOME, FEW, "note", "small-object-classes"),
    )
    for least, low, level, code in kinds:
        held = sorted((int(n), name) for n, name in zip(counts, names, strict=True) if low <= n < least)
        if held:
            yield finding(
                level,
                code,
                f"Classes with fewer than {least} things",
                f"One class has fewer than {least} things.|{{n}} classes have fewer than {least} things.",
                "Label more of them, merge them with a similar class, or leave them out: so few can neither be learnt "
                "nor measured.",
                [Item((), (), f"{name}: {n}", float(n), {"class": name, "things": n}) for n, name in held],
            )
    yield from _lacking(examination, things)


def _lacking(examination: Examination, things: FlatObjects) -> Iterator[Finding]:
    lacking = classes_lacking(examination.dataset, things)
    if not lacking:
        return
    by_part: dict[str, list[str]] = {}
    for part, name in lacking:
        by_part.setdefault(part, []).append(name)
    figures: dict[str, Any] = {part: len(names) for part, names in by_part.items()}
    untaught = by_part.get("train", [])
    yield finding(
        "error" if untaught else "warning",
        "object-classes-missing",
        "Classes of things that a part lacks",
        "Classes of things are missing in a part, so they cannot be learnt or measured there.",
        "Deal the parts anew (`assay split --force`), or label more of them.",
        [
            Item((), (), f"{part}: {some(names, 12)}", figures={"part": part})
            for part, names in by_part.items()
        ],
        count=1,
        figures=figures,
    )
