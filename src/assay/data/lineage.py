"""Where a revision of a data set comes from, and whether it still is what was made.

Revisions lie side by side in one folder, each in a folder of its own that is named by number and digest and never
changed: ``0002-3f9a1c0b7d52/`` holds ``photos.parquet``, the reviewed pictures in ``photos/``, and ``lineage.json``:
the parent, the digests of all files, how many answers of which kind went in, and what was left out and why. The digest
is over what is in the data: the same answers on the same base give the same one, whenever they are exported.

One thing does change a revision: pictures whose senders had them erased are deleted from all revisions
(``forget_pictures``), and ``forgotten.jsonl`` beside them says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assay.errors import ConfigError, DatasetError
from assay.files import explain_write

FORMAT = 1
TABLE, LINEAGE, PICTURES, FORGOTTEN = "photos.parquet", "lineage.json", "photos", "forgotten.jsonl"
_NAME = re.compile(r"(\d{4,})-([0-9a-f]{12})")


@dataclass(frozen=True)
class Revision:
    """A revision on the disk. ``is_new`` is False where there was nothing to add to it."""

    folder: Path
    lineage: Mapping[str, Any]
    is_new: bool = False

    @property
    def number(self) -> int:
        """1 for the first one."""
        return int(self.lineage["number"])

    @property
    def digest(self) -> str:
        """SHA-256 over what is in the data, in hex."""
        return str(self.lineage["digest"])

    @property
    def table(self) -> Path:
        """The data set, as ``assay train`` takes it."""
        return self.folder / TABLE

    @property
    def columns(self) -> dict[str, str]:
        """Question -> column of its truth."""
        return dict(self.lineage["columns"])

    def rows(self, *names: str) -> dict[str, list[Any]]:
        """Columns of the table as lists."""
        found: dict[str, list[Any]] = pq.read_table(self.table, columns=list(names)).to_pydict()
        return found


def name_of(number: int, digest: str) -> str:
    """The folder's name."""
    return f"{number:04d}-{digest[:12]}"


def revisions_in(out: Path) -> list[Path]:
    """The folders of all revisions, the earliest first."""
    if not out.is_dir():
        return []
    return sorted((p for p in out.iterdir() if _NAME.fullmatch(p.name)), key=lambda p: int(p.name[:4]))


def latest_revision(out: Path) -> Revision | None:
    """The newest revision in a folder; None where there is none. Raises as ``read_revision``."""
    found = revisions_in(out)
    return read_revision(found[-1]) if found else None


def read_revision(folder: Path) -> Revision:
    """A revision whose lineage and table are as they were written; pictures are looked at by ``revision_faults``.

    Raises
    ------
    ConfigError : it is no revision. DatasetError : it was changed.
    """
    place = folder / LINEAGE
    if not place.is_file():
        raise ConfigError(
            f"{folder} is no revision", got=f"no {LINEAGE} in it", fix="name a folder of `assay revise`"
        )
    try:
        lineage = json.loads(place.read_text("utf-8"))
        if lineage["format"] != FORMAT:
            raise ValueError(f"format {lineage['format']}")
        is_whole = lineage.pop("code") == _code(lineage)
        named = name_of(int(lineage["number"]), str(lineage["digest"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{place} cannot be read", got=f"{type(error).__name__}: {error}"[:200]) from error
    if not is_whole or named != folder.name:
        raise _changed(folder, LINEAGE)
    if file_digest(folder / TABLE) != lineage["files"].get(TABLE):
        raise _changed(folder, TABLE)
    return Revision(folder, lineage)


def revision_faults(folder: Path) -> list[str]:
    """What is not as it was written, in words; nothing for a whole revision. Looks at every picture."""
    found = read_revision(folder)
    gone = {row["sha256"] for row in read_forgotten(folder.parent)}
    faults = []
    for name, digest in found.lineage["files"].items():
        if not (folder / name).is_file():
            faults += [] if digest in gone else [f"{name} is gone"]
        elif file_digest(folder / name) != digest:
            faults.append(f"{name} was changed")
    known = {*found.lineage["files"], LINEAGE}
    names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file())
    return faults + [f"{name} was put in" for name in names if name not in known]


def write_lineage(folder: Path, lineage: Mapping[str, Any]) -> None:
    """Write it last: a folder with it is whole."""
    told = {**lineage, "code": _code(lineage)}
    (folder / LINEAGE).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def pictures_in(out: Path) -> dict[str, list[Path]]:
    """Digest -> the files with these bytes, in all revisions; a damaged revision hides none of them."""
    found: dict[str, list[Path]] = {}
    for folder in revisions_in(out):
        for path in sorted((folder / PICTURES).glob("*/*")):
            found.setdefault(path.name[:64], []).append(path)
    return found


def forget_pictures(out: Path, erased: Mapping[str, float], at: float) -> list[str]:
    """Delete the pictures with these digests from all revisions; the files that went.

    Raises
    ------
    AssayError : one cannot be deleted.
    """
    went: list[str] = []
    for digest, places in pictures_in(out).items():
        for place in places if digest in erased else ():
            name = place.relative_to(out).as_posix()
            row = {"sha256": digest, "file": name, "erased_at": erased[digest], "at": at}
            try:
                with (out / FORGOTTEN).open("a", encoding="utf-8") as book:
                    book.write(json.dumps(row) + "\n")
                place.unlink()
            except OSError as error:
                raise explain_write(place, error) from error
            went.append(name)
    return went


def read_forgotten(out: Path) -> Iterator[dict[str, Any]]:
    """What ``forget_pictures`` wrote down."""
    place = out / FORGOTTEN
    if place.is_file():
        for line in place.read_text("utf-8").splitlines():
            yield json.loads(line)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises DatasetError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read", got=error.strerror or str(error)) from error


def content_digest(table: pa.Table, names: list[str]) -> str:
    """SHA-256 over what the rows say in these columns, in hex; their order changes nothing."""
    total = 0
    for batch in table.select(names).to_batches(max_chunksize=4096):
        for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
            text = json.dumps(row, ensure_ascii=False)
            total += int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    seed = f"{total % 2**256:064x}{table.num_rows}{json.dumps(names)}"
    return hashlib.sha256(seed.encode()).hexdigest()


def _code(lineage: Mapping[str, Any]) -> str:
    told = {name: value for name, value in lineage.items() if name != "code"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _changed(folder: Path, name: str) -> DatasetError:
    return DatasetError(
        f"{folder} is not the revision that was made",
        got=f"{name} was changed",
        fix="bring it back, or begin anew in another folder: what was trained from it can no longer be told",
    )
