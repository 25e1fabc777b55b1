"""A new revision of a data set: the base as it is, and the photos that people have looked at, with their answers.

Rows of the base stay where they are and are named by their paths; reviewed pictures come into the revision's folder.
No sender is in two parts: who is in the base, or was in an earlier revision, stays there, and the others are dealt by
the hash of their names, so that a sender never moves. What was held out stays held out.

``weight`` says how many photos of the traffic a row stands for, 1 / (its chance of having been looked at), after
Horvitz and Thompson (1952): with it the reviewed rows tell how a network does on everything that comes in, without it
they tell how it does on what is doubtful.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assay.data.deal import Shares, deal, hash_keys
from assay.data.formats.table_file import write_table
from assay.data.lineage import (
    FORMAT,
    LINEAGE,
    PICTURES,
    TABLE,
    Revision,
    content_digest,
    file_digest,
    latest_revision,
    name_of,
    read_revision,
    revisions_in,
    write_lineage,
)
from assay.data.names import in_order
from assay.errors import AssayError, ConfigError, DatasetError, ImageError
from assay.files import explain_write
from assay.image import read_image
from assay.labels import ClassNames
from assay.types import PARTS, Dataset

BASE = "base"
"""The arm of rows that nobody reviewed."""
_SALT = 0
_ENDINGS = (
    (b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"II*\0", ".tif"), (b"MM\0*", ".tif"),
    (b"BM", ".bmp"), (b"RIFF", ".webp"), (b"\0\0\0\x0cjP", ".jp2"),
)  # fmt: skip
IN_BASE, IN_BASE_OTHERWISE, UNREADABLE, OTHER_TRUTH, CHANGED, NO_LABEL, TORN, NO_CLASS = (
    "its bytes are in the base already",
    "its bytes are in the base already, under another label",
    "it is no picture that can be read",
    "the same bytes were answered differently",
    "its bytes are not those that were sent",
    "nobody said what is right, and the verdict alone does not tell",
    "its sender, or the senders of the same bytes, are in several parts",
    "the right answer is no class of the base",
)


@dataclass(frozen=True)
class Answered:
    """A photo that people have looked at. ``truths``: column -> right answer. ``answers`` are ids of their answers."""

    photo: str
    sha256: str
    sender: str
    arm: str
    weight: float
    truths: Mapping[str, str]
    answers: tuple[str, ...] = ()


@dataclass
class _Made:
    """A revision in the making."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    excluded: list[dict[str, str]] = field(default_factory=list)

    def leave_out(self, photo: str, reason: str) -> None:
        """One line for the lineage."""
        self.excluded.append({"photo": photo, "reason": reason})


def revise(
    base: Dataset,
    columns: Mapping[str, str],
    photos: Iterable[Answered],
    read: Callable[[str], bytes],
    out: Path,
    *,
    shares: Shares,
    excluded: Sequence[tuple[str, str]] = (),
    about: Mapping[str, Any] | None = None,
    made_at: float = 0.0,
) -> Revision:
    """Make the next revision in ``out``, or give back the newest one where nothing would differ from it.

    Parameters
    ----------
    base : with train, validation and test parts.
    columns : question -> column of its truth, in the base and in ``Answered.truths``; the base's label is "label".
    read : digest -> the photo's bytes; its AssayError leaves the photo out.
    shares : of validation and test among senders whom neither the base nor an earlier revision knows.
    excluded : (photo, reason) of photos that were left out before.
    about : further facts for the lineage.

    Raises
    ------
    ConfigError : ``out`` is no folder of revisions. DatasetError : the base has no held-out part, a picture of it
        cannot be read, or the newest revision was changed. AssayError : the disk is full.
    """
    _require_parts(base)
    _require_place(out)
    parent = latest_revision(out)
    number = 1 if parent is None else parent.number + 1
    made = _Made(out / f".{number:04d}.{os.getpid()}.part")
    made.excluded += [{"photo": photo, "reason": reason} for photo, reason in excluded]
    try:
        made.folder.mkdir(parents=True)
        table = _base_rows(base, columns)
        _add(made, table, list(photos), read, parent, shares, columns)
        if parent is None and not made.rows:
            raise _nothing(made)
        whole = _join(table, made.rows, columns)
        digest = content_digest(whole, _counted(columns))
        if parent is not None and parent.digest == digest:
            return replace(parent, is_new=False)
        data = Dataset(whole, _classes(whole), made.folder, f"revision-{number:04d}", {"by": "revision"})
        write_table(data, made.folder / TABLE)
        made.files[TABLE] = file_digest(made.folder / TABLE)
        lineage = _lineage(made, whole, base, columns, parent, number, digest, shares, made_at)
        write_lineage(made.folder, {**lineage, **(about or {})})
        _flush(made.folder)
        made.folder.rename(out / name_of(number, digest))
    except OSError as error:
        raise explain_write(out, error) from error
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)
    return replace(read_revision(out / name_of(number, digest)), is_new=True)


def _nothing(made: _Made) -> DatasetError:
    reasons = Counter(row["reason"] for row in made.excluded).most_common()
    return DatasetError(
        "there is no reviewed photo to learn from",
        got="; ".join(f"{n:,} left out: {reason}" for reason, n in reasons) or "no final answers",
        fix="answers become final some seconds after they are given, while the server runs",
    )


def _require_parts(base: Dataset) -> None:
    lacking = [part for part in ("train", "test") if part not in base.parts]
    if lacking:
        raise DatasetError(
            f"{base.name} has no {lacking[0]} part",
            got=", ".join(base.parts) or "no parts",
            fix="deal it with `assay split`: a new network is compared with the live one on what both did not learn",
        )


def _require_place(out: Path) -> None:
    _sweep(out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not revisions_in(out))):
        raise ConfigError(f"{out} holds something else", fix="name a new folder, or one of earlier revisions")


def _sweep(out: Path) -> None:
    """Take away revisions that were begun by a process that was killed."""
    for left in out.glob(".[0-9]*.part"):
        owner = left.name.split(".")[-2]
        if owner.isdecimal() and not _is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _base_rows(base: Dataset, columns: Mapping[str, str]) -> pa.Table:
    """The base in the columns of a revision; every picture is read once, for its digest."""
    own, n = base.table, len(base)
    paths = [(base.root / path).absolute().as_posix() for path in own["path"].to_pylist()]
    with ThreadPoolExecutor(8, thread_name_prefix="assay-digest") as pool:
        digests = list(pool.map(lambda path: file_digest(Path(path)), paths))
    made = {"path": pa.array(paths, pa.string())}
    for name in _truth_columns(columns):
        made[name] = own[name].cast(pa.string())
    made["part"] = own["part"].cast(pa.string())
    made["group"] = (
        own["group"].cast(pa.string()) if "group" in own.column_names else pa.nulls(n, pa.string())
    )
    made["weight"] = pa.nulls(n, pa.float64())
    made["arm"] = pa.array([BASE] * n, pa.string())
    made["sha256"] = pa.array(digests, pa.string())
    made["photo_id"] = pa.nulls(n, pa.string())
    return pa.table(made)


def _truth_columns(columns: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys(columns.values()))


def _counted(columns: Mapping[str, str]) -> list[str]:
    """What makes one revision differ from another; where the base lies does not."""
    return ["sha256", *_truth_columns(columns), "part", "group", "weight", "arm"]


def _add(
    made: _Made,
    table: pa.Table,
    photos: list[Answered],
    read: Callable[[str], bytes],
    parent: Revision | None,
    shares: Shares,
    columns: Mapping[str, str],
) -> None:
    """Put each photo into its part, its picture into the folder, or say why not."""
    homes = _Homes(table, parent, shares)
    told = {name: table[name].to_pylist() for name in _truth_columns(columns)}
    known = {name: set(values) for name, values in told.items()}
    in_base = {digest: row for row, digest in enumerate(table["sha256"].to_pylist())}
    earlier = {} if parent is None else _pictures_of(parent)
    by_digest: dict[str, list[Answered]] = defaultdict(list)
    for one in photos:
        if (row := in_base.get(one.sha256)) is not None:
            differs = any(told[name][row] not in (None, a) for name, a in one.truths.items() if name in told)
            made.leave_out(one.photo, IN_BASE_OTHERWISE if differs else IN_BASE)
        else:
            by_digest[one.sha256].append(one)
    for digest, same in sorted(by_digest.items()):
        found = _merged(same, known)
        part = homes.part_of(same, digest)
        if isinstance(found, str) or part is None:
            for one in same:
                made.leave_out(one.photo, found if isinstance(found, str) else TORN)
            continue
        place = _keep_picture(made, same[0], read, earlier.get(digest))
        if place is not None:
            about = {"path": place, "part": part, "group": same[0].sender or None, "sha256": digest}
            made.rows.append({**found, **about, "photo_id": same[0].photo})


def _merged(same: list[Answered], known: Mapping[str, set[Any]]) -> dict[str, Any] | str:
    """One row for photos with the same bytes, or why there is none: they stand for all that they stood for."""
    said: dict[str, set[str]] = defaultdict(set)
    for one in same:
        for name, answer in one.truths.items():
            if name in known:
                said[name].add(answer)
    clear = {name: next(iter(answers)) for name, answers in said.items() if len(answers) == 1}
    if not clear:
        return OTHER_TRUTH if said else NO_LABEL
    truths = {name: answer for name, answer in clear.items() if answer in known[name]}
    if not truths:
        return NO_CLASS
    return {**truths, "weight": sum(one.weight for one in same), "arm": same[0].arm}


class _Homes:
    """In which part a sender is: the base's, an earlier revision's, or dealt by name."""

    def __init__(self, base: pa.Table, parent: Revision | None, shares: Shares) -> None:
        self._shares = shares
        self._of: dict[str, set[str]] = defaultdict(set)
        self._learn(base.select(["group", "part", "sha256"]).to_pydict())
        if parent is not None:
            self._learn(parent.rows("group", "part", "sha256"))

    def _learn(self, rows: Mapping[str, list[Any]]) -> None:
        for group, part, digest in zip(rows["group"], rows["part"], rows["sha256"], strict=True):
            if part is not None:
                self._of[_key(group, digest)].add(part)

    def part_of(self, same: list[Answered], digest: str) -> str | None:
        """The part of photos with the same bytes; None where their senders are in several."""
        parts = {part for one in same for part in self._parts(_key(one.sender, digest))}
        return next(iter(parts)) if len(parts) == 1 else None

    def _parts(self, key: str) -> set[str]:
        if key not in self._of:
            code = int(deal(hash_keys(pa.array([key])), _SALT, self._shares)[0])
            self._of[key] = {PARTS[code]}
        return self._of[key]


def _key(sender: str | None, digest: str) -> str:
    """Photos without a sender stand alone."""
    return f"g{sender}" if sender else f"p{digest}"


def _pictures_of(parent: Revision) -> dict[str, Path]:
    found = {
        digest: parent.folder / name for name, digest in parent.lineage["files"].items() if name != TABLE
    }
    return {digest: place for digest, place in found.items() if place.is_file()}


def _keep_picture(
    made: _Made, one: Answered, read: Callable[[str], bytes], earlier: Path | None
) -> str | None:
    """The picture's path in the revision; None where there is none. What the parent has is linked, not read again."""
    if earlier is not None:
        place = Path(PICTURES) / one.sha256[:2] / earlier.name
        (made.folder / place).parent.mkdir(parents=True, exist_ok=True)
        _link(earlier, made.folder / place)
    else:
        try:
            data = read(one.sha256)
            read_image(data)
        except ImageError:
            made.leave_out(one.photo, UNREADABLE)
            return None
        except AssayError as error:
            made.leave_out(one.photo, error.what)
            return None
        if hashlib.sha256(data).hexdigest() != one.sha256:
            made.leave_out(one.photo, CHANGED)
            return None
        place = Path(PICTURES) / one.sha256[:2] / f"{one.sha256}{_ending(data)}"
        (made.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (made.folder / place).write_bytes(data)
    made.files[place.as_posix()] = one.sha256
    return place.as_posix()


def _link(source: Path, place: Path) -> None:
    try:
        place.hardlink_to(source)
    except OSError:  # another disk, or one that has no links
        shutil.copyfile(source, place)


def _ending(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return ".avif"
    return next((ending for magic, ending in _ENDINGS if data.startswith(magic)), "")


def _join(table: pa.Table, rows: list[dict[str, Any]], columns: Mapping[str, str]) -> pa.Table:
    """The base and the reviewed rows. ``label`` is there even where no question's truth is called so."""
    more = pa.table(
        {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in table.schema}, table.schema
    )
    whole = pa.concat_tables([table, more])
    if "label" not in whole.column_names:
        whole = whole.add_column(1, "label", whole[_truth_columns(columns)[0]])
    return whole.combine_chunks()


def _classes(table: pa.Table) -> ClassNames:
    return ClassNames(in_order({name for name in table["label"].to_pylist() if name}))


def _lineage(
    made: _Made,
    table: pa.Table,
    base: Dataset,
    columns: Mapping[str, str],
    parent: Revision | None,
    number: int,
    digest: str,
    shares: Shares,
    made_at: float,
) -> dict[str, Any]:
    arms = Counter(row["arm"] for row in made.rows)
    return {
        "format": FORMAT,
        "number": number,
        "digest": digest,
        "parent": None if parent is None else {"number": parent.number, "digest": parent.digest},
        "made_at": made_at,
        "columns": dict(columns),
        "base": {
            "name": base.name,
            "root": base.root.absolute().as_posix(),
            "rows": len(base),
            "parts": base.parts,
            "split": dict(base.split),
            "split_hashes": {name: labelled_hash(base, column) for name, column in columns.items()},
            "digest": content_digest(table.slice(0, len(base)), _counted(columns)),
        },
        "reviewed": {
            "photos": len(made.rows),
            "arms": {arm: arms[arm] for arm in sorted(arms)},
            "parts": dict(Counter(row["part"] for row in made.rows)),
            "senders": len({row["group"] for row in made.rows if row["group"]}),
        },
        "shares": {"validation": shares.validation, "test": shares.test},
        "excluded": made.excluded,
        "files": dict(sorted(made.files.items())),
    }


def labelled_hash(dataset: Dataset, column: str = "label") -> str:
    """The split hash that a training by this column of labels has: of the rows that have one, its classes in order."""
    labels = dataset.table[column].cast(pa.string())
    held = pc.and_kleene(pc.is_valid(labels), pc.not_equal(labels, ""))
    table = dataset.table
    if column != "label":
        table = table.drop_columns(["label"]).append_column("label", labels)
    classes = (
        dataset.classes if column == "label" else ClassNames(in_order({n for n in labels.to_pylist() if n}))
    )
    return replace(dataset, table=table, classes=classes).select(pc.fill_null(held, False)).split_hash


def _flush(folder: Path) -> None:
    """Everything is on the disk before the folder has its name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.name in (TABLE, LINEAGE) or path.stat().st_nlink == 1):
            with path.open("rb") as file:
                os.fsync(file.fileno())


def excluded_counts(revision: Revision) -> dict[str, int]:
    """Reason -> how many photos were left out for it, the commonest first."""
    return dict(Counter(row["reason"] for row in revision.lineage["excluded"]).most_common())
