"""The tables of ``benchmarks.matching``: recall for each edit, false matches, and times, of the test alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Line = dict[str, Any]


def table(lines: list[Line]) -> list[str]:
    """Recall for each edit, false matches, and times, of the test alone."""
    newest = {line["job"]: line for line in lines if line["part"] in ("test", "time")}
    recall = [line for line in newest.values() if line["kind"] == "recall"]
    sets = list(dict.fromkeys(line["data"] for line in recall))
    rows = []
    if recall:
        rows += ["| edit | " + " | ".join(f"{name}: found, % | 95 % | or shown, %" for name in sets) + " |"]
        rows += ["|---|" + "---|---|---|" * len(sets)]
        for edit in dict.fromkeys(line["edit"] for line in recall):
            cells = [f"| {edit} |"]
            for name in sets:
                line = newest.get(f"test/{name}/{edit}")
                cells.append(" - | - | - |" if line is None else _cells(line))
            rows.append("".join(cells))
        rows += ["", *_whole(recall, sets)]
    false = [line for line in newest.values() if line["kind"] == "false"]
    if false:
        head = (
            "photos that are something else",
            "photos",
            "enrolled",
            "taken for an enrolled one",
            "95 % at most",
        )
        rows += ["", f"| {' | '.join(head)} | shown to a person |"]
        rows += ["|---|---|---|---|---|---|"]
        rows += [
            f"| {line['data']} | {line['n']:,} | {line['enrolled']:,} | **{line['false']:,}** | "
            f"{100 * line['high']:.3f} % of photos | {line['perhaps']:,} |"
            for line in false
        ]
    times = [line for line in newest.values() if line["kind"] == "time"]
    if times:
        rows += ["", "| on one core | median |", "|---|---|"]
        rows += [f"| {line['name']} | {line['value']:.1f} {line['unit']} |" for line in times]
    return rows


def _cells(line: Line) -> str:
    interval = f"[{100 * line['low']:.1f}, {100 * line['high']:.1f}]"
    return f" **{100 * line['recall']:.1f}** | {interval} | {100 * line['perhaps'] / line['n']:.1f} |"


def _whole(recall: list[Line], sets: list[str]) -> Iterator[str]:
    for name in sets:
        own = [line for line in recall if line["data"] == name]
        found, shown, n = (sum(line[key] for line in own) for key in ("found", "perhaps", "n"))
        shares = f"{100 * found / n:.2f} %; {100 * shown / n:.2f} % found or shown to a person"
        others = sum(line["others"] for line in own)
        yield (
            f"{name}: {found:,} of {n:,} edited photos found ({shares}) among {own[0]['enrolled']:,} enrolled ones; "
            f"{others:,} taken for another one.  "
        )
