"""Whether a file that cannot be decoded was cut off, and JPEGs whose end was never written.

A broken copy or download is the commonest fault of a picture file, and has its own remedy: fetch it again. Each
format says in its bytes where it ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_WORDS = re.compile(
    r"truncat|cut off|unexpected end|premature|broken data stream|buffer is not large|not enough", re.I
)
_HEADS = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"RIFF.{4}WEBP", re.S), "WEBP"),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), "TIFF"),
    (re.compile(rb"BM.{4}\0\0\0\0", re.S), "BMP"),
    (re.compile(rb".{4}ftypavi[fs]", re.S), "AVIF"),
    (re.compile(rb".{4}ftyp(hei|hev|mif1|msf1)", re.S), "HEIF"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "JPEG2000"),
    (re.compile(rb"P[1-7][\s#]"), "PPM"),
    (re.compile(rb"%PDF"), "PDF"),
    (re.compile(rb"8BPS"), "PSD"),
    (re.compile(rb"\s*(<svg|<\?xml)"), "SVG"),
    (re.compile(rb"\x00\x00\x01\x00"), "ICO"),
)
_JPEG_END = b"\xff\xd9"
_ZEROS = 512
_ENDS: dict[str | None, Callable[[bytes], bool]] = {
    "JPEG": lambda data: _JPEG_END not in data,
    "PNG": lambda data: b"IEND" not in data,
    "WEBP": lambda data: int.from_bytes(data[4:8], "little") + 8 > len(data) + 1,
    "BMP": lambda data: int.from_bytes(data[2:6], "little") > len(data),
    "GIF": lambda data: len(data) > 13 and b";" not in data[-64:],
}
"""Format -> whether its mark of the end is missing, or it states more bytes than there are."""


def sniff(head: bytes) -> str | None:
    """Pillow's name of the format by the first 64 bytes, for files whose header could not be read; None: unknown."""
    return next((kind for pattern, kind in _HEADS if pattern.match(head)), None)


def is_cut_off(data: bytes, kind: str | None, reason: str) -> bool:
    """Whether the bytes end before the picture does.

    Parameters
    ----------
    data : the file. ``kind`` : Pillow's name of its format, None where the header told none.
    reason : why it could not be decoded, in the decoder's words.
    """
    if "the limit is" in reason:
        return False
    if _WORDS.search(reason) or "beyond its end" in reason:
        return True
    return kind in _ENDS and _ENDS[kind](data)


def ends_in_zeros(data: bytes) -> bool:
    """Whether a JPEG ends in a run of zeros where its last marker should be: room that a copy never filled.

    Decoders accept it, and show a picture whose lower part is grey.
    """
    if any(data[-_ZEROS:]):
        return False
    return not data.rstrip(b"\0").endswith(_JPEG_END)
