"""What can go wrong while Pillow decodes: every fault as one ImageError, no warning let out.

Pillow's decoders raise all kinds of exceptions on damaged files, and warn of much that no user can mend. Warnings
are muted in the reading thread alone. ``warnings.catch_warnings`` cannot do that: it swaps the filters of the
whole process and is not thread-safe, as Python's documentation says. Here one filter stays installed whose
pattern matches only while its own thread is reading.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from assay.errors import ImageError

_FIX = "copy it again from its source, or save it anew"
_OTHER_KINDS = (
    (re.compile(rb"^.{4}ftyp(hei|hev|mif1|msf1)", re.S), "an HEIC photo", "export it as JPEG"),
    (re.compile(rb"^.{4}ftyp", re.S), "a video", "export frames as JPEG or PNG"),
    (re.compile(rb"^%PDF"), "a PDF document", "export its pages as PNG"),
    (re.compile(rb"^%!PS"), "a PostScript document", "export it as PNG"),
    (re.compile(rb"^\s*(<\?xml|<svg|<!DOCTYPE|<html)", re.I), "a text document (SVG, XML or HTML)", None),
    (re.compile(rb"^PK\x03\x04"), "a ZIP archive", "unpack it first"),
)


def unknown_kind(name: str, head: bytes, formats: tuple[str, ...]) -> ImageError:
    """The fault of a file that no decoder takes; ``head`` is its first bytes."""
    known = f"use {', '.join(formats[:-1])} or {formats[-1]}"
    for pattern, kind, fix in _OTHER_KINDS:
        if pattern.match(head):
            return ImageError(f"{name} is not a picture that can be read", got=kind, fix=fix or known)
    return ImageError(
        f"{name} is not a picture that can be read", got=f"a file that begins with {head[:8]!r}", fix=known
    )


def too_many_pixels(name: str, got: str, limit: int) -> ImageError:
    """The fault of a picture beyond the limit."""
    return ImageError(
        f"{name} has too many pixels",
        got=f"{got}; the limit is {limit:,}",
        fix="save it smaller, or raise max_pixels",
    )


@contextmanager
def decoding(name: str, limit: int) -> Iterator[None]:
    """Mute Pillow's warnings in this thread, and turn whatever it raises into one ImageError."""
    with _quiet():
        try:
            yield
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            count = re.search(r"\d+", str(error))
            got = f"{int(count[0]):,} pixels" if count else "a decompression bomb"
            raise too_many_pixels(name, got, limit) from error
        except Exception as error:  # Pillow's decoders raise all kinds on damaged files
            raise ImageError(f"{name} is damaged", got=_reason(error), fix=_FIX) from error


def _reason(error: Exception) -> str:
    """Pillow's words on one line, without memory addresses."""
    words = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r" ?<[^>]* at 0x[0-9a-f]+>", "", words)[:200]


class _ReadingHere(threading.local):
    """Stands where a warnings filter keeps its pattern: matches in a thread that is reading a picture.

    ``pattern`` is for those who copy filters into other threads (scikit-learn does): there it matches nothing.
    """

    depth = 0
    pattern = "(?!)"

    def match(self, _text: str) -> bool:
        return self.depth > 0


_READING = _ReadingHere()
_FILTER: Any = ("ignore", None, Warning, _READING, 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings from this thread. The one filter stays installed, and is inert outside of reading."""
    filters: Any = warnings.filters
    if not filters or filters[0] is not _FILTER:
        filters.insert(0, _FILTER)
    _READING.depth += 1
    try:
        yield
    finally:
        _READING.depth -= 1


def check_tiff(name: str, tags: Any, size: int) -> None:
    """Refuse a TIFF of nonsense before libtiff, which complains on stderr at length, gets to see it.

    ``tags`` is Pillow's ``tag_v2``, ``size`` the bytes of the file.

    Raises
    ------
    ImageError : places of pixels (strips or tiles) are missing, or lie outside the file.
    """
    found = False
    for offsets, counts in ((273, 279), (324, 325)):
        starts, lengths = _numbers(tags.get(offsets)), _numbers(tags.get(counts))
        found = found or bool(starts)
        if any(at < 0 or at + length > size for at, length in zip(starts, lengths, strict=False)):
            got = f"pixels said to lie beyond its end, in {size:,} bytes"
            raise ImageError(f"{name} is damaged or cut off", got=got, fix=_FIX)
    if not found:
        raise ImageError(f"{name} is damaged", got="a TIFF that does not say where its pixels are", fix=_FIX)


def _numbers(value: Any) -> list[int]:
    values = value if isinstance(value, tuple) else (value,)
    return [v for v in values if isinstance(v, int)]
