"""Small pictures inside the page, as data URIs. Decoded by the house's one decoder, several at a time."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from assay.errors import AssayError
from assay.image import encode_image, read_image

QUALITY = 78


def thumbnail(path: Path, side: int = 256) -> str | None:
    """The picture with its longer side at most ``side`` px, as a data URI; None when it cannot be read."""
    try:
        picture = Image.fromarray(read_image(path))
        picture.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        data = encode_image(np.asarray(picture), "WEBP", QUALITY)
    except (AssayError, OSError):
        return None
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"


def thumbnails(paths: Iterable[Path], side: int = 256, threads: int = 4) -> list[str | None]:
    """``thumbnail`` of each path, in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda path: thumbnail(path, side), paths))
