"""The part of a policy that says how photos are compared with enrolled ones, read strictly.

What matching may do alone is bounded here: only the photo of a confirmed fake, as it is or edited, can be rejected
without a person. Nearness in a network's eyes can be wrong in ways that nobody has seen, so it only asks for a look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from assay.decide.overlay import MOST_APART
from assay.decide.policy import (
    COPIED,
    FINDINGS,
    KNOWN_FAKE,
    LIKE_FAKE,
    UNLIKE_GENUINE,
    Effect,
    Matching,
    Question,
)
from assay.decide.policy_part import Part
from assay.errors import PolicyError
from assay.tables import suggest

_KEYS = ("references", "effects", "embedding", "item", "false_alarm", "near")
_ALLOWED = {
    KNOWN_FAKE: ("reject", "review"),
    LIKE_FAKE: ("review", "pass"),
    UNLIKE_GENUINE: ("review", "pass"),
    COPIED: ("pass", "review", "resubmit"),
}


def read_matching(
    told: Any, where: str, questions: Sequence[Question], effect: Callable[[Any, str], Effect]
) -> Matching:
    """The values of ``matching`` in a file; ``effect`` reads one of its effects, at a place.

    Raises
    ------
    PolicyError : an unknown key or finding, a verdict that matching may not give, a question that is not there.
    """
    part = Part(told, where, _KEYS)
    embedding = _question(part, "embedding", questions)
    item = _question(part, "item", questions)
    if embedding is None:
        for key in ("item", "false_alarm"):
            if part.has(key):
                raise PolicyError(
                    f"{where}: {key} says nothing without an embedding",
                    fix=f"name the question whose network compares photos (embedding: {questions[0].name}), "
                    f"or leave {key} out",
                )
    effects = _effects(part, effect)
    if UNLIKE_GENUINE in effects and embedding is None:
        raise PolicyError(
            f"{where}.effects: {UNLIKE_GENUINE} is found by an embedding, and none is named",
            fix=f"write embedding: {questions[0].name}, or leave {UNLIKE_GENUINE} out",
        )
    near = float(part.get("near", (int, float), 0.9))
    if not 0 <= near <= MOST_APART:
        raise PolicyError(
            f"{where}: near is {near:g}", fix=f"give a distance from 0 to {MOST_APART:g}, e.g. 0.9"
        )
    references = part.get("references", str)
    if not references.strip():
        raise PolicyError(f"{where}: references is empty", fix="name a file, e.g. known.references")
    return Matching(references, effects, embedding, item, part.share("false_alarm", 0.01), near)


def _effects(part: Part, effect: Callable[[Any, str], Effect]) -> dict[str, Effect]:
    if not part.has("effects"):
        return {}
    found: dict[str, Effect] = {}
    for finding, told in part.mapping("effects").items():
        place = f"{part.where}.effects.{finding}"
        if finding not in FINDINGS:
            raise PolicyError(
                f"{place} is nothing that matching finds", fix=suggest(str(finding), list(FINDINGS))
            )
        given = effect(told, place)
        if given.verdict not in _ALLOWED[finding]:
            raise PolicyError(
                f"{place}: {given.verdict} is not for this",
                got="only the photo of a confirmed fake is rejected without a person"
                if given.verdict == "reject"
                else f"verdict {given.verdict}",
                fix=f"choose {' or '.join(_ALLOWED[finding])}",
            )
        reviewed = given.verdict == "review" and given.clause is None
        found[finding] = Effect("review", finding) if reviewed else given
    return found


def _question(part: Part, key: str, questions: Sequence[Question]) -> str | None:
    name = part.get(key, str, None)
    known = [one.name for one in questions]
    if name is None or name in known:
        return None if name is None else str(name)
    raise PolicyError(f"{part.where}: {key} names no question", got=name, fix=suggest(name, known))
