"""Whether models fit together in sequence, and what they tell together: worked out from their cards alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.configs import HEADS
from assay.errors import ConfigError
from assay.labels import ClassNames
from assay.tables import suggest
from assay.types import NO_CLASSES

if TYPE_CHECKING:
    from assay.card import Card
    from assay.runtime.pipeline_file import Step

_PARTS = {"class": "classes", "tags": "classes", "boxes": "boxes", "masks": "boxes", "pixels": "pixels"}
"""Head -> the part of a Prediction that it fills; class and tags share their names."""


def require_plan(steps: Sequence[Step], cards: Mapping[str, Card], name: str) -> None:
    """Refuse steps that cannot work together. Raises ConfigError."""
    _owners(steps, cards, name)
    for step in steps:
        if step.crops_of is not None:
            _require_things(step, cards[step.crops_of], name)
        if step.relabel and "class" not in cards[step.name].heads:
            raise ConfigError(
                f"{name}: {step.name} cannot relabel, for its model tells no class",
                got=", ".join(cards[step.name].heads),
                fix="leave relabel out, or name a classifier's Bundle",
            )
    for found in {step.crops_of for step in steps if step.crops_of is not None}:
        naming = [step for step in steps if step.crops_of == found and step.relabel]
        taken: dict[str, str] = {}
        for step in naming:
            for one in step.classes or cards[found].object_classes:
                if one in taken:
                    raise ConfigError(
                        f"{name}: {taken[one]} and {step.name} both relabel things of class {one!r}",
                        fix="give each its own classes, or let one of them only tell (relabel = false)",
                    )
                taken[one] = step.name


def compose(steps: Sequence[Step], cards: Mapping[str, Card]) -> Card:
    """The card of all together: who tells what, under which names, from which score."""
    owners = _owners(steps, cards, "")
    whole = [step for step in steps if step.crops_of is None]
    heads = tuple(head for head in HEADS if any(head in cards[step.name].heads for step in whole))
    finder = owners.get("boxes")
    first = cards[finder.name if finder else whole[0].name]
    boxes = dict(first.thresholds.get("boxes", {})) if finder else {}
    if finder and finder.least_score is not None:
        boxes["score"] = finder.least_score
    objects = NO_CLASSES
    if finder:
        further = [step for step in steps if step.crops_of == finder.name]
        objects = classes_after(first.object_classes, further, {n: c.classes for n, c in cards.items()})
    return replace(
        first,
        task="scene",
        model={**first.model, "heads": heads},
        classes=cards[owners["classes"].name].classes if "classes" in owners else NO_CLASSES,
        object_classes=objects,
        pixel_classes=cards[owners["pixels"].name].pixel_classes if "pixels" in owners else NO_CLASSES,
        temperature=1.0,
        thresholds={"boxes": boxes} if boxes else {},
        provenance={"steps": [step.to_dict() | {"model": Path(step.model).name} for step in steps]},
        metrics={},
        parity={},
        licence={step.name: cards[step.name].licence for step in steps},
    )


def classes_after(found: ClassNames, steps: Sequence[Step], classes: Mapping[str, ClassNames]) -> ClassNames:
    """The classes of things once the ``steps`` that look at them have relabelled: those that stay, then new ones."""
    naming = [step for step in steps if step.relabel]
    gone = {name for step in naming for name in (step.classes or found)}
    new = [name for step in naming for name in classes[step.name]]
    return ClassNames(dict.fromkeys([*(name for name in found if name not in gone), *new]))


def _owners(steps: Sequence[Step], cards: Mapping[str, Card], name: str) -> dict[str, Step]:
    """Part of the whole picture's Prediction -> the step that tells it. Raises ConfigError where two do."""
    owners: dict[str, Step] = {}
    for step in steps:
        if step.crops_of is not None:
            continue
        for part in {_PARTS[head]: None for head in cards[step.name].heads}:
            if part in owners:
                raise ConfigError(
                    f"{name}: {owners[part].name} and {step.name} both tell the {part} of the whole picture",
                    fix="leave one out, let it look at crops_of, or export it with fewer heads "
                    "(`assay export RUN --heads ...`)",
                )
            owners[part] = step
    return owners


def _require_things(step: Step, card: Card, name: str) -> None:
    if "boxes" not in card.heads:
        raise ConfigError(
            f"{name}: {step.name} looks at the things of {step.crops_of}, whose model finds none",
            got=f"{card.name} tells {', '.join(card.heads)}",
            fix="name a step whose network has boxes",
        )
    for one in step.classes:
        if one not in card.object_classes:
            raise ConfigError(
                f"{name}: {step.name} looks at things of class {one!r}, which {step.crops_of} does not know",
                fix=suggest(one, list(card.object_classes)),
            )
