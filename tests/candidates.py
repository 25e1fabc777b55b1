"""A live policy with thresholds, and candidates for it, made without training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.answered import write_policy

from assay.bundle import load_bundle, save_bundle
from assay.decide.budgets import Budgets, Kind, thresholds_path
from assay.decide.policy_read import read_policy
from assay.runtime.policy_text import policy_text
from assay.runtime.promote import COMPARISON


def write_thresholds(policy: Path, score: float) -> None:
    """As `assay calibrate` would, with one threshold for everything."""
    read = read_policy(policy)
    models = {one.name: f"{load_bundle(read.model_path(one)).digest} fp32" for one in read}
    kinds = tuple(
        Kind(verdict, name, 0.3, 0.8, score, 100, 0, 1.0, 0.0, None)
        for verdict, name in (("accept", "square"), ("reject", "round"))
    )
    Budgets(read.rules, models, kinds, 200, 200).save(thresholds_path(policy))


def other_bundle(source: Path, place: Path, name: str) -> Path:
    """The same network with another name on its card, so with another digest."""
    place.parent.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(source)
    members = {key: bundle.members[key] for key in bundle.members if key != "card.json"}
    save_bundle(place, replace(bundle.card, name=name), members)
    return place


def write_live(folder: Path, bundle: Path, score: float | None = 0.5) -> Path:
    """``folder/shapes.yaml`` beside its Bundle, with thresholds unless ``score`` is None."""
    folder.mkdir(parents=True, exist_ok=True)
    other_bundle(bundle, folder / "tiny.bundle", "first")
    policy = write_policy(folder / "shapes.yaml")
    if score is not None:
        write_thresholds(policy, score)
    return policy


def write_candidate(
    live: Path, folder: Path, name: str, score: float | None = 0.7, change: Any = None, told: Any = None
) -> Path:
    """A candidate with a comparison; ``change`` edits the policy's text, ``told`` the comparison."""
    policy = read_policy(live)
    place = other_bundle(policy.model_path(policy.question("shape")), folder / "shape.bundle", name)
    text = policy_text(policy, {"shape": place}, folder)
    candidate = folder / "shapes.yaml"
    candidate.write_text(text if change is None else change(text), "utf-8")
    if score is not None:
        write_thresholds(candidate, score)
    usual = {
        "question": "shape",
        "passed": True,
        "reasons": [],
        "new": {"sha256": load_bundle(place).digest},
        "live": {"sha256": load_bundle(policy.model_path(policy.question("shape"))).digest},
    }
    (folder / COMPARISON).write_text(json.dumps({**usual, **(told or {})}), "utf-8")
    return candidate
