"""A policy with three questions, as the values of its file; tests change what they are about."""

from __future__ import annotations

from typing import Any

SHOP: dict[str, Any] = {
    "format": 1,
    "name": "shop",
    "version": 3,
    "by": "kind",
    "questions": {
        "product": {
            "model": "product.bundle",
            "answers": {"product": "pass", "other": {"verdict": "reject", "clause": "no-product"}},
        },
        "kind": {"model": "kind.bundle", "answers": {"*": "pass"}, "truth": "label"},
        "genuine": {
            "model": "mark.bundle",
            "counterfeit": True,
            "answers": {"genuine": "pass", "suspect": {"verdict": "review", "clause": "mark"}},
        },
    },
    "automatic": {"accept": {"risk": 0.01}, "reject": {"risk": 0.02, "confidence": 0.9}},
    "costs": {"accept": 30, "reject": 8, "review": 0.5},
    "clauses": {
        "no-product": {"en": "No product.", "zh": "没有商品。"},
        "mark": {"en": "The mark is unlike genuine ones.", "zh": "商标与正品不一致。"},
    },
    "least_side_px": 200,
    "audit": 0.05,
    "examples": [
        {"answers": {"product": {"product": 0.99}, "kind": {"bag": 0.97}, "genuine": {"genuine": 0.98}},
         "verdict": "accept"},
        {"answers": {"product": {"other": 0.99}, "kind": {"bag": 0.5}, "genuine": {"genuine": 0.5}},
         "verdict": "reject", "clause": "no-product"},
        {"answers": {"product": {"product": 0.99}, "kind": {"bag": 0.99}, "genuine": {"suspect": 0.999}},
         "verdict": "review", "clause": "mark"},
    ],
}  # fmt: skip
