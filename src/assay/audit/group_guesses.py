"""What might be a group: pictures that belong together so closely that a random split would tear them apart.

Guesses come from the data's own group column, further columns, tables beside the pictures, file and folder names,
camera and day, and copies. A guess is plausible when it makes many groups of several pictures; whether it matters is
then measured (``checkups.groups``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.audit.examination import Examination
from assay.audit.side_tables import SideColumn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MOST = 6
"""So many guesses are measured."""
_LEAST_GROUPS, _LEAST_A_CLASS = 6, 5
_LARGEST_SHARE = 0.6
_TOGETHER, _TOGETHER_COPIES = 0.5, 0.1

PATTERNS: tuple[tuple[str, str], ...] = (
    (r"([^/]+?)__[^/]*$", "the file name before '__'"),
    (r"([^/]+)_[^_/]*$", "the file name before the last '_'"),
    (r"([^/_]+)_[^/]*$", "the file name before the first '_'"),
    (r"([^/]+)-[^-/]*$", "the file name before the last '-'"),
    (r"([^/-]+)-[^/]*$", "the file name before the first '-'"),
    (r"([^/]*[^/\d _.()-])[^/a-zA-Z]*\.[^./]+$", "the file name without the numbers at its end"),
    (r"^(.*)/[^/]+$", "the folder of the picture"),
)
"""Regular expressions on a picture's path, as ``assay split --group-pattern`` takes them, in words."""

_IDENTITY = re.compile(
    r"group|seller|sender|user|owner|author|photographer|patient|subject|person|shop|store|session|scene|video|"
    r"clip|batch|device|item|product|sku|site|location|source|donor|slide|uploader|customer",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Guess:
    """``groups`` (N,) numbers the group of each row, -1 where nothing is known. ``words`` says where it comes from.

    ``options`` are what ``assay split DATA`` needs for it; empty where it has no such option. ``sure`` is true of the
    data's own group column.
    """

    kind: str
    words: str
    groups: Ints
    options: str = ""
    sure: bool = False


def group_guesses(examination: Examination, columns: Sequence[SideColumn]) -> list[Guess]:
    """The plausible guesses, the likeliest first, each partition once, at most MOST."""
    targets, seen = examination.dataset.targets, set()
    usable = examination.readable & examination.labelled
    found: list[Guess] = []
    for guess in _all_guesses(examination, columns):
        if len(found) == MOST:
            break
        mark = _alone_apart(guess.groups)[usable].tobytes()
        if mark not in seen and is_plausible(guess, targets, usable):
            seen.add(mark)
            found.append(guess)
    return found


def is_plausible(guess: Guess, targets: Ints, usable: NDArray[np.bool_]) -> bool:
    """Whether there are many groups of several pictures, and not merely one or a few for each class."""
    groups, labels = guess.groups[usable], targets[usable]
    if not len(groups) or not (groups >= 0).any():
        return False
    groups = _alone_apart(groups)
    sizes = np.bincount(groups)
    together = float(sizes[sizes > 1].sum() / len(groups))
    several = int((sizes > 1).sum())
    if guess.sure:
        return several >= 2
    wanted = _TOGETHER_COPIES if guess.kind == "copies" else _TOGETHER
    if several < _LEAST_GROUPS or together < wanted or sizes.max() > _LARGEST_SHARE * len(groups):
        return False
    classes = len(np.unique(labels))
    pairs = len(np.unique(groups * (int(labels.max()) + 1) + labels))
    pure = pairs - len(sizes) <= 0.1 * len(sizes)
    return several >= _LEAST_A_CLASS * classes if pure else several > classes


def _all_guesses(examination: Examination, columns: Sequence[SideColumn]) -> Iterator[Guess]:
    """Likeliest first."""
    dataset = examination.dataset
    if "group" in dataset.table.column_names:
        yield Guess("group", "the data's own groups", numbered(dataset.table["group"].to_pylist()), sure=True)
    named = [c for c in columns if _IDENTITY.search(c.name)]
    yield from map(_of_column, named)
    paths = dataset.table["path"].to_pylist()
    for pattern, words in PATTERNS:
        yield Guess("name", words, _matches(pattern, paths), f"--group-pattern '{pattern}'")
    yield Guess("camera", "the same camera on the same day", _camera_days(examination))
    yield Guess("copies", "pictures that are near copies of each other", examination.copies.scene)
    yield from map(_of_column, (c for c in columns if c not in named))


def _of_column(column: SideColumn) -> Guess:
    name = shlex.quote(column.name)
    options = f"--group-column {name}"
    if column.table:
        table, key = shlex.quote(f"DATA/{column.table}"), shlex.quote(column.key)
        options = f"--groups {table} --path-column {key} --group-column {name}"
    return Guess("column", column.where, numbered(column.values), options)


def _matches(pattern: str, paths: Sequence[str]) -> Ints:
    search = re.compile(pattern).search
    return numbered([m[1] if (m := search(path)) else None for path in paths])


def _camera_days(examination: Examination) -> Ints:
    cameras, taken = examination.facts.column("camera"), examination.facts.column("taken")
    return numbered([f"{c} {t[:10]}" if c and t else None for c, t in zip(cameras, taken, strict=True)])


def numbered(names: Sequence[Any] | NDArray[Any]) -> Ints:
    """(N,) number of each name, -1 for None and empty."""
    numbers: dict[str, int] = {}
    return np.array(
        [-1 if not name else numbers.setdefault(str(name), len(numbers)) for name in names], np.int64
    ).reshape(-1)


def _alone_apart(groups: Ints) -> Ints:
    """The same partition, renumbered; a row without a group is a group on its own."""
    apart = np.where(groups >= 0, groups, groups.max(initial=0) + 1 + np.arange(len(groups)))
    _, first, back = np.unique(apart, return_index=True, return_inverse=True)
    # numbered by first appearance, so that equal partitions are equal arrays
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    renumbered: Ints = rank[back.reshape(-1)]
    return renumbered


def whole_groups(guess: Guess, rows: Ints) -> Ints:
    """(M,) the group of each of ``rows``, numbered from 0; a row without one is a group on its own."""
    return _alone_apart(guess.groups[rows])
