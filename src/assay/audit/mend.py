"""``mend``: a copy of a data set without the faults that can be mended by machine. The original is never touched.

The copy has the format of the original (a tree of folders, or a table beside its pictures), its parts and its groups.
``mended.csv`` says of every picture that was left out or renamed what was done and why; ``review.csv`` lists what a
person should judge: likely wrong labels, and equal pictures with different labels.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from assay.audit.examination import Progress
from assay.audit.outcome import Audit
from assay.audit.remedies import REMEDIES, Decisions, decide
from assay.data.read import recognise
from assay.data.whole_folder import require_free, whole_folder
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError
from assay.types import Dataset

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}
"""Format -> ending, where it is not the format's own name in small letters."""


@dataclass(frozen=True)
class Mended:
    """``data`` is what to give to ``assay train``: ``folder`` itself, or the table in it. ``n`` pictures are left.

    ``done`` counts the reasons for which pictures were left out, by code, and "renamed". ``review`` is how many rows
    of review.csv wait for a person.
    """

    folder: Path
    data: Path
    n: int
    done: dict[str, int]
    review: int
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """What was done, in one phrase."""
        out = sum(n for code, n in self.done.items() if code != "renamed")
        told = [f"{out:,} left out"] if out else []
        told += [f"{self.done['renamed']:,} renamed"] if self.done.get("renamed") else []
        return ", ".join(told) or "nothing had to be changed"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "data": str(self.data),
            "n": self.n,
            "done": self.done,
            "review": self.review,
            "notes": list(self.notes),
        }


def mend(
    audit: Audit,
    dataset: Dataset,
    out: str | Path,
    *,
    link: bool = False,
    source: str | Path | None = None,
    progress: Progress | None = None,
) -> Mended:
    """Write a mended copy of ``dataset`` into the new folder ``out``.

    Parameters
    ----------
    audit : of this very data set.
    link : hard links in place of copies, where the disk allows it.
    source : where the data set was read from; it decides the format (default: ``audit.data``).
    progress : called with ("copying pictures", done, of how many).

    Raises
    ------
    ConfigError : ``out`` is not empty, or lies inside of the data. AssayError : the disk is full.
    DatasetError : nothing would be left, the audit is of other data, or the copy cannot hold its boxes or pixels.
    """
    target = Path(out).expanduser()
    place = Path(source if source is not None else audit.data).expanduser()
    check_place(target, place)
    check_mendable(dataset, place)
    if audit.n != len(dataset):
        raise DatasetError(
            "the audit is of other data", got=f"{audit.n:,} pictures, not {len(dataset):,}", fix="audit again"
        )
    decided = decide(audit, dataset)
    places = _places(dataset, decided)
    is_table = not (place.is_dir() and "" in recognise(place).suffixes)
    with whole_folder(target) as folder:
        _copy(
            dataset,
            places,
            decided,
            folder,
            link=link,
            progress=progress or (lambda _what, _done, _all: None),
        )
        if not places:
            raise DatasetError("no picture would be left", got=_reasons(decided), fix="see the findings")
        kept = _kept(dataset, places)
        name = _write_table(kept, place, folder) if is_table else None
        if not is_table and "group" in kept.table.column_names:
            _write_rows(
                folder / "groups.csv", kept.table.select(["path", "group"]).to_pylist(), ("path", "group")
            )
        _write_notes(dataset, decided, places, folder)
    done = Counter(why.partition(":")[0] for why in decided.left_out.values())
    renamed = sum(_path_of(dataset, row) != new for row, new in places.items() if row in decided.formats)
    return Mended(
        folder=target,
        data=target / name if name else target,
        n=len(places),
        done={**dict(done.most_common()), **({"renamed": renamed} if renamed else {})},
        review=len(decided.review),
        notes=tuple(_notes(audit, dataset, kept, is_table=is_table)),
    )


def check_place(out: Path, source: Path) -> None:
    """Raise ConfigError unless ``out`` is free, and not inside of a folder of pictures, which would then hold it."""
    require_free(out)
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"{out} lies in the data set, which is never touched", fix="name a folder beside it"
        )


def check_mendable(dataset: Dataset, source: Path) -> None:
    """Raise DatasetError where the copy would lose boxes, masks or pixels: Parquet alone holds the first two."""
    table, lost = dataset.table, []
    for name in ("pixels",) if source.suffix.lower() == ".parquet" else ("objects", "pixels"):
        if name in table.column_names and table[name].null_count < len(table):
            lost.append(name)
    if lost:
        raise DatasetError(
            f"a mended copy of {dataset.name} would lose labels",
            got=" and ".join(
                {"objects": "boxes or masks", "pixels": "classes of pixels"}[one] for one in lost
            ),
            fix="leave --fix out, and remove what the findings name from the data set itself",
        )


def _path_of(dataset: Dataset, row: int) -> str:
    return str(dataset.table["path"][row].as_py())


def _places(dataset: Dataset, decided: Decisions) -> dict[int, str]:
    """Row -> path in the copy, for the rows that stay: the old path, with the right ending, and no two alike."""
    places: dict[int, str] = {}
    homes: dict[str, str] = {}
    taken: set[str] = set()
    for row, path in enumerate(dataset.table["path"].to_pylist()):
        if row in decided.left_out:
            continue
        if path not in homes:
            homes[path] = _free(_inside(path), decided.formats.get(row, ""), taken)
        places[row] = homes[path]
    return places


def _inside(path: str) -> PurePosixPath:
    """A path below the copy: absolute ones, and those that lead out of the data's folder, go to pictures/."""
    plain = PurePosixPath(path)
    if plain.is_absolute() or ".." in plain.parts or (plain.parts and ":" in plain.parts[0]):
        steps = [step for step in plain.parts if step not in ("/", "..") and ":" not in step]
        return PurePosixPath("pictures", *steps[-2:])
    return plain


def _free(path: PurePosixPath, kind: str, taken: set[str]) -> str:
    wished = path.with_suffix(_SUFFIXES.get(kind, f".{kind.lower()}")) if kind else path
    place, number = wished, 1
    while str(place).casefold() in taken:
        number += 1
        place = wished.with_stem(f"{wished.stem}-{number}")
    taken.add(str(place).casefold())
    return place.as_posix()


def _copy(
    dataset: Dataset,
    places: dict[int, str],
    decided: Decisions,
    folder: Path,
    *,
    link: bool,
    progress: Progress,
) -> None:
    """Copy what stays; a picture that has gone meanwhile is left out too."""
    written: set[str] = set()
    for done, (row, new) in enumerate(list(places.items()), 1):
        if new not in written and not _copy_one(
            dataset.root / _path_of(dataset, row), folder / new, link=link
        ):
            decided.drop(row, "missing-file")
            del places[row]
        written.add(new)
        if done % 100 == 0 or done == len(places):
            progress("copying pictures", done, len(places))


def _copy_one(source: Path, target: Path, *, link: bool) -> bool:
    if not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        with suppress(OSError):  # another disk, or one that has no links
            os.link(os.path.realpath(source), target)
            return True
    shutil.copy2(source, target)
    return True


def _kept(dataset: Dataset, places: dict[int, str]) -> Dataset:
    kept = dataset.take(list(places))
    index = kept.table.column_names.index("path")
    paths = pa.array(list(places.values()), pa.string())
    return replace(kept, table=kept.table.set_column(index, "path", paths))


def _write_table(kept: Dataset, place: Path, folder: Path) -> str:
    suffix = place.suffix.lower() if place.suffix.lower() in (".csv", ".parquet") else ".csv"
    name = f"{place.stem if place.suffix else kept.name}{suffix}"
    write_dataset(replace(kept, root=folder), folder / name)
    return name


def _write_notes(dataset: Dataset, decided: Decisions, places: dict[int, str], folder: Path) -> None:
    rows = [
        {"path": _path_of(dataset, row), "done": "left out", "why": why}
        for row, why in sorted(decided.left_out.items())
    ]
    rows += [
        {"path": old, "done": f"renamed to {new}", "why": f"the file is {decided.formats[row]}"}
        for row, new in places.items()
        if row in decided.formats and (old := _path_of(dataset, row)) != new
    ]
    _write_rows(folder / "mended.csv", rows, ("path", "done", "why"))
    if decided.review:
        names = ("path", "given", "suggested", "score", "why")
        _write_rows(folder / "review.csv", decided.review, names)


def _write_rows(path: Path, rows: Iterable[dict[str, Any]], names: tuple[str, ...]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n", restval="")
    table.writeheader()
    table.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8", "backslashreplace"))


def _notes(audit: Audit, dataset: Dataset, kept: Dataset, *, is_table: bool) -> Iterable[str]:
    for found in audit.of_level("error", "warning"):
        if found.code in REMEDIES and found.count > len(found.items):
            left = found.count - len(found.items)
            yield f"{found.title}: {left:,} places were not listed and are not mended; audit with --most {found.count}"
    left_alone = [f.title for f in audit.of_level("error", "warning") if f.code not in REMEDIES]
    if left_alone:
        yield f"left to you, as above: {'; '.join(left_alone)}"
    gone = set(_held(dataset)) - set(_held(kept))
    if gone:
        yield f"no picture is left of: {', '.join(sorted(gone))}"
    if not is_table and "group" in kept.table.column_names:
        yield "folders cannot hold groups: they are in groups.csv, for --groups groups.csv --group-column group"


def _held(dataset: Dataset) -> list[str]:
    return [dataset.classes[int(t)] for t in set(dataset.targets.tolist()) if t >= 0]


def _reasons(decided: Decisions) -> str:
    counts = Counter(why.partition(":")[0] for why in decided.left_out.values())
    return ", ".join(f"{n:,} {code}" for code, n in counts.most_common())
