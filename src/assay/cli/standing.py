"""How a candidate stands against the live network, as a table on the terminal."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from assay.cli.terminal import paint, show_table

if TYPE_CHECKING:
    from assay.metrics.interval import Estimate
    from assay.metrics.standing import ClassStanding, Standing

_COLOURS = {"worse": "red", "better": "green", "cannot say": "yellow"}


def show_standing(standing: Standing) -> None:
    """The verdict, a row a class, and what cannot be said."""
    c = standing.comparison
    print(
        f"{c.n:,} held-out photos: the candidate is right in {c.accuracy_a.value:.1%}, the live network in "
        f"{c.accuracy_b.value:.1%}; difference {_points(c.difference)} points"
    )
    if standing.traffic is not None:
        print(
            f"as the traffic has it (by the weights of {standing.weighted:,} reviewed photos): "
            f"{_points(standing.traffic)} points"
        )
    print()
    rows: list[tuple[str, ...]] = [
        (
            "class",
            "photos",
            "recall: live",
            "candidate",
            "difference",
            "precision: live",
            "candidate",
            "difference",
            "",
        )
    ]
    show_table(rows + [_row(one) for one in standing.classes])
    print()
    if standing.passed:
        print(paint("passed: no class gets worse beyond its interval", "green", sys.stdout))
    else:
        print(paint("refused:", "red", sys.stdout))
        for reason in standing.reasons:
            print(f"- {reason}")
    if standing.unclear:
        print(
            f"too few held-out photos to exclude a fall of more than 10 points: {', '.join(standing.unclear[:12])}"
            f"{' and more' if len(standing.unclear) > 12 else ''}"
        )
    if standing.gained:
        print(f"classes that only the candidate knows: {', '.join(standing.gained[:12])}")


def _row(one: ClassStanding) -> tuple[str, ...]:
    verdict = one.verdict
    return (
        one.name,
        f"{one.n:,}",
        _share(one.recall_live),
        _share(one.recall_new),
        _points(one.recall),
        _share(one.precision_live),
        _share(one.precision_new),
        _points(one.precision),
        paint(verdict, _COLOURS[verdict], sys.stdout) if verdict in _COLOURS else verdict,
    )


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


def _points(e: Estimate) -> str:
    if math.isnan(e.low):
        return "-"
    return f"{100 * e.value:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"
