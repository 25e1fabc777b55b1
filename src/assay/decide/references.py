"""Enrolled photos, known fakes and genuine references, and what a new photo has in common with them.

Three ways, from the surest on: the same bytes; the same photo, edited, which prints find and a comparison of pixels
confirms; and, among photos of one item, nearness in the eyes of a network (``likeness``). Nothing here decides.

Readers never wait: a writer, of which there is one at a time, puts new things behind the old ones.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.decide.likeness import Likeness, Told, likeness_of
from assay.decide.match import EMBEDDING, EXACT, FAKE, GENUINE, LISTS, NEAR, Match
from assay.decide.overlay import MOST_APART, Overlay, Pyramid, lay_over, pyramid
from assay.decide.prints import Prints, asked, turn
from assay.decide.reference import Enrolled, Reference, enrolled
from assay.decide.reference_file import read_enrolled, write_references
from assay.decide.shelf import Candidate, Shelf
from assay.decide.views import VIEWS
from assay.errors import PolicyError
from assay.tables import suggest

__all__ = ["Reference", "References", "read_references"]

MOST_MATCHES = 3
"""Photos that are told of each list, the nearest first."""
_HELD = 64
"""Enrolled photos that are kept prepared for comparison."""


class References:
    """Enrolled photos that new ones are compared with. Safe to use and to change from several threads.

    ``network`` is the SHA-256 and the precision of what gave the embeddings (``Screener.digests``); None without any.
    """

    def __init__(self, network: str | None = None) -> None:
        self.network = network
        self._slots: list[Enrolled | None] = []
        self._by_photo: dict[str, int] = {}
        self._shelf = Shelf()
        self._width: int | None = None
        self._prepared: dict[tuple[int, int], Pyramid] = {}
        self._likeness: dict[str | None, tuple[Likeness, list[str], list[str]]] = {}
        self._writing = threading.RLock()

    def __len__(self) -> int:
        return len(self._by_photo)

    def __iter__(self) -> Iterator[Reference]:
        return iter([one.reference for one in self.enrolled()])

    def enrolled(self) -> list[Enrolled]:
        """Everything that is kept, in the order of enrolment."""
        return [one for one in list(self._slots) if one is not None]

    @property
    def digest(self) -> str:
        """SHA-256 of which photos are enrolled as what, in hex."""
        said = sorted(json.dumps([one.photo, one.list, one.item]) for one in self)
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def get(self, photo: str) -> Reference | None:
        """The enrolled photo with this SHA-256."""
        found = self._slot(photo)
        return None if found is None else found.reference

    def add(self, reference: Reference, prints: Prints, embedding: Any = None) -> bool:
        """Enrol one photo; what was said of it before no longer holds. False where nothing is new.

        Raises
        ------
        PolicyError : no such list, or an embedding (F,) of another length than the others.
        """
        if reference.list not in LISTS:
            raise PolicyError(
                f"there is no list {reference.list!r}", fix=suggest(reference.list, list(LISTS))
            )
        one = enrolled(reference, prints, embedding)
        with self._writing:
            if self.has(one):
                return False
            self.put(one)
        return True

    def has(self, one: Enrolled) -> bool:
        """Whether the photo is enrolled just so, and with an embedding if this one has one."""
        there = self._slot(one.reference.photo)
        if there is None or there.reference != one.reference:
            return False
        return one.embedding is None or there.embedding is not None

    def put(self, one: Enrolled) -> None:
        """Enrol what was prepared elsewhere, in the place of what was said of the photo before. Raises as ``add``."""
        with self._writing:
            self._require_width(one.embedding)
            self.remove(one.reference.photo)
            self._put(one)

    def remove(self, photo: str) -> bool:
        """Forget the photo with this SHA-256; False where it is not there."""
        with self._writing:
            slot = self._by_photo.pop(photo, None)
            if slot is None:
                return False
            self._shelf.remove(slot)
            self._slots[slot] = None
            self._likeness = {}
            self._width = self._width if self._by_photo else None
            return True

    def match(
        self, photo: str, prints: Prints | None = None, embedding: Any = None, item: str | None = None
    ) -> tuple[Match, ...]:
        """What is known of a photo.

        Parameters
        ----------
        photo : the SHA-256 of its bytes, in hex.
        prints : finds edited copies.
        embedding : (F,) of ``network``; ``item`` is what the photo shows, and all are one item when not given.
        """
        found = list(self._exact(photo))
        if prints is not None:
            found += self._near(prints, {match.reference for match in found})
        if embedding is not None:
            found += self._alike(embedding, item)
        return tuple(found)

    def save(self, path: str | Path) -> None:
        """Write all of them as one file, whole or not at all. Raises AssayError where that is not possible."""
        with self._writing:
            kept = self.enrolled()
        write_references(path, kept, self.network)

    def _put(self, one: Enrolled) -> None:
        slot = len(self._slots)
        self._slots.append(one)
        self._shelf.add(slot, *one.rows)
        self._by_photo[one.reference.photo] = slot
        if one.embedding is not None:
            self._width = len(one.embedding)
            self._likeness = {
                item: _extended(known, one) if item in (None, one.reference.item) else known
                for item, known in self._likeness.items()
            }

    def _require_width(self, embedding: Any) -> None:
        if embedding is not None and self._width not in (None, len(embedding)):
            raise PolicyError(
                "embeddings of two networks cannot be compared",
                got=f"{len(embedding)} features; the enrolled photos have {self._width}",
                fix="enrol all photos again with the policy's network",
            )

    def _slot(self, photo: str) -> Enrolled | None:
        slot = self._by_photo.get(photo)
        return None if slot is None else self._slots[slot]

    def _exact(self, photo: str) -> Iterator[Match]:
        if (reference := self.get(photo)) is not None:
            yield Match(reference.list, EXACT, reference.photo, reference.item)

    def compared(self, prints: Prints) -> list[tuple[Reference, Overlay]]:
        """The enrolled photos that prints find, each laid over this one; the nearest first."""
        found = []
        looked_for = asked(prints)
        for candidate in self._shelf.near(looked_for.bits) if len(looked_for.bits) else ():
            one, row = self._slots[candidate.slot], candidate.asked
            if one is not None:
                picture = turn(prints.frames[looked_for.frames[row]], int(looked_for.orientations[row]))
                overlay = self._compare(one, candidate, picture, float(looked_for.shares[row]))
                found += [] if overlay is None else [(one.reference, overlay)]
        return sorted(found, key=lambda pair: pair[1].apart)

    def _near(self, prints: Prints, known: set[str]) -> list[Match]:
        found = [
            Match(one.list, NEAR, one.photo, one.item, round(max(0.0, overlay.apart), 6))
            for one, overlay in self.compared(prints)
            if overlay.apart <= MOST_APART and one.photo not in known
        ]
        return [match for name in LISTS for match in [m for m in found if m.list == name][:MOST_MATCHES]]

    def _compare(
        self, one: Enrolled, candidate: Candidate, picture: NDArray[np.uint8], share: float
    ) -> Overlay | None:
        own = self._prepare(candidate.slot, candidate.frame, one)
        return lay_over(own, pyramid(picture), share * VIEWS_BACK[candidate.view], candidate.bits)

    def _prepare(self, slot: int, frame: int, one: Enrolled) -> Pyramid:
        found = self._prepared.get((slot, frame))
        if found is None:
            found = pyramid(one.frames[frame])
            if len(self._prepared) >= _HELD:
                self._prepared = {}
            self._prepared[slot, frame] = found
        return found

    def _alike(self, embedding: Any, item: str | None) -> Iterator[Match]:
        likeness, genuine, fakes = self._of_item(item)
        for name, told, photos in (
            (FAKE, likeness.like_fake(embedding), fakes),
            (GENUINE, likeness.unlike(embedding), genuine),
        ):
            if told is not None:
                yield self._told(name, told, photos, item)

    def _told(self, name: str, told: Told, photos: list[str], item: str | None) -> Match:
        return Match(name, EMBEDDING, photos[told.nearest], item, told.distance, told.p, told.among)

    def _of_item(self, item: str | None) -> tuple[Likeness, list[str], list[str]]:
        found = self._likeness.get(item)
        if found is None:
            with self._writing:
                found = _gathered([one for one in self.enrolled() if item in (None, one.reference.item)])
                self._likeness = {**self._likeness, item: found}
        return found


VIEWS_BACK = tuple(np.linalg.inv(np.vstack([view, [0.0, 0.0, 1.0]]))[:2] for view in VIEWS)
"""From a place of the whole to one of the view: where a comparison starts."""


def read_references(path: str | Path) -> References:
    """What ``References.save`` wrote.

    Raises
    ------
    PolicyError : no such file, or it is damaged or of another format.
    """
    photos, network = read_enrolled(path)
    found = References(network)
    for one in photos:
        found._put(one)
    return found


def _gathered(photos_of: list[Enrolled]) -> tuple[Likeness, list[str], list[str]]:
    points: dict[str, list[Any]] = {FAKE: [], GENUINE: []}
    photos: dict[str, list[str]] = {FAKE: [], GENUINE: []}
    for one in photos_of:
        if one.embedding is not None:
            points[one.reference.list].append(one.embedding)
            photos[one.reference.list].append(one.reference.photo)
    width = max((len(point) for some in points.values() for point in some), default=0)
    both = [np.array(points[name], np.float32).reshape(len(points[name]), width) for name in (GENUINE, FAKE)]
    return likeness_of(*both), photos[GENUINE], photos[FAKE]


def _extended(
    known: tuple[Likeness, list[str], list[str]], one: Enrolled
) -> tuple[Likeness, list[str], list[str]]:
    likeness, genuine, fakes = known
    photo, point = one.reference.photo, one.embedding
    if not len(likeness.genuine) and not len(likeness.fakes):
        return _gathered([one])
    if one.reference.list == FAKE:
        return likeness.with_fake(point), genuine, [*fakes, photo]
    return likeness.with_genuine(point), [*genuine, photo], fakes
