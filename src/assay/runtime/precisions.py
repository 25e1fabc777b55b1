"""In which precisions a Bundle may answer: the float graph always, others where they passed their gate at export."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from assay.bundle import GRAPH, INT8
from assay.errors import ConfigError
from assay.runtime.engines.engine import PRECISIONS

if TYPE_CHECKING:
    from assay.bundle import Bundle
    from assay.card import Card

ANY = "any"
"""The fastest of those that passed."""

GOLDEN_TOLERANCE = 1e-3
"""Greatest difference of a value, as a share of the greatest of its output (at least 1); a card may allow more."""


def precisions_of(bundle: Bundle) -> tuple[str, ...]:
    """Those that the Bundle holds, or was measured in, and that passed."""
    passed = {precision: has_passed(bundle.card, precision) for precision in ("bf16", "int8")}
    found = {"fp32": True, "bf16": passed["bf16"], "int8": passed["int8"] and INT8 in bundle.members}
    return tuple(precision for precision in PRECISIONS if found[precision])


def has_passed(card: Card, precision: str) -> bool:
    """Whether the gate of a precision was passed when the Bundle was written."""
    told = card.parity.get(precision)
    return isinstance(told, dict) and told.get("passed") is True


def require_precision_of(bundle: Bundle, precision: str) -> None:
    """Raise ConfigError unless the Bundle may answer in this precision."""
    if precision not in PRECISIONS:
        raise ConfigError(
            f"unknown precision {precision!r}", fix=f"choose from {', '.join(PRECISIONS)}, {ANY}"
        )
    if precision not in (known := precisions_of(bundle)):
        told = bundle.card.parity.get(precision)
        refused = isinstance(told, dict) and told.get("passed") is False
        raise ConfigError(
            f"{bundle.path or 'the Bundle'} may not answer in {precision}",
            got="it lost too much when it was measured" if refused else f"it has {', '.join(known)}",
            fix=f"export the run with --precision {precision}, or choose --precision fp32",
        )


def graph_of(bundle: Bundle, precision: str) -> bytes:
    """The graph that is computed. Raises BundleError where the Bundle has none."""
    return bundle.member(INT8 if precision == "int8" else GRAPH)


def golden_limit(card: Card, precision: str = "fp32") -> float:
    """How far golden answers may be off: ``GOLDEN_TOLERANCE``, or what the export was made with where that is more."""
    told = card.parity.get("onnx" if precision == "fp32" else precision)
    return max(
        GOLDEN_TOLERANCE, _number(told, "tolerance") if precision == "fp32" else _number(told, "golden_limit")
    )


def _number(told: Any, name: str) -> float:
    value = told.get(name) if isinstance(told, dict) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return 0.0
    return float(value)
