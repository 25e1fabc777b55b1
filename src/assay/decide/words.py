"""What was promised, in sentences that a person can act on: for the command line and the report alike."""

from __future__ import annotations

import math

from assay.decide.abstention import Abstention


def promises(abstention: Abstention) -> list[str]:
    """The promise on the risk first, then the sets, then unknown pictures."""
    return [risk_sentence(abstention), sets_sentence(abstention), unknown_sentence(abstention)]


def risk_sentence(abstention: Abstention) -> str:
    """What is promised of the answers that are given, or that nothing can be promised and what could."""
    t, made = abstention.threshold, abstention.calibration
    on = _units(abstention)
    if t.threshold is None:
        could = (
            f"the least share of wrong answers that can be promised with them is {share(t.least_risk)}"
            f" (--risk {t.least_risk:g})"
            if t.least_risk is not None
            else "no share of wrong answers can be promised with them"
        )
        alone = (
            " For new pictures by these same groups, counted one by one, --unit picture may promise more."
            if made.unit == "group"
            else ""
        )
        return (
            f"It cannot be promised that at most {share(t.risk)} of its answers are wrong: {on} are too few for it, "
            f"or the network is wrong too often; {could}. Until then every answer is held back.{alone}"
        )
    new = f"new {made.unit}s" if made.unit == "group" else "new pictures"
    counted = ", every group counting alike" if made.unit == "group" else ""
    found = "" if math.isnan(t.found) else f" (here {share(t.found)} of them were wrong)"
    looks = " that look like pictures it knows" if abstention.can_alarm else ""
    return (
        f"Of the answers it gives, at most {share(t.risk)} are wrong{counted} (holds with {share(t.confidence)} "
        f"confidence if {new} are like these {on}). It answers {share(t.coverage)} of pictures{found}: those with a "
        f"probability of {_round(100 * t.threshold)} % or more{looks}."
    )


def sets_sentence(abstention: Abstention) -> str:
    """What is promised of the sets of possible classes, and how large they are."""
    sets = abstention.sets
    if sets.is_empty_promise and not sets.by_class:
        return (
            f"Sets of possible classes that hold the right one in {share(sets.coverage)} of cases need more than "
            f"{_units(abstention)}: each set names every class."
        )
    each = ", for each class on its own" if sets.by_class else ""
    return (
        f"The set of possible classes holds the right one in at least {share(sets.coverage)} of cases{each}; "
        f"it names {sets.mean_size:.2f} of {len(abstention.classes)} classes on average."
    )


def unknown_sentence(abstention: Abstention) -> str:
    """What is promised of calling a picture unknown."""
    if abstention.unknown is None:
        return "Unknown pictures are not looked for: no training pictures were at hand to compare with."
    rate = share(abstention.config.false_alarm)
    if not abstention.can_alarm:
        least = math.ceil(1 / abstention.config.false_alarm) - 1
        return (
            f"No picture is called unknown: at most {rate} false alarms need at least {least} "
            f"{abstention.calibration.unit}s, and these are {_units(abstention)}."
        )
    return (
        f"At most {rate} of pictures like these are called unknown by mistake; "
        f"{len(abstention.unknown.reference):,} training pictures are compared with."
    )


def cautions(abstention: Abstention) -> list[str]:
    """Reasons to believe the promises less."""
    made, found = abstention.calibration, []
    if made.chose_weights:
        found.append(
            "The same pictures chose the network's weights and temperature, so the promises are a little "
            "optimistic; calibrate on pictures that nothing was chosen with: `assay calibrate RUN --data DATA`."
        )
    if made.unit == "picture" and made.groups is not None:
        found.append(
            f"These pictures come in {made.groups} groups; counted one by one, the promises hold for new pictures of "
            "such a mixture, not for new groups. --unit group promises for those."
        )
    if made.unreadable:
        found.append(f"Left out: {made.unreadable:,} pictures that cannot be read.")
    return found


def _round(percent: float) -> str:
    """As many digits as tell a threshold from 100 %."""
    return f"{percent:.1f}".removesuffix(".0") if percent < 99 else f"{percent:.4g}"


def share(value: float | None) -> str:
    """``5 %``, ``12.5 %``: as few digits as say it."""
    if value is None or math.isnan(value):
        return "an unknown share"
    text = f"{100 * value:.1f}"
    return f"{text.removesuffix('.0')} %"


def _units(abstention: Abstention) -> str:
    made = abstention.calibration
    pictures = "one picture" if made.pictures == 1 else f"{made.pictures:,} pictures"
    if made.unit == "picture":
        return pictures
    return f"{made.groups:,} groups with {pictures}" if made.groups != 1 else f"one group with {pictures}"
