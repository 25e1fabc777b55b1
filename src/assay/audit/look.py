"""One look at one file: what it really is, whether it can be decoded, and a small picture of it.

Decoded as training does (``assay.image``: same limits, same faults, upright), with one short cut: a large JPEG is
decoded at a half, quarter or eighth of its side (libjpeg's scaled cosine transform). All of its bytes are still
read, so damage shows as it does at full size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

from assay.audit.fingerprint import SIDE
from assay.audit.jpeg_traces import estimate_quality, subsampling_of
from assay.audit.truncation import ends_in_zeros, is_cut_off, sniff
from assay.colour import to_rgb
from assay.decoding import decoding
from assay.errors import ImageError
from assay.image import DEFAULT_LIMITS, ImageLimits, exif_orientation, open_header, read_bytes, turn_upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WORK_SIDE = 256
"""Sharpness and contrast are measured on the picture reduced to this longer side, about what a network sees."""

_MAKE, _MODEL, _SOFTWARE, _DATE, _ORIENTATION = 271, 272, 305, 306, 274
_EXIF_FOLDER, _DATE_TAKEN = 0x8769, 36867

_SUFFIXES = {
    "JPEG": ".jpg .jpeg .jpe .jfif .jif",
    "PNG": ".png .apng",
    "WEBP": ".webp",
    "GIF": ".gif",
    "TIFF": ".tif .tiff",
    "BMP": ".bmp .dib",
    "AVIF": ".avif .avifs",
    "JPEG2000": ".jp2 .j2k .jpf .jpx .j2c .jpc",
    "PPM": ".ppm .pgm .pbm .pnm .pfm",
    "MPO": ".mpo",
    "HEIF": ".heic .heif .hif",
    "PSD": ".psd",
    "PDF": ".pdf",
    "SVG": ".svg",
    "ICO": ".ico",
    "TGA": ".tga",
}
_PROMISED = {suffix: name for name, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


@dataclass(slots=True)
class Look:
    """What was seen. ``thumb`` is (32, 32, 3) uint8, the whole upright picture squeezed into a square."""

    suffix_format: str | None = None
    fault: str | None = None
    reason: str | None = None
    size: int = 0
    digest: bytes = bytes(16)
    format: str | None = None
    width: int = 0
    height: int = 0
    orientation: int = 1
    mode: str | None = None
    frames: int = 0
    jpeg_quality: float = float("nan")
    subsampling: str | None = None
    has_exif: bool = False
    camera: str | None = None
    taken: str | None = None
    software: str | None = None
    contrast: float = float("nan")
    sharpness: float = float("nan")
    zero_tail: bool = False
    thumb: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((SIDE, SIDE, 3), np.uint8))


def look_at(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Look:
    """Everything about one file. Never raises for what is in it."""
    seen = Look(suffix_format=_PROMISED.get(path.suffix.lower()))
    try:
        seen.size = path.stat().st_size
        data = read_bytes(path, limits)
    except (OSError, ValueError, ImageError) as error:
        _note_unread(seen, error)
        return seen
    seen.digest = hashlib.blake2b(data, digest_size=16).digest()
    try:
        with decoding(str(path), limits.max_pixels), BytesIO(data) as stream:
            _look_inside(seen, stream, data, str(path), limits)
    except ImageError as error:
        seen.reason = error.got or error.what
        seen.format = seen.format or sniff(data[:64])
        seen.fault = "truncated" if is_cut_off(data, seen.format, seen.reason) else "unreadable"
        seen.thumb = np.zeros((SIDE, SIDE, 3), np.uint8)
    return seen


def _note_unread(seen: Look, error: Exception) -> None:
    cause = error.__cause__ or error
    if isinstance(cause, FileNotFoundError | NotADirectoryError):
        seen.fault = "missing-file"
    elif isinstance(error, ImageError) and error.got == "0 bytes":
        seen.fault = "empty-file"
    else:
        seen.fault = "unreadable"
        got = error.got or error.what if isinstance(error, ImageError) else getattr(error, "strerror", None)
        seen.reason = got or str(error)


def _look_inside(seen: Look, stream: BinaryIO, data: bytes, name: str, limits: ImageLimits) -> None:
    image = open_header(stream, name, limits)
    seen.format, seen.mode = image.format, image.mode
    seen.width, seen.height = image.size
    turn = _tag_number(getattr(image, "tag_v2", {}).get(_ORIENTATION)) if image.format == "TIFF" else 1
    if image.format in ("JPEG", "MPO"):
        _note_jpeg(seen, image, data)
    image.load()
    left = exif_orientation(image)
    seen.orientation = left if left != 1 else turn
    if left >= 5:
        seen.width, seen.height = seen.height, seen.width
    _note_metadata(seen, image)
    seen.frames = _count_frames(image)
    _note_pixels(seen, turn_upright(_reduced(to_rgb(image)), left))


def _note_jpeg(seen: Look, image: Any, data: bytes) -> None:
    seen.jpeg_quality = estimate_quality(image.quantization.get(0))
    seen.subsampling = subsampling_of(image)
    seen.zero_tail = ends_in_zeros(data)
    image.draft(None, (_WORK_SIDE, _WORK_SIDE))


def _reduced(image: Image.Image) -> Image.Image:
    """At most 256 pixels on the longer side."""
    longer = max(image.size)
    if longer <= _WORK_SIDE:
        return image
    size = tuple(max(1, round(side * _WORK_SIDE / longer)) for side in image.size)
    return image.resize((size[0], size[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _note_pixels(seen: Look, image: Image.Image) -> None:
    grey = np.asarray(image.convert("L"), np.float32)
    seen.contrast = float(grey.std())
    seen.sharpness = _sharpness(grey)
    seen.thumb = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Standard deviation of the Laplacian, in grey levels; 0 where the picture is too small to have one."""
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4.0 * inner
    return float(laplacian.std())


def _note_metadata(seen: Look, image: ImageFile.ImageFile) -> None:
    """Camera, date and program from EXIF. Damaged metadata counts as none."""
    try:
        exif = image.getexif()
        if image.format != "TIFF":  # whose own tags Pillow presents as EXIF
            seen.has_exif = len(exif) > 0
        seen.camera = " ".join(filter(None, (_text(exif.get(_MAKE)), _text(exif.get(_MODEL))))) or None
        seen.software = _text(exif.get(_SOFTWARE))
        inner = exif.get_ifd(_EXIF_FOLDER) if _EXIF_FOLDER in exif else {}
        seen.has_exif = seen.has_exif or len(inner) > 0
        seen.taken = _text(inner.get(_DATE_TAKEN)) or _text(exif.get(_DATE))
    except Exception:  # damaged metadata raises anything, and must not cost the picture
        return


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    words = " ".join("".join(c if c.isprintable() else " " for c in value).split())
    return words.encode("utf-8", "replace").decode()[:100] or None


def _tag_number(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _count_frames(image: Any) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a damaged later frame does not cost the first
        return 1
