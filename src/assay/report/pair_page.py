"""The page about two runs on the same pictures: who is right where, and the pictures on which they part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.files import write_file
from assay.metrics.compare import Comparison, matching_rows
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate
from assay.report import pair_charts as charts
from assay.report.findings import percent
from assay.report.pair_scene_page import render_scene_pair
from assay.report.pair_sides import about, command_line
from assay.report.sections import span
from assay.report.template import fill, markup
from assay.report.thumbnails import thumbnails
from assay.trials.pair import Pair, Side
from assay.trials.scene_pair import SceneComparison

GALLERY = 12
TABLE_CLASSES = 200


def write_pair(pair: Pair, out: str | Path) -> Path:
    """Write the page; returns where it is. Raises AssayError when the place cannot be written."""
    place = Path(out)
    write_file(place, render_pair(pair).encode("utf-8"))
    return place


def render_pair(pair: Pair) -> str:
    """The page as text."""
    c = pair.comparison
    if isinstance(c, SceneComparison):
        return render_scene_pair(pair, c)
    a, b = _classes_of(pair.a), _classes_of(pair.b)
    rows_a, rows_b = matching_rows(a, b, common=True)
    lost, won = _parted(a, b, rows_a, rows_b)
    truth_a, truth_b = _truth(a, rows_a), _truth(b, rows_b)
    return fill(
        "pair.html",
        c=c,
        headline=headline(c),
        second_line=second_line(c),
        points=points(c),
        sides=[_side(side, e) for side, e in ((pair.a, c.accuracy_a), (pair.b, c.accuracy_b))],
        chart=markup(charts.difference_chart(c)),
        class_chart=markup(charts.class_chart(c)),
        truth_chart=markup(charts.confidence_chart(truth_a, truth_b, (c.a, c.b))),
        cells=_cells(c),
        scores=_scores(c),
        classes=[_class_row(row) for row in c.per_class[:TABLE_CLASSES]],
        settings=pair.settings,
        lost=_gallery(c, a, b, lost[:GALLERY]),
        lost_n=len(lost),
        won=_gallery(c, a, b, won[:GALLERY]),
        won_n=len(won),
    )


def _classes_of(side: Side) -> Evaluation:
    assert isinstance(side.evaluation, Evaluation), "a pair has evaluations of its comparison's kind"
    return side.evaluation


def headline(c: Comparison) -> str:
    """The verdict in one sentence."""
    return f"{c.verdict}."


def second_line(c: Comparison) -> str:
    """The two shares and the interval of their difference."""
    low, high = sorted((100 * c.difference.low, 100 * c.difference.high))
    return (
        f"{c.a} is right in {percent(c.accuracy_a.value)}, {c.b} in {percent(c.accuracy_b.value)} of the same "
        f"{c.n:,} {c.part} pictures. The difference may be anything from {low:+.1f} to {high:+.1f} points "
        f"(95\u202f% interval of {c.a} minus {c.b})."
    )


def points(c: Comparison) -> list[str]:
    """What else one should know."""
    p = c.p if c.p_groups is None else c.p_groups
    split = c.only_a + c.only_b
    found = [
        f"They part on {split:,} pictures: {c.only_a:,} are right with {c.a} alone, {c.only_b:,} with {c.b} alone. "
        f"If neither were better, so uneven a split or a worse one would have a chance of {_chance(p)}.",
        f"They give the same answer to {percent(c.same_answer, 0)} of the pictures, right or wrong.",
    ]
    if c.nll is not None and c.nll.value and not c.nll.low <= 0 <= c.nll.high:
        surer = c.a if c.nll.value < 0 else c.b
        found.append(
            f"{surer} gives the truth more probability: its log-loss is lower by {abs(c.nll.value):.3f} nats."
        )
    shown = [row for row in c.per_class if row.is_shown]
    if shown:
        told = [f"“{row.name}” ({100 * row.difference.value:+.0f} points)" for row in shown[:6]]
        found.append(
            f"Classes that differ, all classes having been tested: {', '.join(told)}; {c.a} minus {c.b}."
        )
    elif len(c.per_class) > 1:
        found.append("No single class is shown to differ once all classes have been tested.")
    if c.groups is not None:
        found.append(
            f"Pictures come in {c.groups:,} groups of related ones; intervals and p take whole groups."
        )
    return [*found, *c.notes]


def _chance(p: float) -> str:
    return "less than 1 in 10,000" if p < 1e-4 else percent(p, 1 if p >= 0.001 else 2)


def _side(side: Side, accuracy: Estimate) -> dict[str, Any]:
    return {
        "name": side.name,
        "value": percent(accuracy.value),
        "scale": span(accuracy),
        "interval": f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f}",
        "about": about(side),
        "command": command_line(side),
    }


def _cells(c: Comparison) -> dict[str, dict[str, str]]:
    counts = {"both": c.both, "only_a": c.only_a, "only_b": c.only_b, "neither": c.neither}
    return {name: {"n": f"{n:,}", "share": percent(n / max(1, c.n))} for name, n in counts.items()}


def _scores(c: Comparison) -> list[dict[str, str]]:
    found = []
    for title, told, estimate in (
        ("accuracy, points", "above 0: the first is better", _scaled(c.difference)),
        ("log-loss (NLL), nats", "below 0: the first is better", c.nll),
        ("Brier score", "below 0: the first is better", c.brier),
    ):
        if estimate is not None:
            digits = 1 if title.startswith("accuracy") else 3
            low, high = f"{estimate.low:+.{digits}f}", f"{estimate.high:+.{digits}f}"
            found.append(
                {
                    "title": title,
                    "told": told,
                    "value": f"{estimate.value:+.{digits}f}",
                    "interval": f"{low} to {high}",
                }
            )
    return found


def _scaled(e: Estimate) -> Estimate:
    return Estimate(100 * e.value, 100 * e.low, 100 * e.high)


def _class_row(row: Any) -> dict[str, Any]:
    d = row.difference
    return {
        "name": row.name,
        "n": row.n,
        "a": percent(row.recall_a, 0),
        "b": percent(row.recall_b, 0),
        "difference": f"{100 * d.value:+.0f}",
        "interval": f"{100 * d.low:+.0f} to {100 * d.high:+.0f}",
        "p": f"{row.p_holm:.3f}" if row.p_holm >= 0.001 else "< 0.001",
        "shown": row.is_shown,
    }


def _truth(e: Evaluation, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) probability of the true class."""
    return e.probs[rows, e.targets[rows]].astype(np.float64)


def _parted(
    a: Evaluation, b: Evaluation, rows_a: NDArray[np.int64], rows_b: NDArray[np.int64]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """((row of A, row of B) where only A is right, where only B is), the surest mistakes first."""
    right_a, right_b = a.right[rows_a], b.right[rows_b]

    def ordered(mask: NDArray[np.bool_], wrong: Evaluation, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
        found = np.flatnonzero(mask)
        found = found[np.argsort(-wrong.confidence[rows[found]], kind="stable")]
        return [(int(rows_a[i]), int(rows_b[i])) for i in found]

    return ordered(right_a & ~right_b, b, rows_b), ordered(right_b & ~right_a, a, rows_a)


def _gallery(
    c: Comparison, a: Evaluation, b: Evaluation, rows: list[tuple[int, int]]
) -> list[dict[str, Any]]:
    pictures = thumbnails([Path(a.root) / a.paths[i] for i, _ in rows])
    return [
        {
            "picture": picture,
            "path": a.paths[i],
            "label": a.classes[int(a.targets[i])],
            "answers": [_answer(c.a, a, i), _answer(c.b, b, j)],
        }
        for (i, j), picture in zip(rows, pictures, strict=True)
    ]


def _answer(name: str, e: Evaluation, row: int) -> dict[str, Any]:
    said = e.classes[int(e.predicted[row])]
    return {
        "who": name,
        "said": said,
        "sure": percent(float(e.confidence[row]), 0),
        "right": bool(e.right[row]),
    }
