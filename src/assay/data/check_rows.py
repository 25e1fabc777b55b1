"""Faults that show in the rows alone: labels, parts, groups, paths. No file is opened."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from assay.data.check_objects import check_objects, describes_things
from assay.data.faults import faults_of
from assay.data.names import some
from assay.data.problems import Level, Problem, problem
from assay.data.split import count_classes
from assay.types import PARTS, Dataset

_IMBALANCE = 100


def check_rows(
    dataset: Dataset, for_training: bool, heads: Collection[str] = ("class",), size: int | None = None
) -> Iterator[Problem]:
    """Every fault of the table, kind by kind; ``heads`` and ``size`` as in ``check_dataset``."""
    if not len(dataset):
        yield problem("error", "no-pictures", "there are no pictures", "add some", ())
        return
    yield from _left_out(dataset)
    yield from _not_read(dataset)
    yield from _closed(dataset)
    yield from _read_so(dataset)
    yield from check_objects(dataset, wanted=heads if for_training else (), size=size)
    if len(dataset.classes) or not describes_things(dataset):
        strictly = for_training and set(heads) == {"class"}  # beside other heads a picture may lack its class
        yield from _labels(dataset, strictly)
        yield from _classes(dataset, strictly)
    elif for_training and not _says_something(dataset):
        faults, _ = faults_of(dataset)
        fix = "mend what could not be used, or label some pictures"
        yield problem(
            "error", "no-labels", "no picture has a label that can be used", fix, map(str, faults), 1
        )
    elif for_training and "class" in heads:
        what = "the data say what is in the pictures, not what a picture is; a classifier is trained on that"
        fix = (
            "name the heads that they teach, as --heads boxes; or `assay crops` makes a data set with classes"
        )
        yield problem("error", "no-classes", what, fix, (), 1)
    yield from _same_paths(dataset)
    if dataset.parts:
        yield from _parts(dataset, for_training)
        yield from _groups(dataset)


def _says_something(dataset: Dataset) -> bool:
    """Whether any picture has objects (an empty list of them, too) or a mask of classes."""
    columns = [dataset.table[n] for n in ("objects", "pixels") if n in dataset.table.column_names]
    return any(column.null_count < len(column) for column in columns)


def reading_notes(dataset: Dataset, name: str) -> list[str]:
    """What the format noted while it read: ``left_out`` (pictures and folders, these with a ``/`` at their end, that
    are no part of the data set), ``not_read`` (pictures in formats that are not read), ``closed`` (folders that may not
    be looked into), ``notes`` (sentences about how labels were read).
    """
    found = json.loads((dataset.table.schema.metadata or {}).get(b"assay", b"{}"))
    noted: list[str] = found.get(name, [])
    return noted


def _read_so(dataset: Dataset) -> Iterator[Problem]:
    """What the reader had to take in one of several ways, a sentence each."""
    fix = "look whether that is meant, in a few pictures; if not, correct the labels"
    for sentence in reading_notes(dataset, "notes"):
        yield problem("warning", "read-so", sentence.replace("|", "/"), fix, (), 1)


def _not_read(dataset: Dataset) -> Iterator[Problem]:
    if found := reading_notes(dataset, "not_read"):
        what = (
            "one picture is in a format that is not read, and is passed over"
            "|{n} pictures are in formats that are not read, and are passed over"
        )
        yield problem("warning", "format-not-read", what, "export them as JPEG, PNG or TIFF", found)


def _closed(dataset: Dataset) -> Iterator[Problem]:
    if found := reading_notes(dataset, "closed"):
        what = "one folder cannot be looked into|{n} folders cannot be looked into"
        yield problem("error", "closed-folder", what, "check their permissions, or take them out", found)


def _left_out(dataset: Dataset) -> Iterator[Problem]:
    found = reading_notes(dataset, "left_out")
    folders = [name for name in found if name.endswith("/")]
    pictures = [name for name in found if not name.endswith("/")]
    if folders:
        what = "one folder beside the parts is left out|{n} folders beside the parts are left out"
        yield problem("warning", "left-out-folder", what, "move them into a part, or leave them", folders)
    if pictures:
        what = (
            "one picture lies in no class folder and is left out"
            "|{n} pictures lie in no class folder and are left out"
        )
        yield problem(
            "warning", "left-out-picture", what, "move them into a class folder, or leave them", pictures
        )


def _labels(dataset: Dataset, for_training: bool) -> Iterator[Problem]:
    table, level = dataset.table, _strict(for_training)
    bare = pc.is_null(table["label"])
    if "labels" in table.column_names:
        lengths = pc.fill_null(pc.list_value_length(table["labels"]), 0)
        several = pc.and_(bare, pc.greater(lengths, 1))
        bare = pc.and_(bare, pc.less(lengths, 1))
        if for_training and pc.any(several).as_py():
            what = (
                "one picture has several labels, and a classifier is trained on one each"
                "|{n} pictures have several labels, and a classifier is trained on one each"
            )
            yield problem(
                level,
                "several-labels",
                what,
                "name a column with one: --label-column",
                *_rows(dataset, several),
            )
    if pc.any(bare).as_py():
        yield problem(
            level,
            "no-label",
            "one picture has no label|{n} pictures have no label",
            "fill them in, or leave them out",
            *_rows(dataset, bare),
        )


def _classes(dataset: Dataset, for_training: bool) -> Iterator[Problem]:
    counts = _per_class(dataset)
    names, level = np.array(list(dataset.classes), dtype=object), _strict(for_training)
    if len(dataset) == 1:
        yield problem(level, "one-picture", "there is only one picture", "add more", (), 1)
    if (counts == 0).any():
        fix = "put pictures into it, or remove it"
        yield problem(
            "error",
            "empty-class",
            "one class has no picture|{n} classes have no picture",
            fix,
            names[counts == 0],
        )
    if (counts > 0).sum() == 1:
        fix = "add pictures of another class: there is nothing to tell apart"
        yield problem(level, "one-class", "all pictures are of one class", fix, names[counts > 0])
    if (counts == 1).any():
        fix = "add pictures: one cannot both teach and test"
        yield problem(
            "warning",
            "single-picture",
            "one class has only one picture|{n} classes have only one picture",
            fix,
            names[counts == 1],
        )
    yield from _alike(names)
    held = counts[counts > 0]
    if len(held) > 1 and held.max() >= _IMBALANCE * held.min():
        large, small = (
            f"{dataset.classes[int(k)]} ({counts[k]:,})" for k in (counts.argmax(), _rarest(counts))
        )
        fix = "add pictures of rare classes, or train with --imbalance logit-adjustment"
        what = f"the largest class has {held.max() // held.min():,} times the pictures of the smallest"
        yield problem("warning", "imbalance", what, fix, (large, small), 2)


def _rarest(counts: np.ndarray) -> int:
    return int(np.where(counts > 0, counts, np.iinfo(np.int64).max).argmin())


def _per_class(dataset: Dataset) -> np.ndarray:
    """(K,) pictures of every class, as their label or one of several; the greater count where both say so."""
    counts = np.zeros((2, len(dataset.classes)), np.int64)
    for i, column in enumerate(("label", "labels")):
        if column not in dataset.table.column_names:
            continue
        values = dataset.table[column]
        values = pc.list_flatten(values) if column == "labels" else values
        for row in pc.value_counts(values.cast(pa.string())).to_pylist():
            if row["values"] is not None:
                counts[i, dataset.classes.position(row["values"])] += row["counts"]
    return np.asarray(counts.max(axis=0))


def _alike(names: np.ndarray) -> Iterator[Problem]:
    same = defaultdict(list)
    for name in names:
        same["".join(name.casefold().replace("_", " ").replace("-", " ").split())].append(name)
    pairs = [" = ".join(map(repr, group)) for group in same.values() if len(group) > 1]
    if pairs:
        what = (
            "class names differ only by case, spaces or dashes"
            "|class names differ only by case, spaces or dashes, {n} times"
        )
        yield problem("warning", "alike-classes", what, "give one class one spelling", pairs)


def _same_paths(dataset: Dataset) -> Iterator[Problem]:
    paths = dataset.table["path"]
    if pc.count_distinct(paths).as_py() == len(dataset):
        return
    columns = {"path": paths, "label": dataset.table["label"].cast(pa.string())}
    wanted = [("path", "count"), ("label", "count_distinct")]
    if "part" in dataset.table.column_names:
        columns["part"] = dataset.table["part"].cast(pa.string())
        wanted.append(("part", "count_distinct"))
    found = pa.table(columns).group_by("path").aggregate(wanted)
    found = found.filter(pc.greater(found["path_count"], 1))
    torn = pc.greater(found["label_count_distinct"], 1)
    if pc.any(torn).as_py():
        what = "one picture is listed with different labels|{n} pictures are listed with different labels"
        yield problem(
            "error",
            "path-two-labels",
            what,
            "keep the right row of each",
            found.filter(torn)["path"].to_pylist(),
        )
    if "part" in columns and pc.any(split := pc.greater(found["part_count_distinct"], 1)).as_py():
        what = "one picture is listed in more than one part|{n} pictures are listed in more than one part"
        yield problem(
            "error", "path-two-parts", what, "keep one row of each", found.filter(split)["path"].to_pylist()
        )
    plain = pc.invert(torn)
    if pc.any(plain).as_py():
        what = "one picture is listed more than once|{n} pictures are listed more than once"
        yield problem(
            "warning", "path-twice", what, "keep one row of each", found.filter(plain)["path"].to_pylist()
        )


def _parts(dataset: Dataset, for_training: bool) -> Iterator[Problem]:
    bare = pc.is_null(dataset.table["part"])
    if pc.any(bare).as_py():
        fix = "fill the part column, or deal all anew with `assay split --force`"
        yield problem(
            "error",
            "no-part",
            "one picture has no part and the others have|{n} pictures have no part and the others have",
            fix,
            *_rows(dataset, bare),
        )
    if "train" not in dataset.parts:
        have = some(f"{part} ({n:,})" for part, n in dataset.parts.items())
        fix = "add a train part, or deal all anew with `assay split --force`"
        yield problem(_strict(for_training), "no-train", f"there is no train part, only {have}", fix, (), 1)
        return
    if not len(dataset.classes):
        return
    counts = count_classes(dataset)
    untaught = (counts[0] == 0) & (counts.sum(axis=0) > 0)
    by = dataset.split.get("by", "source")
    dealt = untaught & ((by == "hash") | ((by == "source+hash") & (counts[1] > 0)))
    kinds: tuple[tuple[NDArray[np.bool_], Level, str], ...] = (
        (untaught & ~dealt, "error", "correct the label, or add pictures of it to train"),
        (dealt, "warning", "add pictures of them"),
    )
    for classes, level, fix in kinds:
        if classes.any():
            where = [
                f"{dataset.classes[int(k)]} ({_elsewhere(counts[:, k])})" for k in np.flatnonzero(classes)
            ]
            what = "one class has no picture in train|{n} classes have no picture in train"
            yield problem(level, "untaught-class", what, fix, where)


def _elsewhere(counts: np.ndarray) -> str:
    return ", ".join(f"{n:,} in {part}" for part, n in zip(PARTS, counts, strict=True) if n)


def _groups(dataset: Dataset) -> Iterator[Problem]:
    if "group" not in dataset.table.column_names:
        return
    columns = {name: dataset.table[name].cast(pa.string()) for name in ("group", "part")}
    names = pc.unique(columns["group"])
    if len(names) == 1 and names.null_count == 0:
        what = "all pictures are of one group, so groups keep nothing apart"
        fix = "name a column whose values differ (--group-column), or deal pictures one by one: --no-by-group"
        yield problem("warning", "one-group", what, fix, names.to_pylist(), 1)
        return
    table = pa.table(columns).filter(pc.is_valid(columns["group"]))
    found = table.group_by("group").aggregate([("part", "count_distinct")])
    torn = found.filter(pc.greater(found["part_count_distinct"], 1))["group"].to_pylist()
    if torn:
        what = (
            "one group has pictures in more than one part, so scores look better than they are"
            "|{n} groups have pictures in more than one part, so scores look better than they are"
        )
        yield problem("warning", "torn-group", what, "deal by group: `assay split --force`", torn)


def _rows(dataset: Dataset, mask: pa.ChunkedArray) -> tuple[list[str], int]:
    """(paths of the first rows under the mask, how many there are)."""
    rows = pc.indices_nonzero(mask)
    return dataset.table["path"].take(rows[:100]).to_pylist(), len(rows)


def _strict(for_training: bool) -> Level:
    return "error" if for_training else "warning"
