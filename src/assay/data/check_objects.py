"""Faults of boxes and masks that show in the rows alone. No file is opened.

What the reader kept out comes first, kind by kind. Then boxes that reach outside their picture or lie in another frame,
the same box twice, masks that disagree with their boxes, things that vanish at the size of training, classes of things
that no part or one part alone has. Where the picture's size is not in the table, nothing is said of outside.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from assay.data.fault_kinds import KINDS
from assay.data.faults import PARTLY_READ, faults_by_kind, notes_of
from assay.data.flat_objects import FlatObjects
from assay.data.object_rows import MISSING_FILES
from assay.data.problems import Level, Problem, problem
from assay.types import PARTS, Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOST_PX, TINY_PX = 4.0, 8.0
"""At the size of training: a thing below the first is lost, one below the second lies within one cell of the finest map
that boxes are found on (stride 8)."""

TINY_SHARE = 0.05
"""A larger share of things below ``TINY_PX`` is worth a warning."""


def describes_things(dataset: Dataset) -> bool:
    """Whether the data set says what is in pictures, or in their pixels, rather than what a picture is."""
    names = set(dataset.table.column_names)
    return bool(names & {"objects", "pixels"})


def check_objects(
    dataset: Dataset, *, wanted: Collection[str] = (), size: int | None = None
) -> Iterator[Problem]:
    """Every fault of the things in the pictures, kind by kind.

    Parameters
    ----------
    wanted : of "boxes", "masks", "pixels": what is to be learned. That there is none of it is then an error.
    size : longer side of the pictures in training, px; without it nothing is said of tiny things.
    """
    yield from _kept_out(dataset)
    if "objects" in dataset.table.column_names and len(dataset):
        things = FlatObjects.of(dataset)
        yield from _known(dataset, things, wanted)
        yield from _boxes(dataset, things)
        if size is not None:
            yield from _tiny(things, size)
        yield from _classes(dataset, things)
    yield from _wanted(dataset, wanted)


def _kept_out(dataset: Dataset) -> Iterator[Problem]:
    for code, (faults, count) in faults_by_kind(dataset).items():
        kind, fixes = KINDS[code], {fault.fix for fault in faults}
        general = kind.fix or "`assay convert --json` names the first 1,000 with their fixes"
        fix = faults[0].fix if len(fixes) == 1 and faults[0].fix else general
        yield problem("warning", code, kind.what, fix, map(str, faults), count)
    if partly := notes_of(dataset).get(PARTLY_READ):
        what = (
            "some things of one picture are kept out: its other things are taken to be all there are"
            "|some things of {n} pictures are kept out: their other things are taken to be all there are"
        )
        fix = "mend what is kept out; until then it is learned as background, and finding it counts as wrong"
        yield problem("warning", "partly-read", what, fix, partly)


def _known(dataset: Dataset, things: FlatObjects, wanted: Collection[str]) -> Iterator[Problem]:
    """Whether somebody looked, and saw something."""
    level: Level = "error" if {"boxes", "masks"} & set(wanted) else "warning"
    if not things.looked.any():
        yield problem(level, "no-boxes-known", "no picture has boxes", "label some", (), 1)
        return
    if not len(things):
        fix = "boxes are drawn where something is; a data set without any teaches only that there is nothing"
        yield problem(level, "no-boxes", "every picture is labelled as empty", fix, (), 1)
        return
    taught = _in_train(dataset)
    if wanted and not taught[things.rows].any():
        fix = "move pictures with boxes into train, or deal all anew with `assay split --force`"
        yield problem(level, "no-boxes-in-train", "no picture of the train part has boxes", fix, (), 1)
    if not wanted or {"boxes", "masks"} & set(wanted):
        yield from _not_looked_at(dataset, things)


def _not_looked_at(dataset: Dataset, things: FlatObjects) -> Iterator[Problem]:
    """Pictures that teach nothing beside others that do: who took them for background should know.

    Of YOLO and VOC those without a label file, which other tools take for background; elsewhere those that say
    nothing at all, as a picture with a class or a mask of classes may well lack boxes.
    """
    bare = ~things.looked
    if notes_of(dataset).get(MISSING_FILES):
        one, several = (
            "has no label file that can be used, and teaches",
            "have no label file that can be used, and teach",
        )
        of = "nothing of things"
        fix = (
            "if those without a file are background, give each an empty one, or read all of them so with "
            "--missing-labels background; else label them"
        )
    elif len(dataset.classes):
        return  # told where classes of pictures are looked at
    else:
        for name in {"label", "labels", "pixels"} & set(dataset.table.column_names):
            bare &= pc.is_null(dataset.table[name]).to_numpy()
        one, several, of = (
            "has no label of any kind, and teaches",
            "have no label of any kind, and teach",
            "nothing",
        )
        fix = "label them; where nothing is there, an empty list of objects says so"
    if bare.any():
        total = f"of {len(dataset):,} pictures"
        what = f"one {total} {one} {of}|{{n}} {total} {several} {of}"
        paths = dataset.table["path"].take(np.flatnonzero(bare)[:100]).to_pylist()
        yield problem("warning", "not-looked-at", what, fix, paths, int(bare.sum()))


def _in_train(dataset: Dataset) -> NDArray[np.bool_]:
    """(P,) whether the picture is taught from; all are where there are no parts yet."""
    if "train" not in dataset.parts:
        return np.ones(len(dataset), bool)
    return np.array([part == "train" for part in dataset.table["part"].to_pylist()], bool)


def _boxes(dataset: Dataset, things: FlatObjects) -> Iterator[Problem]:
    turned, outside = things.in_turned_frame(), np.flatnonzero(things.outside())
    if len(turned):
        what = (
            "the boxes of one picture reach outside, and would fit if its width and height were swapped"
            "|the boxes of {n} pictures reach outside, and would fit if width and height were swapped"
        )
        fix = "they were drawn on the stored picture: draw them on the upright one, or remove its EXIF turn"
        paths = dataset.table["path"].take(turned[:100]).to_pylist()
        yield problem("warning", "turned-frame", what, fix, paths, len(turned))
    outside = outside[~np.isin(things.rows[outside], turned)]
    if len(outside):
        what = "one box reaches outside its picture|{n} boxes reach outside their pictures"
        fix = (
            "if many do, sizes are swapped or the boxes were drawn on another picture; training cuts them off"
        )
        yield _told("box-outside", what, fix, dataset, things, outside)
    crowded, counts = things.crowded()
    if len(crowded):
        what = "one picture has far more things than the others|{n} pictures have far more things than the others"
        fix = "look whether they are real; a region of many things is one box, marked as a crowd"
        paths = dataset.table["path"].take(crowded[:100]).to_pylist()
        where = [f"{path} ({n:,})" for path, n in zip(paths, counts, strict=False)]
        yield problem("warning", "many-things", what, fix, where, len(crowded))
    if len(twice := things.twice()):
        what = "one box is there twice|{n} boxes are there twice"
        yield _told("same-box-twice", what, "remove one of each", dataset, things, twice)
    off, by_px = things.masks_off()
    if len(off):
        what = "one mask disagrees with its box|{n} masks disagree with their boxes"
        fix = (
            "draw the box around the mask, or correct the mask; where many do, the two are from two pictures"
        )
        order = np.argsort(-by_px, kind="stable")
        texts = [f"off by {by_px[i]:.0f} px" for i in order[:100]]
        yield _told("mask-disagrees", what, fix, dataset, things, off[order], texts)


def _told(
    code: str,
    what: str,
    fix: str,
    dataset: Dataset,
    things: FlatObjects,
    at: NDArray[np.int64],
    texts: Iterable[str] = (),
) -> Problem:
    """A warning about the things ``at``; ``texts`` stand in place of their coordinates."""
    shown = at[:100]
    paths = dataset.table["path"].take(things.rows[shown]).to_pylist()
    told = list(texts) or [f"({', '.join(f'{v:g}' for v in things.boxes_xyxy[i])})" for i in shown]
    names = [dataset.object_classes[int(label)] for label in things.labels[shown]]
    where = [f"{path} {name} {text}" for path, name, text in zip(paths, names, told, strict=True)]
    return problem("warning", code, what, fix, where, len(at))


def _tiny(things: FlatObjects, size: int) -> Iterator[Problem]:
    sides = things.sides_at(size)[~things.crowd]
    sides = sides[np.isfinite(sides)]
    tiny = int((sides < TINY_PX).sum())
    if not len(sides) or tiny <= TINY_SHARE * len(sides):
        return
    lost = (sides < LOST_PX).mean()
    what = (
        f"at {size} px {tiny / len(sides):.1%} of the things are smaller than {TINY_PX:g} px, {lost:.1%} than "
        f"{LOST_PX:g} px, and cannot be found there"
    )
    wanted = things.size_for(TINY_PX, 1 - TINY_SHARE)
    fix = f"--size {wanted} keeps 95 % at {TINY_PX:g} px and more; or cut the pictures into tiles"
    yield problem("warning", "tiny-things", what, fix, (), 1)


def _classes(dataset: Dataset, things: FlatObjects) -> Iterator[Problem]:
    """Classes without any box, and classes that one part alone lacks."""
    if not len(things):
        return
    names = list(dataset.object_classes)
    held = set(np.unique(things.labels).tolist())
    if none := [name for k, name in enumerate(names) if k not in held]:
        what = "one class of things has no box|{n} classes of things have no box"
        yield problem("warning", "empty-object-class", what, "label some, or take it out", none)
    if lacking := classes_lacking(dataset, things):
        what = "one class of things is missing in a part|classes of things are missing in parts, {n} times"
        where = [f"{name} ({part})" for part, name in lacking]
        yield problem("warning", "object-class-missing", what, "deal the parts anew, or label more", where)


def classes_lacking(dataset: Dataset, things: FlatObjects) -> list[tuple[str, str]]:
    """(part, class) for each class of things that other parts have and this one lacks."""
    if not dataset.parts:
        return []
    parts = dataset.table["part"].to_pylist()
    codes = np.array([PARTS.index(part) if part in PARTS else -1 for part in parts], np.int64)[things.rows]
    found = []
    for code, part in enumerate(PARTS):
        here = set(np.unique(things.labels[codes == code]).tolist())
        elsewhere = set(np.unique(things.labels).tolist()) - here
        if here:
            found += [(part, dataset.object_classes[k]) for k in sorted(elsewhere)]
    return found


def _wanted(dataset: Dataset, wanted: Collection[str]) -> Iterator[Problem]:
    """Kinds of labels that are to be learned and that no picture has."""
    table = dataset.table
    if {"boxes", "masks"} & set(wanted) and "objects" not in table.column_names:
        yield problem(
            "error", "no-boxes-known", "no picture has boxes", "label some, or leave that head out", (), 1
        )
    elif "masks" in wanted and not any(mask is not None for mask in FlatObjects.of(dataset).masks):
        yield problem("error", "no-masks", "no thing has a mask", "draw some, or leave that head out", (), 1)
    if "pixels" in wanted and (
        "pixels" not in table.column_names or table["pixels"].null_count == len(table)
    ):
        yield problem(
            "error",
            "no-pixels",
            "no picture has a mask of classes",
            "add some, or leave that head out",
            (),
            1,
        )
