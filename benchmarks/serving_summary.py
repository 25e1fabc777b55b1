"""The tables of ``benchmarks.serving``: rates and waits of all servers, ratios within rounds, the overload promise."""

from __future__ import annotations

from typing import Any

from benchmarks.answering_summary import newest_series
from benchmarks.machine import median

Line = dict[str, Any]
PEERS = ("litserve", "fastapi")
"""Whose best is what Assay is held against; other rows are there to be seen."""


def tables(lines: list[Line]) -> list[str]:
    """Lines of Markdown: each network's newest rounds, then the newest overload."""
    found: list[str] = []
    for kind, table in (("closed", _rates), ("overload", _overload)):
        for network in dict.fromkeys(line["network"] for line in lines):
            there = {line["series"] for line in lines if line["network"] == network and line["mode"] == kind}
            mine = [line for line in lines if line["network"] == network and line["series"] in there]
            if mine:
                found += [*table(network, newest_series(mine)), ""]
    return found[:-1]


def ratios(lines: list[Line]) -> dict[str, list[float]]:
    """Server -> its rate at 8 clients over that of the best peer of the same round, round by round."""
    rates: dict[int, dict[str, float]] = {}
    for line in _at(lines, 8):
        rates.setdefault(line["round"], {})[line["server"]] = line["per_s"]
    found: dict[str, list[float]] = {}
    for of_round in rates.values():
        best = max((rate for name, rate in of_round.items() if name in PEERS), default=0.0)
        for name, rate in of_round.items() if best else ():
            found.setdefault(name, []).append(rate / best)
    return found


def _rates(network: str, lines: list[Line]) -> list[str]:
    """One row a server, the fastest first; then its settings and the limits."""
    limits = {line["precision"]: line["per_s"] for line in lines if line["mode"] == "limit"}
    rounds = len({line["round"] for line in _at(lines, 8)})
    opened = next((line["open_per_s"] for line in lines if line["mode"] == "open"), 0)
    head = [
        f"{network}, {rounds} rounds", "photos a second, 8 clients", "of the better peer", "p50, p99 at 8, ms",
        "at 1 client, 16 clients", f"p50, p99 at {opened:g} a second, ms", "most with p99 <= 500 ms",
        "processor, ms a photo", "memory, MB", "of the limit",
    ]  # fmt: skip
    rows = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    times = ratios(lines)
    names = dict.fromkeys(line["server"] for line in _at(lines, 8))
    middle = {name: median([line["per_s"] for line in _at(lines, 8, name)]) for name in names}
    for name, rate in sorted(middle.items(), key=lambda pair: -pair[1]):
        mine = _at(lines, 8, name)
        of_peer = times.get(name)
        limit = limits.get("int8" if "int8" in name else "fp32")
        cells = [
            name,
            f"**{rate:.0f}** ({_span([line['per_s'] for line in mine], 0)})",
            f"{median(of_peer):.2f} x ({_span(of_peer, 2)})" if of_peer else "-",
            _waits(mine),
            ", ".join(_rate(_at(lines, clients, name)) for clients in (1, 16)),
            _waits([line for line in lines if line["mode"] == "open" and line["server"] == name]),
            _most([line for line in lines if line["mode"] == "greatest" and line["server"] == name]),
            f"{median([line['cpu_ms_an_answer'] for line in mine]):.1f}",
            f"{median([line['memory_mb'] for line in mine]):.0f}",
            f"{100 * rate / limit:.0f} %" if limit else "-",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    settings = {line["server"]: line["settings"] for line in _at(lines, 8) if line["settings"]}
    told = "; ".join(f"{name}: {label}" for name, label in settings.items())
    limit_words = ", ".join(f"{rate:.0f} in {name}" for name, rate in limits.items())
    return [*rows, "", f"Best settings: {told or '-'}. Limit, photos a second: {limit_words or '-'}."]


def _overload(network: str, lines: list[Line]) -> list[str]:
    """One row for each multiple of the capacity: medians and worst of its rounds."""
    rows = [
        f"| {network} | sent a second | answered a second | of the peak | for each core that the generator left "
        "| p50, p99 of answers, ms "
        "| refused with Retry-After | p50, p99 of refusals, ms | other failures | taken in, lost "
        "| memory before, most, after, MB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    mine = [line for line in lines if line["mode"] == "overload"]
    for times in sorted({line["times"] for line in mine}):
        some = [line for line in mine if line["times"] == times]
        refused = sum(_refused(line) for line in some)
        told = sum(line["refused_with_retry_after"] for line in some)
        others = sum(sum(line["faults"].values()) + _others(line) for line in some)
        goodput = [line["goodput"] for line in some]
        memory = [
            f"{max(line[f'memory_{name}_mb'] for line in some):.0f}" for name in ("before", "most", "after")
        ]
        rows.append(
            f"| {times} x {some[0]['peak_per_s']:.0f} | {some[0]['open_per_s']:.0f} "
            f"| {median([line['per_s'] for line in some]):.0f} "
            f"| {100 * median(goodput):.0f} % (least {100 * min(goodput):.0f}) "
            f"| {100 * median([line['goodput_a_core'] for line in some]):.0f} % | {_waits(some)} "
            f"| {told:,} of {refused:,} | {_waits(some, 'refused_')} | {others:,} "
            f"| {sum(line['taken'] for line in some):,}, {sum(line['lost'] for line in some)} "
            f"| {', '.join(memory)} |"
        )
    return rows


def _at(lines: list[Line], clients: int, server: str | None = None) -> list[Line]:
    """Runs of the closed loop with so many clients."""
    found = [line for line in lines if line["mode"] == "closed" and line["clients"] == clients]
    return [line for line in found if server is None or line["server"] == server]


def _refused(line: Line) -> int:
    return sum(int(number) for status, number in line["statuses"].items() if status in ("429", "503"))


def _others(line: Line) -> int:
    return sum(int(n) for status, n in line["statuses"].items() if status not in ("200", "202", "429", "503"))


def _waits(lines: list[Line], kind: str = "") -> str:
    known = [[line.get(f"{kind}{name}_ms") for line in lines] for name in ("p50", "p99")]
    if not lines or any(value is None for values in known for value in values):
        return "-"
    return ", ".join(f"{median(values):.0f}" for values in known)  # type: ignore[arg-type]


def _rate(lines: list[Line]) -> str:
    return f"{median([line['per_s'] for line in lines]):.0f}" if lines else "-"


def _most(lines: list[Line]) -> str:
    return f"{median([line['open_per_s'] for line in lines]):.0f}" if lines else "-"


def _span(values: list[float], digits: int) -> str:
    return f"{min(values):.{digits}f} - {max(values):.{digits}f}"
