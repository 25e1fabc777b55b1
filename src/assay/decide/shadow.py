"""A candidate beside the live policy: what both say of the same photos, where only the live one has an effect.

Pure: it is fed with the verdicts of both and knows no store. Photos of one sender resemble each other, so intervals are
taken over whole senders where they are told. A share that differs says that the candidate decides otherwise, not that
it decides better: that is what ``trials.candidate`` and people's answers tell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.policy import VERDICTS
from assay.errors import PolicyError
from assay.metrics.interval import Estimate, group_numbers, proportion
from assay.metrics.paired import newcombe_difference

AUTOMATIC = frozenset(VERDICTS) - {"review"}
MOST = 200
"""Photos that are listed by name."""


@dataclass(frozen=True)
class Shadowed:
    """One photo and what both made of it. ``sender`` is empty where nobody said; the clauses are for the list."""

    photo: str
    live: str
    shadow: str
    sender: str = ""
    live_clause: str = ""
    shadow_clause: str = ""

    @property
    def gravity(self) -> int:
        """How much a difference matters.

        3: an accept that becomes a rejection, or the reverse; 2: another automatic verdict; 1: a person in place of the
        machine, or the reverse; 0: there is none.
        """
        if self.live == self.shadow:
            return 0
        both = {self.live, self.shadow}
        if both == {"accept", "reject"}:
            return 3
        return 1 if "review" in both else 2


@dataclass(frozen=True)
class Shadowing:
    """What came out over ``n`` photos, every share with its interval.

    ``table``: live verdict -> shadow verdict -> photos. ``agreement`` is the share with one verdict; ``by_verdict`` the
    same among photos of each live verdict. ``automatic_live`` and ``automatic_shadow`` are shares decided without a
    person, ``automatic_change`` the second minus the first, in pairs. ``different`` photos have two verdicts;
    ``disagreements`` are the gravest of them. ``only_live`` and ``only_shadow`` count photos that one of the two alone
    has decided.
    """

    n: int
    table: Mapping[str, Mapping[str, int]]
    agreement: Estimate
    by_verdict: Mapping[str, Estimate]
    automatic_live: Estimate
    automatic_shadow: Estimate
    automatic_change: Estimate
    different: int
    disagreements: tuple[Shadowed, ...]
    only_live: int = 0
    only_shadow: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shares = ("agreement", "automatic_live", "automatic_shadow", "automatic_change")
        return {
            "n": self.n,
            "table": {live: dict(row) for live, row in self.table.items()},
            **{name: getattr(self, name).to_dict() for name in shares},
            "by_verdict": {verdict: share.to_dict() for verdict, share in self.by_verdict.items()},
            "different": self.different,
            "disagreements": [vars(one) for one in self.disagreements],
            "only_live": self.only_live,
            "only_shadow": self.only_shadow,
        }


def compare_streams(
    live: Iterable[tuple[str, str]],
    shadow: Iterable[tuple[str, str]],
    senders: Mapping[str, str] | None = None,
    most: int = MOST,
) -> Shadowing:
    """As ``compare_shadow``, from two streams of (photo, verdict) in any order; photos of one alone are counted.

    Raises
    ------
    PolicyError : no such verdict, or a photo that one stream has twice.
    """
    mine, theirs = _by_photo(live, "live"), _by_photo(shadow, "shadow")
    known = senders or {}
    rows = [
        Shadowed(photo, verdict, theirs[photo], known.get(photo, ""))
        for photo, verdict in mine.items()
        if photo in theirs
    ]
    found = compare_shadow(rows, most)
    lonely = {"only_live": len(mine) - len(rows), "only_shadow": len(theirs) - len(rows)}
    return Shadowing(**{**vars(found), **lonely})


def compare_shadow(rows: Iterable[Shadowed], most: int = MOST) -> Shadowing:
    """What both made of the same photos. ``most`` disagreements are listed, the gravest first, then by photo.

    Raises
    ------
    PolicyError : no such verdict.
    """
    held = list(_checked(rows))
    senders = [one.sender or None for one in held]
    groups = group_numbers(senders, len(held)) if any(senders) else None
    same = np.array([one.live == one.shadow for one in held], bool)
    by_live, by_shadow = (
        np.array([getattr(one, side) in AUTOMATIC for one in held], bool) for side in ("live", "shadow")
    )
    counts = Counter((one.live, one.shadow) for one in held)
    apart = sorted((one for one in held if one.gravity), key=lambda one: (-one.gravity, one.photo))
    return Shadowing(
        n=len(held),
        table={a: {b: counts[a, b] for b in VERDICTS} for a in VERDICTS},
        agreement=proportion(same, groups),
        by_verdict={
            verdict: _among(same, np.array([one.live == verdict for one in held], bool), groups)
            for verdict in VERDICTS
        },
        automatic_live=proportion(by_live, groups),
        automatic_shadow=proportion(by_shadow, groups),
        automatic_change=newcombe_difference(by_shadow, by_live, groups),
        different=len(apart),
        disagreements=tuple(apart[:most]),
    )


def _among(same: NDArray[np.bool_], wanted: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> Estimate:
    """The share of ``same`` among the wanted photos; groups are numbered anew, for some have none of these."""
    own = None if groups is None else np.unique(groups[wanted], return_inverse=True)[1].astype(np.int64)
    return proportion(same[wanted], own if own is not None and len(own) else None)


def _checked(rows: Iterable[Shadowed]) -> Iterator[Shadowed]:
    for one in rows:
        for verdict in (one.live, one.shadow):
            _require_verdict(verdict, one.photo)
        yield one


def _by_photo(stream: Iterable[tuple[str, str]], name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for photo, verdict in stream:
        _require_verdict(verdict, photo)
        if photo in found:
            raise PolicyError(f"photo {photo} stands twice among the {name} decisions")
        found[photo] = verdict
    return found


def _require_verdict(verdict: str, photo: str) -> None:
    if verdict not in VERDICTS:
        raise PolicyError(
            f"photo {photo} has no verdict", got=repr(verdict)[:80], fix=f"one of {', '.join(VERDICTS)}"
        )
