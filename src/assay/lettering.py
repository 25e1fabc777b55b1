r"""Text on pictures, in any script: a font that has the letters, or the letters spelt out, never a crash.

Pillow's own font (plain Latin) comes first, so that pictures look alike on every machine. Other names use the
first font of the system that has every letter. Where there is none, accents are dropped, and letters that are
still missing are written as their escapes (``\u8863``), which are ugly but true, instead of empty boxes.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "simsun.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "Arial Unicode.ttf",
    "arialuni.ttf",
)
"""Tried in this order, by file name, in the font folders of Linux, macOS and Windows."""

_NO_LETTER = "\U0010fffe"


def lettering(text: str, size: int) -> tuple[str, Font]:
    """The text as it can be drawn, and a font of ``size`` px that can draw it. Line breaks become spaces."""
    line = " ".join(text.split())
    name = _font_name(line)
    font = _load(name, size)
    if name is None:
        line = "".join(letter if _has(font, letter) else _spelt_out(letter) for letter in line)
    return line, font


def fit(text: str, size: int, width: int) -> tuple[str, Font]:
    """As ``lettering``, shortened with an ellipsis to at most ``width`` px."""
    line, font = lettering(text, size)
    if font.getlength(line) <= width:
        return line, font
    low, high = 0, len(line)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(line[:middle] + "…") <= width else (low, middle - 1)
    return line[:low].rstrip() + "…", font


@lru_cache(maxsize=4096)
def _font_name(line: str) -> str | None:
    """Name of the first font that has every letter; None is Pillow's own, also where no font has them all."""
    letters = set(line) - {" "}
    for name in (None, *SYSTEM_FONTS):
        try:
            font = _load(name, 16)
        except OSError:
            continue
        if all(_has(font, letter) for letter in letters):
            return name
    return None


def _load(name: str | None, size: int) -> Font:
    """A fresh font: FreeType faces must not be shared between threads."""
    return ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)


def _has(font: Font, letter: str) -> bool:
    """Whether the font draws the letter as anything but its sign for a missing one."""
    if letter.isascii():
        return letter.isprintable()
    drawn, missing = font.getmask(letter), font.getmask(_NO_LETTER)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def _spelt_out(letter: str) -> str:
    """Without its accent where that leaves a plain letter (é, e), else as its escape."""
    base = unicodedata.normalize("NFKD", letter)[0]
    plain = base.isascii() and base.isprintable()
    return base if plain else letter.encode("ascii", "backslashreplace").decode()
