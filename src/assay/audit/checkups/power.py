"""Too few pictures to tell: how wide the interval of a score must be, and which difference could be seen at all.

Before any training: the width follows from the number of test pictures alone (Wilson 1927), or from the effective
number, where pictures come in groups that resemble each other (Kish 1965, with an assumed likeness within groups). The
smallest difference between two models on the same pictures is McNemar's test turned round (Connor 1987).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, Level
from assay.audit.rows import group_codes, part_codes
from assay.configs import SplitConfig
from assay.metrics.interval import Estimate, wilson
from assay.types import PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

ACCURACIES = (0.6, 0.7, 0.8, 0.9, 0.95)
USUAL = 0.8
LIKENESS = 0.2
"""Assumed correlation of right and wrong between pictures of one group."""
_DIFFER = 0.5
"""Assumed share of the disagreement of two models, of that of two models that err independently."""
_WIDE, _ROUGH = 0.10, 0.05
_FEW_A_CLASS = 30


@dataclass(frozen=True)
class MeasuredPart:
    """What a score will be measured on: ``count`` pictures, worth ``worth`` independent ones; ``by_class`` (K,)
    pictures of each class. ``words`` say which part it is; ``given`` whether the data has it.
    """

    words: str
    count: int
    worth: float
    groups: int
    by_class: NDArray[Any]
    given: bool


def check_power(examination: Examination) -> Iterator[Finding]:
    """The interval and the smallest visible difference that the test part can give."""
    part = measured_part(examination)
    if part is None or part.count < 1:
        return
    half, few = half_width(USUAL, part.worth), tuple(_classes(examination, part))
    level: Level = "warning" if half > _WIDE else "note" if half > _ROUGH or few else "good"
    interval = wilson(USUAL * part.worth, part.worth)
    visible = smallest_difference(part.worth)
    seen = (
        f"Two models must differ by about {100 * visible:.0f} points before the difference can be told from luck"
        if visible < 1
        else "No difference between two models could be told from luck"
    )
    yield Finding(
        level,
        "test-too-small" if level == "warning" else "test-size",
        "Too few pictures to tell" if level == "warning" else "How exactly a score can be known",
        f"{_describe(part)} A measured accuracy of {USUAL:.0%} would mean {_range(interval)}. {seen}."
        + _rougher(few),
        _advice(part, level),
        1 if level == "warning" else 0,
        few,
        _figures(part, visible),
    )


def measured_part(examination: Examination) -> MeasuredPart | None:
    """The test part of the data, else its validation part, else what a default split would deal to test."""
    dataset = examination.dataset
    targets = dataset.targets
    usable = examination.readable & (examination.labelled | _has_labels(examination))
    parts, groups = part_codes(dataset), group_codes(dataset)[0]
    if not usable.any():
        return None
    for code in (PARTS.index("test"), PARTS.index("validation")):
        inside = usable & (parts == code)
        if inside.any():
            counts = np.bincount(targets[inside & (targets >= 0)], minlength=len(dataset.classes)).astype(
                float
            )
            words = f"The {PARTS[code]} part has {int(inside.sum()):,} pictures"
            worth, number = effective(groups[inside], 1.0)
            return MeasuredPart(words, int(inside.sum()), worth, number, counts, given=True)
    share = SplitConfig().test
    counts = share * np.bincount(targets[usable & (targets >= 0)], minlength=len(dataset.classes))
    count = round(share * int(usable.sum()))
    worth, number = effective(groups[usable], share)
    words = f"A default split would put about {count:,} of {int(usable.sum()):,} pictures into the test part"
    return MeasuredPart(words, count, worth, number, counts, given=False)


def effective(groups: Ints, share: float) -> tuple[float, int]:
    """(how many independent pictures a share of these is worth, how many groups it has; 0 without groups)."""
    count = share * len(groups)
    named = groups[groups >= 0]
    if not len(named):
        return max(1.0, count), 0
    sizes = np.bincount(named)
    sizes = sizes[sizes > 0]
    alone = len(groups) - len(named)
    typical = float(((sizes.astype(float) ** 2).sum() + alone) / len(groups))
    worth = count / (1 + (typical - 1) * LIKENESS)
    return max(1.0, worth), max(1, round(share * len(sizes)))


def half_width(accuracy: float, worth: float) -> float:
    """Half the width of the 95 % interval of an accuracy that is measured on ``worth`` pictures."""
    found = wilson(accuracy * worth, worth)
    return (found.high - found.low) / 2


def smallest_difference(worth: float, accuracy: float = USUAL) -> float:
    """The difference of two paired accuracies that is found in 80 % of all tries at a level of 5 %; at most 1."""
    usual = 2 * accuracy * (1 - accuracy) * _DIFFER
    found = 0.0
    for _ in range(50):  # a fixed point: the spread depends on the difference itself
        disagree = max(usual, found)
        spread = math.sqrt(max(disagree - found**2, 0.0))
        found = min(1.0, (1.96 * math.sqrt(disagree) + 0.84 * spread) / math.sqrt(worth))
    return found


def _has_labels(examination: Examination) -> NDArray[np.bool_]:
    table = examination.dataset.table
    if "labels" not in table.column_names:
        return np.zeros(len(examination.dataset), bool)
    return np.array([bool(labels) for labels in table["labels"].to_pylist()], bool)


def _describe(part: MeasuredPart) -> str:
    if not part.groups:
        return f"{part.words}."
    return (
        f"{part.words}, of about {part.groups:,} groups: since pictures of one group resemble each other, they are "
        f"worth about {part.worth:,.0f} independent ones."
    )


def _advice(part: MeasuredPart, level: Level) -> str:
    if level == "good":
        return ""
    wanted = next(n for n in (100, 250, 500, 1000, 2500, 5000, 10_000) if half_width(USUAL, n) <= _ROUGH)
    if part.groups:
        how = "Add groups rather than pictures of the same groups"
        return f"{how}: {wanted} independent test pictures give ± 5 points."
    how = (
        "Collect more pictures"
        if level == "warning"
        else "For finer comparisons and small classes collect more"
    )
    more = "" if part.given else ", or give the test part a larger share (`assay split --test`)"
    return f"{how}{more}: {wanted} test pictures give ± 5 points. Until then, measure by cross-validation."


def _classes(examination: Examination, part: MeasuredPart) -> Iterator[Item]:
    """The classes with too few test pictures, the smallest first."""
    names = examination.dataset.classes
    for k in np.argsort(part.by_class, kind="stable"):
        count = round(float(part.by_class[k]))
        if count >= _FEW_A_CLASS or not len(names):
            break
        interval = wilson(USUAL * count, count)
        text = f"{names[int(k)]}: about {count} test pictures; {USUAL:.0%} would mean {_range(interval)}"
        if not count:
            text = f"{names[int(k)]}: no test picture"
        yield Item((), (), text, None, {"class": names[int(k)], "pictures": count, **interval.to_dict()})


def _rougher(few: tuple[Item, ...]) -> str:
    if not few:
        return ""
    classes = "One class has" if len(few) == 1 else f"{len(few)} classes have"
    return f" By class it is rougher: {classes} fewer than {_FEW_A_CLASS} test pictures ({few[0].text})."


def _range(interval: Estimate) -> str:
    return f"anything from {interval.low:.0%} to {interval.high:.0%}"


def _figures(part: MeasuredPart, visible: float) -> dict[str, Any]:
    return {
        "test_pictures": part.count,
        "effective_pictures": round(part.worth, 1),
        "groups": part.groups,
        "given": part.given,
        "half_width": {f"{a:g}": round(half_width(a, part.worth), 4) for a in ACCURACIES},
        "smallest_difference": round(visible, 4),
        "assumed_likeness_in_groups": LIKENESS if part.groups else None,
    }
