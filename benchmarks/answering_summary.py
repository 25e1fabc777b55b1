"""The tables of ``benchmarks.answering``: medians, spreads, and Assay's ratios to each peer."""

from __future__ import annotations

from typing import Any

from benchmarks.machine import median

Line = dict[str, Any]


def tables(lines: list[Line]) -> list[str]:
    """Lines of Markdown: for each network its newest series, and then the ratios that are aimed at."""
    found: list[str] = []
    for network in dict.fromkeys(line["network"] for line in lines):
        mine = newest_series([line for line in lines if line["network"] == network])
        found += [*_rates(network, mine), ""]
    return found[:-1]


def newest_series(lines: list[Line]) -> list[Line]:
    """Those of the series that began last: ratios hold within a series alone."""
    newest = max(line["series"] for line in lines)
    return [line for line in lines if line["series"] == newest]


def rates_of(lines: list[Line]) -> dict[str, list[float]]:
    """Program -> its rates by round."""
    found: dict[str, list[float]] = {}
    for line in lines:
        found.setdefault(line["program"], []).append(line["per_s"])
    return found


def _rates(network: str, lines: list[Line]) -> list[str]:
    """One row a program, the fastest first."""
    rates = rates_of(lines)
    middle = {program: median(values) for program, values in rates.items()}
    theirs = {name: rate for name, rate in middle.items() if not name.startswith("assay")}
    best = max(theirs.values(), default=None)
    told = {line["program"]: line["told"] for line in lines}
    count, rounds = lines[0]["pictures"], max(len(values) for values in rates.values())
    rows = [
        f"| {network}, {count:,} pictures, {rounds} rounds | pictures a second | least - most "
        "| of the best peer | things a picture | computes in |",
        "|---|---|---|---|---|---|",
    ]
    for program, rate in sorted(middle.items(), key=lambda pair: -pair[1]):
        values, about = rates[program], told[program]
        things = about.get("things") or 0
        precision = about.get("computes_in") or _precision(program)
        rows.append(
            f"| {program} | {rate:.1f} | {min(values):.1f} - {max(values):.1f} "
            f"| {'-' if best is None else f'{rate / best:.2f} x'} "
            f"| {f'{things / count:.1f}' if things else '-'} | {precision} |"
        )
    return rows


def _precision(program: str) -> str:
    return program.split()[2].rstrip(",") if program.startswith("assay") else "fp32"
