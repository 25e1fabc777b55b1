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

VERDICTS = ("accept", "reject", "resubmit", "review")
"""What becomes of a photo; the first three without a person."""
EFFECTS = ("pass", "reject", "resubmit", "review")
"""What one answer to one question asks for."""
OTHERWISE, NOTHING = "*", "nothing"
"""Every answer that is not named; the answer where no tag applies and no thing is found."""
HEADS = ("class", "tags", "boxes")


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
class Risk:
    """At most ``share`` of the automatic verdicts of one kind and class are wrong, with this ``confidence``."""

    share: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Example:
    """A worked example that is decided anew whenever the policy is read.

    ``answers``: question -> answer -> probability. ``threshold`` stands in the place of every calibrated one.
    """

    answers: Mapping[str, Mapping[str, float]]
    verdict: str
    clause: str | None = None
    threshold: float = 0.95
    unknown: bool = False
    size_hw: tuple[int, int] = (1000, 1000)


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
        folder = Path() if self.path is None else self.path.parent
        return folder / question.model

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the policy says, in hex: a changed word is another policy."""
        return _digest({**asdict(self), "path": None})

    @cached_property
    def rules(self) -> str:
        """SHA-256 of what thresholds depend on: questions, risks, sizes; words and costs may change without them."""
        questions = [{**asdict(one), "truth": None} for one in self.questions]
        return _digest(
            {"questions": questions, "risks": {k: asdict(v) for k, v in self.risks.items()},
             "by": self.by, "least_side_px": self.least_side_px}
        )  # fmt: skip


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
