"""What a photo has in common with enrolled ones: plain values, so that they can be kept and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from assay.errors import PolicyError

FAKE, GENUINE = "fake", "genuine"
LISTS = (FAKE, GENUINE)
"""What a person has said of an enrolled photo: it shows a counterfeit, or the real thing."""
EXACT, NEAR, EMBEDDING = "exact", "near", "embedding"
WAYS = (EXACT, NEAR, EMBEDDING)
"""The same bytes; the same photo, edited; a photo that a network sees as alike (or unlike)."""


@dataclass(frozen=True)
class Match:
    """One thing that was found out by comparing a photo with enrolled ones.

    ``list`` is "fake" or "genuine"; ``reference`` the SHA-256 of the enrolled photo that is nearest, in hex; ``item``
    what it shows, where that was said. ``distance`` depends on ``way``: 0 of "exact", ``overlay.Overlay.apart`` of
    "near", a cosine distance (0 to 2) of "embedding".

    ``p`` and ``among`` are there with "embedding" alone: of ``among`` enrolled genuine photos of the item, the photo
    itself counted in, a share of ``p`` is at least so far from the others (list "genuine"), or at least so near to a
    known fake (list "fake"). It is a p-value of "this is one more genuine photo like those"; never a proof of anything.
    """

    list: str
    way: str
    reference: str
    item: str | None = None
    distance: float = 0.0
    p: float | None = None
    among: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Match:
        """The inverse of ``to_dict``.

        Raises
        ------
        PolicyError : a field is missing, unknown or of another kind.
        """
        try:
            found = cls(**told)
            fits = found.list in LISTS and found.way in WAYS and isinstance(found.reference, str)
            if not fits or float(found.distance) < 0:
                raise ValueError(f"{found}")
            return found
        except (TypeError, ValueError) as fault:
            raise PolicyError("a match of a record cannot be read", got=str(fault)[:200]) from fault
