"""What is wrong in a file of boxes, masks or labels, collected while it is read and told all at once.

There are two kinds. What leaves the rest usable is *kept out*: that box or mask is not in the data set, and the data
set tells of it (``notes``, in the metadata of its table; ``faults_of`` reads it there). What leaves open what the rest
means is *refused*: one DatasetError names all of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from assay.data.fault_kinds import KINDS, REST, kind_of
from assay.errors import DatasetError

if TYPE_CHECKING:
    from assay.types import Dataset

MOST = 1000
"""So many faults are kept with their places; all are counted."""

_OF_EACH = 50
"""So many of a kind are kept even where others have filled the room."""

_SHOWN = 20

PARTLY_READ = "partly_read"
"""Note of a table: paths of pictures some of whose things are kept out while others are there."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that could not be used: where ("boxes.json annotation 7"), what, and how to mend it."""

    place: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


@dataclass
class Faults:
    """The faults of one reading. ``count`` is the number of those that were kept out, ``kinds`` how many of each of
    ``fault_kinds.KINDS``; ``partly_read`` are paths as in the table, see ``PARTLY_READ``.
    """

    kept_out: list[Fault] = field(default_factory=list)
    refused: list[DatasetError] = field(default_factory=list)
    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    partly_read: list[str] = field(default_factory=list)

    def add(self, place: str, what: str, fix: str) -> None:
        """Note what is kept out, or what was read in a way that the user should know."""
        kind = kind_of(what, fix)
        self.count += 1
        self.kinds[kind] += 1
        if len(self.kept_out) < MOST or self.kinds[kind] <= _OF_EACH:
            self.kept_out.append(Fault(place, what, fix))

    def refuse(self, place: str, what: str, fix: str) -> None:
        """Note what makes the data set unusable; ``raise_refused`` tells it."""
        self.refused.append(DatasetError(f"{place}: {what}", fix=fix))

    def notes(self) -> dict[str, Any]:
        """For the metadata of the table; nothing where nothing was kept out."""
        if not self.count:
            return {}
        kept = [asdict(fault) for fault in self.kept_out]
        partly = {PARTLY_READ: self.partly_read} if self.partly_read else {}
        return {"faults": kept, "fault_count": self.count, "fault_kinds": dict(self.kinds), **partly}

    def raise_refused(self, name: str, verdict: str = "cannot be read") -> None:
        """Raise one DatasetError that names everything refused, and what would have been kept out besides."""
        if len(self.refused) == 1 and not self.count:
            raise self.refused[0]
        if self.refused:
            lines = "".join(f"\n  - {line}" for line in self._lines())
            raise DatasetError(f"{name} {verdict}:{lines}", fix=self.refused[0].fix)

    def _lines(self) -> Iterator[str]:
        for error in self.refused[:_SHOWN]:
            yield str(error).replace("\n", "\n  ")
        if len(self.refused) > _SHOWN:
            yield f"and {len(self.refused) - _SHOWN:,} more"
        for fault in self.kept_out[:_SHOWN]:
            yield f"{fault}\n    fix: {fault.fix}"
        if self.count > _SHOWN:
            yield f"and {self.count - _SHOWN:,} more"


def faults_of(dataset: Dataset) -> tuple[list[Fault], int]:
    """(the first faults that were kept out when ``dataset`` was read, how many there are)."""
    notes = notes_of(dataset)
    found = [Fault(f["place"], f["what"], f.get("fix", "")) for f in notes.get("faults", [])]
    return found, int(notes.get("fault_count", len(found)))


def faults_by_kind(dataset: Dataset) -> dict[str, tuple[list[Fault], int]]:
    """Code of a kind -> (the first faults of it, how many there are), in the order of ``fault_kinds.KINDS``."""
    faults, count = faults_of(dataset)
    held: dict[str, list[Fault]] = {code: [] for code in KINDS}
    for fault in faults:
        held[kind_of(fault.what, fault.fix)].append(fault)
    counts = {code: len(found) for code, found in held.items()}
    counts |= notes_of(dataset).get("fault_kinds", {})
    counts[REST.code] += max(0, count - sum(counts.values()))  # of a table whose notes are older
    return {code: (held[code], counts[code]) for code in held if counts[code]}


def notes_of(dataset: Dataset) -> dict[str, Any]:
    """All that the reader noted, from the metadata of the table."""
    found: dict[str, Any] = json.loads((dataset.table.schema.metadata or {}).get(b"assay", b"{}"))
    return found
