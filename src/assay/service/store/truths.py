"""What an answer of a reviewer says of the policy's questions: what they chose, and what follows from the verdict.

These truths are what networks and thresholds learn from later (``assay revise``), so nothing is guessed: an accept
says that every question passes, which names the answer only where one single answer does; a clause names the answer
only where one single answer of one question leads to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.decide.clauses import BUILT_IN
from assay.decide.policy import OTHERWISE
from assay.errors import AssayError
from assay.service.store.reviews import ANSWERS_GIVEN, Answer

if TYPE_CHECKING:
    from assay.decide.policy import Policy

MOST_LETTERS = 2000


class AnswerError(AssayError):
    """An answer that cannot be kept as it is."""


def checked_answer(
    policy: Policy, verdict: str, clause: str, truth: Mapping[str, str], *, fake: bool = False, note: str = ""
) -> Answer:
    """A whole answer.

    Raises
    ------
    AnswerError : an unknown verdict, clause or question; a fake that is not rejected; an accept against its own words.
    """
    if verdict not in ANSWERS_GIVEN:
        raise AnswerError(f"no answer {verdict!r}", fix=f"choose from {', '.join(ANSWERS_GIVEN)}")
    if fake and verdict != "reject":
        raise AnswerError("a confirmed fake is rejected", got=verdict, fix="answer reject")
    if verdict == "accept":
        clause = "all-right"
    elif clause not in known_clauses(policy):
        raise AnswerError(f"no clause {clause!r}", fix="choose one of the policy's")
    names = {question.name for question in policy}
    for question, answer in truth.items():
        if question not in names or not 0 < len(answer) <= 200:
            raise AnswerError(f"no question {question[:40]!r}", fix=f"choose from {', '.join(sorted(names))}")
        if verdict == "accept" and policy.question(question).effect(answer).verdict != "pass":
            raise AnswerError(
                f"the answer {answer!r} to {question!r} does not pass",
                fix="correct it, or reject the photo",
            )
    whole = {**implied(policy, verdict, clause, fake=fake), **truth}
    return Answer(verdict, clause, whole, fake, note.strip()[:MOST_LETTERS])


def implied(policy: Policy, verdict: str, clause: str, *, fake: bool = False) -> dict[str, str]:
    """Question -> the answer that follows from the verdict, where only one can."""
    if verdict == "accept":
        found = {}
        for question in policy:
            passing = [name for name, effect in question.answers.items() if effect.verdict == "pass"]
            if len(passing) == 1 and passing[0] != OTHERWISE:
                found[question.name] = passing[0]
        return found
    leading = [
        (question.name, name)
        for question in policy
        for name, effect in question.answers.items()
        if effect.verdict != "pass"
        and ((effect.clause or "rule") == clause or (fake and question.counterfeit))
    ]
    return {leading[0][0]: leading[0][1]} if len(leading) == 1 and leading[0][1] != OTHERWISE else {}


def known_clauses(policy: Policy) -> set[str]:
    """Every clause that a decision may name."""
    asked = {effect.clause for question in policy for effect in question.answers.values() if effect.clause}
    return {*BUILT_IN, *policy.clauses, *asked}
