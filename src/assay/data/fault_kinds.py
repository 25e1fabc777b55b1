"""The kinds of faults of boxes and masks, told apart by the words that the readers have for them.

A reader says of each fault where it stands and what it is. Whoever reads a hundred of them first wants to know of which
kinds they are. The words below are those of ``box_values``, ``coco_json``, ``masks`` and the formats; a test holds each
kind against a file with that very fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class FaultKind:
    """``code`` is a stable name for scripts; ``title`` a heading; ``what`` = "for one|for {n}" a sentence without its
    full stop; ``fix`` what to do, "" where the faults themselves say it.
    """

    code: str
    title: str
    what: str
    fix: str
    words: str


_KINDS = (
    FaultKind(
        "no-number",
        "Boxes that are no numbers",
        "one box is not made of numbers, and is kept out|{n} boxes are not made of numbers, and are kept out",
        "draw them again, or remove them",
        r"\bnan\b|\binf\b|not four numbers|which is no number|^(?!class )\S+ is no number|not x, y, width, height"
        r"|not \[label|fifth number|numbers? behind",
    ),
    FaultKind(
        "pixels-for-fractions",
        "Pixels where fractions belong",
        "one line has values beyond 1 where fractions of the picture belong, and is kept out"
        "|{n} lines have values beyond 1 where fractions of the picture belong, and are kept out",
        "if these are pixels, divide them by the picture's width and height",
        r"are fractions of the picture",
    ),
    FaultKind(
        "turned-frame",
        "Drawn before the picture was turned",
        "the labels of one picture are for another frame: width and height are swapped"
        "|the labels of {n} pictures are for another frame: width and height are swapped",
        "if they were drawn on the stored picture, draw them on the upright one, or remove its EXIF turn",
        r"EXIF",
    ),
    FaultKind(
        "no-area",
        "Boxes and masks without area",
        "one box or mask has no area|{n} boxes or masks have no area",
        "draw them again, or remove them",
        r"no area|no box with an area|ends before it begins|covers the middle of no pixel|holds no pixel",
    ),
    FaultKind(
        "no-picture",
        "Labels without a picture",
        "one label belongs to no picture|{n} labels belong to no picture",
        "add the picture, correct its name or number, or remove the label",
        r"no image has the id|no picture (is called|has this name)|there is no picture|pictures is found",
    ),
    FaultKind(
        "class-order",
        "Classes in another order",
        "one file has the classes in another order or under other numbers"
        "|{n} files have the classes in another order or under other numbers",
        "",
        r"other ids than|another order|other classes than",
    ),
    FaultKind(
        "classes-differ",
        "Parts with different classes",
        "the list of classes of one file differs from that of the first"
        "|the lists of classes differ between files, {n} times",
        "give all parts the same classes; spelling counts",
        r"categories are (not )?in ",
    ),
    FaultKind(
        "unknown-class",
        "Classes without a name",
        "one thing is of a class that has no name, and is kept out"
        "|{n} things are of a class that has no name, and are kept out",
        "correct the number, or add the class to the list",
        r"no category has the id|is none of the|names \d[\d,]* classes|class .* is no number|has no name|has no class",
    ),
    FaultKind(
        "listed-twice",
        "Entries that are listed twice",
        "one entry is listed twice|{n} entries are listed twice",
        "remove one of each two, or give each a number of its own",
        r"listed twice|has the same id",
    ),
    FaultKind(
        "size-differs",
        "Labels for a picture of another size",
        "the labels of one picture are for another size|the labels of {n} pictures are for another size",
        "draw them again on the upright picture, or correct the size",
        r"upright picture is|height and width are|another size than its picture|a mask of \d",
    ),
    FaultKind(
        "broken-mask",
        "Masks that cannot be drawn",
        "one mask cannot be drawn|{n} masks cannot be drawn",
        "draw them again, or leave the boxes alone",
        r"polygon|run lengths|segmentation is neither|[Mm]ask",
    ),
)

REST = FaultKind(
    "kept-out",
    "Boxes and masks that could not be used",
    "one thing could not be used and is kept out|{n} things could not be used and are kept out",
    "",
    r"",
)

KINDS = {kind.code: kind for kind in (*_KINDS, REST)}
"""Code -> kind, in the order in which their words are looked for."""

_WORDS = {code: re.compile(kind.words) for code, kind in KINDS.items()}


def kind_of(what: str, fix: str = "") -> str:
    """The code of the first kind whose words stand in what is told of a fault."""
    told = f"{what}\n{fix}"
    return next(code for code, words in _WORDS.items() if words.search(told))
