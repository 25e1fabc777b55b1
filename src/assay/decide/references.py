"""Enrolled photos: known fakes and genuine references, and what a new photo has in common with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.decide.match import Match
from assay.decide.prints import Prints


@dataclass(frozen=True)
class Reference:
    """One enrolled photo: ``photo`` is the SHA-256 of its bytes, ``list`` "fake" or "genuine", ``item`` what it shows."""

    photo: str
    list: str
    item: str | None = None


class References:
    """Enrolled photos that new ones are compared with. Safe to use and to change from several threads."""

    def __len__(self) -> int:
        raise NotImplementedError

    def add(self, reference: Reference, prints: Prints, embedding: Any = None) -> bool:
        """Enrol one photo, at once; False where it is there already with the same list and item."""
        raise NotImplementedError

    def remove(self, photo: str) -> bool:
        """Forget the photo with this SHA-256; False where it is not there."""
        raise NotImplementedError

    def match(
        self, photo: str, prints: Prints | None = None, embedding: Any = None, item: str | None = None
    ) -> tuple[Match, ...]:
        """What is known of a photo by its SHA-256, its prints, and its embedding (F,) where it shows ``item``."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write all of them as one file, whole or not at all."""
        raise NotImplementedError


def read_references(path: str | Path) -> References:
    """What ``References.save`` wrote. Raises PolicyError where the file is missing, damaged or of another format."""
    raise NotImplementedError
