"""What was promised of held-back answers beside what was found: rows for the page and for the command line."""

from __future__ import annotations

import math
from typing import TextIO

from rich.console import Console
from rich.table import Table

from assay.decide.abstention import Abstention
from assay.decide.words import cautions, promises, share
from assay.metrics.evaluation import Evaluation
from assay.metrics.interval import Estimate

Row = dict[str, str]


def is_same_pictures(evaluation: Evaluation, abstention: Abstention) -> bool:
    """Whether the thresholds were fitted on the very pictures that are measured."""
    made = abstention.calibration
    return (made.split_hash, made.part) == (evaluation.split_hash, evaluation.part)


def found_rows(evaluation: Evaluation, abstention: Abstention) -> list[Row]:
    """One row a promise: what, promised, found, interval (95 %), verdict ("kept", "broken", "cannot tell" or "")."""
    found = evaluation.abstention
    if found is None:
        return []
    t, by_group = abstention.threshold, abstention.calibration.unit == "group"
    answered = "" if t.threshold is None else f"about {share(t.coverage)}"
    rows = [_row("pictures that get an answer", answered, found["coverage"])]
    promised = "" if t.threshold is None else f"at most {share(t.risk)}"
    if by_group and "risk_by_group" in found:
        name = "wrong among the answers, every group counting alike"
        rows.append(_row(name, promised, found["risk_by_group"], most=t.risk if promised else None))
        rows.append(_row("wrong among the answers, counted one by one", "", found["risk"]))
    else:
        most = t.risk if promised and not by_group else None
        rows.append(_row("wrong among the answers", promised, found["risk"], most=most))
    sets, rate = abstention.sets, abstention.config.false_alarm
    held = _row(
        "sets that hold the right class",
        f"at least {share(sets.coverage)}",
        found["set_coverage"],
        least=sets.coverage,
    )
    size = found["set_size"]
    rows += [held, _plain_row("classes a set names", f"about {sets.mean_size:.2f}", size)]
    if abstention.can_alarm:
        rows.append(_row("called unknown", f"at most {share(rate)}", found["called_unknown"], most=rate))
    return rows


def _row(
    what: str, promised: str, found: Estimate, *, most: float | None = None, least: float | None = None
) -> Row:
    if math.isnan(found.value):
        return {"what": what, "promised": promised, "found": "–", "interval": "", "verdict": ""}
    interval = "" if math.isnan(found.low) else f"{100 * found.low:.1f} to {100 * found.high:.1f}"
    verdict = _verdict(found, most, least)
    return {
        "what": what,
        "promised": promised,
        "found": f"{100 * found.value:.1f} %",
        "interval": interval,
        "verdict": verdict,
    }


def _verdict(found: Estimate, most: float | None, least: float | None) -> str:
    """Broken only where the whole interval says so: one test part is a sample."""
    if most is not None:
        return "kept" if found.value <= most else "broken" if found.low > most else "cannot tell"
    if least is not None:
        return "kept" if found.value >= least else "broken" if found.high < least else "cannot tell"
    return ""


def _plain_row(what: str, promised: str, found: Estimate) -> Row:
    interval = "" if math.isnan(found.low) else f"{found.low:.2f} to {found.high:.2f}"
    return {
        "what": what,
        "promised": promised,
        "found": f"{found.value:.2f}",
        "interval": interval,
        "verdict": "",
    }


def print_abstention(evaluation: Evaluation, abstention: Abstention, stream: TextIO) -> None:
    """Write promises, what was found beside them, and what to mind."""
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    console.print("\nHolding answers back", style="bold")
    for sentence in promises(abstention):
        console.print(f"- {sentence}")
    table = Table(box=None, pad_edge=False)
    for title, justify in (
        ("", "left"),
        ("promised", "right"),
        ("found", "right"),
        ("95 % interval", "left"),
    ):
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("", no_wrap=True)
    for row in found_rows(evaluation, abstention):
        table.add_row(row["what"], row["promised"], row["found"], row["interval"], row["verdict"])
    console.print(table)
    if is_same_pictures(evaluation, abstention):
        console.print("these are the pictures that the thresholds were fitted on: measure on others")
    for text in cautions(abstention):
        console.print(text)
