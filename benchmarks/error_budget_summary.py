"""Tables of `benchmarks.error_budget`, from its JSON lines alone."""

from __future__ import annotations

from typing import Any

from benchmarks.summarise import newest

Line = dict[str, Any]
UNITS = {"picture": "photos", "group": "senders"}
HOWS = {"halves": "half and half", "redrawn": "drawn anew"}


def tables(lines: list[Line]) -> list[str]:
    """Everything that was measured, as Markdown."""
    found: dict[str, list[Line]] = {}
    for line in newest(lines):
        found.setdefault(line["job"].partition("/")[0], []).append(line)
    rows: list[str] = []
    for kind, table in (
        ("world", _worlds),
        ("trips", _trips),
        ("shift", _shifts),
        ("labels", _labels),
        ("splits", _splits),
        ("sneakers", _sneakers),
    ):
        if kind in found:
            rows += ["", *table(found[kind])] if rows else table(found[kind])
    return rows


def _worlds(lines: list[Line]) -> list[str]:
    rows = [
        "| made world | promised risk | labels | calibrations | a threshold given | **broken** | 95 % of it |"
        " automatic |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for n in lines:
        rows.append(
            f"| {n['world']} | {_p(n['promised'])} | {n['labels']:,} | {n['draws']:,} "
            f"| {_p(n['promising'] / n['draws'])} | **{_p(n['broken'] / n['draws'])}** | {_between(n, 'broken')} "
            f"| {_p(n['automatic'])} |"
        )
    return rows


def _trips(lines: list[Line]) -> list[str]:
    told = {
        "at_the_limit": "just the accepted one",
        "limit_late": "none for 1,000 answers, then just the accepted one",
        "half_in_pairs": "half of it, but wrong answers come in twos (not promised)",
    }
    rows = [
        "| accepted risk | true risk | runs | looks, one after each answer | **withdrawn wrongly** | 95 % of it |",
        "|---|---|---|---|---|---|",
    ]
    for n in lines:
        rows.append(
            f"| {_p(n['accepted'])} | {told[n['risk']]} | {n['runs']:,} | {n['looks']:,} "
            f"| **{_p(n['tripped'] / n['runs'])}** | {_between(n, 'tripped')} |"
        )
    return rows


def _shifts(lines: list[Line]) -> list[str]:
    rows = [
        "| accepted risk | good answers before | risk after | runs | withdrawn | audited answers until then, half of "
        "the runs | nine in ten | verdicts at an audit of 2 in 100 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for n in lines:
        counted = n["runs"] - n["early"]
        middle, late = (
            f"> {n['most']:,}" if n[key] is None else f"{n[key]:,.0f}" for key in ("median", "q90")
        )
        verdicts = "–" if n["median"] is None else f"{50 * n['median']:,.0f}"
        rows.append(
            f"| {_p(n['accepted'])} | {n['good']:,} | {_p(n['shifted_to'])} | {counted} | {_p(n['tripped'] / counted)} "
            f"| **{middle}** | {late} | {verdicts} |"
        )
    return rows


def _labels(lines: list[Line]) -> list[str]:
    head = lines[0]
    right = ", ".join(f"{name} {k:,} of {n:,}" for name, (k, n) in head["right"].items())
    rows = [
        f"{head['photos']:,} held-out photos, {head['strangers']} of them no products; answered rightly: {right}; "
        f"called unknown: {head['unknown']} products, {head['unknown_strangers']} others.",
        "",
        "| policy | promised risk | kinds with a threshold | photos without one: labels missing |",
        "|---|---|---|---|",
    ]
    for n in lines:
        _, policy, risk = n["job"].split("/")
        given = [
            f"{k['verdict']} {k['name']} (from {k['threshold']:.2f}, {_p(k['kept'])} of its {k['labels']})"
            for k in n["kinds"]
            if k["threshold"] is not None
        ]
        none = [
            f"{k['name']} {'–' if k['missing'] is None else format(k['missing'], ',')}"
            for k in n["kinds"]
            if k["threshold"] is None
        ]
        rows.append(
            f"| {policy} | {_p(float(risk))} | {', '.join(given) or 'none'} | {', '.join(none) or 'none'} |"
        )
    return rows


def _splits(lines: list[Line]) -> list[str]:
    rows = [
        "| policy | drawn | of | promised risk | drawings | **broken, worst kind** | 95 % of it | accepts: risk found "
        "(5 to 95 %) | automatic | rejections: risk found (5 to 95 %) | automatic |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    silent = []
    for n in lines:
        _, policy, how, unit, _ = n["job"].split("/")
        worst = n["broken_most"]
        if not any(kind["promising"] for kind in n["kinds"].values()):
            silent.append(f"{policy}, {HOWS[how]}, {UNITS[unit]}, {_p(n['promised'])}")
            continue
        told = "–" if worst is None else f"**{_p(worst['broken'] / n['drawings'])}**"
        between = "–" if worst is None else _between(worst, "broken")
        cells = [cell for v in ("accept", "reject") for cell in (_found(n[v]), _p(n[v]["automatic"]))]
        rows.append(
            f"| {policy} | {HOWS[how]} | {UNITS[unit]} | {_p(n['promised'])} | {n['drawings']:,} | {told} | {between} "
            f"| {' | '.join(cells)} |"
        )
    if silent:
        rows += ["", f"In none of the drawings a threshold, so all photos go to people: {'; '.join(silent)}."]
    return rows


def _sneakers(lines: list[Line]) -> list[str]:
    rows = [
        "| fold | photos of unseen shoes | right | 95 %, by shoe | always the commoner answer | promises tried | "
        "**thresholds given** |",
        "|---|---|---|---|---|---|---|",
    ]
    for n in lines:
        a = n["accuracy"]
        rows.append(
            f"| {n['job'].partition('/')[2]} | {n['photos']} of {n['shoes']} | {_p(n['right'] / n['photos'])} "
            f"| {_p(a['low'])} to {_p(a['high'])} | {_p(n['majority'] / n['photos'])} | {len(n['thresholds'])} "
            f"| **{n['promises'] or 'none: to people'}** |"
        )
    return rows


def _found(line: Line) -> str:
    if line["risk"] is None:
        return "–"
    low, _, high = line["risk_quantiles"]
    return f"{_p(line['risk'])} ({_p(low)} to {_p(high)})"


def _between(line: Line, name: str) -> str:
    return f"{_p(line[f'{name}_low'])} to {_p(line[f'{name}_high'])}"


def _p(share: float) -> str:
    value = 100 * share
    return f"{value:.0f} %" if value == round(value) else f"{value:.1f} %"
