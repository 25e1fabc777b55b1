"""The decision on one photo: a pure function of policy, thresholds and evidence, so that it can be replayed.

Nothing here reads a clock, a file or a random number. A verdict is proposed from the answers alone; it stands without a
person where a promise on its kind exists and the answer is sure enough for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from assay.decide.evidence import DIGITS, Evidence
from assay.decide.policy import Policy

ALL = "all"
"""The class of accepts where the policy names no question to tell them apart by."""
_ORDER = ("reject", "resubmit", "review")
"""Which effect wins where several questions ask for something; the surest of one kind."""


class Thresholds(Protocol):
    """From which score on a verdict stands without a person; None where nothing can be promised."""

    @property
    def digest(self) -> str:
        """By which a record says what was used."""
        ...

    def threshold(self, verdict: str, kind: str) -> float | None:
        """Of one verdict and class."""
        ...

    def clause(self, verdict: str, kind: str) -> str:
        """Why people decide where there is none: "no-promise", or "withdrawn"."""
        ...


@dataclass(frozen=True)
class Proposal:
    """What the answers ask for: a verdict, the ``kind`` its promise is given for, and how sure it is (0 to 1).

    ``question`` and ``answer`` are those that decided; None where all passed.
    """

    verdict: str
    kind: str
    score: float
    clause: str
    question: str | None = None
    answer: str | None = None


@dataclass(frozen=True)
class Decision:
    """``automatic`` says whether no person is needed; ``audited`` that one looks all the same, without changing it.

    ``clause`` is why; ``proposed`` what the answers asked for, where a person decides. ``threshold`` is what ``score``
    was held against.
    """

    verdict: str
    clause: str
    evidence: Evidence
    policy: str
    thresholds: str
    proposed: Proposal | None = None
    threshold: float | None = None
    audited: bool = False

    @property
    def path(self) -> str:
        """What the photo is called."""
        return self.evidence.path

    @property
    def error(self) -> str | None:
        """Why the photo could not be read, where it could not."""
        return self.evidence.error

    @property
    def automatic(self) -> bool:
        """Whether it stands without a person."""
        return self.verdict != "review"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; everything that a replay needs."""
        proposed = self.proposed
        return {
            "path": self.evidence.path,
            "verdict": self.verdict,
            "clause": self.clause,
            "automatic": self.automatic,
            "audited": self.audited,
            "proposed": None if proposed is None else vars(proposed),
            "threshold": self.threshold,
            "policy": self.policy,
            "thresholds": self.thresholds,
            "evidence": self.evidence.to_dict(),
        }


def propose(policy: Policy, evidence: Evidence) -> Proposal:
    """What the answers ask for, whatever the thresholds are.

    An accept is as sure as its least sure answer. Of several answers that do not pass a rejection comes before a wish
    for another photo, and that before a look by a person; of one kind the surest decides.
    """
    asked = []
    for question in policy:
        answer, score = evidence.best(question.name)
        effect = question.effect(answer)
        if effect.verdict != "pass":
            clause = effect.clause or "rule"
            asked.append(Proposal(effect.verdict, clause, score, clause, question.name, answer))
    if asked:
        return min(asked, key=lambda one: (_ORDER.index(one.verdict), -one.score))
    kind = ALL if policy.by is None else evidence.best(policy.by)[0]
    least = min(evidence.best(question.name)[1] for question in policy)
    return Proposal("accept", kind, least, "all-right")


def by_matching(policy: Policy, evidence: Evidence) -> Proposal | None:
    """What enrolled photos ask for: the gravest effect, and of one kind the nearest; None where they ask for nothing.

    ``answer`` is the reference's digest; ``score`` falls with the distance from 1 on, or is 1 less the p-value.
    """
    asked: list[Proposal] = []
    rules = policy.matching
    for match in evidence.matches:
        finding = None if rules is None else rules.finding(match)
        effect = None if finding is None or rules is None else rules.effect(finding)
        if effect is not None and effect.verdict != "pass":
            clause = effect.clause or "rule"
            score = round(1 / (1 + match.distance) if match.p is None else 1 - match.p, DIGITS)
            asked.append(Proposal(effect.verdict, clause, score, clause, None, match.reference))
    return min(asked, key=lambda one: (_ORDER.index(one.verdict), -one.score), default=None)


def decide(policy: Policy, thresholds: Thresholds, evidence: Evidence) -> Decision:
    """The decision on one photo.

    A match that rejects, or that asks for another photo, needs no threshold: a person has confirmed the reference. One
    that asks for a look overrules an accept, and an automatic verdict of another kind stands. Where the machine itself
    failed, a person decides.
    """
    proposed, threshold = None, None
    unfit, matched = _unfit(policy, evidence), by_matching(policy, evidence)
    if evidence.failure is not None and evidence.error is None:
        verdict, clause = "review", "failed"
    elif evidence.error is None and matched is not None and matched.verdict != "review":
        verdict, clause, proposed = matched.verdict, matched.clause, matched
    elif unfit is not None:
        verdict, clause = "resubmit", unfit
    else:
        proposed = propose(policy, evidence)
        threshold = thresholds.threshold(proposed.verdict, proposed.kind)
        none = thresholds.clause(proposed.verdict, proposed.kind)
        doubt = _doubt(proposed, evidence, threshold, none)
        if matched is not None and (doubt is not None or proposed.verdict == "accept"):
            doubt = matched.clause
        verdict, clause = (proposed.verdict, proposed.clause) if doubt is None else ("review", doubt)
    audited = verdict in ("accept", "reject") and is_audited(evidence.photo, policy.audit)
    return Decision(verdict, clause, evidence, policy.digest, thresholds.digest, proposed, threshold, audited)


def _unfit(policy: Policy, evidence: Evidence) -> str | None:
    """The clause by which nothing can be said of a photo at all."""
    if evidence.error is not None:
        return "unreadable"
    return "too-small" if min(evidence.size_hw) < policy.least_side_px else None


def _doubt(proposed: Proposal, evidence: Evidence, threshold: float | None, none: str) -> str | None:
    """The clause by which a person decides, ``none`` where there is no threshold; None where none has to."""
    if proposed.verdict == "review":
        return proposed.clause
    if evidence.unknown:
        return "unknown"
    if threshold is None:
        return none
    return "unsure" if proposed.score < threshold else None


def is_audited(photo: str, share: float) -> bool:
    """Whether a person looks at an automatic verdict all the same: by the photo's digest, so nobody can choose."""
    return int(photo[:13] or "0", 16) < share * 16**13


@dataclass(frozen=True)
class Fixed:
    """One threshold for everything: for worked examples and tests."""

    value: float | None
    digest: str = "fixed"

    def threshold(self, verdict: str, kind: str) -> float | None:
        """As ``Thresholds``."""
        del verdict, kind
        return self.value

    def clause(self, verdict: str, kind: str) -> str:
        """As ``Thresholds``."""
        del verdict, kind
        return "no-promise"


def differences(record: Mapping[str, Any], policy: Policy, thresholds: Thresholds) -> list[str]:
    """What a kept decision says otherwise than the same evidence decided anew; nothing where it can be replayed.

    Raises
    ------
    PolicyError : the record is none.
    """
    again = decide(policy, thresholds, Evidence.from_dict(record.get("evidence") or {})).to_dict()
    names = ("verdict", "clause", "automatic", "audited", "proposed", "threshold", "policy", "thresholds")
    return [
        f"{name}: {record.get(name)!r}, now {again[name]!r}"
        for name in names
        if record.get(name) != again[name]
    ]
