"""The report's section on holding answers back: the promise in plain words, beside what was found on these pictures."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator, PercentFormatter

from assay.decide.abstention import Abstention
from assay.decide.stored import load_abstention
from assay.decide.threshold import risk_curve as curve_of
from assay.decide.words import cautions, promises, share
from assay.metrics.doubts import Doubts
from assay.metrics.evaluation import Evaluation
from assay.report.abstain_text import found_rows, is_same_pictures
from assay.report.charts import ACCENT, BAD, LINE, MUTED
from assay.report.figure import drawing, figure_of, plain_axes, to_svg
from assay.report.findings import risk_curve
from assay.report.thumbnails import thumbnails

_SHOTS = 6


def abstain_section(folder: Path, evaluation: Evaluation | None) -> dict[str, Any] | None:
    """Values for ``pages/abstain.html``; None where the run has no thresholds, or nothing was measured.

    Raises
    ------
    BundleError : the stored thresholds are damaged, or of other classes.
    """
    if evaluation is None or not evaluation.n:
        return None
    abstention = load_abstention(folder, evaluation.classes)
    if abstention is None:
        return None
    t, doubts = abstention.threshold, evaluation.doubts
    if doubts is not None and doubts.thresholds != abstention.digest:
        doubts = None  # measured before the thresholds were fitted anew
        evaluation = replace(evaluation, doubts=None)
    return {
        "promises": [text.replace(" %", "\u202f%") for text in promises(abstention)],
        "can": t.threshold is not None,
        "cautions": [*_cautions(evaluation, abstention), *cautions(abstention)],
        "rows": [
            {key: text.replace(" %", "\u202f%") for key, text in row.items()}
            for row in found_rows(evaluation, abstention)
        ],
        "part": evaluation.part,
        "measured": doubts is not None,
        "chart": Markup(risk_promise_chart(evaluation, abstention) or ""),
        "sizes": [] if doubts is None else _sizes(doubts, evaluation.right),
        "shots": [] if doubts is None else _shots(evaluation, doubts),
        "aurc": f"{curve_of(evaluation.confidence, evaluation.right).aurc:.3f}",
        "held": 0 if doubts is None else int((~doubts.answered).sum()),
        "saved": 0 if doubts is None else int((~doubts.answered & ~evaluation.right).sum()),
    }


def _cautions(evaluation: Evaluation, abstention: Abstention) -> list[str]:
    if is_same_pictures(evaluation, abstention):
        return ["The thresholds were fitted on these very pictures, so the figures say nothing of new ones."]
    return []


def _sizes(doubts: Doubts, right: Any) -> list[dict[str, Any]]:
    """How many sets name one class, two, ...: share of pictures, and how often the set holds the truth."""
    rows = []
    for size in range(1, 6):
        mask = doubts.sizes == size if size < 5 else doubts.sizes >= size
        if mask.any():
            rows.append(
                {
                    "size": f"{size} or more" if size == 5 else str(size),
                    "n": int(mask.sum()),
                    "width": round(100 * float(mask.mean()), 2),
                    "share": share(float(mask.mean())),
                    "holds": share(float(doubts.holds[mask].mean())),
                    "right": share(float(np.asarray(right)[mask].mean())),
                }
            )
    return rows


def _shots(evaluation: Evaluation, doubts: Doubts) -> list[dict[str, Any]]:
    """Held-back pictures: the strangest first, then those nearest to an answer."""
    unknown = np.flatnonzero(doubts.unknown)
    unknown = unknown[np.argsort(doubts.known[unknown], kind="stable")][: _SHOTS // 2]
    unsure = np.flatnonzero(doubts.unsure & ~doubts.unknown)
    unsure = unsure[np.argsort(evaluation.confidence[unsure], kind="stable")]
    rows = [int(i) for i in [*unknown, *unsure][:_SHOTS]]
    root = Path(evaluation.root)
    pictures = thumbnails([root / evaluation.paths[row] for row in rows])
    return [_shot(evaluation, doubts, row, shown) for row, shown in zip(rows, pictures, strict=True)]


def _shot(evaluation: Evaluation, doubts: Doubts, row: int, picture: str | None) -> dict[str, Any]:
    best = np.argsort(-evaluation.probs[row], kind="stable")[:2]
    return {
        "picture": picture,
        "path": evaluation.paths[row],
        "label": evaluation.classes[int(evaluation.targets[row])],
        "why": "unknown" if doubts.unknown[row] else "unsure",
        "right": bool(evaluation.right[row]),
        "best": [f"{evaluation.classes[int(k)]} {100 * evaluation.probs[row][k]:.0f} %" for k in best],
        "names": int(doubts.sizes[row]),
    }


def risk_promise_chart(evaluation: Evaluation, abstention: Abstention) -> str | None:
    """Share wrong against share answered, with the promised risk as a line and the chosen point; None for too few."""
    coverage, risk = risk_curve(evaluation)
    if len(coverage) < 2:
        return None
    t = abstention.threshold
    with drawing():
        figure, axes = figure_of((4.0, 2.7))
        axes.plot(coverage, risk, color=ACCENT, label="surest answers first")
        top = max(0.02, float(risk.max()) * 1.15)
        if t.threshold is not None:
            axes.axhline(t.risk, color=MUTED, linewidth=1, linestyle=(0, (3, 3)), label="promised")
            top = max(top, 1.25 * t.risk)
            point = _point(evaluation, abstention)
            if point is not None:
                axes.plot(*point, "o", color=BAD, markersize=6, label="answers given")
                axes.plot([point[0]] * 2, [0, point[1]], color=LINE, linewidth=1)
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, top)
        for axis, digits in ((axes.xaxis, 0), (axes.yaxis, 0 if top > 0.06 else 1)):
            axis.set_major_formatter(PercentFormatter(1, decimals=digits))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("pictures answered")
        axes.set_ylabel("wrong among them")
        axes.legend(loc="upper left")
        plain_axes(axes)
        title = f"Share of wrong answers against the share of pictures answered, part {evaluation.part}"
        return to_svg(figure, "promise", html.escape(title))


def _point(evaluation: Evaluation, abstention: Abstention) -> tuple[float, float] | None:
    """(share answered, share wrong among the answers); None where no answer is given."""
    accepts = abstention.threshold.accepts(evaluation.confidence)
    given = accepts if evaluation.doubts is None else evaluation.doubts.answered
    return (float(given.mean()), float((~evaluation.right[given]).mean())) if given.any() else None
