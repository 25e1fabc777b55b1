"""The parts train, validation and test: what leaks between them, what is missing in one, and whether they are alike.

Leaks are looked for in ``leaks``. Here are the rows: classes that a part lacks, rows without a part, tiny parts,
and shares of labels that differ more than chance explains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2_contingency

from assay.audit.checkups.leaks import find_leaks, listed_twice
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, finding
from assay.audit.rows import part_codes, paths_of
from assay.types import PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_TINY = 30
_RARELY = 0.001
_WEAK, _STRONG = 0.1, 0.25


def check_parts(examination: Examination) -> Iterator[Finding]:
    """All about the parts; where there are none, a note says so."""
    yield from listed_twice(examination)
    dataset = examination.dataset
    if len(dataset.parts) < 2:
        yield _no_parts(dataset.parts)
        return
    parts = part_codes(dataset)
    yield from _without_part(examination, parts)
    yield from find_leaks(examination, parts)
    yield from _tiny_parts(dataset.parts)
    if len(dataset.classes) > 1:
        counts = np.stack([_class_counts(examination, parts == code) for code in range(len(PARTS))])
        yield from _missing_classes(examination, counts)
        yield from _different_shares(examination, counts)


def _no_parts(parts: dict[str, int]) -> Finding:
    held = (
        f"There is only the part {next(iter(parts))}."
        if parts
        else "The pictures are not dealt to parts yet."
    )
    return finding(
        "note",
        "no-parts",
        "No parts to compare",
        f"{held} So leaks between train, validation and test were not looked for.",
        "`assay train` deals the parts by itself; `assay split` does so and writes them down.",
    )


def _without_part(examination: Examination, parts: Rows) -> Iterator[Finding]:
    rows, most = np.flatnonzero(parts < 0), examination.config.most
    if len(rows):
        kept = rows[:most].tolist()
        paths = paths_of(examination.dataset, kept)
        yield finding(
            "warning",
            "no-part",
            "Rows without a part",
            "One picture belongs to no part, and the others do.|{n} pictures belong to no part, and the others do.",
            "Fill the part column, or deal all anew with `assay split --force`.",
            (Item((path,), (row,)) for row, path in zip(kept, paths, strict=True)),
            count=len(rows),
            most=most,
        )


def _tiny_parts(parts: dict[str, int]) -> Iterator[Finding]:
    for part, n in parts.items():
        if n < _TINY:
            use = "teach" if part == "train" else "measure"
            yield finding(
                "warning",
                "tiny-part",
                f"The part {part} is tiny",
                f"The part {part} has {n:,} picture{'' if n == 1 else 's'}: too few to {use} anything with.",
                "Add pictures, or deal the parts anew with `assay split --force`.",
                figures={"part": part, "pictures": n},
                count=1,
            )


def _class_counts(examination: Examination, rows: NDArray[np.bool_]) -> Rows:
    """(K,) rows of each class, those with several labels counted for each."""
    dataset = examination.dataset
    targets = dataset.targets[rows]
    counts = np.bincount(targets[targets >= 0], minlength=len(dataset.classes))
    if "labels" in dataset.table.column_names:
        bare = np.flatnonzero(rows & (dataset.targets < 0))
        for names in dataset.table["labels"].take(bare).to_pylist():
            for name in names or ():
                counts[dataset.classes.position(name)] += 1
    return counts


def _missing_classes(examination: Examination, counts: NDArray[np.int64]) -> Iterator[Finding]:
    """Classes of which a part has no picture. Untaught ones make scores wrong, unmeasured ones leave them blind."""
    classes, have = examination.dataset.classes, counts.sum(axis=1) > 0
    untaught = (
        np.flatnonzero((counts[0] == 0) & (counts[1:].sum(axis=0) > 0)) if have[0] else np.empty(0, int)
    )
    if len(untaught):
        yield finding(
            "error",
            "untaught-class",
            "Classes that are not in train",
            "One class is measured but never taught: train has no picture of it.|{n} classes are measured but never "
            "taught: train has no picture of them.",
            "Correct the labels, add pictures of them to train, or deal the parts anew.",
            [
                Item((), (), f"{classes[k]}: {_where(counts[:, k])}", figures={"class": classes[k]})
                for k in untaught.tolist()
            ],
        )
    missing = [
        (part, k)
        for code, part in enumerate(PARTS[1:], 1)
        if have[code]
        for k in np.flatnonzero((counts[code] == 0) & (counts[0] > 0)).tolist()
    ]
    if missing:
        yield finding(
            "warning",
            "class-missing-in-part",
            "Classes that a part lacks",
            "One class has no picture in a part, so nothing is known of it there.|{n} times a class has no picture "
            "in a part, so nothing is known of it there.",
            "Add pictures of them, or deal the parts anew with `assay split --force`.",
            [
                Item(
                    (),
                    (),
                    f"{classes[k]} is not in {part}; {_where(counts[:, k])}",
                    figures={"class": classes[k], "part": part},
                )
                for part, k in missing
            ],
        )


def _where(counts: NDArray[np.int64]) -> str:
    return ", ".join(f"{n:,} in {part}" for part, n in zip(PARTS, counts.tolist(), strict=True) if n)


def _different_shares(examination: Examination, counts: NDArray[np.int64]) -> Iterator[Finding]:
    """Whether the parts have the labels in other shares than chance would give them.

    A chi-squared test says whether; Cramer's V, without its bias (Bergsma 2013), says how much. Classes with less
    than 5 expected pictures in a part are pooled, as the test asks for.
    """
    table = counts[counts.sum(axis=1) > 0]
    if len(table) < 2:
        return
    table = _pooled(table[:, table.sum(axis=0) > 0])
    if table.shape[1] < 2:
        return
    found = chi2_contingency(table, correction=False)
    size = _cramers_v(float(found.statistic), table)
    if found.pvalue > _RARELY or size < _WEAK:
        return
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    apart = shares.max(axis=0) - shares[counts.sum(axis=1) > 0].min(axis=0)
    order = np.argsort(-apart, kind="stable")[:20].tolist()
    classes = examination.dataset.classes
    yield finding(
        "warning" if size >= _STRONG else "note",
        "parts-imbalance",
        "The parts have the classes in different shares",
        "The classes are dealt to the parts more unevenly than chance would do it. A score on one part then says less "
        "about another.",
        "If the parts are meant to be alike, deal them anew with `assay split --force`.",
        [Item((), (), f"{classes[k]}: {_shares_told(counts, shares, k)}", float(apart[k])) for k in order],
        figures={
            "p": float(found.pvalue),
            "cramers_v": round(size, 4),
            "chi_squared": round(float(found.statistic), 2),
        },
        count=1,
    )


def _shares_told(counts: NDArray[np.int64], shares: NDArray[np.float64], k: int) -> str:
    held = zip(PARTS, shares[:, k].tolist(), counts.sum(axis=1).tolist(), strict=True)
    return ", ".join(f"{share:.1%} of {part}" for part, share, n in held if n)


def _pooled(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes with an expected count below 5 somewhere become one."""
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    rare = expected.min(axis=0) < 5
    kept = table[:, ~rare]
    return np.column_stack([kept, table[:, rare].sum(axis=1)]) if table[:, rare].sum(axis=1).all() else kept


def _cramers_v(statistic: float, table: NDArray[np.int64]) -> float:
    n, (r, c) = float(table.sum()), table.shape
    squared = max(0.0, statistic / n - (r - 1) * (c - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(squared / least)) if least > 0 else 0.0
