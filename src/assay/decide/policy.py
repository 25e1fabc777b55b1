"""A shop's policy: what is asked of a photo, which answers pass, and how often an automatic verdict may be wrong.

The file is YAML (``policy_read``). It names the Bundles that answer, never a threshold: thresholds come from labelled
photos and the accepted risk (``budgets``). A question about counterfeits can never reject by a network's score alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.decide.clauses import BUILT_IN
from assay.decide.match import EMBEDDING, FAKE, Match

VERDICTS = ("accept", "reject", "resubmit", "review")
"""What becomes of a photo; the first three without a person."""
EFFECTS = ("pass", "reject", "resubmit", "review")
"""What one answer to one question asks for."""
OTHERWISE, NOTHING = "*", "nothing"
"""Every answer that is not named; the answer where no tag applies and no thing is found."""
HEADS = ("class", "tags", "boxes")
KNOWN_FAKE, LIKE_FAKE, UNLIKE_GENUINE, COPIED = "known-fake", "like-fake", "unlike-genuine", "copied"
FINDINGS = (KNOWN_FAKE, LIKE_FAKE, UNLIKE_GENUINE, COPIED)
"""What matching finds: the photo of a confirmed fake, perhaps edited; a photo that may be one, or that a network sees
near to one; one that is inconsistent with the genuine references; a copy of a genuine reference: somebody else's."""


@dataclass(frozen=True)
class Effect:
    """What an answer leads to; ``clause`` says why, where it does not pass."""

    verdict: str
    clause: str | None = None


@dataclass(frozen=True)
class Question:
    """One thing that is asked of every photo.

    ``model`` is a Bundle's path, relative to the policy's folder. ``head`` says which part of its answer counts: the
    class of the picture, its tags, or the things in it. ``truth`` is the column of labelled data with the right answer.
    """

    name: str
    model: str
    answers: Mapping[str, Effect]
    head: str = "class"
    truth: str = ""
    counterfeit: bool = False

    def effect(self, answer: str) -> Effect:
        """What this answer leads to; review where the policy does not name it."""
        return self.answers.get(answer) or self.answers.get(OTHERWISE) or Effect("review", "rule")


@dataclass(frozen=True)
class Matching:
    """How photos are compared with enrolled ones.

    ``references`` is the file of enrolled photos, relative to the policy's folder. ``effects``: finding -> Effect; the
    photo of a confirmed fake may be rejected, all else that speaks of counterfeits goes to people. ``embedding`` names
    the question whose network compares photos, ``item`` the question whose answer is what they show (all are one item
    without it), ``false_alarm`` the share of genuine photos that may be called unlike the references, or like a fake.
    ``near`` is the distance (``Match.distance``) up to which an edited photo surely is the enrolled one; beyond it a
    photo is like a fake, and nobody's copy.
    """

    references: str
    effects: Mapping[str, Effect] = field(default_factory=dict)
    embedding: str | None = None
    item: str | None = None
    false_alarm: float = 0.01
    near: float = 0.9

    def finding(self, match: Match) -> str | None:
        """Which of ``FINDINGS`` it is; None where it says nothing at this rate of false alarms."""
        if match.way != EMBEDDING:
            if match.distance <= self.near:
                return KNOWN_FAKE if match.list == FAKE else COPIED
            return LIKE_FAKE if match.list == FAKE else None
        if match.p is None or match.p > self.false_alarm:
            return None
        return LIKE_FAKE if match.list == FAKE else UNLIKE_GENUINE

    def effect(self, finding: str) -> Effect:
        """What it leads to; a person looks where the policy does not say, but at copies of genuine references."""
        usual = Effect("pass") if finding == COPIED else Effect("review", finding)
        return self.effects.get(finding, usual)


@dataclass(frozen=True)
class Risk:
    """At most ``share`` of the automatic verdicts of one kind and class are wrong, with this ``confidence``."""

    share: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Example:
    """A worked example that is decided anew whenever the policy is read.

    ``answers``: question -> answer -> probability. ``threshold`` stands in the place of every calibrated one. ``match``
    is one of ``FINDINGS``, where the photo shall have one.
    """

    answers: Mapping[str, Mapping[str, float]]
    verdict: str
    clause: str | None = None
    threshold: float = 0.95
    unknown: bool = False
    size_hw: tuple[int, int] = (1000, 1000)
    match: str | None = None


@dataclass(frozen=True)
class Policy:
    """Everything that decides, but for the thresholds.

    ``by`` names the question by whose answers the promise on accepts is given, each on its own; without it accepts are
    one class. ``risks``: verdict -> Risk; a verdict without one is never given without a person. ``costs``: "accept"
    and "reject" of a wrong automatic verdict, "review" of a person's look, in any one currency. ``audit`` is the share
    of automatic verdicts that a person sees all the same.
    """

    name: str
    version: str
    questions: tuple[Question, ...]
    risks: Mapping[str, Risk]
    by: str | None = None
    costs: Mapping[str, float] = field(default_factory=dict)
    clauses: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    least_side_px: int = 0
    audit: float = 0.0
    path: Path | None = None
    matching: Matching | None = None

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)

    def question(self, name: str) -> Question:
        """The question of this name; it is there."""
        return next(one for one in self.questions if one.name == name)

    def words(self, clause: str, language: str = "en") -> str:
        """The clause in a language: the policy's own words, else the built-in ones."""
        texts = self.clauses.get(clause) or BUILT_IN.get(clause, {})
        return texts.get(language) or texts.get("en") or clause

    def model_path(self, question: Question) -> Path:
        """Where the question's Bundle lies."""
        return self._folder / question.model

    @property
    def references_path(self) -> Path | None:
        """Where the enrolled photos lie; None where nothing is matched."""
        return None if self.matching is None else self._folder / self.matching.references

    @property
    def _folder(self) -> Path:
        return Path() if self.path is None else self.path.parent

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the policy says, in hex: a changed word is another policy."""
        told = {**asdict(self), "path": None}
        if (
            self.matching is None
        ):  # what is not said changes no digest: records from before it can be replayed
            del told["matching"]
            told["examples"] = [{k: v for k, v in one.items() if k != "match"} for one in told["examples"]]
        return _digest(told)

    @cached_property
    def rules(self) -> str:
        """SHA-256 of what thresholds depend on: questions, risks, sizes, matching; words and costs may change.

        Files may be moved: which networks the thresholds are for, they say themselves, by digest.
        """
        told = {
            "questions": [{**asdict(one), "truth": None, "model": None} for one in self.questions],
            "risks": {name: asdict(risk) for name, risk in self.risks.items()},
            "by": self.by,
            "least_side_px": self.least_side_px,
        }
        if self.matching is None:
            return _digest(told)
        return _digest({**told, "matching": {**asdict(self.matching), "references": None}})


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
