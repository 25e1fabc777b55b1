"""Small files that state or unfold to something huge: each is made here, byte by byte where Pillow would not write it.

``BOMBS``: name -> a function that makes the bytes.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

from PIL import Image

MIB = 1024 * 1024
PNG_START = b"\x89PNG\r\n\x1a\n"
GREATEST = 6324
"""Side of the largest square that the service takes: 40 million pixels."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deflated(size: int) -> bytes:
    """``size`` zeros, deflated to a thousandth: one block of a MiB, as often as it takes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    rest = packer.compress(bytes(size % MIB)) + packer.flush()
    return b"\x78\xda" + block * (size // MIB) + rest + struct.pack(">HH", size % 65_521, 1)  # Adler-32


def png(
    width: int,
    height: int,
    *,
    depth: int = 8,
    colour: int = 2,
    interlaced: bool = False,
    unfolds: int = 0,
    before: bytes = b"",
) -> bytes:
    """A PNG of one colour. ``unfolds``: bytes that its pixels unfold to; as many as it states when left out."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    size = unfolds or height * (1 + (width * channels * depth + 7) // 8)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    palette = chunk(b"PLTE", bytes(6)) if colour == 3 else b""
    pixels = chunk(b"IDAT", deflated(size))
    return PNG_START + chunk(b"IHDR", head) + palette + before + pixels + chunk(b"IEND", b"")


def packed_text(size: int, kind: bytes = b"zTXt") -> bytes:
    """A text chunk of a PNG that unfolds to ``size`` bytes."""
    start = b"Comment\0\0" if kind == b"zTXt" else b"XML:com.adobe.xmp\0\1\0\0\0"
    return chunk(kind, start + deflated(size))


def gif(width: int, height: int, frames: int = 1, *, side: int = 1) -> bytes:
    """A GIF with a screen of this size and so many frames of ``side`` pixels."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\0\1\0\0\0\x2c" + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\0"
    return head + frame * frames + b";"


def many_png_frames(number: int) -> bytes:
    """An animated PNG with so many frames of one pixel."""
    pixel, parts = deflated(4), []
    for place in range(number):
        control = struct.pack(">IIIIIHHBB", 2 * place, 1, 1, 0, 0, 1, 10, 0, 0)
        parts += [chunk(b"fcTL", control), chunk(b"fdAT", struct.pack(">I", 2 * place + 1) + pixel)]
    return png(1, 1, before=chunk(b"acTL", struct.pack(">II", number, 0)) + b"".join(parts))


def tiff(entries: list[tuple[int, int, int, int]], following: int = 0, tail: bytes = b"") -> bytes:
    """A TIFF of one directory. ``entries``: tag, type, count, value."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + struct.pack("<I", following) + tail


def tiff_of(width: int, height: int, *, rows: int, data: bytes, packed: int = 1, **more: int) -> bytes:
    """A grey TIFF in one strip, ``packed`` as TIFF's compression says; ``more`` are further tags, ``t`` and number."""
    entries = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, packed), (262, 3, 1, 1), (277, 3, 1, 1),
        (278, 4, 1, rows), (279, 4, 1, len(data)), *((int(tag[1:]), 4, 1, value) for tag, value in more.items()),
    ]  # fmt: skip
    start = 8 + 2 + 12 * (len(entries) + 1) + 4
    return tiff([*entries, (273, 4, 1, start)], tail=data)


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP that states a size and has no pixels; its sides have 14 bits."""
    bits = (width - 1) | (height - 1) << 14
    body = b"VP8L" + struct.pack("<I", 5 + 64) + b"\x2f" + struct.pack("<I", bits) + bytes(64) + b"\0"
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_canvas(side: int) -> bytes:
    """An extended WebP whose canvas is huge and whose only frame is tiny."""
    inner = saved("RGB", 8, "WEBP")[12:]
    body = b"VP8X" + struct.pack("<II", 10, 0) + struct.pack("<I", side - 1)[:3] * 2 + inner
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def jpeg_stated(width: int, height: int) -> bytes:
    """A JPEG of 8 x 8 whose frame header states another size."""
    data = bytearray(saved("RGB", 8, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of one colour whose last scan, a few bytes, is there so many times: each visits all blocks."""
    data = saved("L", side, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + data[-2:]


def jpeg2000_stated(side: int, tile: int, components: int = 3) -> bytes:
    """A JPEG 2000 codestream that states a size and its tiles, and ends there."""
    size = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, components)
    size += b"\x07\x01\x01" * components
    coding = b"\xff\x52\x00\x0c\0\0\0\1\1\5\4\4\0\0"
    quantised = b"\xff\x5c\x00\x13\x40" + bytes(16)
    start = b"\xff\x90\x00\x0a\0\0\0\0\0\0\0\1\xff\x93"
    return (
        b"\xff\x4f\xff\x51"
        + struct.pack(">H", len(size) + 2)
        + size
        + coding
        + quantised
        + start
        + b"\0\xff\xd9"
    )


def bmp(width: int, height: int, *, packing: int = 0, colours: int = 0, data: bytes = b"") -> bytes:
    """A BMP of 8 bits a pixel."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, packing, len(data), 0, 0, colours, 0)
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + 40 + 1024 + len(data), 0, 0, 14 + 40 + 1024)
        + head
        + bytes(1024)
        + data
    )


def avif_stated(side: int) -> bytes:
    """An AVIF of 16 x 16 whose container states another size."""
    data = saved("RGB", 16, "AVIF", speed=10)
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


@functools.cache
def saved(mode: str, side: int, name: str, **options: Any) -> bytes:
    """A square of one colour as Pillow writes it."""
    with BytesIO() as target:
        Image.new(mode, (side, side)).save(target, name, **options)
        return target.getvalue()


def _png_bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "stated-100000.png", lambda: png(100_000, 100_000, unfolds=MIB)
    yield "stated-2-31.png", lambda: png(2**31 - 1, 2**31 - 1, unfolds=MIB)
    yield "one-pixel-too-many.png", lambda: png(GREATEST + 1, GREATEST + 1)
    for name, depth, colour in (("grey", 8, 0), ("rgb", 8, 2), ("palette", 8, 3), ("rgba", 8, 6), ("grey-16", 16, 0),
                                ("rgba-16", 16, 6), ("bits", 1, 0)):  # fmt: skip
        yield f"greatest-{name}.png", lambda d=depth, c=colour: png(GREATEST, GREATEST, depth=d, colour=c)
    yield (
        "greatest-interlaced.png",
        lambda: png(GREATEST, GREATEST, interlaced=True, unfolds=GREATEST * (3 * GREATEST + 8)),
    )
    yield "one-row.png", lambda: png(40_000_000, 1)
    yield "one-column.png", lambda: png(1, 40_000_000)
    yield "more-pixels-than-stated.png", lambda: png(16, 16, unfolds=1024 * MIB)
    yield "text-1-gib.png", lambda: png(16, 16, before=packed_text(1024 * MIB))
    yield "xmp-1-gib.png", lambda: png(16, 16, before=packed_text(1024 * MIB, b"iTXt"))
    yield "texts-of-1-mib.png", lambda: png(16, 16, before=packed_text(MIB - 1) * 2000)
    yield "icc-1-gib.png", lambda: png(16, 16, before=chunk(b"iCCP", b"p\0\0" + deflated(1024 * MIB)))
    yield "a-million-chunks.png", lambda: png(16, 16, before=chunk(b"prVt", b"") * 1_000_000)
    yield "frames-100000.png", lambda: many_png_frames(100_000)


def _other_bombs() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "screen-65535.gif", lambda: gif(65_535, 65_535)
    yield "frame-65535.gif", lambda: gif(1, 1, side=65_535)
    yield "frames-100000.gif", lambda: gif(1, 1, 100_000)
    yield "frames-100000-of-a-large-screen.gif", lambda: gif(GREATEST, GREATEST, 100_000)
    yield "stated-2-31.tiff", lambda: tiff_of(2**31 - 1, 2**31 - 1, rows=2**31 - 1, data=b"\0" * 64)
    yield (
        "greatest.tiff",
        lambda: tiff_of(GREATEST, GREATEST, rows=GREATEST, data=deflated(GREATEST * GREATEST), packed=8),
    )
    yield "strip-unfolds-to-1-gib.tiff", lambda: tiff_of(16, 16, rows=16, data=deflated(1024 * MIB), packed=8)
    yield "strips-of-one-row.tiff", lambda: tiff_of(16, 4_000_000, rows=1, data=b"\0" * 64)
    yield "directory-in-a-circle.tiff", lambda: tiff([(256, 4, 1, 8), (257, 4, 1, 8), (34665, 4, 1, 8)], 8)
    yield "tags-65535.tiff", lambda: tiff([(tag, 4, 2**30, 8) for tag in range(65_535)], tail=b"\0" * 64)
    yield (
        "tiles.tiff",
        lambda: tiff_of(16, 16, rows=16, data=b"\0" * 64, t322=2**30, t323=2**30, t324=8, t325=8),
    )
    yield "stated-16384.webp", lambda: webp_header(16_384, 16_384)
    yield "stated-6324.webp", lambda: webp_header(GREATEST, GREATEST)
    yield "canvas-16777216.webp", lambda: webp_canvas(2**24)
    yield "greatest.webp", lambda: saved("RGB", GREATEST, "WEBP", lossless=True, quality=0, method=0)
    yield "stated-65500.jpg", lambda: jpeg_stated(65_500, 65_500)
    yield "stated-6324.jpg", lambda: jpeg_stated(GREATEST, GREATEST)
    yield "greatest.jpg", lambda: saved("RGB", GREATEST, "JPEG")
    yield "greatest-progressive.jpg", lambda: saved("RGB", GREATEST, "JPEG", progressive=True, subsampling=0)
    yield "greatest-cmyk.jpg", lambda: saved("CMYK", GREATEST, "JPEG")
    yield "scans-5000.jpg", lambda: many_scans(GREATEST, 5000)
    yield "stated-2-31.j2k", lambda: jpeg2000_stated(2**31 - 1, 2**31 - 1)
    yield "stated-6324.j2k", lambda: jpeg2000_stated(GREATEST, GREATEST)
    yield "tiles-of-one-pixel.j2k", lambda: jpeg2000_stated(GREATEST, 1)
    yield "components-16384.j2k", lambda: jpeg2000_stated(2000, 2000, 16_384)
    yield "greatest.jp2", lambda: saved("L", GREATEST, "JPEG2000")
    yield "stated-2-30.bmp", lambda: bmp(2**30, 2**30)
    yield "greatest-run-lengths.bmp", lambda: bmp(GREATEST, GREATEST, packing=1, data=b"\xff\0" * 1000)
    yield "colours-2-31.bmp", lambda: bmp(16, 16, colours=2**31, data=bytes(256))
    yield "stated-100000.ppm", lambda: b"P6 100000 100000 255\n" + bytes(1000)
    yield "greatest.ppm", lambda: b"P6 %d %d 255\n" % (GREATEST, GREATEST) + bytes(1000)
    yield "numbers-without-end.ppm", lambda: b"P3 " + b"9" * (8 * MIB)
    yield "words.ppm", lambda: b"P3 6324 6324 255\n" + b"0 " * (15 * MIB)
    yield "stated-65535.avif", lambda: avif_stated(65_535)


BOMBS: dict[str, Callable[[], bytes]] = dict((*_png_bombs(), *_other_bombs()))
