"""Thresholds of a policy, found from labelled photos so that each kind of automatic verdict keeps its accepted risk.

A *kind* is a verdict and a class: accepts of one answer to the policy's ``by`` question, rejections by one clause. For
each, the photos whose answers ask for it (and that no network calls unknown, and no match decides) are a sample of all
such photos, and Learn then Test (``threshold.fit_threshold``) finds the lowest score from which on at most the accepted
share is wrong, with the stated confidence for each kind on its own. Where the labels are too few, there is no
threshold, and all of that kind go to people; how many labels are missing is said.

An accept is wrong where the truth of any question does not pass, or another class is true. A rejection is wrong where
the truth of the question that decided does not lead to the same clause.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assay.decide.decision import ALL, Proposal, by_matching, decide, propose
from assay.decide.evidence import Evidence
from assay.decide.policy import OTHERWISE, Policy
from assay.decide.threshold import fit_threshold, labels_missing
from assay.errors import PolicyError
from assay.files import write_file
from assay.metrics.interval import group_numbers

FORMAT = 1
ENDING = ".thresholds.json"
"""Beside the policy: shop.yaml has its thresholds in shop.thresholds.json."""

Truth = Mapping[str, str | None]
"""Question -> the right answer; None where nobody said."""


@dataclass(frozen=True)
class Kind:
    """One verdict and class: what is promised, from which score on, and what the labelled photos showed.

    ``labels`` photos asked for it, ``wrong`` of them wrongly. ``kept`` is the share of them at or above ``threshold``,
    ``found`` the share wrong among those. ``missing`` is how many more photos of this kind are needed, if no further
    one is wrong; None where there is a threshold, or where no number of photos can be named.
    """

    verdict: str
    name: str
    risk: float
    confidence: float
    threshold: float | None
    labels: int
    wrong: int
    kept: float
    found: float | None
    missing: int | None


@dataclass(frozen=True)
class Budgets:
    """All thresholds of a policy. ``rules`` is ``Policy.rules``; ``models``: question -> SHA-256 of its Bundle and the
    precision it answered in.

    ``photos`` were labelled, of which ``used`` count; ``unit`` is "photo", or "group" where whole groups are
    exchangeable.
    """

    rules: str
    models: Mapping[str, str]
    kinds: tuple[Kind, ...]
    photos: int
    used: int
    unit: str = "photo"

    def threshold(self, verdict: str, kind: str) -> float | None:
        """As ``decision.Thresholds``."""
        return self._by_kind.get((verdict, kind))

    def clause(self, verdict: str, kind: str) -> str:
        """As ``decision.Thresholds``."""
        del verdict, kind
        return "no-promise"

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str], float | None]:
        return {(one.verdict, one.name): one.threshold for one in self.kinds}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all of it, in hex."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"format": FORMAT, **asdict(self), "models": dict(self.models)}

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        write_file(path, (json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n").encode())

    def require_for(self, policy: Policy, models: Mapping[str, str]) -> None:
        """Refuse thresholds of other rules or networks. Raises PolicyError."""
        if self.rules == policy.rules and dict(self.models) == dict(models):
            return
        changed = [name for name in models if self.models.get(name) != models[name]]
        raise PolicyError(
            f"the thresholds of {policy.path or policy.name} are for another policy",
            got=f"another network, or one in another precision, answers {', '.join(changed)}"
            if changed
            else "its rules or risks have changed",
            fix=f"find them anew: assay calibrate {policy.path or 'POLICY'} --data LABELLED",
        )


NO_BUDGETS = Budgets("", {}, (), 0, 0)
"""Nothing is promised: everything that could be decided goes to people."""


def thresholds_path(policy: Path) -> Path:
    """Where the thresholds of a policy's file lie."""
    return policy.with_suffix(ENDING)


def read_budgets(path: Path) -> Budgets:
    """What ``Budgets.save`` wrote.

    Raises
    ------
    PolicyError : the file cannot be read, or is of a newer format.
    """
    fix = "find them anew: assay calibrate POLICY --data LABELLED"
    try:
        told = json.loads(path.read_text("utf-8"))
        if told.pop("format") != FORMAT:
            raise PolicyError(f"{path} is of another format", fix=fix)
        kinds = tuple(Kind(**one) for one in told.pop("kinds"))
        found = Budgets(kinds=kinds, **told)
        for one in kinds:
            if one.threshold is not None and not 0 <= float(one.threshold) <= 1:
                raise ValueError(f"threshold {one.threshold}")
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PolicyError(
            f"{path} holds no thresholds", got=f"{type(error).__name__}: {error}"[:200], fix=fix
        ) from error


def fit_budgets(
    policy: Policy,
    evidence: Sequence[Evidence],
    truths: Sequence[Truth],
    groups: Sequence[str | None] | None = None,
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    models: Mapping[str, str] | None = None,
) -> Budgets:
    """Find the thresholds.

    Parameters
    ----------
    evidence, truths : of N photos that no network of the policy was trained on.
    groups : N names of senders, None for a photo on its own; None where there are no groups.
    classes : question -> what its network can answer, so that kinds without any photo are listed too.
    models : question -> SHA-256 of its Bundle, and the precision.

    Raises
    ------
    PolicyError : no photo counts: none could be read, or none is labelled for what it was taken for.
    """
    numbers = group_numbers(groups, len(evidence))
    rows: dict[tuple[str, str], list[tuple[float, bool, int]]] = defaultdict(list)
    for at, (one, truth) in enumerate(zip(evidence, truths, strict=True)):
        if one.error is not None or one.unknown:
            continue
        proposed, matched = propose(policy, one), by_matching(policy, one)
        if matched is not None and (matched.verdict != "review" or proposed.verdict == "accept"):
            continue
        right = is_right(policy, proposed, truth)
        if proposed.verdict in policy.risks and right is not None:
            rows[proposed.verdict, proposed.kind].append((proposed.score, right, at))
    if not rows:
        raise PolicyError(
            "no photo counts for a threshold",
            got=f"{len(evidence)} photos, of which none has the labels that the policy asks about",
            fix="name the columns of truth in the policy (truth: COLUMN), or give labelled photos",
        )
    wanted = sorted({*possible_kinds(policy, classes or {}), *rows})
    kinds = tuple(_kind(policy, *kind, rows.get(kind, []), numbers) for kind in wanted)
    used = sum(one.labels for one in kinds)
    unit = "photo" if numbers is None else "group"
    return Budgets(policy.rules, dict(models or {}), kinds, len(evidence), used, unit)


def is_right(policy: Policy, proposed: Proposal, truth: Truth) -> bool | None:
    """Whether the proposed verdict is the right one; None where the labels do not tell."""
    if proposed.question is not None:
        answer = truth.get(proposed.question)
        if answer is None:
            return None
        effect = policy.question(proposed.question).effect(answer)
        return effect.verdict == proposed.verdict and effect.clause == proposed.clause
    known = {one.name: truth.get(one.name) for one in policy}
    fails = [
        name
        for name, answer in known.items()
        if answer is not None and policy.question(name).effect(answer).verdict != "pass"
    ]
    if policy.by is not None and known[policy.by] not in (None, proposed.kind):
        fails.append(policy.by)
    if fails:  # one wrong answer is enough, whatever else is not known
        return False
    return None if None in known.values() else True


def possible_kinds(policy: Policy, classes: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """(verdict, class) of everything that the policy could do without a person."""
    found: set[tuple[str, str]] = set()
    for question in policy:
        named = [answer for answer in question.answers if answer != OTHERWISE]
        for answer in {*named, *classes.get(question.name, ())}:
            effect = question.effect(answer)
            if effect.verdict in ("reject", "resubmit"):
                found.add((effect.verdict, effect.clause or "rule"))
            elif effect.verdict == "pass" and question.name == policy.by:
                found.add(("accept", answer))
    if policy.by is None:
        found.add(("accept", ALL))
    return sorted(kind for kind in found if kind[0] in policy.risks)


def _kind(policy: Policy, verdict: str, name: str, rows: list[tuple[float, bool, int]], numbers: Any) -> Kind:
    risk = policy.risks[verdict]
    scores = np.array([score for score, _, _ in rows], np.float64)
    right = np.array([ok for _, ok, _ in rows], bool)
    groups = None
    if numbers is not None:  # numbered anew: a group without a photo of this kind is none of its units
        groups = np.unique(np.array([numbers[at] for _, _, at in rows], np.int64), return_inverse=True)[1]
    found = fit_threshold(scores, right, risk=risk.share, level=risk.confidence, groups=groups)
    missing = None
    if found.threshold is None and groups is None:
        missing = labels_missing(scores, right, risk=risk.share, level=risk.confidence)
    return Kind(
        verdict,
        name,
        risk.share,
        risk.confidence,
        found.threshold,
        len(rows),
        int((~right).sum()),
        round(found.coverage, 6),
        None if math.isnan(found.found) else round(found.found, 6),
        missing,
    )


def automatic_share(policy: Policy, budgets: Budgets, evidence: Sequence[Evidence]) -> dict[str, float]:
    """Verdict -> share of these photos that get it."""
    counts: dict[str, int] = defaultdict(int)
    for one in evidence:
        counts[decide(policy, budgets, one).verdict] += 1
    return {verdict: count / max(1, len(evidence)) for verdict, count in sorted(counts.items())}
