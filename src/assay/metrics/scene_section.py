"""One part of what is measured of a network of several heads: numbers with intervals, and plain values beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from assay.metrics.interval import Estimate


@dataclass(frozen=True)
class Section:
    """``estimates`` are the part's numbers by name; every other field of a section holds what JSON can say."""

    estimates: dict[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "estimates": {name: e.to_dict() for name, e in self.estimates.items()}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Section:
        """The inverse of ``to_dict``.

        Raises
        ------
        TypeError, KeyError : a field is missing or unknown.
        """
        estimates = {name: Estimate.from_dict(value) for name, value in values["estimates"].items()}
        return cls(**{**values, "estimates": estimates})


def plain(value: float) -> float | None:
    """The number, or None where it is undefined."""
    return float(value) if math.isfinite(value) else None
