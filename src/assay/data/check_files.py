"""Faults of the picture files: missing, empty, unreadable, and the same bytes under two labels or in two parts.

Files are looked at once, by threads: size, header (or the whole picture), and a fingerprint of both ends.
Only files with equal fingerprints are read whole.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from assay.cores import usable_cores
from assay.data.problems import Problem, problem
from assay.errors import AssayError
from assay.image import read_image, read_size
from assay.types import PARTS, Dataset, class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int, int], None]

_END_BYTES = 4096
_CHUNK = 64
_FAULTS = {
    "missing-file": (
        "one picture does not exist|{n} pictures do not exist",
        "correct the paths, name their folder with --root, or remove the rows",
    ),
    "empty-file": (
        "one picture is an empty file|{n} pictures are empty files",
        "copy them again, or remove them",
    ),
    "unreadable": ("one picture cannot be read|{n} pictures cannot be read", "replace or remove them"),
}


class _Look:
    """What one look at a file gives: a fingerprint, or a fault with its reason."""

    __slots__ = ("fault", "mark", "reason")

    def __init__(self, mark: int = 0, fault: str | None = None, reason: str = "") -> None:
        self.mark, self.fault, self.reason = mark, fault, reason


def check_files(dataset: Dataset, decode: bool, on_progress: Progress | None) -> Iterator[Problem]:
    """Every fault of the files. ``on_progress(done, total)`` is called now and then."""
    marks = np.zeros(len(dataset), np.uint64)
    faults: dict[str, list[str]] = defaultdict(list)
    done = 0
    for paths, looks in _in_threads(_chunks(dataset), lambda path: _look(dataset.root / path, decode)):
        for path, look in zip(paths, looks, strict=True):
            marks[done] = look.mark
            done += 1
            if look.fault is not None:
                faults[look.fault].append(f"{path} ({look.reason})" if look.reason else path)
        if on_progress is not None:
            on_progress(done, len(dataset))
    for code, (what, fix) in _FAULTS.items():
        if faults[code]:
            yield problem("error", code, what, fix, faults[code])
    yield from _same_bytes(dataset, marks)


def _look(path: Path, decode: bool) -> _Look:
    try:
        size = path.stat().st_size
        if not size:
            return _Look(fault="empty-file")
        with path.open("rb") as file:
            ends = file.read(_END_BYTES)
            file.seek(max(len(ends), size - _END_BYTES))
            ends += file.read(_END_BYTES)
        (read_image if decode else read_size)(path)
    except (FileNotFoundError, NotADirectoryError):
        return _Look(fault="missing-file")
    except AssayError as error:
        return _Look(fault="unreadable", reason=error.got or error.what)
    except (OSError, ValueError) as error:
        return _Look(fault="unreadable", reason=getattr(error, "strerror", None) or str(error))
    digest = hashlib.blake2b(ends + size.to_bytes(8, "big"), digest_size=8).digest()
    return _Look(mark=int.from_bytes(digest, "big") or 1)


def _chunks(dataset: Dataset) -> Iterator[list[str]]:
    for batch in dataset.table.select(["path"]).to_batches(max_chunksize=_CHUNK):
        yield batch["path"].to_pylist()


def _in_threads(
    chunks: Iterable[list[str]], look: Callable[[str], _Look]
) -> Iterator[tuple[list[str], list[_Look]]]:
    """Chunks with what was seen, in order; a few chunks are under way at any time."""
    workers = min(32, 2 * usable_cores() + 2)
    waiting: deque[tuple[list[str], Future[list[_Look]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(lambda paths: [look(path) for path in paths], chunk)))
                if len(waiting) >= 2 * workers:
                    paths, future = waiting.popleft()
                    yield paths, future.result()
            for paths, future in waiting:
                yield paths, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _same_bytes(dataset: Dataset, marks: NDArray[np.uint64]) -> Iterator[Problem]:
    groups = [group for same in _alike(marks) for group in _equal(dataset, same)]
    if not groups:
        return
    labels, parts = _labels_of(dataset), _parts_of(dataset)
    for code, values, what, fix in (
        (
            "same-picture-two-labels",
            labels,
            "the same picture occurs under different labels|{n} pictures occur under different labels",
            "keep the right copy",
        ),
        (
            "same-picture-two-parts",
            parts,
            "the same picture occurs in more than one part|{n} pictures occur in more than one part",
            "keep one copy of each",
        ),
    ):
        where = [_told(group, values) for group in groups if len({values[row] for row, _ in group}) > 1]
        if where:
            yield problem("warning", code, what, fix, where)


def _alike(marks: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Rows that share a fingerprint, group by group."""
    order = np.argsort(marks, kind="stable")
    ordered = marks[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] + np.uint64(1)))
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        if end - start > 1 and ordered[start]:
            yield order[start:end]


def _equal(dataset: Dataset, rows: NDArray[np.int64]) -> list[list[tuple[int, str]]]:
    """The rows dealt to groups of different paths with the same bytes."""
    groups: dict[bytes, dict[str, int]] = defaultdict(dict)
    for row, path in zip(rows.tolist(), dataset.table["path"].take(pa.array(rows)).to_pylist(), strict=True):
        try:
            with (dataset.root / path).open("rb") as file:
                groups[hashlib.file_digest(file, "blake2b").digest()][path] = row
        except OSError:
            continue  # vanished since it was looked at
    return [[(row, path) for path, row in group.items()] for group in groups.values() if len(group) > 1]


def _told(group: list[tuple[int, str]], values: list[str | None]) -> str:
    return " = ".join(f"{path} ({values[row]})" for row, path in group[:4])


def _labels_of(dataset: Dataset) -> list[str | None]:
    return [None if code < 0 else dataset.classes[int(code)] for code in dataset.targets]


def _parts_of(dataset: Dataset) -> list[str | None]:
    if not dataset.parts:
        return [None] * len(dataset)
    codes = [class_codes(chunk, pa.array(PARTS)) for chunk in dataset.table["part"].chunks]
    return [None if code < 0 else PARTS[code] for code in np.concatenate(codes).tolist()]
