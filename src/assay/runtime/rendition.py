"""A photo for people: upright, small, encoded anew, so that nothing of the sender's file but its pixels is in it."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from assay.image import ImageLimits, open_upright

QUALITY = 88


def render_jpeg(data: bytes, side: int, limits: ImageLimits) -> bytes:
    """JPEG of at most ``side`` px on its longer side; never larger than the photo. Raises ImageError."""
    found = open_upright(data, limits, lambda size: _fitted(size, side))
    height, width = found.size_hw
    picture = found.picture.resize(_fitted((width, height), side), Image.Resampling.LANCZOS, found.part)
    stream = BytesIO()
    bare = Image.frombytes("RGB", picture.size, picture.tobytes())
    bare.save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with at most ``side`` on the longer side, not enlarged."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
