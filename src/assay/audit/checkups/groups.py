"""Groups that a random split would tear apart: the score by random folds and by grouped folds, side by side.

For each plausible guess (``audit.group_guesses``) one classifier answers every picture twice: once when pictures are
dealt to folds at random, once when whole groups are. Where the first is right clearly more often, a random split
flatters. Where the second is no better than chance, the pictures do not tell the classes of a new group. How both are
measured: see ``audit.group_measure``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from assay.audit.contradictions import contradictions
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, finding
from assay.audit.group_guesses import Guess, group_guesses
from assay.audit.group_measure import Measured, measure
from assay.audit.rows import group_codes, paths_of
from assay.audit.side_tables import side_columns
from assay.audit.vectors import Vectors, why_not_learn
from assay.data.names import some

_BAD_LEAK, _BAD_LEAK_LOW = 0.08, 0.03
"""Points by which a leak makes any score wrong: its value, and its lower bound."""


def check_groups(examination: Examination) -> Iterator[Finding]:
    """What groups there may be, what a random split would gain from them, and tables that contradict the labels."""
    columns = side_columns(examination.dataset)
    yield from contradictions(examination, columns)
    yield from _one_group(examination)
    if why_not_learn(examination) is not None:
        return
    guesses = group_guesses(examination, columns)
    if not guesses:
        return
    vectors = examination.vectors
    measured = []
    for done, guess in enumerate(guesses):
        examination.progress("comparing random and grouped folds", done, len(guesses))
        found = measure(guess, vectors, examination.config.seed)
        if found is not None:
            measured.append(found)
    examination.progress("comparing random and grouped folds", len(guesses), len(guesses))
    yield from _told(examination, vectors, measured)


def _one_group(examination: Examination) -> Iterator[Finding]:
    """A group column that says nothing. Where there are parts, the checkup of parts tells it."""
    groups, names = group_codes(examination.dataset)
    if len(names) == 1 and (groups >= 0).all() and not examination.dataset.parts:
        what = (
            f"Every picture has the same group, {names[0]!r}: a split by group would put all into one part."
        )
        fix = "Name a column whose values differ (--group-column), or none."
        yield Finding(
            "warning", "one-group", "All pictures are of one group", what, fix, 1, figures={"groups": 1}
        )


def _told(examination: Examination, vectors: Vectors, measured: list[Measured]) -> Iterator[Finding]:
    """Leaks, what stays at chance, and groups that do no harm."""
    leaks = [m for m in measured if m.leaks]  # the likeliest guess first
    if leaks:
        yield _leak(examination, vectors, leaks)
    lost = [m for m in measured if m.at_chance and (m.leaks or m.guess.sure)]
    if lost:
        yield _at_chance(lost[0])
    harmless = [m for m in measured if not m.leaks and m.guess.sure]
    for m in harmless:
        yield Finding(
            "good",
            "groups-harmless",
            "Groups do not flatter a random split",
            f"By {m.guess.words} ({m.count:,} groups) random and grouped folds score alike: {_pair(m)}.",
            figures=figures_of(m),
        )


def _leak(examination: Examination, vectors: Vectors, leaks: list[Measured]) -> Finding:
    m = leaks[0]
    torn = _torn(examination, m.guess)
    apart = bool(examination.dataset.parts) and torn == 0
    bad = any(x.lead.value >= _BAD_LEAK and x.lead.low > _BAD_LEAK_LOW for x in leaks) and not apart
    what = (
        f"Pictures that share {m.guess.words} resemble each other ({m.count:,} groups). When such a group lies on both "
        f"sides of a split, the score is too good: {_pair(m)}; random folds gain {100 * m.lead.value:.0f} points "
        f"[{100 * m.lead.low:.0f}, {100 * m.lead.high:.0f}]."
    )
    if torn:
        what += f" In the parts of this data, {torn:,} groups lie in more than one part."
    elif apart:
        what += " The parts of this data keep these groups apart, as it should be."
    if len(leaks) > 1:
        others = (f"{x.guess.words} ({100 * x.lead.value:.0f} points)" for x in leaks[1:])
        what += f" Other groups that may matter as much: {some(others, 3)}."
    return finding(
        "note" if apart else "error" if bad else "warning",
        "group-leak",
        "A random split would flatter the score",
        (what, what),
        _fix(m.guess, examination.dataset.root),
        _examples(examination, vectors, m),
        count=m.count,
        figures={**figures_of(m), "torn_groups": torn, "candidates": [figures_of(x) for x in leaks]},
    )


def _fix(guess: Guess, root: Path) -> str:
    if guess.sure:
        return (
            "Keep groups together: `assay split DATA --force --out split.csv` does so, as the data name them."
        )
    if guess.options:
        options = guess.options.replace("DATA/", f"{root}/")
        return (
            f"Keep them together: `assay split DATA --force {options} --out split.csv`, then train and measure "
            "on split.csv."
        )
    if guess.kind == "copies":
        return "Take the copies out, or give each set of copies one name in a column `group` of a table."
    return "Write the group of each picture into a column `group` of a table; `assay split` keeps groups together."


def _at_chance(m: Measured) -> Finding:
    what = (
        f"When whole groups ({m.guess.words}) are held out, {m.grouped.value:.0%} [{m.grouped.low:.0%}, "
        f"{m.grouped.high:.0%}] of the pictures are told right. Always naming the commonest class gives "
        f"{m.chance:.0%}: the grouped accuracy does not differ from chance (p = {m.p:.2f}, by groups). By these "
        "features the pictures do not tell the classes of a new group."
    )
    if m.leaks:
        what += (
            f" Do not believe the {m.random.value:.0%} of a random split: it recognises groups, not classes."
        )
    return Finding(
        "error" if m.leaks else "warning",
        "grouped-at-chance",
        "New groups are told no better than by chance",
        what,
        f"Collect more groups (there are {m.count:,}), judge by grouped splits only, or ask whether the pictures can "
        "show the difference at all.",
        1,
        figures=figures_of(m),
    )


def _pair(m: Measured) -> str:
    return (
        f"{m.random.value:.0%} [{m.random.low:.0%}, {m.random.high:.0%}] right by random folds, {m.grouped.value:.0%} "
        f"[{m.grouped.low:.0%}, {m.grouped.high:.0%}] by grouped folds (chance: {m.chance:.0%})"
    )


def figures_of(m: Measured) -> dict[str, Any]:
    """The numbers of one guess, for scripts."""
    return {
        "kind": m.guess.kind,
        "groups_from": m.guess.words,
        "options": m.guess.options,
        "groups": m.count,
        "pictures": len(m.rows),
        "random": m.random.to_dict(),
        "grouped": m.grouped.to_dict(),
        "difference": m.lead.to_dict(),
        "chance": round(m.chance, 4),
        "p": round(m.p, 5),
        "differs_from_chance": not m.at_chance,
    }


def _torn(examination: Examination, guess: Guess) -> int:
    """How many groups lie in more than one part."""
    table = examination.dataset.table
    if "part" not in table.column_names:
        return 0
    parts = np.unique([p or "" for p in table["part"].to_pylist()], return_inverse=True)[1].reshape(-1)
    known = guess.groups >= 0
    pairs = np.unique(np.stack([guess.groups[known], parts[known]]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum()) if pairs.size else 0


def _examples(examination: Examination, vectors: Vectors, m: Measured) -> list[Item]:
    """The groups, the largest first, a few pictures of each."""
    sizes = np.bincount(m.groups)
    names = examination.dataset.classes
    items = []
    for group in np.argsort(-sizes, kind="stable")[: examination.config.most]:
        members = vectors.rows[m.rows[m.groups == group]]
        labels = sorted({names[int(k)] for k in examination.dataset.targets[members]})
        items.append(
            Item(
                tuple(paths_of(examination.dataset, members[:6])),
                tuple(int(r) for r in members[:6]),
                f"{len(members):,} pictures of one group, labelled {some(labels)}",
                float(len(members)),
                {"pictures": len(members), "labels": labels},
            )
        )
    return items
