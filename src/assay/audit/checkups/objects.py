"""Boxes, masks and pixels: what could not be used, what lies wrong, what is there twice, and what training will lose.

The rows are looked at as flat arrays (``data.flat_objects``), as in ``assay check``; the doctor adds what needs the
files: pictures that are stored turned, and masks of classes read whole. Places carry their boxes, so that the page
draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from assay.audit.checkups.object_classes import check_object_classes
from assay.audit.examination import Examination
from assay.audit.finding import Finding, Item, Level, finding
from assay.audit.rows import paths_of
from assay.data.check_objects import LOST_PX, TINY_PX, TINY_SHARE, describes_things
from assay.data.check_pixels import check_pixels
from assay.data.fault_kinds import KINDS
from assay.data.faults import faults_by_kind
from assay.data.flat_objects import FlatObjects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

MOST_DRAWN = 40
"""Boxes that are drawn on the picture of one place."""

_TITLES = {
    "missing-mask": "Masks of classes that do not exist",
    "unreadable-mask": "Masks of classes that cannot be read",
    "mask-size": "Masks of classes of another size",
    "mask-value": "Masks with values that have no class",
}


class _Kind(NamedTuple):
    """A finding about single things: which, and what is told of each."""

    level: Level
    code: str
    title: str
    what: str
    fix: str
    things: Rows
    text: Callable[[int], str]


def check_objects(examination: Examination) -> Iterator[Finding]:
    """Every fault of boxes, masks and pixels, kind by kind; nothing of a data set that has none of them."""
    told = [*_kept_out(examination), *_pixels(examination)]
    yield from told
    dataset = examination.dataset
    if not describes_things(dataset) or "objects" not in dataset.table.column_names:
        return
    things = FlatObjects.of(dataset)
    yield from _looked(examination, things)
    if not len(things):
        return
    frames = list(_frames(examination, things))
    kinds = [kind for kind in _kinds(examination, things) if len(kind.things)]
    yield from frames
    yield from _crowded(examination, things)
    yield from (_told(examination, things, kind) for kind in kinds)
    yield from _tiny(examination, things)
    yield from check_object_classes(examination, things)
    if not (told or kinds or any(f.code == "turned-frame" for f in frames)):
        what = (
            f"All {len(things):,} boxes lie in their pictures, each is there once, and masks agree with them."
        )
        yield finding(
            "good", "boxes-in-order", "Boxes and masks are in order", what, figures={"things": len(things)}
        )


def _kept_out(examination: Examination) -> Iterator[Finding]:
    """What the reader could not use, a finding a kind."""
    for code, (faults, count) in faults_by_kind(examination.dataset).items():
        kind, fixes = KINDS[code], list(dict.fromkeys(fault.fix for fault in faults if fault.fix))
        items = [Item((), (), f"{fault}; {fault.fix}" if fault.fix else f"{fault}") for fault in faults]
        fix = kind.fix or (
            fixes[0] if len(fixes) == 1 else "mend them where they stand; each is named with its place"
        )
        yield finding(
            "warning",
            code,
            kind.title,
            "|".join(map(_sentence, kind.what.split("|"))),
            _sentence(fix),
            items[: examination.config.most],
            count=count,
            most=examination.config.most,
        )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _pixels(examination: Examination) -> Iterator[Finding]:
    """Faults of masks of classes, each read whole."""
    for found in check_pixels(examination.dataset, decode=True):
        items = [Item((), (), place) for place in found.where]
        yield Finding(
            found.level,
            found.code,
            _TITLES.get(found.code, "Masks of classes"),
            _sentence(found.what),
            _sentence(found.fix),
            found.count,
            tuple(items[: examination.config.most]),
        )


def _looked(examination: Examination, things: FlatObjects) -> Iterator[Finding]:
    """Pictures where nobody looked, beside those where nothing is."""
    n, unknown = len(things.looked), np.flatnonzero(~things.looked)
    if len(unknown) == n or not len(things):
        title = "No picture has boxes" if len(unknown) == n else "Every picture is labelled as empty"
        what = f"{title}: nothing can be learned of things, nor measured."
        yield finding("error", "no-boxes", title, what, "Draw boxes around what you look for.", count=1)
        return
    empty = np.setdiff1d(np.flatnonzero(things.looked), things.rows)
    if len(unknown):
        yield finding(
            "note",
            "not-looked-at",
            "Pictures in which nobody looked for things",
            "Nobody looked for things in one picture. It teaches nothing about boxes, and its things are not taken for "
            "background.|Nobody looked for things in {n} pictures. They teach nothing about boxes, and their things "
            "are not taken for background.",
            "Nothing to do if that is meant. Where they show nothing, say so: an empty label file, an empty list.",
            _of_pictures(examination, things, unknown),
            count=len(unknown),
            figures={"pictures": n, "empty": len(empty), "not_looked_at": len(unknown)},
        )


def _frames(examination: Examination, things: FlatObjects) -> Iterator[Finding]:
    """Pictures whose boxes seem to belong to the picture as it is stored, not as it is shown."""
    turned = things.in_turned_frame()
    if len(turned):
        yield finding(
            "error",
            "turned-frame",
            "Boxes in a turned frame",
            "The boxes of one picture reach outside, and would all fit if width and height were swapped: they were "
            "drawn on the picture as it is stored, before it was turned upright.|The boxes of {n} pictures reach "
            "outside, and would all fit if width and height were swapped: they were drawn on the pictures as they are "
            "stored, before they were turned upright.",
            "Draw them on the upright pictures; or save the pictures without their EXIF turn, if the boxes fit then.",
            _of_pictures(examination, things, turned),
            count=len(turned),
        )
    turn = examination.facts.column("orientation")
    rows = np.setdiff1d(np.intersect1d(np.flatnonzero(turn > 1), things.rows), turned)
    if len(rows):
        yield finding(
            "note",
            "turned-with-boxes",
            "Boxes on pictures that are stored turned",
            "One picture with boxes is stored turned or mirrored. Its boxes are read as drawn on the upright picture; "
            "look whether they lie right.|{n} pictures with boxes are stored turned or mirrored. Their boxes are read "
            "as drawn on the upright pictures; look whether they lie right.",
            "If they do not, draw them again, or save the pictures without their EXIF turn before you draw.",
            _of_pictures(examination, things, rows),
            count=len(rows),
        )


def _crowded(examination: Examination, things: FlatObjects) -> Iterator[Finding]:
    """Pictures with far more things than a person would mark."""
    rows, counts = things.crowded()
    if len(rows):
        yield finding(
            "warning",
            "many-things",
            "Pictures with far more things than the others",
            "One picture has far more things than the others.|{n} pictures have far more things than the others.",
            "Look whether they are real. A region of many things is one box, marked as a crowd.",
            _of_pictures(examination, things, rows),
            count=len(rows),
            figures={"most": int(counts[0])},
        )


def _kinds(examination: Examination, things: FlatObjects) -> Iterator[_Kind]:
    turned = things.in_turned_frame()
    outside = np.flatnonzero(things.outside() & ~np.isin(things.rows, turned))
    yield _Kind(
        "warning",
        "box-outside",
        "Boxes outside of their pictures",
        "One box reaches outside its picture.|{n} boxes reach outside their pictures.",
        "Training cuts them off at the edge. If many do, they were drawn on other pictures, or sizes are swapped.",
        outside,
        lambda i: f"box ({_shown(things.boxes_xyxy[i])}), picture {_size(things, i)}",
    )
    yield _Kind(
        "warning",
        "same-box-twice",
        "The same box twice",
        "One box is there twice.|{n} boxes are there twice.",
        "Remove one of each: a thing that is there twice cannot be found twice.",
        things.twice(),
        lambda i: f"box ({_shown(things.boxes_xyxy[i])})",
    )
    near = [pair[1] for pair in things.nearly_twice()]
    yield _Kind(
        "note",
        "nearly-same-box",
        "Two boxes around one thing",
        "Two boxes of one class lie on each other nearly exactly.|{n} boxes lie nearly exactly on another one of "
        "their class.",
        "Look at them: mostly one thing was drawn twice, by two people.",
        np.array(near, np.int64),
        lambda i: f"box ({_shown(things.boxes_xyxy[i])})",
    )
    yield from _two_classes(examination, things)
    off, by_px = things.masks_off()
    amount = dict(zip(off.tolist(), by_px.tolist(), strict=True))
    yield _Kind(
        "warning",
        "mask-disagrees",
        "Masks that disagree with their boxes",
        "One mask and its box do not belong together: a side of the two differs.|{n} masks and their boxes do not "
        "belong together: a side of the two differs.",
        "Draw the box around the mask, or correct the mask. Where many disagree, the masks are of other pictures or "
        "were resized.",
        off[np.argsort(-by_px, kind="stable")],
        lambda i: f"off by {amount[i]:.0f} px",
    )


def _two_classes(examination: Examination, things: FlatObjects) -> Iterator[_Kind]:
    names, other = examination.dataset.object_classes, {}
    for a, b in things.nearly_twice(other_class=True):
        other[b] = names[int(things.labels[a])]
    yield _Kind(
        "warning",
        "same-box-two-classes",
        "One thing under two classes",
        "One box lies on another one of a different class.|{n} boxes lie on others of a different class.",
        "Keep the right one. Where one class is part of another, name the finer one only.",
        np.array(sorted(other), np.int64),
        lambda i: f"also {other[i]}",
    )


def _told(examination: Examination, things: FlatObjects, kind: _Kind) -> Finding:
    """The finding of one kind; a place is a thing on its picture."""
    shown = kind.things[: examination.config.most].tolist()
    paths = paths_of(examination.dataset, things.rows[shown])
    names = examination.dataset.object_classes
    items = [
        Item(
            (path,),
            (int(things.rows[i]),),
            f"{names[int(things.labels[i])]}: {kind.text(i)}",
            figures={**drawn(things, [i], with_hull=kind.code == "mask-disagrees"), "close": True},
        )
        for i, path in zip(shown, paths, strict=True)
    ]
    n, share = len(kind.things), len(kind.things) / len(things)
    figures = {"things": n, "share": round(share, 6), "pictures": len(np.unique(things.rows[kind.things]))}
    return finding(
        kind.level,
        kind.code,
        kind.title,
        kind.what,
        kind.fix,
        items,
        count=n,
        most=len(items),
        figures=figures,
    )


def _tiny(examination: Examination, things: FlatObjects) -> Iterator[Finding]:
    """Things that are too small to be found at the size of training."""
    size, sides = examination.config.size, things.sides_at(examination.config.size)
    known = np.flatnonzero(np.isfinite(sides) & ~things.crowd)
    if not len(known):
        return
    tiny, lost = (known[sides[known] < px] for px in (TINY_PX, LOST_PX))
    share, gone = len(tiny) / len(known), len(lost) / len(known)
    wanted = things.size_for(TINY_PX, 1 - TINY_SHARE)
    figures: dict[str, Any] = {
        "size": size,
        "share_below_8_px": round(share, 6),
        "share_below_4_px": round(gone, 6),
        "size_that_keeps_95_percent": wanted,
        "size_that_keeps_99_percent": things.size_for(TINY_PX, 0.99),
    }
    if share <= TINY_SHARE:
        what = f"At {size} px {1 - share:.1%} of the things are {TINY_PX:g} px wide and high or larger."
        yield finding("good", "sizes-of-things", "Things stay large enough", what, figures=figures)
        return
    worst = np.argsort(-np.bincount(things.rows[tiny], minlength=len(things.looked)), kind="stable")
    worst = worst[: min(examination.config.most, len(np.unique(things.rows[tiny])))]
    yield finding(
        "warning",
        "tiny-things",
        "Things that vanish in training",
        f"At {size} px {share:.1%} of the things are smaller than {TINY_PX:g} px (one cell of the finest map), and "
        f"{gone:.1%} smaller than {LOST_PX:g} px: these cannot be found.",
        f"Train with `--size {wanted}`, which keeps 95 % at {TINY_PX:g} px or more; or cut the pictures into tiles.",
        _of_pictures(examination, things, worst, only=set(tiny.tolist())),
        count=len(worst),
        figures=figures,
    )


def _of_pictures(
    examination: Examination, things: FlatObjects, rows: Rows, only: set[int] | None = None
) -> list[Item]:
    """A place a picture, with its boxes; ``only`` these things."""
    shown = rows[: examination.config.most].tolist()
    paths = paths_of(examination.dataset, shown)
    return [_picture_item(things, row, path, only) for row, path in zip(shown, paths, strict=True)]


def _picture_item(things: FlatObjects, row: int, path: str, only: set[int] | None) -> Item:
    start, end = np.searchsorted(things.rows, [row, row + 1]).tolist()
    held = [i for i in range(start, end) if only is None or i in only]
    text = f"{len(held):,} {'thing' if len(held) == 1 else 'things'}" if held else ""
    return Item((path,), (row,), text, float(len(held)) if only else None, drawn(things, held))


def drawn(things: FlatObjects, at: Sequence[int], *, with_hull: bool = False) -> dict[str, Any]:
    """Boxes for the page to draw, as figures of a place: ``boxes`` [x1, y1, x2, y2] px and ``box_labels``; the hulls of
    masks, where they are wanted, have the label -1.
    """
    shown = list(at)[:MOST_DRAWN]
    boxes = [things.boxes_xyxy[i] for i in shown] + [things.hulls_xyxy[i] for i in shown if with_hull]
    return {
        "boxes": [[round(float(v), 2) for v in box] for box in boxes],
        "box_labels": [int(things.labels[i]) for i in shown] + [-1] * (len(boxes) - len(shown)),
    }


def _shown(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _size(things: FlatObjects, i: int) -> str:
    height, width = things.sizes_hw[things.rows[i]]
    return f"{width:.0f} x {height:.0f}"
