"""Names as users write them in folders and tables: parts, pictures, and the order of classes.

``val``, ``dev`` and ``validation`` are one part; ``photo.JPG`` is a picture and ``Thumbs.db`` is not; class 10
comes after class 9. These rules are the same for every data format, so they stand in one place.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

PART_ALIASES = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "validation": "validation",
    "validate": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
"""What people call the parts (in any case) -> one of ``types.PARTS``."""

PICTURE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".apng",
        ".webp",
        ".bmp",
        ".dib",
        ".gif",
        ".tif",
        ".tiff",
        ".jp2",
        ".j2k",
        ".jpx",
        ".jpf",
    }
    | {".avif", ".ppm", ".pgm", ".pbm", ".pnm"}
    # no decoder for phones' HEIC here; such files are taken in, so that the checks can name them
    | {".heic", ".heif"}
)
"""Lower-case file name endings that count as pictures."""

OTHER_SUFFIXES = frozenset(
    {".ico", ".cur", ".icns", ".tga", ".psd", ".xcf", ".pcx", ".sgi", ".jxl", ".hdr", ".exr", ".svg"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".dcm"}
)
"""Endings of pictures in formats that are not read: raw photos, icons, drawings. They are passed over, and told."""

_LITTER = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"})
_DIGITS = re.compile("([0-9]+)")


def part_named(name: str) -> str | None:
    """The part that a folder or a table cell means, or None: ``part_named("Dev") == "validation"``."""
    return PART_ALIASES.get(name.strip().casefold())


def is_hidden(name: str) -> bool:
    """Files and folders that systems leave behind: dot files, ``__MACOSX``, ``Thumbs.db``."""
    return name.startswith(".") or name.casefold() in _LITTER


def is_picture(name: str) -> bool:
    """Whether a file name (not hidden) ends like a picture's."""
    return _ending(name) in PICTURE_SUFFIXES and not is_hidden(name)


def is_other_picture(name: str) -> bool:
    """Whether a file name (not hidden) ends like that of a picture which Assay does not read."""
    return _ending(name) in OTHER_SUFFIXES and not is_hidden(name)


def _ending(name: str) -> str:
    _, dot, ending = name.rpartition(".")
    return f"{dot}{ending.lower()}"


def nfc(text: str) -> str:
    """Unicode NFC: a name written on a Mac equals the same name written elsewhere."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def natural_key(text: str) -> tuple[list[int | str], str]:
    """Sort key: runs of digits count as numbers (``size 9`` before ``size 10``); ties by code point."""
    pieces: list[int | str] = list(_DIGITS.split(nfc(text)))
    pieces[1::2] = [int(piece) for piece in pieces[1::2]]
    return pieces, text


def in_order(names: Iterable[str]) -> list[str]:
    """Unique names in natural order, as NFC."""
    return sorted({nfc(name) for name in names}, key=natural_key)


def some(names: Iterable[str], n: int = 5) -> str:
    """The first ``n`` names for a message, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - n:,} more" if len(listed) > n else ""
    return ", ".join(listed[:n]) + more


def text_of(value: Any) -> str | None:
    """A cell as text, 7.0 as "7"; None where it is empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return text or None
