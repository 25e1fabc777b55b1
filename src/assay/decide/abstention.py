"""When an answer is held back, and which classes remain possible: all that was fitted, in one value that travels.

Three fits on the same held-out pictures: the threshold with a promised risk (``threshold``), the sets with a promised
coverage (``conformal``), the unknown-ness with a promised rate of false alarms (``unknown``). An answer is given where
the picture is not called unknown and its probability reaches the threshold. The promised risk is of answers given by
this joint rule: where pictures are exchangeable the held-out pictures below the unknown-ness cut are, given the cut,
a sample of all pictures below it, so the tests stay exact. Where groups are, the cut is taken as fixed: it moves the
answered pictures by a few in a hundred at most, and the benchmark measures that the promise holds.

Stored as plain values (JSON) and one safetensors blob, the same in a run folder and in a Bundle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.conformal import PredictionSets, fit_sets
from assay.decide.threshold import RiskThreshold, fit_threshold
from assay.decide.unknown import Unknown, fit_unknown
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.metrics.interval import group_numbers
from assay.postprocess import probabilities
from assay.types import Doubt
from assay.verb_configs import AbstainConfig


@dataclass(frozen=True)
class Calibration:
    """The pictures that thresholds were fitted on.

    ``unit`` is what counts as exchangeable: "picture" or "group". ``unreadable`` were left out. ``chose_weights`` says
    that the same pictures chose the network's weights or temperature, so that the promises are a little optimistic.
    """

    pictures: int
    groups: int | None = None
    unit: str = "picture"
    dataset: str = ""
    part: str = ""
    split_hash: str = ""
    unreadable: int = 0
    chose_weights: bool = False
    accuracy: float = math.nan

    @property
    def units(self) -> int:
        """How many exchangeable things there were."""
        return self.groups if self.unit == "group" and self.groups is not None else self.pictures


@dataclass(frozen=True, eq=False)
class Abstention:
    """Fitted thresholds; ``doubt`` says of each answer whether it is held back.

    ``temperature`` is the one that the probabilities were made with; the thresholds hold for no other.
    ``unknown`` is None where no training pictures were at hand.
    """

    config: AbstainConfig
    classes: ClassNames
    temperature: float
    calibration: Calibration
    threshold: RiskThreshold
    sets: PredictionSets
    unknown: Unknown | None = None

    def doubt(self, probs: Any, logits: Any, embedding: Any) -> list[Doubt]:
        """One Doubt a picture.

        Parameters
        ----------
        probs, logits : (B, K), in the order of ``classes``; probabilities at ``temperature``.
        embedding : (B, F) features before the head.

        Raises
        ------
        ConfigError : shapes do not fit what was fitted.
        """
        values = np.asarray(probs)
        if values.ndim != 2 or values.shape[1] != len(self.classes):
            raise ConfigError(f"thresholds are for {len(self.classes)} classes", got=f"shape {values.shape}")
        unsure = ~self.threshold.accepts(values.max(axis=1)) if len(values) else np.zeros(0, bool)
        known = self._known(logits, embedding, len(values))
        strange = known <= self.config.false_alarm + 1e-12 if self.can_alarm else np.zeros(len(values), bool)
        held = self.sets.sets(values) if len(values) else np.zeros((0, len(self.classes)), bool)
        return [
            Doubt(_reasons(bool(u), bool(s)), self._names(row, mask), float(k))
            for u, s, row, mask, k in zip(unsure, strange, values, held, known, strict=True)
        ]

    @cached_property
    def digest(self) -> str:
        """16 hex digits by which what was measured with these thresholds is told from what was with others."""
        unknown = None if self.unknown is None else (self.unknown.spread, self.unknown.cut())
        facts = (self.config, self.classes.digest, self.temperature, self.threshold, self.sets, unknown)
        return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()

    @property
    def can_alarm(self) -> bool:
        """Whether anything can be called unknown."""
        return self.unknown is not None and self.unknown.can_alarm

    def _known(self, logits: Any, embedding: Any, n: int) -> NDArray[np.float64]:
        if self.unknown is None:
            return np.full(n, math.nan)
        features = np.asarray(embedding)
        width = self.unknown.reference.shape[1]
        if features.shape != (n, width):
            raise ConfigError(f"unknown-ness needs embeddings ({n}, {width})", got=f"shape {features.shape}")
        return self.unknown.known(logits, features)

    def _names(self, probs: NDArray[Any], mask: NDArray[np.bool_]) -> tuple[str, ...]:
        order = np.argsort(-probs, kind="stable")
        return tuple(self.classes[int(i)] for i in order if mask[i])


def _reasons(unsure: bool, strange: bool) -> tuple[str, ...]:
    return (*(("unknown",) if strange else ()), *(("unsure",) if unsure else ()))


def fit_abstention(
    logits: Any,
    embedding: Any,
    targets: Any,
    groups: Any = None,
    reference: tuple[Any, Any] | None = None,
    temperature: float = 1.0,
    config: AbstainConfig | None = None,
    *,
    classes: ClassNames,
    about: Mapping[str, Any] | None = None,
) -> Abstention:
    """Fit everything on held-out pictures.

    Parameters
    ----------
    logits, embedding, targets : (N, K), (N, F), (N,) of labelled pictures that the network was not trained on.
    groups : N names, None for a picture on its own; None where there are no groups.
    reference : (logits (R, K), embedding (R, F)) of training pictures; None: no unknown-ness.
    about : further fields of ``Calibration``: dataset, part, split_hash, unreadable, chose_weights.

    Raises
    ------
    ConfigError : no pictures, shapes that do not fit, or ``unit="group"`` without groups.
    """
    config = config or AbstainConfig()
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(targets)
    _check(scores, truth, classes)
    numbers = group_numbers(groups, len(truth))
    calibration = _calibration(config, truth, numbers, {**(about or {})})
    units = numbers if calibration.unit == "group" else None
    probs = probabilities(logits, temperature)
    right = probs.argmax(axis=1) == truth
    unknown, known = None, np.ones(len(truth), bool)
    if reference is not None and len(reference[1]):
        unknown = fit_unknown(
            scores,
            embedding,
            reference=reference[1],
            reference_logits=reference[0],
            false_alarm=config.false_alarm,
            neighbours=config.neighbours,
            groups=units,
        )
        known = unknown.strangeness(scores, embedding) < unknown.cut()
    sure = probs.max(axis=1).astype(np.float64)
    return Abstention(
        config,
        classes,
        temperature,
        replace(calibration, accuracy=float(right.mean())),
        fit_threshold(sure, right, risk=config.risk, level=config.confidence, groups=units, known=known),
        fit_sets(probs, truth, coverage=config.coverage, groups=units),
        unknown,
    )


def _check(logits: NDArray[np.float64], targets: NDArray[Any], classes: ClassNames) -> None:
    if logits.ndim != 2 or logits.shape != (len(targets), len(classes)) or targets.ndim != 1:
        raise ConfigError(
            f"calibration takes logits (N, {len(classes)}) and targets (N,)",
            got=f"{logits.shape} and {targets.shape}",
        )
    if not len(targets):
        raise ConfigError("there is no picture to calibrate on", fix="give labelled pictures not trained on")
    if not np.isfinite(logits).all():
        raise ConfigError("logits are not finite", fix="look for NaN in the network's answers")


def _calibration(
    config: AbstainConfig, targets: NDArray[Any], numbers: NDArray[np.int64] | None, about: dict[str, Any]
) -> Calibration:
    """What is exchangeable: as asked for, or groups where some group holds two pictures."""
    if config.unit == "group" and numbers is None:
        raise ConfigError(
            "unit is group, but no group holds two of these pictures",
            fix="name the column of groups with --group-column, or use --unit picture",
        )
    unit = config.unit or ("picture" if numbers is None else "group")
    count = None if numbers is None else int(numbers.max()) + 1
    return Calibration(len(targets), count, unit, **about)
