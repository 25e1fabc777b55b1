"""The explanations of a run for its report: only kinds that passed their tests are shown, with their scores.

What failed is listed with the reason. Nothing is computed here: the files come from ``assay.explain``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from assay.errors import ConfigError, DatasetError
from assay.metrics.interval import Estimate
from assay.report.thumbnails import thumbnail

SHOWN = 16
"""Most pictures in the report."""
EXPLAINED = {
    "grad-cam": "where the last inner map speaks for the answer",
    "grad-cam++": "as grad-cam, with several objects counted each",
    "layer-cam": "the last inner map, cell by cell",
    "score-cam": "what the inner maps let through, tried out",
    "occlusion": "how far the answer falls when a spot is covered",
    "input-gradient": "which pixels push the answer up",
}


def explain_section(folder: Path) -> dict[str, Any] | None:
    """The values of ``pages/explain.html`` for a run folder, or for a folder that ``explain`` wrote; None without.

    Raises
    ------
    DatasetError : the files are damaged.
    """
    place = folder / "explain" if (folder / "explain").is_dir() else folder
    if not (place / "explain.json").is_file():
        filters = _filters(place)
        return None if filters is None else {**_nothing(), "filters": filters}
    from assay.explain.explanation import Explanation  # noqa: PLC0415 - torch, for reports that have explanations

    try:
        found = Explanation.load(place)
    except ConfigError:
        return None
    best = next((score for score in found.scores if score.kind == found.best), None)
    return {
        "best": None if best is None else {**_row(best), "explained": EXPLAINED.get(best.kind, "")},
        "sentence": _sentence(best, len(found.scores)),
        "centre": _centre(best),
        "rows": [_row(score) for score in found.scores],
        "failed": [{"kind": s.kind, "reason": s.reason} for s in found.scores if not s.passed],
        "pictures": [_picture(place, shown) for shown in found.shown[:SHOWN]] if best else [],
        "sheet": thumbnail(place / "kinds.png", 1400) if len(found.passed) > 1 else None,
        "tested": found.tested,
        "tested_on": found.tested_on,
        "notes": found.notes,
        "filters": _filters(place),
    }


def _nothing() -> dict[str, Any]:
    empty: dict[str, Any] = {key: [] for key in ("rows", "failed", "pictures", "notes")}
    return {**empty, "best": None, "sentence": "", "centre": "", "sheet": None, "tested": 0, "tested_on": ""}


def _row(score: Any) -> dict[str, Any]:
    """One kind in the table of tests."""
    alike = score.likeness.get("everything")
    return {
        "kind": score.kind,
        "passed": score.passed,
        "verdict": score.verdict,
        "reason": score.reason,
        "explained": EXPLAINED.get(score.kind, ""),
        "deletion": _number(score.deletion),
        "insertion": _number(score.insertion),
        "gain": _number(score.gain, sign="+"),
        "interval": _interval(score.gain),
        "over_centre": _number(score.over_centre, sign="+"),
        "alike": "–" if alike is None or math.isnan(alike) else f"{alike:+.2f}".replace("-", "−"),
    }


def _number(estimate: Estimate | None, sign: str = "") -> str:
    return "–" if estimate is None else f"{estimate.value:{sign}.2f}".replace("-", "−")


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.low:+.2f} to {estimate.high:+.2f}".replace("-", "−")


def _sentence(best: Any, kinds: int) -> str:
    """What the tests say of the kind that is shown, in numbers that a reader can hold on to."""
    if best is None:
        return (
            f"{kinds} kinds of explanation were tried and none passed its test, so none is shown: a map that does not "
            "follow the network would mislead."
        )
    covered = f"{best.deletion.value:.2f} where chance gives {best.chance['deletion']:.2f}"
    brought = f"{best.insertion.value:.2f} where chance gives {best.chance['insertion']:.2f}"
    return (
        f"Covering what it marks first leaves the answer a mean probability of {covered}; bringing back what it marks "
        f"first gives it {brought}."
    )


def _centre(best: Any) -> str:
    """How it compares with a blob in the middle."""
    if best is None or best.over_centre is None:
        return ""
    if best.over_centre.low > 0:
        return "It also beats a plain blob in the middle of the picture, which is where people put things."
    if best.over_centre.high < 0:
        return "A plain blob in the middle of the picture does better: what matters is mostly there."
    return (
        "A plain blob in the middle of the picture does about as well, so it says little more than that what matters "
        "is mostly there."
    )


def _picture(place: Path, shown: Any) -> dict[str, Any]:
    return {
        "original": thumbnail(place / shown.original),
        "overlay": None if shown.overlay is None else thumbnail(place / shown.overlay),
        "answer": shown.answer,
        "label": shown.label,
        "right": shown.right,
        "share": f"{100 * shown.confidence:.0f}",
        "name": shown.name,
    }


def _filters(place: Path) -> dict[str, Any] | None:
    """What the early filters answer to, with the sheets as pictures; None where it was not drawn."""
    file = place / "filters.json"
    if not file.is_file():
        return None
    try:
        told = json.loads(file.read_text("utf-8"))
        return {
            "pictures": told["pictures"],
            "first": told["first"],
            "first_sheet": _sheet(place, told["first_file"]),
            "stages": [
                {
                    **stage,
                    "sheet": _sheet(place, stage["file"]),
                    "channels": [row for row in stage["channels"] if row["sentence"]],
                }
                for stage in told["stages"]
            ],
            "kept": told["kept"],
            "kept_sheet": _sheet(place, told["kept_file"]),
        }
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{file} is damaged",
            got=f"{type(error).__name__}: {error}",
            fix="run `assay explain --filters` again",
        ) from error


def _sheet(place: Path, name: str | None) -> str | None:
    return None if name is None else thumbnail(place / Path(name).name, 1100)
