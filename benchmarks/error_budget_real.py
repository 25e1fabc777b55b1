"""The error budget on real photos: thresholds found and measured again and again on photos of unseen senders.

What the networks say of each held-out photo is kept once. Then calibration photos are drawn as in
``abstention_promise``: *halves* (a random half calibrates, the other measures; the noise of the measuring half is in
it) and *redrawn* (the held-out photos are taken for the world, calibrations are drawn from it with replacement, and the
risk is that of all of them, known exactly), each by photo and by whole senders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from assay.decide.bets import clopper_pearson
from assay.decide.budgets import Truth, is_right
from assay.decide.decision import propose
from assay.decide.evidence import Evidence
from assay.decide.policy import Policy
from assay.decide.threshold import GROUP_STARTS, STARTS, fit_threshold, least_labels
from assay.runtime.screening import load_screener
from benchmarks.abstention_promise import draw

LEVEL = 0.95
Line = dict[str, Any]
KINDS_POLICY: dict[str, Any] = {
    "format": 1,
    "name": "each kind",
    "version": 1,
    "by": "kind",
    "questions": {
        "product": {
            "model": "product.bundle",
            "answers": {"product": "pass", "non-product": {"verdict": "reject", "clause": "no-product"}},
        },
        "kind": {"model": "kind.bundle", "truth": "label", "answers": {"*": "pass"}},
    },
    "clauses": {"no-product": {"en": "The photo shows no product.", "zh": "照片中没有商品。"}},
}
"""Accepts are promised for each class of clothing on its own."""
PRODUCT_POLICY: dict[str, Any] = {
    **{key: value for key, value in KINDS_POLICY.items() if key != "by"},
    "name": "product or not",
    "questions": {"product": KINDS_POLICY["questions"]["product"]},
}
GENUINE_POLICY: dict[str, Any] = {
    "format": 1,
    "name": "sneakers",
    "version": 1,
    "questions": {
        "genuine": {
            "model": "genuine.bundle",
            "truth": "label",
            "counterfeit": True,
            "answers": {"genuine": "pass", "suspect": {"verdict": "review", "clause": "mark"}},
        }
    },
    "clauses": {"mark": {"en": "It is unlike genuine ones.", "zh": "与正品不一致。"}},
}


@dataclass(frozen=True, eq=False)
class Seen:
    """N held-out photos: ``kind`` is the place in ``names`` of what each asks for, -1 where no threshold could help.

    ``right`` says whether that verdict would be right, ``groups`` numbers the senders.
    """

    names: tuple[tuple[str, str], ...]
    kind: NDArray[np.int64]
    score: NDArray[np.float64]
    right: NDArray[np.bool_]
    groups: NDArray[np.int64]


def write_policy(policy: dict[str, Any], risk: float, folder: Path) -> Path:
    """The policy's file, with this risk for each automatic verdict."""
    told = {"accept": {"risk": risk, "confidence": LEVEL}}
    if any("reject" in json.dumps(asked["answers"]) for asked in policy["questions"].values()):
        told["reject"] = told["accept"]
    place = folder / f"{policy['name'].replace(' ', '-')}-{risk:g}.yaml"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(yaml.safe_dump({**policy, "automatic": told}, allow_unicode=True), "utf-8")
    return place


def keep_evidence(policy: Path, rows: Sequence[dict[str, str]], root: Path, cache: Path) -> list[Evidence]:
    """What the policy's networks say of each photo, from the file that an earlier call wrote for these networks."""
    screener = load_screener(policy, budgets=False)
    asked = json.dumps([screener.digests, [row["path"] for row in rows]], sort_keys=True)
    file = cache / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.jsonl"
    if not file.exists():
        seen = [one.to_dict() for one in screener.evidence(root / row["path"] for row in rows)]
        cache.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(one) + "\n" for one in seen), "utf-8")
        print(f"saw {len(seen)} photos", flush=True)
    return [Evidence.from_dict(json.loads(text)) for text in file.read_text("utf-8").splitlines()]


def truths_of(policy: Policy, rows: Sequence[dict[str, str]]) -> list[Truth]:
    """The right answers, by the columns that the policy names; None where a column is empty."""
    return [{one.name: row[one.truth or one.name] or None for one in policy} for row in rows]


def see(policy: Policy, evidence: Sequence[Evidence], truths: Sequence[Truth], groups: Sequence[str]) -> Seen:
    """What each photo asks for, as ``fit_budgets`` counts it."""
    names: dict[tuple[str, str], int] = {}
    kind, score, right = [], [], []
    for one, truth in zip(evidence, truths, strict=True):
        able = one.error is None and not one.unknown
        proposed = propose(policy, one) if able else None
        verdict = None if proposed is None else is_right(policy, proposed, truth)
        if proposed is None or verdict is None or proposed.verdict not in policy.risks:
            kind.append(-1)
            score.append(0.0)
            right.append(False)
            continue
        kind.append(names.setdefault((proposed.verdict, proposed.kind), len(names)))
        score.append(proposed.score)
        right.append(verdict)
    senders = [name or f"alone {i}" for i, name in enumerate(groups)]
    numbers = np.unique(senders, return_inverse=True)[1].astype(np.int64)
    return Seen(tuple(names), np.array(kind), np.array(score), np.array(right), numbers)


def drawings(seen: Seen, *, unit: str, how: str, risk: float, count: int, seed: int = 0) -> Line:
    """What was promised and found over so many calibrations."""
    rng = np.random.default_rng(seed)
    found = [_drawing(seen, unit, how, risk, rng) for _ in range(count)]
    by_kind = {}
    for at, (verdict, name) in enumerate(seen.names):
        risks = np.array([one["risks"][at] for one in found])
        shares = np.array([one["shares"][at] for one in found])
        by_kind[f"{verdict} {name}"] = _kind_line(risks, shares, risk, count)
    worst = max(by_kind.values(), key=lambda line: line["broken"], default=None)
    return {
        "unit": unit,
        "how": how,
        "promised": risk,
        "confidence": LEVEL,
        "drawings": count,
        "photos": len(seen.kind),
        "senders": int(seen.groups.max()) + 1,
        "kinds": by_kind,
        "broken_most": worst,
        "accept": _verdict_line(found, "accept"),
        "reject": _verdict_line(found, "reject"),
    }


def _drawing(seen: Seen, unit: str, how: str, risk: float, rng: np.random.Generator) -> Line:
    """Risk (NaN: no threshold, or nothing above it) and automatic share of each kind, and both for each verdict."""
    rows, numbers, others, _ = draw(seen.groups, unit, how, rng)
    risks, shares = [], []
    given = {"accept": 0, "reject": 0}
    wrong = {"accept": 0, "reject": 0}
    for at, (verdict, _) in enumerate(seen.names):
        mine = seen.kind[rows] == at
        units = numbers[mine] if unit == "group" else None
        threshold = find(seen.score[rows[mine]], seen.right[rows[mine]], risk, units)
        measured = others[seen.kind[others] == at]
        above = np.zeros(len(measured), bool) if threshold is None else seen.score[measured] >= threshold
        missed = above & ~seen.right[measured]
        risks.append(_share(above, missed, seen.groups[measured] if unit == "group" else None))
        shares.append(float(above.sum()) / len(others))
        given[verdict] += int(above.sum())
        wrong[verdict] += int(missed.sum())
    told: Line = {"risks": risks, "shares": shares}
    for verdict, count in given.items():
        told[verdict] = (wrong[verdict] / count if count else np.nan, count / len(others))
    return told


def find(
    score: NDArray[np.float64], right: NDArray[np.bool_], risk: float, groups: NDArray[np.int64] | None
) -> float | None:
    """The threshold of one kind, as ``fit_budgets`` finds it; the search is spared where it cannot succeed."""
    if groups is None:
        least = least_labels(0, risk, (1 - LEVEL) / len(STARTS))
        if least is None or len(score) < least:
            return None
        return fit_threshold(score, right, risk=risk, level=LEVEL).threshold
    groups = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    count = int(groups.max(initial=-1)) + 1
    if count * np.log1p(risk) < np.log(len(GROUP_STARTS) / (1 - LEVEL)):  # no bet is above 1
        return None
    return fit_threshold(score, right, risk=risk, level=LEVEL, groups=groups).threshold


def _share(above: NDArray[np.bool_], missed: NDArray[np.bool_], groups: NDArray[np.int64] | None) -> float:
    """Share wrong among what is above; over groups each counts alike, as in the promise."""
    if not above.any():
        return float("nan")
    if groups is None:
        return float(missed.sum() / above.sum())
    numbers = np.unique(groups, return_inverse=True)[1]
    weight = 1 / np.bincount(numbers)[numbers]
    return float((weight * missed).sum() / (weight * above).sum())


def _kind_line(risks: NDArray[np.float64], shares: NDArray[np.float64], risk: float, count: int) -> Line:
    given = ~np.isnan(risks)
    broken = int((risks[given] > risk + 1e-12).sum())
    interval = clopper_pearson(broken, count)
    return {
        "promising": int(given.sum()),
        "broken": broken,
        "broken_low": interval.low,
        "broken_high": interval.high,
        "risk": float(risks[given].mean()) if given.any() else None,
        "automatic": float(shares.mean()),
    }


def _verdict_line(found: list[Line], verdict: str) -> Line:
    risks = np.array([one[verdict][0] for one in found])
    kept = risks[~np.isnan(risks)]
    quantiles = [float(v) for v in np.quantile(kept, [0.05, 0.5, 0.95])] if len(kept) else None
    return {
        "drawings": len(kept),
        "risk": float(kept.mean()) if len(kept) else None,
        "risk_quantiles": quantiles,
        "automatic": float(np.mean([one[verdict][1] for one in found])),
    }


def accuracy_of(
    question: str, evidence: Sequence[Evidence], truths: Sequence[Truth], wanted: Callable[[Truth], bool]
) -> tuple[int, int]:
    """(right, all) of the photos whose truth is known and wanted."""
    told = [
        one.best(question)[0] == truth[question]
        for one, truth in zip(evidence, truths, strict=True)
        if one.error is None and truth[question] is not None and wanted(truth)
    ]
    return sum(told), len(told)
