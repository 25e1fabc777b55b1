"""Numbers and times as people read them."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.service.pages.words import Words


def percent(share: float | None, digits: int | None = None) -> str:
    """Two digits that tell something: 0.43 %, 1.2 %, 97 %, 99.7 %; a dash for nothing."""
    if share is None or not math.isfinite(share):
        return "–"
    value = 100 * share
    if digits is None:
        digits = 0 if value in (0, 100) or 10 <= value <= 99 else 1 if value >= 1 else 2
    return f"{value:.{digits}f}\u202f%"


def count(number: float | None) -> str:
    """With separators: 12,345."""
    return "–" if number is None else f"{number:,.0f}"


def short(text: str, most: int = 12) -> str:
    """The first signs of a digest or a name."""
    return text if len(text) <= most else text[:most] + "…"


def moment(at: float | None, form: str = "%Y-%m-%d %H:%M") -> str:
    """A time in UTC."""
    return "–" if at is None else time.strftime(form, time.gmtime(at))


def span(seconds: float | None, words: Words) -> str:
    """A length of time in its largest fitting unit: 40 s, 12 min, 5 h, 3 d."""
    if seconds is None:
        return "–"
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size or (unit == "min" and seconds >= 60):
            return words(f"unit.{unit}", n=f"{seconds / size:.0f}")
    return words("unit.s", n=f"{max(0.0, seconds):.0f}")


def ago(at: float, now: float, words: Words) -> str:
    """How long ago this was."""
    return words("time.ago", span=span(now - at, words)) if now - at >= 5 else words("time.now")
