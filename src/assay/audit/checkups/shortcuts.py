"""Shortcuts: can the label be told without looking at what is in the picture?

Geirhos et al. 2020, "Shortcut learning in deep neural networks". Small decision trees see the facts of the files
alone, one family at a time: size, shape, format, compression, camera, names, light. Each class is asked about against
all others, out of fold, balanced; a class that is told nearly always is given away. Chance is ruled out by Fisher's
exact test on the held-out answers.

What the picture shows has traces in its file too: a busy picture takes more bytes, a night is dark. Such families can
warn but are never an error, and what counts is how nearly the class is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from assay.audit.examination import Examination
from assay.audit.file_traces import FAMILIES, traces_of
from assay.audit.finding import Finding, Item
from assay.audit.give_away import GiveAway, give_aways
from assay.audit.rows import paths_of
from assay.data.names import some

LEAST = 40
_ERROR, _WARNING = 0.9, 0.8
"""Balanced accuracy against all other classes from which a class counts as given away, and as nearly so."""
_CONTENT = 0.93
"""The same for families that content may explain."""
_DOUBT = 1e-4

_SOURCE = "or collect every class from the same source"
_FIX = {
    "size": f"Bring all pictures to one size before training (letterbox them), {_SOURCE}.",
    "shape": f"Letterbox all pictures to one shape before training, {_SOURCE}.",
    "format": f"Save all pictures alike, in one format, {_SOURCE}.",
    "compression": f"Save all pictures anew with the same settings, {_SOURCE}.",
    "bytes": f"Save all pictures anew with the same settings, {_SOURCE}; look whether sharpness belongs to the class.",
    "camera": "Collect every class with the same cameras.",
    "name": "Collect every class from the same source: other sources have other light, sizes and compression.",
    "light": "Where light belongs to the class this is no fault; else photograph every class in the same light.",
}


def check_shortcuts(examination: Examination) -> Iterator[Finding]:
    """Classes that sizes, formats, compression, cameras, names or light alone give away."""
    rows = np.flatnonzero(examination.readable & examination.labelled)
    targets = examination.dataset.targets[rows]
    if len(rows) < LEAST or (np.bincount(targets, minlength=2) >= 8).sum() < 2:
        return
    found: list[GiveAway] = []
    for done, family in enumerate(FAMILIES):
        examination.progress("looking for shortcuts", done, len(FAMILIES))
        traces = traces_of(examination, rows, family)
        found += give_aways(
            family, traces, examination, rows, least=_CONTENT if family.content else _WARNING, doubt=_DOUBT
        )
    examination.progress("looking for shortcuts", len(FAMILIES), len(FAMILIES))
    if not found:
        yield Finding(
            "good",
            "no-shortcut",
            "Files do not give the label away",
            "Sizes, formats, compression, cameras, file names and brightness do not tell the class by themselves.",
            figures={"families": [f.name for f in FAMILIES]},
        )
        return
    yield _told(examination, sorted(found, key=_severity))


def _severity(found: GiveAway) -> tuple[int, float]:
    return {"error": 0, "warning": 1, "note": 2}[level_of(found)], -found.score


def level_of(found: GiveAway) -> str:
    """An error only where the network could see it, nearly every picture is told, and content cannot explain it."""
    if found.family.seen and not found.family.content and found.score >= _ERROR:
        return "error"
    return "note" if not found.family.seen or found.family.name == "light" else "warning"


def _told(examination: Examination, found: list[GiveAway]) -> Finding:
    first = found[0]
    names = examination.dataset.classes
    classes = {names[g.label] for g in found}
    families = list(dict.fromkeys(g.family.words for g in found))
    name = names[first.label]
    what = (
        f"{_capital(first.family.words)} alone tells the class {name!r} from all others: {first.caught:.0%} of its "
        f"pictures are recognised, and {_share(first.wrongly)} of the others taken for one. {_capital(first.rule)}."
    )
    if len(found) > 1:
        what += f" In all, {len(classes)} of {len(names)} classes are given away, by {some(families, 6)}."
    if level_of(first) == "note":
        what += " The classes may come from different sources, or this belongs to what they show."
    else:
        what += " A network may learn this in place of what the pictures show, and its score would not hold elsewhere."
    return Finding(
        level_of(first),  # type: ignore[arg-type]
        "shortcut" if level_of(first) != "note" else "source-traces",
        "The file gives the label away" if level_of(first) != "note" else "Files of the classes differ",
        what,
        " ".join(dict.fromkeys(_FIX[g.family.name] for g in found if level_of(g) == level_of(first))),
        len(found),
        tuple(_item(examination, g) for g in found[: examination.config.most]),
        {
            "classes": sorted(classes),
            "families": list(dict.fromkeys(g.family.name for g in found)),
            "commonest_class": round(_commonest(examination), 4),
        },
    )


def _item(examination: Examination, found: GiveAway) -> Item:
    name = examination.dataset.classes[found.label]
    figures: dict[str, Any] = {
        "class": name,
        "family": found.family.name,
        "level": level_of(found),
        "rule": found.rule,
        "balanced_accuracy": round(found.score, 4),
        "caught": round(found.caught, 4),
        "wrongly": round(found.wrongly, 4),
        "p": round(found.p, 4),
    }
    shown = [int(row) for row in found.examples]
    text = (
        f"{name}: by {found.family.words}, {found.caught:.0%} of its pictures are recognised and "
        f"{_share(found.wrongly)} of the others taken for one; {found.rule}"
    )
    return Item(paths_of(examination.dataset, shown), tuple(shown), text, round(found.score, 4), figures)


def _commonest(examination: Examination) -> float:
    targets = examination.dataset.targets
    counts = np.bincount(targets[targets >= 0])
    return float(counts.max() / counts.sum())


def _share(value: float) -> str:
    return "none" if value == 0 else f"{value:.1%}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
