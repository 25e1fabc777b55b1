"""What the rows of a data set say, as numbers: label, part and group of each, and words for a few of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.types import PARTS, Dataset, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]


def paths_of(dataset: Dataset, rows: Sequence[int] | Rows) -> tuple[str, ...]:
    """The paths of these rows, as the data set has them."""
    return tuple(dataset.table["path"].take(pa.array(rows, type=pa.int64())).to_pylist())


def label_codes(dataset: Dataset) -> tuple[Rows, list[str]]:
    """(N,) a number for each label, -1 where there is none, and the words of each number.

    A row with several labels counts as labelled with their set: "hat + shoe" is another label than "hat".
    """
    codes, words = dataset.targets.copy(), list(dataset.classes)
    if "labels" not in dataset.table.column_names:
        return codes, words
    several = np.flatnonzero(codes < 0)
    lists = dataset.table["labels"].take(pa.array(several)).to_pylist()
    numbers: dict[str, int] = {}
    for row, names in zip(several, lists, strict=True):
        if names:
            text = " + ".join(sorted(map(str, names)))
            codes[row] = numbers.setdefault(text, len(words) + len(numbers))
    return codes, [*words, *numbers]


def part_codes(dataset: Dataset) -> Rows:
    """(N,) 0 train, 1 validation, 2 test; -1 where there is none."""
    return _codes(dataset, "part", pa.array(PARTS))


def group_codes(dataset: Dataset) -> tuple[Rows, list[str]]:
    """(N,) a number for each group, -1 where there is none, and the names of the numbers."""
    if "group" not in dataset.table.column_names:
        return np.full(len(dataset), -1), []
    names = pc.unique(dataset.table["group"].cast(pa.string())).drop_null()
    return _codes(dataset, "group", names), names.to_pylist()


def _codes(dataset: Dataset, column: str, names: Any) -> Rows:
    if column not in dataset.table.column_names:
        return np.full(len(dataset), -1)
    found = [class_codes(chunk, names) for chunk in dataset.table[column].chunks]
    return np.concatenate([np.empty(0, np.int64), *found])


def path_codes(dataset: Dataset) -> Rows:
    """(N,) the first row with the same path."""
    order = pc.sort_indices(dataset.table["path"].combine_chunks()).to_numpy()  # stable
    paths = dataset.table["path"].take(pa.array(order)).combine_chunks()
    paths = paths.combine_chunks() if isinstance(paths, pa.ChunkedArray) else paths
    if len(paths) < 2:
        return np.arange(len(paths))
    new = np.append(True, np.asarray(pc.not_equal(paths[1:], paths[:-1])))
    first = np.empty(len(order), np.int64)
    leaders = np.minimum.reduceat(order.astype(np.int64), np.flatnonzero(new))
    first[order] = leaders[np.cumsum(new) - 1]
    return first


def count_words(words: Iterable[str], most: int = 4) -> str:
    """As "cap (2), mug": how often each word occurs, the commonest first."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    told = [f"{word} ({n:,})" if n > 1 else word for word, n in ordered[:most]]
    return ", ".join([*told, *([f"{len(ordered) - most:,} more"] if len(ordered) > most else [])])
