"""Everything that decoding may need is loaded once, before the process may open no more files.

Pillow loads its plugins, and Python its text encodings, when they are first met. So one small picture of every format
and pixel mode, and a damaged one of each, is decoded.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

from PIL import AvifImagePlugin, Image, ImageCms, PngImagePlugin

from assay.configs import PreprocessConfig
from assay.image import FORMATS
from assay.runtime.rendition import render_jpeg
from assay.runtime.screen_parts import SERVICE_LIMITS, DecodePlan, decode

_ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "cp437", "idna")
_ORIENTATION, _TURNED = 0x0112, 6
_SIDE = 16

# pixel mode, format, options of Pillow's ``save``
_SAVED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("L", "JPEG", {"progressive": True}),
    ("CMYK", "JPEG", {}),
    ("YCbCr", "JPEG", {}),
    ("P", "PNG", {"transparency": 0}),
    ("I;16", "PNG", {}),
    ("LA", "PNG", {}),
    ("1", "PNG", {}),
    ("LAB", "TIFF", {}),
    ("F", "TIFF", {}),
    ("I;16", "TIFF", {}),
    ("RGBA", "TIFF", {"compression": "tiff_lzw"}),
    ("RGB", "TIFF", {"compression": "tiff_adobe_deflate"}),
    ("RGB", "TIFF", {"compression": "jpeg"}),
    ("RGB", "TIFF", {"compression": "packbits"}),
    ("1", "TIFF", {"compression": "group4"}),
    ("RGBA", "WEBP", {"lossless": True}),
    ("RGBA", "JPEG2000", {}),
    ("RGBA", "GIF", {}),
)


def warm_up() -> None:
    """Load all of it; about a tenth of a second. AVIF is decoded on one thread from here on."""
    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    for name in _ENCODINGS:
        codecs.lookup(name)
    for smoothing in ("gaussian", "median", "bilateral"):
        decode(_saved(_picture("RGB"), "PNG"), DecodePlan((PreprocessConfig(size=8, smoothing=smoothing),)))
    plan = DecodePlan(
        (
            PreprocessConfig(size=8, decode="scaled"),
            PreprocessConfig(size=8, colour="gray", resize="letterbox"),
        )
    )
    for data in _samples():
        decode(data, plan)
        decode(data[: len(data) // 2], plan)
    decode(b"no picture", plan)
    render_jpeg(_saved(_picture("RGB"), "JPEG"), 8, SERVICE_LIMITS)


def _samples() -> Iterator[bytes]:
    for name in FORMATS:
        with suppress(KeyError, OSError):  # a Pillow that was built without this format
            yield _saved(_picture("RGB"), name, **({"speed": 10, "max_threads": 1} if name == "AVIF" else {}))
    for mode, name, options in _SAVED:
        with suppress(KeyError, OSError):
            yield _saved(_picture(mode), name, **options)
    frames = {"save_all": True, "append_images": [_picture("L")]}
    for name in ("GIF", "WEBP", "PNG", "MPO"):
        yield _saved(_picture("RGB"), name, **frames)
    exif = Image.Exif()
    exif[_ORIENTATION] = _TURNED
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("JPEG", "PNG", "WEBP"):
        yield _saved(_picture("RGB"), name, exif=exif, icc_profile=profile)
    text = PngImagePlugin.PngInfo()
    text.add_text("plain", "words")
    text.add_text("packed", "words", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>", zip=True)
    yield _saved(_picture("RGB"), "PNG", pnginfo=text)


def _picture(mode: str) -> Image.Image:
    grey = Image.linear_gradient("L").resize((_SIDE, _SIDE))
    if mode == "LAB":
        return Image.merge("LAB", (grey, grey, grey))
    if mode == "I;16":
        return grey.convert("I").convert("I;16")
    return grey.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "RGBA") else grey.convert(mode)


def _saved(picture: Image.Image, name: str, **options: Any) -> bytes:
    with BytesIO() as target:
        picture.save(target, name, **options)
        return target.getvalue()
