"""What a person's verdict says of the questions that they did not answer: only what the policy leaves no doubt of.

Who accepts a photo says that every question's answer passes; where just one of its answers does, that is the truth. Who
rejects it by a clause says that some answer leads there; where just one does, in all of the policy, that is the truth.
Everything else would be a guess, and a guess is no label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assay.decide.policy import OTHERWISE, Policy

Known = Mapping[str, Sequence[str]]
"""Question -> every answer that there is."""


def answers_named(policy: Policy, classes: Known) -> dict[str, tuple[str, ...]]:
    """Question -> every answer that its classes or the policy name, in the order of the classes."""
    return {
        one.name: tuple(
            dict.fromkeys([*classes.get(one.name, ()), *(a for a in one.answers if a != OTHERWISE)])
        )
        for one in policy
    }


def implied_truth(
    policy: Policy, verdict: str, clause: str, said: Mapping[str, str], known: Known
) -> dict[str, str]:
    """Question -> the truth that follows from a person's verdict, for questions that are not in ``said``.

    ``known`` is what ``answers_named`` gives. Nothing follows where what was said does not fit the verdict.
    """
    if contradicts(policy, verdict, said):
        return {}
    if verdict == "accept":
        passing = {
            name: [a for a in known[name] if policy.question(name).effect(a).verdict == "pass"]
            for name in known
            if name not in said
        }
        return {name: answers[0] for name, answers in passing.items() if len(answers) == 1}
    leading = [
        (name, answer)
        for name in known
        for answer in known[name]
        if policy.question(name).effect(answer).clause == clause
        and policy.question(name).effect(answer).verdict != "pass"
    ]
    if not clause or len(leading) != 1 or leading[0][0] in said:
        return {}
    return dict(leading)


def contradicts(policy: Policy, verdict: str, said: Mapping[str, str]) -> bool:
    """Whether a photo was accepted although one of the answers that were said rejects it, or sends it back."""
    asked = {one.name: one for one in policy}
    effects = [asked[name].effect(answer).verdict for name, answer in said.items() if name in asked]
    return verdict == "accept" and bool({"reject", "resubmit"} & set(effects))
