"""What is in one part and, in the same or another form, also in a second one: such a picture is no test.

A picture listed twice, a copy of the same bytes, a near-duplicate, and other pictures of the same group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from assay.audit.alike import groups_of
from assay.audit.checkups.duplicates import alike_words
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, Level, finding
from assay.audit.rows import count_words, group_codes, label_codes, part_codes, path_codes, paths_of
from assay.types import PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_SHOWN = 60


def find_leaks(examination: Examination, parts: Rows) -> Iterator[Finding]:
    """Leaks by file, by scene and by group; a "good" finding where there are none."""
    exact = _torn(groups_of(_own_paths(examination, examination.copies.exact)), parts)
    near = [
        rows
        for rows in _torn(groups_of(_own_paths(examination, examination.copies.scene)), parts)
        if len(np.unique(examination.copies.exact[rows])) > 1
    ]
    groups, names = group_codes(examination.dataset)
    torn = _torn(groups_of(np.where(groups < 0, len(groups) + np.arange(len(groups)), groups)), parts)
    if exact:
        yield _same_pictures(examination, exact, parts)
    if near:
        yield _near_duplicates(examination, near, parts)
    if torn:
        yield _torn_groups(examination, torn, parts, groups, names)
    if not (exact or near or torn):
        yield _no_leak(examination, grouped=bool(names))


def listed_twice(examination: Examination) -> Iterator[Finding]:
    """Paths that more than one row names."""
    twice = groups_of(path_codes(examination.dataset))
    if not twice:
        return
    codes, words = label_codes(examination.dataset)
    parts = part_codes(examination.dataset)
    across = [rows for rows in twice if _values(rows, parts) > 1]
    torn = [rows for rows in twice if _values(rows, codes) > 1]
    either = {int(rows[0]) for rows in (*across, *torn)}
    kinds: tuple[tuple[Level, str, str, str, list[Rows]], ...] = (
        (
            "error",
            "path-two-parts",
            "Rows of one picture in several parts",
            "One picture is listed in more than one part.|{n} pictures are listed in more than one part.",
            across,
        ),
        (
            "error",
            "path-two-labels",
            "Rows of one picture with different labels",
            "One picture is listed with different labels.|{n} pictures are listed with different labels.",
            torn,
        ),
        (
            "warning",
            "path-twice",
            "Pictures that are listed twice",
            "One picture is listed more than once.|{n} pictures are listed more than once.",
            [rows for rows in twice if int(rows[0]) not in either],
        ),
    )
    for level, code, title, what, found in kinds:
        if found:
            items = (
                Item(
                    paths_of(examination.dataset, rows[:1]) * len(rows[:_SHOWN]),
                    tuple(rows[:_SHOWN].tolist()),
                    _words_of(rows, codes, words, parts),
                )
                for rows in found
            )
            yield finding(
                level,
                code,
                title,
                what,
                "Keep one row of each.",
                items,
                count=len(found),
                most=examination.config.most,
            )


def _own_paths(examination: Examination, first: Rows) -> Rows:
    """``first`` with every repeated or unreadable row alone, so that it is in no group."""
    n = len(first)
    own = (path_codes(examination.dataset) == np.arange(n)) & examination.readable
    return np.where(own, first, n + np.arange(n))


def _torn(groups: list[Rows], parts: Rows) -> list[Rows]:
    return [rows for rows in groups if _values(rows, parts) > 1]


def _values(rows: Rows, codes: Rows) -> int:
    held = codes[rows]
    return len(np.unique(held[held >= 0]))


def _words_of(rows: Rows, codes: Rows, words: list[str], parts: Rows) -> str:
    labels = count_words(words[code] for code in codes[rows].tolist() if code >= 0)
    held = count_words(PARTS[code] for code in parts[rows].tolist() if code >= 0)
    return "; ".join(filter(None, (labels, held)))


def _parts_told(rows: Rows, parts: Rows) -> str:
    return "in " + count_words(PARTS[code] for code in parts[rows].tolist() if code >= 0)


def _touched(groups: list[Rows], parts: Rows) -> dict[str, int | float]:
    """Of each part but train: how many of its pictures have a copy in another part."""
    rows = np.concatenate(groups)
    found: dict[str, int | float] = {}
    for code, part in enumerate(PARTS[1:], 1):
        total = int((parts == code).sum())
        if total:
            touched = int((parts[rows] == code).sum())
            found |= {part: touched, f"{part}_share": round(touched / total, 6)}
    return found


def _sentence(groups: list[Rows], parts: Rows) -> str:
    """As "That touches 3.1% of test": the part that is worst off."""
    shares = {part: figure for part, figure in _touched(groups, parts).items() if part.endswith("_share")}
    if not shares:
        return ""
    worst = max(shares, key=lambda part: shares[part])
    return f" That touches {shares[worst]:.1%} of {worst.removesuffix('_share')}."


def _same_pictures(examination: Examination, groups: list[Rows], parts: Rows) -> Finding:
    what = (
        "The same picture is in more than one part, so its answer is known before the test.|{n} pictures are in more "
        "than one part, so their answers are known before the test."
    )
    one, several = (text + _sentence(groups, parts) for text in what.split("|"))
    items = (_item(examination, rows, _parts_told(rows, parts)) for rows in groups)
    return finding(
        "error",
        "same-picture-two-parts",
        "The same picture in two parts",
        f"{one}|{several}",
        "Keep one copy of each; `--fix` keeps the one in test. Or deal the parts anew by group.",
        items,
        count=len(groups),
        most=examination.config.most,
        figures={"pictures": len(groups), **_touched(groups, parts)},
    )


def _near_duplicates(examination: Examination, groups: list[Rows], parts: Rows) -> Finding:
    pairs = examination.copies.pairs
    scene = examination.copies.scene
    best = dict(zip(scene[pairs.left[::-1]].tolist(), pairs.closeness[::-1].tolist(), strict=True))
    groups = sorted(groups, key=lambda rows: -best.get(int(scene[rows[0]]), 0.0))
    what = (
        "One picture is in one part and nearly the same in another, so the test is easier than real use.|{n} pictures "
        "are in one part and nearly the same in another, so the test is easier than real use."
    )
    one, several = (text + _sentence(groups, parts) for text in what.split("|"))
    items = (
        _item(
            examination,
            rows,
            f"{alike_words(best.get(int(scene[rows[0]]), 0.0))}; {_parts_told(rows, parts)}",
            best.get(int(scene[rows[0]])),
        )
        for rows in groups
    )
    return finding(
        "error",
        "near-duplicates-across-parts",
        "Nearly the same picture in two parts",
        f"{one}|{several}",
        "Keep them in one part: give the pictures of one thing a group and split by it, or leave copies out.",
        items,
        count=len(groups),
        most=examination.config.most,
        figures={"pictures": len(groups), **_touched(groups, parts)},
    )


def _torn_groups(
    examination: Examination, torn: list[Rows], parts: Rows, groups: Rows, names: list[str]
) -> Finding:
    if len(names) == 1:
        return finding(
            "note",
            "one-group",
            "All pictures are of one group",
            "Every picture with a group has the same one, so no split can keep it together.",
            "Name a column whose values differ, or none.",
            figures={"groups": 1, "group": names[0]},
        )
    torn = sorted(torn, key=lambda rows: -len(rows))
    what = (
        "One group has pictures in more than one part. What is learnt of it in training helps in the test, so the "
        "score looks better than it is.|{n} groups have pictures in more than one part. What is learnt of them in "
        "training helps in the test, so the score looks better than it is."
    )
    one, several = (text + _sentence(torn, parts) for text in what.split("|"))
    items = (
        _item(
            examination,
            _one_of_each_part(rows, parts),
            f"{names[int(groups[rows[0]])]}: {_parts_told(rows, parts)}",
            figures={"group": names[int(groups[rows[0]])], "pictures": len(rows)},
        )
        for rows in torn
    )
    return finding(
        "error",
        "torn-group",
        "Groups that are in several parts",
        f"{one}|{several}",
        "Deal the parts by group: `assay split --force` does so where there is a group column.",
        items,
        count=len(torn),
        most=examination.config.most,
        figures={"groups": len(names), "torn": len(torn), **_touched(torn, parts)},
    )


def _one_of_each_part(rows: Rows, parts: Rows) -> Rows:
    known = rows[parts[rows] >= 0]
    return np.sort(known[np.unique(parts[known], return_index=True)[1]])


def _item(
    examination: Examination,
    rows: Rows,
    text: str,
    score: float | None = None,
    figures: dict[str, object] | None = None,
) -> Item:
    rounded = None if score is None else round(score, 4)
    told = {"pictures": len(rows)} if figures is None else figures
    return Item(paths_of(examination.dataset, rows), tuple(rows.tolist()), text, rounded, told)


def _no_leak(examination: Examination, grouped: bool) -> Finding:
    parts = ", ".join(f"{part} {n:,}" for part, n in examination.dataset.parts.items())
    groups = " No group is torn between parts." if grouped else ""
    return finding(
        "good",
        "no-leak",
        "No picture leaks between the parts",
        f"No picture of one part is also in another ({parts}), not even as a near-duplicate.{groups}",
        figures=dict(examination.dataset.parts),
    )
