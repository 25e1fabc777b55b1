"""What is told of a photo and its decision over HTTP, the same for sellers' software and for the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assay.decide.clauses import LANGUAGES
from assay.service.store.decisions import MACHINE

if TYPE_CHECKING:
    from assay.decide.policy import Policy


def answer_json(
    policy: Policy, photo: Mapping[str, Any], decision: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Plain values for JSON; ``status`` is "waiting" or "decided"."""
    told = {
        "photo": photo["id"], "sha256": photo["sha256"], "name": photo["name"], "sender": photo["sender"],
        "item": photo["item"], "received_at": photo["received_at"],
    }  # fmt: skip
    if decision is None:
        return {**told, "status": "waiting"}
    body = json.loads(decision["body"]) if decision["body"] else {}
    clause = decision["clause"]
    found = {
        **told,
        "status": "decided",
        "decision": decision["id"],
        "verdict": decision["verdict"],
        "clause": clause,
        "words": {language: policy.words(clause, language) for language in LANGUAGES},
        "automatic": decision["automatic"],
        "decided_by": MACHINE if decision["decided_by"] == MACHINE else "person",
        "policy": {"digest": decision["policy"], "thresholds": decision["thresholds"]},
        "decided_at": decision["at"],
    }
    if decision["verdict"] in ("reject", "resubmit"):
        found["appeal"] = f"/v1/photos/{photo['id']}/appeal"
    evidence = body.get("evidence", {})
    for name in ("answers", "unknown", "matches", "things", "size_hw"):
        if evidence.get(name):
            found[name] = evidence[name]
    if body.get("proposed"):
        found["proposed"] = body["proposed"]
    return found
