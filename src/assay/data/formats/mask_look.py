"""One look at a picture and its masks: sizes, the classes that occur, and the things with boxes, masks and classes.

Every mask is decoded once while a data set is read, as nothing else tells of a value beyond the class names or of a
mask drawn on another picture. The photos themselves give their size from the header alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.data.faults import Fault
from assay.data.formats.mask_layout import Entry
from assay.data.object_rows import in_threads, told_place
from assay.decoding import decoding
from assay.errors import AssayError, ImageError
from assay.image import DEFAULT_LIMITS, open_header, read_bytes, read_size
from assay.masks import encode
from assay.pixel_masks import IGNORE, classes_used, read_pixels, read_things

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REDRAW = "draw it on the upright picture, pixel for pixel"


@dataclass(frozen=True)
class SeenThing:
    """One value of an instance mask: ``kind`` is the class of most of its pixels, ``counts`` its run lengths."""

    value: int
    kind: int
    box_xyxy: tuple[float, float, float, float]
    counts: str


@dataclass
class Seen:
    """What one look showed. ``kinds`` is None where there is no usable mask, ``things`` where nobody marked them.

    ``is_partly``: some of its things could not be used, and are not in ``things``.
    """

    entry: Entry
    size_hw: tuple[int, int] | None = None
    kinds: list[int] | None = None
    has_unknown: bool = False
    things: list[SeenThing] | None = None
    is_partly: bool = False
    faults: list[Fault] = field(default_factory=list)


def look_at_all(entries: Sequence[Entry], root: Path) -> list[Seen]:
    """One look at each, in order; decoding runs in threads."""
    return list(in_threads(lambda entry: look(entry, root), entries))


def look(entry: Entry, root: Path) -> Seen:
    """Size of the picture, classes of its pixels, its things; a mask that cannot be used becomes a fault."""
    seen = Seen(entry)
    with contextlib.suppress(ImageError):  # `assay check` and the doctor name pictures that cannot be read
        seen.size_hw = read_size(entry.picture)
    pixels = None
    if entry.mask is not None:
        pixels = _classes(entry.mask, root, seen)
    if entry.things is not None:
        _look_at_things(entry.things, pixels, root, seen)
    return seen


def _classes(mask: Path, root: Path, seen: Seen) -> NDArray[np.uint8] | None:
    place = told_place(mask, root)
    try:
        pixels = read_pixels(mask)
    except ImageError as error:
        seen.faults.append(_unreadable(place, error))
        return None
    if not _fits(pixels.shape, place, seen):
        return None
    seen.kinds, seen.has_unknown = list(classes_used(pixels)), bool((pixels == IGNORE).any())
    return pixels


def _look_at_things(mask: Path, pixels: NDArray[np.uint8] | None, root: Path, seen: Seen) -> None:
    place = told_place(mask, root)
    if pixels is None:
        fix = "add the mask of the same name whose values are classes"
        seen.faults.append(Fault(place, "the classes of its things are not told", fix))
        return
    try:
        values, all_count = read_things(mask)
    except ImageError as error:
        seen.faults.append(_unreadable(place, error))
        return
    if _fits(values.shape, place, seen):
        if not all_count:
            values = np.where(values == IGNORE, 0, values).astype(np.uint16)
        seen.things = _things(values, pixels, place, seen)


def _things(
    values: NDArray[np.uint16], pixels: NDArray[np.uint8], place: str, seen: Seen
) -> list[SeenThing] | None:
    """A thing for every value but 0, in the order of values; None where there are some and none can be used."""
    found, earlier = [], len(seen.faults)
    for value in (int(v) for v in np.flatnonzero(np.bincount(values.reshape(-1))) if v):
        inside = values == value
        known = pixels[inside & (pixels != IGNORE)]
        if not known.size:
            what = f"thing {value} has no class: all its pixels are {IGNORE} in the mask of classes"
            seen.faults.append(Fault(place, what, "give its pixels a class, or remove it"))
            continue
        mask = encode(inside)
        x1, y1, x2, y2 = (float(v) for v in mask.box_xyxy)
        found.append(SeenThing(value, int(np.bincount(known).argmax()), (x1, y1, x2, y2), mask.counts))
    seen.is_partly = len(seen.faults) > earlier
    return None if not found and seen.is_partly else found


def _fits(size_hw: tuple[int, ...], place: str, seen: Seen) -> bool:
    """Whether a mask has the size of its picture; of a picture that cannot be read the mask tells the size."""
    wanted = seen.size_hw = seen.size_hw or (size_hw[0], size_hw[1])
    if size_hw == wanted:
        return True
    what = (
        f"a mask of {size_hw[1]} x {size_hw[0]} px for a picture of {wanted[1]} x {wanted[0]} px"
        f" ({seen.entry.picture.name})"
    )
    if size_hw == wanted[::-1] and _is_turned(seen.entry.picture):
        what += ": it fits the pixels as stored, and the picture's EXIF data turns them"
        seen.faults.append(Fault(place, what, f"turn the mask as the picture is turned, or {_REDRAW}"))
    else:
        seen.faults.append(Fault(place, what, _REDRAW))
    return False


def _is_turned(picture: Path) -> bool:
    """Whether the stored picture lies on its side."""
    try:
        with (
            decoding(str(picture), DEFAULT_LIMITS.max_pixels),
            BytesIO(read_bytes(picture)) as stream,
        ):
            width, height = open_header(stream, str(picture), DEFAULT_LIMITS).size
        return (height, width) != read_size(picture)
    except AssayError:
        return False


def _unreadable(place: str, error: ImageError) -> Fault:
    """The fault of a mask file, without the folder that the message of ``assay.image`` begins with."""
    what = error.what.rpartition("/")[2]
    return Fault(place, f"{what} ({error.got})" if error.got else what, error.fix or "save it again")
