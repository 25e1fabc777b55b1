"""What the doctor found: one Finding a kind, in plain words first, with its figures and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

Level = Literal["error", "warning", "note", "good"]

LEVELS: tuple[Level, ...] = ("error", "warning", "note", "good")
"""Worst first. An error makes any score of this data wrong or a training fail; a warning should be looked at;
a note is worth knowing; "good" says that something was looked for and is in order."""


@dataclass(frozen=True, slots=True)
class Item:
    """One place of a finding: a picture, or several that belong together (two duplicates, say).

    ``paths`` are as the data set has them and ``rows`` their row numbers. ``text`` says what is special about this
    place. ``score`` orders the items, worst first, where there is a scale. ``figures`` are for scripts.
    """

    paths: tuple[str, ...]
    rows: tuple[int, ...] = ()
    text: str = ""
    score: float | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One kind of thing that the doctor found.

    ``code`` is a stable name for scripts ("near-duplicates-across-parts"). ``title`` is a few words for a heading;
    ``what`` one or two plain sentences that a shop owner understands; ``fix`` what to do. ``count`` is how many
    places there are; ``items`` holds the first of them, the worst first. ``figures`` are the numbers behind it.
    """

    level: Level
    code: str
    title: str
    what: str
    fix: str = ""
    count: int = 0
    items: tuple[Item, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "items": [asdict(item) for item in self.items]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The inverse of ``to_dict``."""
        items = (
            Item(**{**item, "paths": tuple(item["paths"]), "rows": tuple(item["rows"])})
            for item in values["items"]
        )
        return cls(**{**values, "items": tuple(items)})


def finding(
    level: Level,
    code: str,
    title: str,
    what: str | tuple[str, str],
    fix: str = "",
    items: Iterable[Item] = (),
    *,
    count: int | None = None,
    most: int = 1000,
    figures: Mapping[str, Any] | None = None,
) -> Finding:
    """A Finding with at most ``most`` items.

    ``what`` may be "for one|for {n}", by their number; or a pair of the two, where names of the user's stand in it:
    they may hold anything.
    """
    listed = list(items) if count is None else list(islice(items, most))
    count = len(listed) if count is None else count
    one, several = (what.partition("|")[0], what.partition("|")[2]) if isinstance(what, str) else what
    # not str.format: braces of a name are no places to fill; the number stands before any name
    told = one if count == 1 or not several else several.replace("{n}", f"{count:,}", 1)
    return Finding(level, code, title, told, fix, count, tuple(listed[:most]), dict(figures or {}))
