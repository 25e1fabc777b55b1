"""Files that strangers may send: bombs, giant metadata, two kinds in one file, wrong endings, cut off at every byte.

``made_files`` gives all but the cuts; ``cut_files`` gives those; ``mutated_files`` has bytes changed at random.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO

import numpy as np
from PIL import Image, PngImagePlugin

from benchmarks.data.hostile_bombs import BOMBS, MIB, PNG_START, chunk, png, saved

Maker = Callable[[], bytes]

WORDS = b"<html><script>alert(document.domain)</script></html>"
PHP = b"<?php echo file_get_contents('../../secrets.env'); ?>"
SVG = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:9/x.png"/><text>&x;</text></svg>'
)
LAUGHS = b"<!DOCTYPE l [" + b"".join(
    b'<!ENTITY a%d "%s">' % (i, b"&a%d;" % (i - 1) * 10 if i else b"lol") for i in range(10)
) + b"]><svg>&a9;</svg>"  # fmt: skip
MVG = b"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'https://127.0.0.1:9/x.png'\npop graphic-context"


_STARTS = {
    "jpg": b"\xff\xd8\xff\xe0", "png": PNG_START, "gif": b"GIF89a", "webp": b"RIFF\0\0\0\1WEBP", "tiff": b"II*\0",
    "bmp": b"BM", "avif": b"\0\0\0 ftypavif", "jp2": b"\0\0\0\x0cjP  \r\n\x87\n", "ppm": b"P6\n",
}  # fmt: skip


def photograph(name: str, side: int = 48) -> bytes:
    """A small picture with something in every block, in a format."""
    rng = np.random.default_rng(7)
    rough = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    picture = rough.resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
    with BytesIO() as target:
        picture.save(target, name, **({"speed": 10} if name == "AVIF" else {}))
        return target.getvalue()


def made_files() -> Iterator[tuple[str, Maker]]:
    """(name, a function that makes the bytes), all but the cuts."""
    yield from BOMBS.items()
    yield from _metadata()
    yield from _two_kinds()


def cut_files(names: tuple[str, ...], stride: int) -> Iterator[tuple[str, Maker]]:
    """Each beginning of a small photo whose length is a multiple of ``stride``."""
    for name in names:
        data = photograph(name)
        for end in range(0, len(data), stride):
            yield f"cut-at-{end}.{name.lower()}", lambda data=data, end=end: data[:end]  # type: ignore[misc]


def mutated_files(names: tuple[str, ...], number: int, seed: int = 0) -> Iterator[tuple[str, Maker]]:
    """``number`` copies of a small photo of each format, with one byte in 200 (at least one) changed at random."""
    rng = np.random.default_rng(seed)
    for name in names:
        data = np.frombuffer(photograph(name), np.uint8)
        for place in range(number):
            changed = data.copy()
            where = rng.integers(0, len(data), max(1, len(data) // 200))
            changed[where] = rng.integers(0, 256, len(where), dtype=np.uint8)
            yield f"mutated-{place}.{name.lower()}", changed.tobytes


def with_segments(marker: int, body: bytes, number: int) -> bytes:
    """A JPEG with the same segment so many times behind its start."""
    data = photograph("JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    return data[:2] + segment * number + data[2:]


def exif(entries: int, *, circle: bool = False) -> bytes:
    """An EXIF block of so many entries, each of which says to hold a gigabyte; or one that points to itself."""
    rows = b"".join(struct.pack("<HHII", 0x9000 + i % 256, 7, 2**30, 8) for i in range(entries))
    if circle:
        rows = struct.pack("<HHII", 0x8769, 4, 1, 8)
        entries = 1
    return (
        b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", entries) + rows + struct.pack("<I", 8 if circle else 0)
    )


def _metadata() -> Iterator[tuple[str, Maker]]:
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    yield "exif-30-mib.jpg", lambda: with_segments(0xE1, exif(5000)[:65_000], 480)
    yield "exif-in-a-circle.jpg", lambda: with_segments(0xE1, exif(1, circle=True), 1)
    yield "xmp-30-mib.jpg", lambda: with_segments(0xE1, xmp + b"tiff:Orientation=" * 3800, 480)
    yield "icc-30-mib.jpg", lambda: with_segments(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(65_000), 480)
    yield "photoshop-30-mib.jpg", lambda: with_segments(0xED, b"Photoshop 3.0\x008BIM" + bytes(65_000), 480)
    yield "comments-200000.jpg", lambda: with_segments(0xFE, b"x", 200_000)
    yield "pictures-65535.jpg", lambda: with_segments(0xE2, b"MPF\0II*\0\x08\0\0\0" + _mpo_entries(), 1)
    yield "xmp-30-mib.png", lambda: _with_text(b"<x tiff:Orientation='" + b"9" * 30 * MIB)
    yield "exif-5000.png", lambda: png(16, 16, before=chunk(b"eXIf", exif(5000)[6:]))
    yield "exif-in-a-circle.png", lambda: png(16, 16, before=chunk(b"eXIf", exif(1, circle=True)[6:]))
    yield "metadata-30-mib.webp", lambda: saved("RGB", 16, "WEBP", xmp=b"<x>" * 5 * MIB, exif=exif(5000))
    yield "comment-30-mib.gif", _comment_gif


def _mpo_entries() -> bytes:
    rows = [(0xB000, 7, 4, 0x30303130), (0xB001, 4, 1, 65_535), (0xB002, 7, 16 * 65_535, 8)]
    return struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)


def _with_text(text: bytes) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", text.decode())
    return saved("RGB", 16, "PNG", pnginfo=info)


def _comment_gif() -> bytes:
    data = photograph("GIF")
    at = data.index(b"\x2c", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    return data[:at] + b"\x21\xfe" + (b"\xff" + b"x" * 255) * (30 * MIB // 256) + b"\0" + data[at:]


def _archive() -> bytes:
    with BytesIO() as target:
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr("../../etc/crontab", "* * * * * root true")
        return target.getvalue()


def _two_kinds() -> Iterator[tuple[str, Maker]]:
    for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        yield f"{name.lower()}-and-zip.{name.lower()}", lambda name=name: photograph(name) + _archive()  # type: ignore[misc]
        yield f"{name.lower()}-and-php.{name.lower()}", lambda name=name: photograph(name) + PHP  # type: ignore[misc]
    yield "gif-and-html.gif", lambda: b"GIF89a/*" + bytes(5) + b"*/=1;" + WORDS
    yield "gif-with-php.gif", lambda: b"GIF89a" + PHP
    yield "jpeg-with-php.jpg", lambda: with_segments(0xFE, PHP, 1)
    yield "bmp-and-html.bmp", lambda: b"BM" + WORDS
    yield "png-and-html.png", lambda: PNG_START + WORDS
    yield "jpeg-start-and-svg.jpg", lambda: b"\xff\xd8\xff" + SVG
    yield "pdf-in-jpeg.jpg", lambda: photograph("JPEG")[:20] + b"%PDF-1.7\n1 0 obj" + photograph("JPEG")[20:]
    yield "pdf.jpg", lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj" + photograph("JPEG")
    yield "svg.png", lambda: SVG
    yield "laughs.svg", lambda: LAUGHS
    yield "php.jpg", lambda: PHP
    yield "html.webp", lambda: WORDS
    yield (
        "postscript.jpg",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9999 9999\n(/etc/passwd) run\n" * 100,
    )
    yield "mvg.png", lambda: MVG
    yield "zip.png", _archive
    yield "heic.jpg", lambda: b"\0\0\0\x18ftypheic" + bytes(200)
    yield "video.gif", lambda: b"\0\0\0\x18ftypmp42" + bytes(200)
    yield "program.png", lambda: b"\x7fELF\2\1\1" + bytes(200)
    yield "empty.jpg", lambda: b""
    yield "zeros.jpg", lambda: bytes(MIB)
    yield "ones.png", lambda: b"\xff" * MIB
    for name, start in _STARTS.items():
        yield f"noise.{name}", lambda start=start: start + np.random.default_rng(1).bytes(100_000)  # type: ignore[misc]
