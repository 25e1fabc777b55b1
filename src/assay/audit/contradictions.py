"""Columns that name the classes too, and differ from the labels in some rows: one of the two is wrong there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from assay.audit.class_names import plain_name
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, finding
from assay.audit.rows import paths_of
from assay.audit.side_tables import SideColumn

_LEAST_KNOWN, _MOST_AGAINST = 0.8, 0.5
"""A column is about the classes when it names one in so many of its rows, and contradicts the label in no more."""


def contradictions(examination: Examination, columns: list[SideColumn]) -> Iterator[Finding]:
    """Columns that name the classes too, and differ from the labels in some rows."""
    dataset = examination.dataset
    classes = {plain_name(name): name for name in dataset.classes}
    if len(classes) < len(dataset.classes):
        return  # two classes under one spelling: the comparison would be of spellings
    given = [None if t < 0 else dataset.classes[int(t)] for t in dataset.targets]
    for column in columns:
        told = [None if v is None else classes.get(plain_name(str(v))) for v in column.values]
        known = sum(v is not None for v, g in zip(column.values, given, strict=True) if g is not None)
        rows = [i for i, (g, t) in enumerate(zip(given, told, strict=True)) if g and t]
        against = [i for i in rows if given[i] != told[i]]
        named = {told[i] for i in rows}
        if len(named) < 2 or len(rows) < _LEAST_KNOWN * known or len(against) > _MOST_AGAINST * len(rows):
            continue
        yield _contradiction(examination, column, against, rows, given, told)


def _contradiction(
    examination: Examination,
    column: SideColumn,
    against: list[int],
    rows: list[int],
    given: list[str | None],
    told: list[str | None],
) -> Finding:
    figures = {"column": column.name, "table": column.table, "compared": len(rows)}
    if not against:
        what = f"The column {column.where} names the same class as the labels for all {len(rows):,} pictures."
        return Finding("good", "side-table-agrees", "A table confirms the labels", what, figures=figures)
    paths = paths_of(examination.dataset, np.array(against))
    items = [
        Item(
            (path,),
            (row,),
            f"labelled {given[row]}, but {told[row]} there",
            None,
            {"given": given[row], "told": told[row]},
        )
        for path, row in zip(paths, against, strict=True)
    ]
    return finding(
        "warning",
        "side-table-contradicts",
        "A table contradicts the labels",
        (
            f"For one picture the column {column.where} names another class than its label.",
            f"For {{n}} of {len(rows):,} pictures the column {column.where} names another class than their label. One "
            "of the two is wrong.",
        ),
        "Look at these pictures and mend whichever is wrong, the label or the table.",
        items,
        figures=figures,
    )
