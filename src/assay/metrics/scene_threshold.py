"""The score from which found things are told, picked on validation, as a card keeps it."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.errors import ConfigError
from assay.metrics.matches import Matches
from assay.metrics.operating_point import pick_threshold, precision_recall, precision_recall_curve
from assay.metrics.pool import Ints
from assay.metrics.scene_evaluation import SceneEvaluation

F1 = "f1"
MOST = float(np.nextafter(np.float32(1), np.float32(0)))
"""The greatest score that a card holds: a network that is sure of everything says 1."""


def pick_box_threshold(
    found: SceneEvaluation | Matches,
    target: str = F1,
    value: float | None = None,
    *,
    draws: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """What goes into ``card.thresholds["boxes"]``: score, target, value, and precision and recall there.

    ``"f1"`` takes the score of the greatest F1 and needs no ``value``; ``"precision"``, ``"recall"`` and ``"cost"`` are
    those of ``pick_threshold``. Empty where there is nothing to pick from for ``"f1"``: no thing, or none found.

    Raises
    ------
    ConfigError : no boxes were measured, the target is unknown, a value is missing, or no score reaches it.
    """
    matches, groups = _matches(found)
    if target == F1 and value is not None:
        raise ConfigError(
            "the best F1 needs no value", got=f"{value:g}", fix="name a target, or leave value out"
        )
    if target != F1:
        if value is None:
            raise ConfigError(f"a threshold for {target} needs a value", fix="0.9, say")
        picked = pick_threshold(matches, target, value, groups=groups, draws=draws, seed=seed)
        told = {name: value for name, value in _plain(picked.to_dict()).items() if name != "label"}
        return {**told, "score": min(told["score"], MOST)}
    best = _best_f1(matches)
    if best is None:
        return {}
    score, value = best
    precision, recall = precision_recall(matches, score, groups=groups)
    shares = {"precision": precision.to_dict(), "recall": recall.to_dict()}
    return {
        "score": min(score, MOST),
        "target": F1,
        "value": value,
        **shares,
        "iou": 0.5,
        "pictures": matches.n,
    }


def _matches(found: SceneEvaluation | Matches) -> tuple[Matches, Ints | None]:
    """What was matched, and the group of each picture where some belong together."""
    if isinstance(found, Matches):
        return found, None
    if found.boxes is None:
        raise ConfigError(
            "no threshold can be picked, as no boxes were measured", got=f"measured: {', '.join(found.heads)}"
        )
    matches = found.material.boxes
    return matches, found.material.groups_of(matches.pool.rows)


def _best_f1(matches: Matches) -> tuple[float, float] | None:
    """(score, F1 there); of equals the higher score. None where nothing right was found."""
    scores, precision, recall = precision_recall_curve(matches)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    if not len(f1) or not f1.max() > 0:
        return None
    i = int(f1.argmax())
    return float(scores[i]), float(f1[i])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The score as a number, its bounds beside it."""
    score = values["score"]
    return {**values, "score": score["value"], "score_low": score["low"], "score_high": score["high"]}
