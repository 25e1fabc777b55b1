"""The evaluation of a network of several heads as text: numbers and classes of each part, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from assay.metrics.scene_evaluation import MAIN, SceneEvaluation
from assay.report.scene_names import interval_text, named, value_text
from assay.report.text import MOST_CLASSES, format_value

_TITLES = {
    "class": "Class of the picture",
    "tags": "Tags",
    "boxes": "Boxes",
    "masks": "Masks",
    "pixels": "Pixels",
    "panoptic": "Things and pixels together",
    "whole": "As a whole",
}
_CLASS = ("accuracy", "top5", "macro_f1", "balanced_accuracy", "auroc", "nll", "brier", "ece")
_AT_SCORE = (("precision", "precision", True), ("recall", "recall", True), ("f1", "F1", True))
_THINGS = (("objects", "things", False), ("ap50_95", "AP50-95", False), ("ap50", "AP50", False), *_AT_SCORE)
_COLUMNS: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "tags": (("tagged", "pictures", False), ("ap", "AP", False), *_AT_SCORE),
    "boxes": _THINGS,
    "masks": _THINGS,
    "pixels": (
        ("share", "share", True),
        ("iou", "IoU", False),
        ("dice", "Dice", False),
        ("boundary_f1", "boundary F1", False),
    ),
}
"""Part -> (key of a row, title, whether it is read in percent)."""


def print_scenes(evaluation: SceneEvaluation, stream: TextIO) -> None:
    """Write what was measured to ``stream``, for people."""
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)  # names may hold brackets
    console.print(
        f"{evaluation.model} on {evaluation.dataset}, part {evaluation.part}: {evaluation.n:,} pictures",
        style="bold",
    )
    for part, title in _TITLES.items():
        if names := _names(evaluation, part):
            console.print(f"\n{title}{_beside(evaluation, part)}", style="bold")
            console.print(_numbers(evaluation, names))
            if part in _COLUMNS:
                console.print(_classes(getattr(evaluation, part).per_class, _COLUMNS[part]))
        if part == "boxes" and evaluation.boxes is not None:
            console.print(mistakes_line(evaluation.boxes.mistakes))
    for line in notes(evaluation):
        console.print(line)


def summary_rows(evaluations: Sequence[SceneEvaluation]) -> list[tuple[str, ...]]:
    """A row for the main number of each head, a column for each evaluation, as `assay train` ends with.

    A dash stands where a part could not tell it, since nobody labelled that there.
    """
    rows: list[tuple[str, ...]] = [("", *(f"{e.part} ({e.n:,} pictures)" for e in evaluations))]
    for name in (*MAIN.values(), "whole.right_class"):
        if any(name in e.metrics for e in evaluations):
            rows.append((named(name).title, *(_number(e, name) for e in evaluations)))
    return rows


def _number(evaluation: SceneEvaluation, name: str) -> str:
    found = evaluation.metrics.get(name)
    told = value_text(name, None if found is None else found.value)
    return told if found is None else f"{told} {interval_text(name, found)}".strip()


def _names(evaluation: SceneEvaluation, part: str) -> list[str]:
    if part == "class":
        return [name for name in _CLASS if name in evaluation.metrics]
    return [name for name in evaluation.metrics if name.startswith(f"{part}.")]


def _beside(evaluation: SceneEvaluation, part: str) -> str:
    section: Any = evaluation.classify if part == "class" else getattr(evaluation, part)
    n = getattr(section, "n", None) or getattr(section, "pictures", None)
    told = [] if n is None or n == evaluation.n else [f"{n:,} pictures"]
    if part in ("boxes", "masks"):
        told += [f"{section.objects:,} things", f"told from a score of {section.score:.3g} on"]
    if part == "whole":
        told += [f"{section.things:,} things"]
    return f" ({', '.join(told)})" if told else ""


def _numbers(evaluation: SceneEvaluation, names: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, justify in (("", "left"), ("value", "right"), ("95 % interval", "left")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for name in names:
        estimate = evaluation.metrics[name]
        title = named(name).title.removeprefix(f"{name.partition('.')[0]}, ")
        table.add_row(title, value_text(name, estimate.value), interval_text(name, estimate))
    return table


def _classes(rows: list[dict[str, Any]], columns: tuple[tuple[str, str, bool], ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for _, title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows[:MOST_CLASSES]:
        table.add_row(row["class"], *(cell(row[key], is_share=share) for key, _, share in columns))
    if len(rows) > MOST_CLASSES:
        table.caption = f"{len(rows) - MOST_CLASSES} more classes: see --json"
    return table


def cell(value: Any, *, is_share: bool) -> str:
    """A number of a row, or the value of an estimate in it; a dash where it is undefined."""
    number = value["value"] if isinstance(value, dict) else value
    if isinstance(number, int):
        return f"{number:,}"
    return format_value("accuracy" if is_share else "other", number)


def mistakes_line(mistakes: dict[str, int]) -> str:
    """What kinds of mistakes there are, in words."""
    told = {
        "missed": "missed",
        "background": "where nothing is",
        "place": "in the wrong place",
        "class": "of the wrong class",
        "both": "wrong in both",
        "duplicate": "told twice",
    }
    found = [f"{mistakes[kind]:,} {words}" for kind, words in told.items() if mistakes[kind]]
    return "mistakes: " + (", ".join(found) or "none")


def notes(evaluation: SceneEvaluation) -> list[str]:
    """What was left out, and how intervals count."""
    told = []
    if groups := evaluation.interval.get("groups"):
        told.append(f"intervals count {groups} groups, as pictures of one group resemble each other")
    if evaluation.unlabelled:
        told.append(f"{evaluation.unlabelled:,} pictures without any label for it were left out")
    for title, rows in (("not read", evaluation.unreadable), ("truth not used", evaluation.faulty)):
        told += [f"{title}: {bad['path']}: {bad['error'].splitlines()[0]}" for bad in rows[:10]]
        if len(rows) > 10:
            told.append(f"and {len(rows) - 10:,} more")
    return told
