"""Which rows a mended copy leaves out or renames, and what a person has to judge: from findings to decisions by row.

Nothing is guessed. A label is never changed: suspects are listed. Of pictures that stand in two parts the copy in the
part that is worth most for measuring stays: test before validation before train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from assay.audit.finding import Finding, Item
from assay.audit.outcome import Audit
from assay.types import PARTS, Dataset


@dataclass
class Decisions:
    """``left_out`` row -> why; ``formats`` row -> what the file really is; ``review`` what a person should judge."""

    ranks: Any
    left_out: dict[int, str] = field(default_factory=dict)
    formats: dict[int, str] = field(default_factory=dict)
    review: list[dict[str, Any]] = field(default_factory=list)
    _reviewed: set[tuple[int, str]] = field(default_factory=set)

    def drop(self, row: int, why: str) -> None:
        """Leave a row out; the first reason is told."""
        self.left_out.setdefault(row, why)

    def judge(self, row: int, path: str, why: str, **told: Any) -> None:
        """List a picture for a person."""
        if (row, why) not in self._reviewed:
            self._reviewed.add((row, why))
            self.review.append({"path": path, **told, "why": why})

    def present(self, item: Item) -> list[tuple[int, str]]:
        """(row, path) of the item's pictures that are still there."""
        return [(r, p) for r, p in zip(item.rows, item.paths, strict=True) if r not in self.left_out]


Remedy = Callable[[Decisions, Finding, Item, Mapping[str, Any]], None]


def _broken(decided: Decisions, found: Finding, item: Item, _told: Mapping[str, Any]) -> None:
    for row in item.rows:
        decided.drop(row, f"{found.code}: {item.text}" if item.text else found.code)


def _contradiction(decided: Decisions, found: Finding, item: Item, told: Mapping[str, Any]) -> None:
    labels = told["labels"]
    for row, path in decided.present(item):
        others = sorted({str(labels[r]) for r in item.rows if r != row and labels[r] != labels[row]})
        decided.judge(row, path, found.code, given=labels[row] or "", suggested=" | ".join(others))
    for row in item.rows:
        decided.drop(row, f"{found.code}: the same picture has another label elsewhere")


def _across_parts(decided: Decisions, found: Finding, item: Item, _told: Mapping[str, Any]) -> None:
    present = decided.present(item)
    best = max((decided.ranks[row] for row, _ in present), default=0)
    keeper = next((path for row, path in present if decided.ranks[row] == best), "")
    for row, _ in present:
        if decided.ranks[row] < best:
            decided.drop(row, f"{found.code}: it is also in {PARTS[best - 1]} as {keeper}")


def _copies(decided: Decisions, found: Finding, item: Item, _told: Mapping[str, Any]) -> None:
    present = decided.present(item)
    if not present:
        return
    keeper = max(present, key=lambda held: (decided.ranks[held[0]], -held[0]))
    for row, _ in present:
        if row != keeper[0]:
            decided.drop(row, f"{found.code}: a copy of {keeper[1]}")


def _rename(decided: Decisions, _found: Finding, item: Item, _told: Mapping[str, Any]) -> None:
    for row, _ in decided.present(item):
        decided.formats[row] = str(item.figures.get("format") or "")


def _judge(decided: Decisions, found: Finding, item: Item, told: Mapping[str, Any]) -> None:
    for row, path in decided.present(item)[:1]:
        decided.judge(
            row,
            path,
            found.code,
            given=item.figures.get("given") or told["labels"][row] or "",
            suggested=item.figures.get("suggested") or item.figures.get("told") or "",
            score="" if item.score is None else round(item.score, 4),
        )


def _judge_all(decided: Decisions, found: Finding, item: Item, told: Mapping[str, Any]) -> None:
    for row, path in decided.present(item):
        others = sorted({str(told["labels"][r]) for r in item.rows} - {str(told["labels"][row])})
        decided.judge(row, path, found.code, given=told["labels"][row] or "", suggested=" | ".join(others))


REMEDIES: dict[str, Remedy] = {
    "path-two-labels": _contradiction,
    "path-two-parts": _across_parts,
    "path-twice": _copies,
    "missing-file": _broken,
    "empty-file": _broken,
    "truncated": _broken,
    "unreadable": _broken,
    "same-picture-two-labels": _contradiction,
    "same-picture-two-parts": _across_parts,
    "near-duplicates-across-parts": _across_parts,
    "exact-duplicates": _copies,
    "wrong-extension": _rename,
    "near-duplicates-two-labels": _judge_all,
    "label-issues": _judge,
    "side-table-contradicts": _judge,
}
"""Code of a finding -> what is done about each of its places, in this order."""


def decide(audit: Audit, dataset: Dataset) -> Decisions:
    """What is done about each row. Findings that no remedy knows are left to the user."""
    labels = [None if t < 0 else dataset.classes[int(t)] for t in dataset.targets]
    ranks = np.zeros(len(dataset), np.int8)  # 0: no part, 1 to 3 in the order of PARTS
    if dataset.parts:
        order = {part: rank for rank, part in enumerate(PARTS, 1)}
        ranks = np.array([order.get(p, 0) for p in dataset.table["part"].to_pylist()], np.int8)
    decided = Decisions(ranks)
    told: dict[str, Any] = {"labels": labels}
    homes = _rows_of_paths(audit, dataset)
    for code, remedy in REMEDIES.items():
        for found in (f for f in audit.findings if f.code == code):
            for item in found.items:
                remedy(decided, found, _every_row(item, homes) if code.startswith("path-") else item, told)
    return decided


def _rows_of_paths(audit: Audit, dataset: Dataset) -> dict[str, list[int]]:
    """Path -> its rows, for paths that are listed more than once: an item names only the first rows of many."""
    wanted = {i.paths[0] for f in audit.findings if f.code.startswith("path-") for i in f.items}
    homes: dict[str, list[int]] = {path: [] for path in wanted}
    for row, path in enumerate(dataset.table["path"].to_pylist() if wanted else ()):
        if path in homes:
            homes[path].append(row)
    return homes


def _every_row(item: Item, homes: Mapping[str, list[int]]) -> Item:
    rows = homes[item.paths[0]]
    return replace(item, rows=tuple(rows), paths=(item.paths[0],) * len(rows))
