"""What an answerer tells of itself before it answers: by which networks, rules and thresholds, and what it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.errors import AssayError
from assay.runtime.screen_parts import DecodePlan


@dataclass(frozen=True)
class Facts:
    """Of a loaded policy.

    ``policy`` and ``thresholds`` are their SHA-256 in hex; ``models``: question -> SHA-256 of its Bundle and the
    precision it answers in (as ``Screener.digests``); ``engines``: question -> what computes it; ``classes``: question
    -> everything that can be answered; ``plan`` what photos are decoded to; ``masks`` the questions whose network draws
    masks.
    """

    policy: str
    thresholds: str
    models: Mapping[str, str]
    engines: Mapping[str, str]
    classes: Mapping[str, tuple[str, ...]]
    plan: DecodePlan
    masks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "policy": self.policy,
            "thresholds": self.thresholds,
            "models": dict(self.models),
            "engines": dict(self.engines),
            "classes": {name: list(known) for name, known in self.classes.items()},
            "plan": self.plan.to_dict(),
            "masks": list(self.masks),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Facts:
        """The inverse of ``to_dict``.

        Raises
        ------
        AssayError : a field is missing or of another kind.
        """
        try:
            return cls(
                str(told["policy"]),
                str(told["thresholds"]),
                {str(name): str(digest) for name, digest in told["models"].items()},
                {str(name): str(engine) for name, engine in told["engines"].items()},
                {str(name): tuple(map(str, known)) for name, known in told["classes"].items()},
                DecodePlan.from_dict(told["plan"]),
                tuple(map(str, told["masks"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise AssayError("an answerer's facts cannot be read", got=f"{fault!r}"[:200]) from fault


@dataclass(frozen=True)
class Failed:
    """Why a photo got no answer: alone it still fails, so its neighbours in the batch are not to blame."""

    reason: str
