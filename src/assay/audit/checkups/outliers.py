"""Pictures that are far darker, brighter or more blurred than the rest of their set.

By the median and the median absolute deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993: a
modified z-score beyond 3.5), and beyond a fixed bound too: in a set of night photos a dark one is no news, and in a
very even set a little difference is none either. Sharpness is taken in relation to the contrast.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from assay.audit.examination import Examination
from assay.audit.facts import BLANK_CONTRAST
from assay.audit.finding import Finding, Item, finding
from assay.audit.rows import paths_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST = 20
_BEYOND = 3.5
_DARK, _BRIGHT, _BLURRED = 35.0, 225.0, 0.35


class _Side(NamedTuple):
    code: str
    title: str
    word: str
    rows: NDArray[np.int64]
    z: NDArray[np.float64]


def find_outliers(examination: Examination) -> Iterator[Finding]:
    """Notes on very dark, very bright and blurred pictures, the farthest first; nothing in sets below 20 pictures."""
    facts = examination.facts
    rows = np.flatnonzero(examination.readable & (facts.column("contrast") >= BLANK_CONTRAST))
    if len(rows) < _LEAST:
        return
    light = facts.column("brightness")[rows].astype(np.float64)
    contrast = facts.column("contrast")[rows].astype(np.float64)
    sharp = facts.column("sharpness")[rows] / (contrast + 2)  # a dark picture is not a blurred one
    light_z, sharp_z = _modified_z(light), _modified_z(np.log(sharp + 0.01))
    sides = (
        _Side("very-dark", "Very dark pictures", "darker", *_beyond(rows, -light_z, light < _DARK)),
        _Side("very-bright", "Very bright pictures", "brighter", *_beyond(rows, light_z, light > _BRIGHT)),
        _Side(
            "blurred",
            "Blurred pictures",
            "more blurred",
            *_beyond(rows, -sharp_z, sharp < _BLURRED * np.median(sharp)),
        ),
    )
    for side in sides:
        if len(side.rows):
            yield _told(examination, side)


def _modified_z(values: NDArray[np.float64]) -> NDArray[np.float64]:
    apart = values - np.median(values)
    spread = np.median(np.abs(apart))
    z: NDArray[np.float64] = 0.6745 * apart / max(float(spread), 1e-6)
    return z


def _beyond(
    rows: NDArray[np.int64], z: NDArray[np.float64], bound: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    odd = np.flatnonzero((z > _BEYOND) & bound)
    odd = odd[np.argsort(-z[odd], kind="stable")]
    return rows[odd], z[odd]


def _told(examination: Examination, side: _Side) -> Finding:
    facts, most = examination.facts, examination.config.most
    column = "sharpness" if side.code == "blurred" else "brightness"
    values, typical = facts.column(column), float(np.nanmedian(facts.column(column)))
    rows = side.rows[:most].tolist()
    items = (
        Item(
            (path,),
            (row,),
            f"{column} {values[row]:.0f}; typical is {typical:.0f}",
            float(z),
            {column: round(float(values[row]), 2)},
        )
        for row, path, z in zip(rows, paths_of(examination.dataset, rows), side.z, strict=False)
    )
    return finding(
        "note",
        side.code,
        side.title,
        f"One picture is far {side.word} than the others.|{{n}} pictures are far {side.word} than the others.",
        "Look at them. Keep them if such pictures will be met in use; else remove them.",
        items,
        count=len(side.rows),
        most=most,
        figures={f"median_{column}": round(typical, 2)},
    )
