"""An evaluation as text: a table of metrics with their intervals, the classes, and the commonest mistakes."""

from __future__ import annotations

import math
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from assay.metrics.evaluate import load_metrics
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate

MOST_CLASSES = 40
SHARES = frozenset({"accuracy", "top5", "macro_f1", "balanced_accuracy"})
"""Metrics that people read in percent."""


def format_value(name: str, number: float | None) -> str:
    """A metric's number as people read it: percent for shares, three digits for the others, a dash for none."""
    if number is None or not math.isfinite(number):
        return "–"
    return f"{100 * number:.1f} %" if name in SHARES else f"{number:.3f}"


def format_interval(name: str, estimate: Estimate) -> str:
    """``[low, high]`` of a metric, or nothing where it is undefined."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)) or math.isnan(estimate.value):
        return ""
    low, high = (format_value(name, bound).removesuffix(" %") for bound in (estimate.low, estimate.high))
    return f"[{low}, {high}]"


def print_evaluation(evaluation: Evaluation, stream: TextIO) -> None:
    """Write what was measured to ``stream``, for people."""
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)  # names may hold brackets
    console.print(
        f"{evaluation.model} on {evaluation.dataset}, part {evaluation.part}: "
        f"{evaluation.n} pictures, {len(evaluation.classes)} classes",
        style="bold",
    )
    console.print(_metrics_table(evaluation))
    console.print(_classes_table(evaluation))
    for line in _notes(evaluation):
        console.print(line)


def _metrics_table(evaluation: Evaluation) -> Table:
    known = load_metrics()
    table = Table(box=None, pad_edge=False)
    for title, justify in (("", "left"), ("value", "right"), ("95 % interval", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for name, estimate in evaluation.metrics.items():
        title = known[name].title if name in known else name
        table.add_row(title, format_value(name, estimate.value), format_interval(name, estimate))
    return table


def _classes_table(evaluation: Evaluation) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("pictures", "precision", "recall", "95 % interval", "F1"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in [r for r in evaluation.per_class if r["support"] or r["predicted"]][:MOST_CLASSES]:
        table.add_row(*_class_cells(row))
    return table


def _class_cells(row: dict[str, Any]) -> list[str]:
    share = {key: format_value("accuracy", row[key]["value"]) for key in ("precision", "recall", "f1")}
    interval = format_interval("accuracy", Estimate.from_dict(row["recall"]))
    return [row["class"], str(row["support"]), share["precision"], share["recall"], interval, share["f1"]]


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    shown = sum(1 for r in evaluation.per_class if r["support"] or r["predicted"])
    if shown > MOST_CLASSES:
        notes.append(f"{shown - MOST_CLASSES} more classes: see --json")
    if pairs := evaluation.confused(3):
        told = "; ".join(f"{p['class']} taken for {p['answer']} ({p['n']})" for p in pairs)
        notes.append(f"commonest mistakes: {told}")
    ece, floor = evaluation.metrics.get("ece"), evaluation.metrics.get("ece_floor")
    if ece is not None and floor is not None and ece.value > floor.high:
        notes.append("its probabilities are off by more than chance (ECE above its floor)")
    if groups := evaluation.interval.get("groups"):
        notes.append(f"intervals count {groups} groups, as pictures of one group resemble each other")
    if evaluation.unlabelled:
        notes.append(f"{evaluation.unlabelled} pictures without label were left out")
    notes += [f"not read: {bad['path']}: {bad['error']}" for bad in evaluation.unreadable[:10]]
    if len(evaluation.unreadable) > 10:
        notes.append(f"and {len(evaluation.unreadable) - 10} more pictures that cannot be read")
    return notes
