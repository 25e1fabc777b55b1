"""Classes: how many there are, how large, and whether two of them are one under two spellings.

Effective number of classes: the exponential of the entropy of the class shares (Hill 1973), so that ten classes of
which one holds nearly all pictures count as little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.class_names import plain_name
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, finding
from assay.data.check_objects import describes_things
from assay.data.names import some

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW, SOME = 5, 20
_HARDLY = 100
_IMBALANCE, _STRONG_IMBALANCE = 10.0, 50.0
_UNLABELLED = 0.2


def check_classes(examination: Examination) -> Iterator[Finding]:
    """One class, hardly any pictures, small or empty classes, imbalance, spellings, missing labels."""
    if not len(examination.dataset.classes) and describes_things(examination.dataset):
        return
    names = list(examination.dataset.classes)
    several = "labels" in examination.dataset.table.column_names
    yield from _unlabelled(examination, several=several)
    counts = _of_several(examination) if several else _of_one(examination)
    yield from _how_many(names, counts)
    yield from _small(names, counts)
    yield from _imbalance(names, counts)
    yield from _spellings(names, counts)


def _of_one(examination: Examination) -> NDArray[np.int64]:
    targets = examination.dataset.targets
    counts = np.bincount(targets[targets >= 0], minlength=len(examination.dataset.classes))
    return counts.astype(np.int64)


def _of_several(examination: Examination) -> NDArray[np.int64]:
    """(K,) pictures that carry each label; one picture may count for several."""
    names = examination.dataset.classes
    counts = np.zeros(len(names), np.int64)
    for labels in examination.dataset.table["labels"].to_pylist():
        for label in set(labels or ()):
            counts[names.position(label)] += 1
    return counts


def _unlabelled(examination: Examination, *, several: bool) -> Iterator[Finding]:
    table = examination.dataset.table
    missing = ~examination.labelled
    if several:
        lengths = np.asarray([bool(labels) for labels in table["labels"].to_pylist()])
        missing = missing & ~lengths
    rows = np.flatnonzero(missing)
    share = len(rows) / max(1, len(missing))
    if not len(rows):
        return
    paths = table["path"].take(rows[:1000]).to_pylist()
    items = [Item((path,), (int(row),)) for path, row in zip(paths, rows[:1000], strict=True)]
    yield finding(
        "error" if share == 1 else "warning" if share > _UNLABELLED else "note",
        "unlabelled",
        "Pictures without a label",
        f"One picture ({share:.0%}) has no label.|{{n}} pictures ({share:.0%}) have no label.",
        "Label them, or take them out: training and measuring pass them over.",
        items,
        count=len(rows),
        figures={"share": round(share, 4)},
    )


def _how_many(names: list[str], counts: NDArray[np.int64]) -> Iterator[Finding]:
    filled, total = int((counts > 0).sum()), int(counts.sum())
    if total and filled < 2:
        only = names[int(counts.argmax())]
        yield Finding(
            "error",
            "one-class",
            "Only one class",
            f"All {total:,} labelled pictures belong to the class {only!r}, so there is nothing to tell apart.",
            "Add pictures of what it must be told from, in a folder or with a label of their own.",
            1,
            figures={"class": only},
        )
    if 0 < total < _HARDLY:
        yield Finding(
            "error" if total < SOME else "warning",
            "hardly-any-pictures",
            "Hardly any pictures",
            f"There are {total} labelled pictures in all. A score measured on a part of them says next to nothing.",
            f"Collect at least {SOME} pictures a class to begin with, better {_HARDLY}.",
            1,
            figures={"pictures": total},
        )


def _small(names: list[str], counts: NDArray[np.int64]) -> Iterator[Finding]:
    empty = [n for n, c in zip(names, counts, strict=True) if c == 0]
    if empty and counts.any():
        yield finding(
            "warning",
            "empty-classes",
            "Classes without a picture",
            (f"One class has no picture: {some(empty)}.", f"{{n}} classes have no picture: {some(empty)}."),
            "Take them out of the list of classes, or add pictures.",
            [Item((), (), name) for name in empty],
        )
    for least, low, level, code in (
        (FEW, 1, "warning", "tiny-classes"),
        (SOME, FEW, "note", "small-classes"),
    ):
        held = sorted((int(c), n) for n, c in zip(names, counts, strict=True) if low <= c < least)
        if held:
            listed = some((f"{n} ({c})" for c, n in held), 8)
            words = f"fewer than {least} pictures"
            yield finding(
                level,  # type: ignore[arg-type]
                code,
                f"Classes with {words}",
                (f"One class has {words}: {listed}.", f"{{n}} classes have {words}: {listed}."),
                "Add pictures of them, merge them with a similar class, or leave them out: so few can neither be "
                "learnt nor measured."
                if least == FEW
                else "Add pictures: what is measured for these classes will be rough.",
                [Item((), (), f"{n}: {c}", float(c), {"class": n, "pictures": c}) for c, n in held],
            )


def _imbalance(names: list[str], counts: NDArray[np.int64]) -> Iterator[Finding]:
    held = counts[counts > 0]
    if len(held) < 2:
        return
    ratio, shares = float(held.max() / held.min()), held / held.sum()
    effective = float(np.exp(-(shares * np.log(shares)).sum()))
    largest, smallest = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    figures: dict[str, Any] = {
        "ratio": round(ratio, 2),
        "effective_classes": round(effective, 2),
        "classes": len(held),
        "largest": names[largest],
        "largest_share": round(float(shares.max()), 4),
        "smallest": names[smallest],
    }
    told = (
        f"The largest class, {names[largest]!r}, has {counts[largest]:,} pictures ({shares.max():.0%}), the smallest, "
        f"{names[smallest]!r}, {counts[smallest]:,}."
    )
    if ratio < _IMBALANCE:
        words = f"{told} That is even enough."
        yield Finding("good", "balance", "Classes are of similar size", words, figures=figures)
        return
    yield Finding(
        "warning" if ratio >= _STRONG_IMBALANCE or shares.max() > 0.9 else "note",
        "imbalance",
        "Classes of very different size",
        f"{told} They are worth {effective:.1f} equal classes of {len(held)}. Who always answers {names[largest]!r} is "
        f"right {shares.max():.0%} of the time.",
        "Add pictures of the small classes; do not judge by accuracy alone, but by balanced accuracy and by class.",
        1,
        figures=figures,
    )


def _spellings(names: list[str], counts: NDArray[np.int64]) -> Iterator[Finding]:
    alike: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        alike.setdefault(plain_name(name), []).append(number)
    items = [
        Item(
            (),
            (),
            " / ".join(f"{names[i]} ({counts[i]:,})" for i in held),
            figures={"classes": [names[i] for i in held]},
        )
        for held in alike.values()
        if len(held) > 1
    ]
    if items:
        yield finding(
            "warning",
            "class-spellings",
            "Class names that differ in spelling only",
            (
                f"One class seems to have two names: {items[0].text}.",
                f"{{n}} classes seem to have several names, such as {items[0].text}.",
            ),
            "Give them one name: rename the folders, or mend the labels in the table.",
            items,
        )
