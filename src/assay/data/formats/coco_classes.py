"""The categories of COCO files as the classes of one data set.

Ids are arbitrary numbers (COCO's own run from 1 to 90 with gaps); classes stand in the order of their ids. Files of
several parts are matched by name, never by id or position: a detector trained on one numbering and measured on another
would look wrong where only the file is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.data.coco_json import Told, coco_names, dicts, key_of
from assay.data.faults import Faults
from assay.data.names import natural_key, nfc, some, text_of


@dataclass
class Categories:
    """Name -> (id, supercategory) as the first file has it, over all files read so far."""

    known: dict[str, tuple[Any, str | None]] = field(default_factory=dict)
    _first: str = ""

    def add(self, told: Told, file: str, faults: Faults) -> dict[Any, str]:
        """Take in the categories of one file; gives its own id -> name."""
        names = _checked(told, file, faults)
        above = {
            key_of(row.get("id")): text_of(row.get("supercategory")) for row in dicts(told.get("categories"))
        }
        own: dict[str, Any] = {}
        for key, name in names.items():
            own.setdefault(name, key)
        if self.known:
            self._compare(own, file, faults)
        self._first = self._first or file
        taken = {key for key, _ in self.known.values()}
        for key, name in names.items():
            if name not in self.known:
                free = key if key not in taken else _next_id(taken)
                taken.add(free)
                self.known[name] = (free, above.get(key))
        return names

    def _compare(self, own: Mapping[str, Any], file: str, faults: Faults) -> None:
        moved = [
            f"{n} {own[n]}, not {self.known[n][0]}"
            for n in own
            if n in self.known and own[n] != self.known[n][0]
        ]
        lacking, further = [n for n in self.known if n not in own], [n for n in own if n not in self.known]
        if moved:
            what = f"{len(moved):,} categories have other ids than in {self._first} ({some(moved, 3)})"
            faults.add(file, what, "nothing is lost: they are matched by name; other tools may mix them up")
        for names, where in (
            (lacking, f"are in {self._first} and not here"),
            (further, f"are not in {self._first}"),
        ):
            if names:
                what = f"{len(names):,} categories {where}: {some(names, 3)}"
                faults.add(file, what, "give all parts the same categories; spelling counts")

    def in_order(self) -> list[str]:
        """Names in the order of their ids, numbers before texts."""
        return sorted(self.known, key=lambda name: _order(self.known[name][0]))

    def notes(self) -> list[dict[str, Any]]:
        """Plain values for the metadata of a table, from which ``category_rows`` makes the same ids again."""
        rows = ((name, *self.known[name]) for name in self.in_order())
        return [{"id": key, "name": name, "supercategory": above} for name, key, above in rows]


def _checked(told: Told, file: str, faults: Faults) -> dict[Any, str]:
    """Id -> name; ids with two names make the file unusable."""
    names, seen = coco_names(told), dict[Any, str]()
    rows = told.get("categories")
    if not isinstance(rows, list):
        faults.refuse(file, "there is no list of categories", "add it: [{'id': 1, 'name': 'cat'}, ...]")
    for row in dicts(rows):
        key, name = key_of(row.get("id")), nfc(text_of(row.get("name")) or "")
        if key is None or not name:
            faults.add(f"{file} category {key}", f"no {'name' if key is not None else 'id'}", "fill it in")
        elif seen.setdefault(key, name) != name:
            what = f"two categories have the id {key}: {seen[key]} and {name}"
            faults.refuse(file, what, "give each an id of its own")
    twice = [name for name, n in Counter(seen.values()).items() if n > 1]
    if twice:
        what = f"{len(twice):,} names have several ids: {some(twice, 3)}"
        faults.add(file, what, "rename one, if they are two classes: now they are one")
    return names


def _order(key: Any) -> tuple[bool, float, tuple[list[int | str], str]]:
    is_number = isinstance(key, int | float)
    return not is_number, key if is_number else 0, natural_key("" if is_number else str(key))


def _next_id(taken: set[Any]) -> int:
    return int(max((key for key in taken if isinstance(key, int | float)), default=0)) + 1


def category_rows(names: Sequence[str], notes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``categories`` for a file: ids as in ``notes`` where these keep the order of ``names``, else from 1 up."""
    known = {row["name"]: row for row in notes}
    taken = {row["id"] for row in notes}
    ids = []
    for name in names:
        ids.append(known[name]["id"] if name in known else _next_id(taken))
        taken.add(ids[-1])
    if sorted(ids, key=_order) != ids or len(set(ids)) < len(ids):
        ids = list(range(1, len(names) + 1))
    return [
        {"id": key, "name": name, "supercategory": (known.get(name) or {}).get("supercategory") or "none"}
        for key, name in zip(ids, names, strict=True)
    ]
