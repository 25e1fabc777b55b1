"""Enrol photos: what a person has said of them, their prints, and their embeddings where the policy compares by one.

Photos are walked through in constant memory. The file of references is written once, at the end or when the walk is
stopped: it is read anew and the changes are put into it, so two people may enrol at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.decide.evidence import array_digest, photo_digest
from assay.decide.match import EXACT, Match
from assay.decide.prints import halved, has_structure
from assay.decide.reference import Enrolled, Reference, enrolled
from assay.decide.references import References, read_references
from assay.errors import ImageError, PolicyError
from assay.image import read_bytes
from assay.live import taking
from assay.photos import Photo, Source, name_of
from assay.pipeline import default_workers, one_line
from assay.runtime.load_references import load_references
from assay.runtime.photo_prints import source_prints
from assay.tables import suggest

if TYPE_CHECKING:
    from assay.decide.policy import Policy
    from assay.decide.prints import Prints
    from assay.runtime.screening import Model

AT_ONCE = 64
NEW, MOVED, SAME, REMOVED, ABSENT, BROKEN = (
    "enrolled",
    "moved",
    "enrolled before",
    "removed",
    "not enrolled",
    "unreadable",
)


@dataclass(frozen=True)
class Outcome:
    """What became of one photo. ``others`` are enrolled photos of the *other* list that show the same."""

    path: str
    photo: str
    outcome: str
    error: str | None = None
    others: tuple[Match, ...] = ()
    plain: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class Enrolment:
    """The enrolled photos of a policy while they are changed. Build it with ``open_enrolment``; ``save`` writes.

    ``model`` gives embeddings; None where the policy compares by none.
    """

    policy: Policy
    place: Path
    references: References
    model: Model | None = None
    items: tuple[str, ...] | None = None
    _added: dict[str, Enrolled] = field(default_factory=dict)
    _removed: set[str] = field(default_factory=set)

    def add(self, sources: Iterable[Source], name: str, item: str | None = None) -> Iterator[Outcome]:
        """Enrol photos on the list ``name``, one outcome each, in order.

        Raises
        ------
        PolicyError : the policy tells items apart and this is none of them.
        """
        self._require_item(name, item)
        with taking(iter(sources), AT_ONCE) as take:
            while batch := [_held(source) for source in take()]:
                whole = [photo for photo, digest in batch if digest]
                with ThreadPoolExecutor(default_workers(), thread_name_prefix="assay-prints") as pool:
                    prints = iter(list(pool.map(source_prints, whole)))
                points = iter(self._embeddings(whole))
                for photo, digest in batch:
                    if not digest:
                        yield Outcome(photo.name, "", BROKEN, _fault(photo))
                        continue
                    yield self._add(photo, Reference(digest, name, item), next(prints), next(points))

    def remove(self, photos: Iterable[tuple[str, str]]) -> Iterator[Outcome]:
        """Forget photos, given as (name, SHA-256)."""
        for name, digest in photos:
            there = self.references.remove(digest)
            if there:
                self._removed.add(digest)
                self._added.pop(digest, None)
            yield Outcome(name, digest, REMOVED if there else ABSENT)

    def save(self) -> int:
        """Write the changes, the file whole or not at all; how many they are.

        Raises
        ------
        AssayError : the place cannot be written, or what lies there is damaged.
        """
        if not self._added and not self._removed:
            return 0
        latest = read_references(self.place) if self.place.exists() else References(self.references.network)
        for digest in self._removed:
            latest.remove(digest)
        for one in self._added.values():
            latest.put(one)
        latest.network = self.references.network or latest.network
        latest.save(self.place)
        return len(self._added) + len(self._removed - set(self._added))

    def _add(self, photo: Photo, reference: Reference, prints: Prints | None, told: Any) -> Outcome:
        if prints is None or told is _BROKEN:
            return Outcome(photo.name, reference.photo, BROKEN, _fault(photo))
        before = self.references.get(reference.photo)
        others = tuple(
            match
            for match in self.references.match(reference.photo, prints)
            if match.list != reference.list and match.way != EXACT
        )
        one = enrolled(reference, prints, told)
        if self.references.has(one):
            return Outcome(photo.name, reference.photo, SAME, None, others)
        self.references.put(one)
        self._added[reference.photo] = one
        plain = not has_structure(halved(prints.frames[0]))
        outcome = NEW if before is None else SAME if before == reference else MOVED
        return Outcome(photo.name, reference.photo, outcome, None, others, plain)

    def _embeddings(self, photos: Sequence[Photo]) -> Iterator[Any]:
        if self.model is None:
            return iter([None] * len(photos))
        model: Any = self.model
        quick = {} if model.card.task == "classify" else {"masks": False, "pixels": False}
        found = model.predict(photos, embed=True, **quick)
        return iter([_BROKEN if one.error is not None else one.embedding for one in found])

    def _require_item(self, name: str, item: str | None) -> None:
        if self.items is None:
            return
        if item is None:
            raise PolicyError(
                f"{self.policy.path} tells items apart, so it must be said what the {name} photos show",
                fix=f"add --item NAME: {', '.join(self.items[:8])}",
            )
        if item not in self.items:
            raise PolicyError(f"no photo is ever taken for {item!r}", fix=suggest(item, list(self.items)))


_BROKEN = object()


def open_enrolment(policy: Policy, *, engine: str = "onnxruntime", precision: str = "fp32") -> Enrolment:
    """The enrolled photos of a policy, with the network that compares by embeddings where there is one.

    Raises
    ------
    PolicyError : the policy matches nothing; damaged references, or such of another network.
    ConfigError, BundleError : as ``load``.
    """
    from assay.runtime.screening import answers_known, load_model  # noqa: PLC0415 - networks, where they are needed

    place, rules = policy.references_path, policy.matching
    if place is None or rules is None:
        raise PolicyError(
            f"{policy.path} matches nothing",
            fix='write into it:  matching: {references: "known.references"}',
        )
    model, items, digests = None, None, {}
    if rules.embedding is not None:
        question = policy.question(rules.embedding)
        model = load_model(policy, question, engine, precision)
        digests[rules.embedding] = f"{model.digest} {model.engine.precision}"
    if rules.item is not None:
        question = policy.question(rules.item)
        same = model is not None and rules.embedding is not None
        same = same and policy.model_path(question) == policy.model_path(
            policy.question(str(rules.embedding))
        )
        items = answers_known(
            question, model if same and model else load_model(policy, question, engine, precision)
        )
    references = load_references(policy, digests)
    return Enrolment(policy, place, References() if references is None else references, model, items)


def digests_of(sources: Iterable[Source]) -> Iterator[tuple[str, str]]:
    """(name, SHA-256) of photos; "" where one cannot be read."""
    for source in sources:
        photo, digest = _held(source)
        yield photo.name, digest


def _held(source: Source) -> tuple[Photo, str]:
    """The photo with its bytes at hand, and its digest; "" where it cannot be read."""
    photo = source if isinstance(source, Photo) else Photo(name_of(source), partial(read_bytes, Path(source)))
    try:
        data = photo.read()
    except ImageError:
        return photo, ""
    digest = photo_digest(data) if isinstance(data, bytes) else array_digest(data)
    return Photo(photo.name, lambda: data), digest


def _fault(photo: Photo) -> str:
    """Why a photo cannot be read."""
    from assay.image import read_image  # noqa: PLC0415 - for the rare one

    try:
        data = photo.read()
        if isinstance(data, bytes):
            read_image(data)
        return "no network can answer it"
    except ImageError as error:
        return one_line(error)
