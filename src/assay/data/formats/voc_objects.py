"""The objects of one VOC file, and which pixel its numbers count from.

VOC names pixels from 1 and includes the last one: 1, 1, 640, 480 is a whole picture. Many tools write edges
counted from 0 in the same place: 0, 0, 640, 480. A file does not say which, and the two differ by one pixel at
the left and upper edge, never by more. The rule: where a first corner of 0 (or below 1) occurs anywhere in a data
set, its numbers are edges; else they are VOC's. Files that Assay wrote say that they are VOC's, and are not
asked.

In other tools' files a box whose first and last pixel are one is a slip of the hand, and is kept out; a box of
one pixel that Assay wrote is none. Numbers are taken as decimals, so that 1 more and 1 less lead back to the same
number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Context, Decimal
from pathlib import Path

from assay.data.faults import Faults
from assay.data.formats.voc_xml import Element, read_xml
from assay.data.names import nfc
from assay.errors import DatasetError

OURS = "Assay; the first pixel is 1"
"""What ``<source><annotation>`` says in files that Assay wrote."""

EXACT = Context(prec=60)
"""Sums of decimals without rounding."""

CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, slots=True)
class VocObject:
    """One object as its file says it; ``place`` is that file with the line."""

    label: str
    corners: tuple[Decimal, ...]
    is_difficult: bool
    place: str

    def box(self, first_pixel: int) -> list[float]:
        """Corners x1, y1, x2, y2 as the column ``objects`` has them; ``first_pixel`` is the number of the first one."""
        x1, y1, x2, y2 = self.corners
        return [float(EXACT.subtract(v, Decimal(first_pixel))) for v in (x1, y1)] + [float(x2), float(y2)]


@dataclass(frozen=True)
class VocFile:
    """What one file says. ``size_hw`` is None where it says none; ``is_faulty``: something in it could not be used."""

    size_hw: tuple[int, int] | None
    is_ours: bool
    objects: list[VocObject] = field(default_factory=list)
    is_faulty: bool = False

    def from_zero(self) -> VocObject | None:
        """The first object whose first corner lies before VOC's first pixel, but not outside of the picture."""
        if self.is_ours:
            return None
        return next((o for o in self.objects if any(0 <= corner < 1 for corner in o.corners[:2])), None)


def read_file(path: Path, place: str, faults: Faults) -> VocFile:
    """Read one XML file, called ``place`` in messages; what cannot be used is told to ``faults``."""
    try:
        root = read_xml(path)
        if root.name != "annotation":
            raise DatasetError(
                f"begins with <{root.name[:40]}> in place of <annotation>", fix="name VOC files only"
            )
    except DatasetError as error:
        faults.add(place, f"{error.what} ({error.got})" if error.got else error.what, error.fix or "")
        return VocFile(None, is_ours=False, is_faulty=True)
    source = root.first("source")
    is_ours = source is not None and source.text_of("annotation") == OURS
    objects, is_faulty = [], False
    for element in root.all("object"):
        where = f"{place} line {element.line}"
        try:
            objects.append(_object(element, where, first_pixel=int(is_ours)))
        except DatasetError as error:
            faults.add(where, error.what, error.fix or "")
            is_faulty = True
    return VocFile(_size(root), is_ours, objects, is_faulty)


def _object(element: Element, place: str, first_pixel: int) -> VocObject:
    label = nfc(element.text_of("name"))
    if not label:
        raise DatasetError("an object has no name", fix="write its class into <name>")
    box = element.first("bndbox")
    if box is None:
        raise DatasetError(f"{label} has no bndbox", fix="draw an upright box; turned ones are not read")
    words = [box.text_of(name) for name in CORNERS]
    corners = tuple(_number(name, word, label) for name, word in zip(CORNERS, words, strict=True))
    x1, y1, x2, y2 = corners
    shown = f"the box ({', '.join(words)}) of {label}"
    if x2 < x1 - first_pixel or y2 < y1 - first_pixel:
        raise DatasetError(f"{shown} ends before it begins", fix="swap its corners, or remove it")
    if x2 == x1 - first_pixel or y2 == y1 - first_pixel:
        raise DatasetError(f"{shown} has no area", fix="draw it again, or remove it")
    return VocObject(label, corners, element.text_of("difficult") == "1", place)


def _number(name: str, word: str, label: str) -> Decimal:
    try:
        if math.isfinite(float(word)):
            return Decimal(word)
    except ValueError:
        pass
    got = f"is {word[:20]!r}" if word else "is missing"
    raise DatasetError(f"{name} of {label} {got}, which is no number", fix="write it in pixels") from None


def _size(root: Element) -> tuple[int, int] | None:
    """Height and width, where both are there and above 0."""
    size = root.first("size")
    words = [size.text_of(name) for name in ("height", "width")] if size is not None else ["", ""]
    try:
        height, width = (int(float(word)) for word in words)
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None
