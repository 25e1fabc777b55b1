"""The operator's charts and headline, from the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from assay.service.pages import charts
from assay.service.pages.tell import moment, percent
from assay.service.pages.words import Words
from assay.service.store.drift import LIMITS
from assay.service.store.figures import VERDICTS

_FORMS = {"day": "%H:%M", "week": "%d %H:%M", "month": "%m-%d"}
_MOST_NAMED = 3
_LONG_WAIT_S = 4 * 3600.0


def charts_of(told: Mapping[str, Any], words: Words) -> dict[str, Markup | None]:
    """Name -> SVG; drift is None where nothing was calibrated."""
    form = _FORMS[told["range"]]
    layers = [(name, words(f"verdict.{name}")) for name in VERDICTS]
    bars = [(moment(bar["from"], form), bar["verdicts"]) for bar in told["bars"]]
    ages = [(words(f"age.{name}"), float(n)) for name, n in told["queue"]["ages"].items()]
    days = told["drift"]["days"]
    index = [(moment(day["from"], "%m-%d"), day["index"], day["enough"]) for day in days]
    unknown = [(moment(day["from"], "%m-%d"), _hundred(day["unknown"]), day["enough"]) for day in days]
    has_index = any(value is not None for _, value, _ in index)
    limits = [(LIMITS[0], "near"), (LIMITS[1], "far")]
    photos = told["totals"]["photos"]
    return {
        "traffic": charts.stacked(bars, layers, words("chart.traffic", n=f"{photos:,}")),
        "ages": charts.columns(ages, words("chart.ages", n=told["queue"]["open"])),
        "drift": charts.lines(index, limits, words("chart.drift")) if has_index else None,
        "unknown": charts.lines(unknown, [(1.0, "none")], words("chart.unknown"), digits=1),
    }


def _hundred(share: float | None) -> float | None:
    return None if share is None else 100 * share


def headline(told: Mapping[str, Any], words: Words) -> str:
    """What an operator has to know first."""
    if told["withdrawn"]:
        some = told["withdrawn"][:_MOST_NAMED]
        named = ", ".join(f"{words('verdict.' + verdict)} {name}" for verdict, name in some)
        if more := len(told["withdrawn"]) - len(some):
            named += " " + words("headline.more", n=more)
        return words("headline.withdrawn", names=named)
    if told["hooks"]["failing"]:
        return words("headline.hooks", n=told["hooks"]["failing"])
    if (told["queue"]["oldest_s"] or 0) > _LONG_WAIT_S:
        return words("headline.queue", n=told["queue"]["open"])
    if not told["totals"]["photos"]:
        return words("headline.quiet")
    return words("headline.fine", share=percent(told["totals"]["automatic_share"]))
