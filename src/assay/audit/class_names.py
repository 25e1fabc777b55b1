"""Class names up to spelling: what two people would write for one thing."""

from __future__ import annotations

import re


def plain_name(name: str) -> str:
    """What is left of a class name without case, spacing, punctuation and plural: "T-Shirts" -> "tshirt"."""
    words = [_singular(word) for word in re.findall(r"[^\W_]+|/", name.casefold())]
    return "".join(words) or name


def _singular(word: str) -> str:
    """English plurals only, and cautiously: "dress", "gas" and "lens" stay."""
    if len(word) > 3 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "ens")):
        return word[:-1]
    return word
