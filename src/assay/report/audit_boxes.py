"""The boxes of a finding on their pictures, small, for the doctor's page.

A place that has boxes among its figures (``checkups.objects.drawn``) is shown with them; the hull of a mask is white. A
single small thing would not be seen on a thumbnail of the whole picture, so where the figures say ``close`` it is shown
with its neighbourhood alone.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from assay.errors import AssayError
from assay.image import encode_image, read_image
from assay.report.boxes_on_pictures import class_colour
from assay.report.thumbnails import QUALITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HULL = (255, 255, 255)
_AROUND = 1.5
"""A single thing is shown with so many times its own size around it, as far as the picture reaches."""


def boxed_thumbnails(
    places: Sequence[tuple[Path, Mapping[str, Any]]], side: int, threads: int = 4
) -> list[str | None]:
    """For each (picture, figures) a data URI with the boxes drawn; None where there are none, or it cannot be read."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(partial(_boxed, side=side), places))


def _boxed(place: tuple[Path, Mapping[str, Any]], side: int) -> str | None:
    path, figures = place
    boxes = np.asarray(figures.get("boxes") or (), np.float64).reshape(-1, 4)
    if not len(boxes):
        return None
    try:
        image = read_image(path)
    except (AssayError, OSError):
        return None
    close = bool(figures.get("close"))
    x1, y1, x2, y2 = _frame(boxes, (image.shape[0], image.shape[1]), close=close)
    canvas = _seen(image, (x1, y1, x2, y2))
    scale = side / max(canvas.size) if close else min(1.0, side / max(canvas.size))
    wide, high = (max(1, round(length * scale)) for length in canvas.size)
    picture = canvas.resize((wide, high), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    labels = figures.get("box_labels") or [0] * len(boxes)
    for box, label in zip(boxes, labels, strict=False):
        left, top, right, bottom = (box - (x1, y1, x1, y1)) * scale
        shape = (left, top, max(left, right - 1), max(top, bottom - 1))
        draw.rectangle([shape[0] - 1, shape[1] - 1, shape[2] + 1, shape[3] + 1], outline=(20, 20, 20))
        draw.rectangle(shape, outline=class_colour(int(label)) if label >= 0 else _HULL)
    data = encode_image(np.asarray(picture), "WEBP", QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(data).decode('ascii')}"


def _frame(boxes: NDArray[np.float64], size_hw: tuple[int, int], *, close: bool) -> tuple[int, int, int, int]:
    """What is shown: the picture with its boxes, those that reach out too; of a single thing its neighbourhood."""
    height, width = size_hw
    reach = max(height, width)
    x1, y1 = np.clip(boxes[:, :2].min(axis=0), -reach, 0)
    x2, y2 = np.clip(boxes[:, 2:].max(axis=0), (width, height), (width + reach, height + reach))
    if close:
        (left, top), (right, bottom) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
        room = _AROUND * max(right - left, bottom - top, 8.0)
        x1, y1, x2, y2 = (
            max(x1, left - room),
            max(y1, top - room),
            min(x2, right + room),
            min(y2, bottom + room),
        )
        if x2 - x1 < 1 or y2 - y1 < 1:  # it lies too far away to be seen
            return 0, 0, width, height
    return int(np.floor(x1)), int(np.floor(y1)), int(np.ceil(x2)), int(np.ceil(y2))


def _seen(image: NDArray[np.uint8], frame: tuple[int, int, int, int]) -> Image.Image:
    """The frame of the picture; grey where it reaches out of it."""
    x1, y1, x2, y2 = frame
    canvas = Image.new("RGB", (x2 - x1, y2 - y1), (200, 204, 209))
    canvas.paste(Image.fromarray(image), (-x1, -y1))
    return canvas
