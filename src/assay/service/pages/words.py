"""What the pages say, in English and Chinese: one dictionary of each language, with the same keys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from assay.decide.clauses import LANGUAGES

TAGS = {"en": "en", "zh": "zh-CN"}
"""What an HTML page calls each language."""


@cache
def dictionary(language: str) -> dict[str, str]:
    """Key -> text of one language."""
    path = files("assay.service.pages") / "words" / f"{language}.json"
    told: dict[str, str] = json.loads(path.read_text("utf-8"))
    return told


@dataclass(frozen=True)
class Words:
    """The texts of one language; called with a key, and values for its places."""

    language: str

    def __call__(self, key: str, /, **values: object) -> str:
        """The text; KeyError for an unknown key or a place without a value."""
        text = dictionary(self.language)[key]
        return text.format_map(values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """The text, or what is given where there is none: for names that come from elsewhere."""
        return dictionary(self.language).get(key, otherwise)

    def part(self, prefix: str) -> dict[str, str]:
        """All texts whose keys begin so, without the beginning: what a script says."""
        start = prefix + "."
        found = dictionary(self.language).items()
        return {key.removeprefix(start): text for key, text in found if key.startswith(start)}

    @property
    def tag(self) -> str:
        """For ``<html lang>``."""
        return TAGS[self.language]

    @property
    def other(self) -> str:
        """The language to change to."""
        return LANGUAGES[1 - LANGUAGES.index(self.language)]


def choose_language(asked: str | None, kept: str | None, accepted: str) -> str:
    """By the address, else by the cookie, else by the browser's list, else English."""
    for named in (asked, kept):
        if named in LANGUAGES:
            return named
    for tag in _by_weight(accepted):
        if tag.split("-")[0] in LANGUAGES:
            return tag.split("-")[0]
    return LANGUAGES[0]


def _by_weight(accepted: str) -> list[str]:
    """The tags of an Accept-Language header, the most wanted first."""
    found: list[tuple[float, str]] = []
    for part in accepted[:400].lower().split(","):
        tag, _, weight = part.strip().partition(";")
        try:
            number = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if number > 0:
            found.append((-number, tag.strip()))
    return [tag for _, tag in sorted(found, key=lambda pair: pair[0])]
