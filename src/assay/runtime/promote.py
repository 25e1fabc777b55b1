"""A candidate goes live by one step, and comes back by one: `assay promote` and `assay rollback`.

Only what was compared with the network that is live now, and passed, goes live: nothing but the one network may differ,
and thresholds must have been found for it. Who knows better gives a reason, and it is kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from assay.bundle import load_bundle
from assay.decide.budgets import Budgets, read_budgets, thresholds_path
from assay.decide.policy import Policy
from assay.decide.policy_read import read_policy
from assay.errors import AssayError, ConfigError, PolicyError
from assay.runtime.screening import load_screener
from assay.runtime.versions import (
    POLICY,
    Version,
    budgets_of,
    draft_of,
    is_intact,
    live_version,
    locked,
    plain_thresholds,
    read_versions,
    record,
    require_ours,
    settle,
    switch,
    version_digest,
)

COMPARISON = "comparison.json"
"""Beside a candidate's policy: how its network stood against the live one."""


class RefusedError(AssayError):
    """A candidate may not go live."""


@dataclass(frozen=True)
class Promoted:
    """What is live now, what was live before, and what people should know."""

    version: Version
    before: Version | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "live": self.version.name,
            "before": None if self.before is None else self.before.name,
            "folder": str(self.version.folder),
            "warnings": list(self.warnings),
        }


def promote(
    path: str | Path,
    candidate: str | Path,
    *,
    who: str,
    why: str = "",
    force: str | None = None,
    at: float | None = None,
) -> Promoted:
    """Let a candidate decide in place of the live policy.

    Parameters
    ----------
    path, candidate : the policies' files; the comparison lies beside the candidate's.
    who, why : for the history. ``force`` is a reason to promote what would be refused; it is kept too.
    at : seconds since 1970; now when not given.

    Raises
    ------
    RefusedError : the candidate was not compared, did not pass, differs in more, or has no thresholds.
    PolicyError, BundleError, ConfigError : one of the two cannot be read, or it is live already.
    AssayError : the disk is full; then nothing was changed.
    """
    live, at = Path(path), time.time() if at is None else at
    if force is not None and not force.strip():
        raise ConfigError(
            "--force needs a reason", fix='write why, e.g. --force "the class is no longer sold"'
        )
    require_ours(live)
    screener = load_screener(candidate, precision=_precision(Path(candidate)))
    policy = screener.policy
    budgets = screener.budgets if thresholds_path(Path(candidate)).exists() else None
    _refuse_twice(live, policy, budgets)
    reasons = refusals(read_policy(live), policy, budgets is None and thresholds_path(live).exists())
    if reasons and force is None:
        raise RefusedError(
            f"{candidate} may not go live: {reasons[0]}",
            got="; ".join(reasons[1:]) or None,
            fix='mend that, or say why it shall all the same: --force "REASON"',
        )
    with locked(live):
        now = settle(live, who, at)
        models = {one.name: policy.model_path(one) for one in policy}
        draft = draft_of(live, policy, models, budgets)
        about = {
            "candidate": str(candidate), "forced": force, "refused_for": reasons,
            "comparison": read_comparison(Path(candidate)),
        }  # fmt: skip
        made = record(live, policy, draft, who=who, at=at, why=why, before=now.name, about=about)
        switch(live, made, who=who, at=at, action="promote", why=why, forced=force)
    return Promoted(made, now, tuple(_warnings(live, read_policy(live), budgets is None)))


def _refuse_twice(live: Path, policy: Policy, budgets: Budgets | None) -> None:
    now = live_version(live)
    digests = {one.name: load_bundle(policy.model_path(one)).digest for one in policy}
    thresholds = None if budgets is None else plain_thresholds(budgets)
    if now is not None and version_digest(policy, digests, thresholds) == now.facts["digest"]:
        raise ConfigError(f"{policy.path} is live already", got=now.name)


def rollback(path: str | Path, *, who: str, why: str = "", at: float | None = None) -> Promoted:
    """Let the version decide that was live before the one that is.

    Raises
    ------
    ConfigError : there is none. PolicyError, BundleError : it cannot be read. AssayError : the disk is full.
    """
    live, at = Path(path), time.time() if at is None else at
    if live_version(live) is None:
        raise ConfigError(
            f"{live} has no earlier version", got="nothing was promoted yet", fix="promote a candidate first"
        )
    with locked(live):
        now = settle(live, who, at)
        earlier = next((one for one in read_versions(live) if one.name == now.before), None)
        if earlier is None:
            raise ConfigError(f"{now.name} of {live} is the first version", fix="there is none before it")
        found = earlier if is_intact(live, earlier) else _mended(live, earlier, who, at)
        switch(live, found, who=who, at=at, action="rollback", why=why)
    return Promoted(found, now)


def _mended(live: Path, earlier: Version, who: str, at: float) -> Version:
    """The version with its own copies of the networks, where those that its text names are gone or others now."""
    policy = read_policy(earlier.folder / POLICY)
    models = {one.name: earlier.bundle(one.name) for one in policy}
    references = replace(policy, path=live).references_path
    if policy.matching is not None and references is not None:  # told from the live policy's folder
        policy = replace(policy, matching=replace(policy.matching, references=str(references.absolute())))
    draft = draft_of(live, policy, models, budgets_of(earlier))
    why = f"{earlier.name} once more: a network that it names was changed or is gone"
    return record(live, policy, draft, who=who, at=at, why=why, before=earlier.before)


def refusals(live: Policy, candidate: Policy, lacks_thresholds: bool) -> list[str]:
    """Why a candidate may not take the place of the live policy; nothing where it may."""
    assert candidate.path is not None, "it was read from a file"
    told = read_comparison(candidate.path)
    if told is None:
        found = ["it was not compared with the live network (no comparison.json beside it)"]
    else:
        found = _of_comparison(told, live, candidate)
    if lacks_thresholds:
        found.append(
            "it has no thresholds, so people would decide everything: "
            f"assay calibrate {candidate.path} --data LABELLED"
        )
    return found


def read_comparison(candidate: Path) -> dict[str, Any] | None:
    """What `assay revise --train` wrote beside a candidate; None where there is nothing. Raises PolicyError."""
    place = candidate.parent / COMPARISON
    if not place.is_file():
        return None
    try:
        told = json.loads(place.read_text("utf-8"))
        str(told["question"]), str(told["new"]["sha256"]), str(told["live"]["sha256"]), list(told["reasons"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PolicyError(f"{place} cannot be read", got=f"{type(error).__name__}: {error}"[:200]) from error
    return dict(told)


def _of_comparison(told: Mapping[str, Any], live: Policy, candidate: Policy) -> list[str]:
    question, found = told["question"], []
    names = [one.name for one in candidate]
    if question not in names or question not in [one.name for one in live]:
        return [f"its comparison is about {question!r}, which is asked no longer"]
    sides = (("new", candidate, "its comparison is of another network"),
             ("live", live, "another network went live since it was compared"))  # fmt: skip
    for side, policy, words in sides:
        if load_bundle(policy.model_path(policy.question(question))).digest != told[side]["sha256"]:
            found.append(words)
    if told.get("passed") is not True:
        found += list(told["reasons"]) or ["it did not pass its comparison"]
    mine, theirs = _without(live, question), _without(candidate, question)
    apart = sorted(name for name in mine if mine[name] != theirs[name])
    if apart:
        found.append(f"it differs from the live policy in more than one network: {', '.join(apart)}")
    return found


def _without(policy: Policy, question: str) -> dict[str, Any]:
    """What a policy says, its networks by digest, one of them left out; files by where they are."""
    told = {**asdict(policy), "path": None}
    for one in told["questions"]:
        place = policy.model_path(policy.question(one["name"]))
        one["model"] = None if one["name"] == question else load_bundle(place).digest
    if policy.references_path is not None:
        told["matching"]["references"] = str(policy.references_path.resolve())
    return told


def _precision(candidate: Path) -> str:
    """What the candidate's thresholds were found in."""
    beside = thresholds_path(candidate)
    found = (
        {value.partition(" ")[2] for value in read_budgets(beside).models.values()}
        if beside.exists()
        else set()
    )
    return found.pop() if len(found) == 1 else "fp32"


def _warnings(live: Path, policy: Policy, lacks_thresholds: bool) -> list[str]:
    found = []
    if lacks_thresholds:
        found.append(
            f"there are no thresholds, so people decide everything: assay calibrate {live} --data LABELLED"
        )
    if policy.matching is not None and policy.matching.embedding is not None:
        found.append(
            f"enrolled photos were seen by the network of {policy.matching.embedding}; if that is another one now, "
            "enrol them again"
        )
    return found
