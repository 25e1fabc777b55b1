"""The one decoder of the house: bytes of any common picture format -> upright H W 3 uint8 RGB.

Training, evaluation, the command line and the service all decode here, so that one photo is one array
everywhere. Built on Pillow, with four things added:

- Limits are checked before anything is decoded: the file's size before it is read, the stated width and
  height after the header. Only the formats of an allow list are tried (none that runs a program or script).
- The EXIF orientation is applied (JPEG, PNG, WebP, TIFF, AVIF), so pixels are as the photographer saw them.
  Of animations and multi-page files the first picture is taken. Pixel modes: see ``colour``.
- Every fault is one ImageError with what, got and fix (see ``decoding``). A truncated file is a fault, never
  half a picture.
- Pillow's global switches (MAX_IMAGE_PIXELS, LOAD_TRUNCATED_IMAGES, text limits) are left as they are.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from assay.colour import to_rgb
from assay.decoding import check_tiff, decoding, too_many_pixels, unknown_kind
from assay.errors import ConfigError, ImageError
from assay.shrunken import SHRINKABLE, Need, Part, shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Source = str | Path | bytes

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
"""What is tried, by Pillow's names. MPO (two pictures of one phone shot) arrives as JPEG."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one picture may cost. Checked before decoding.

    ``max_pixels`` width x height; 100 million are 300 MB of RGB. Pillow's own bound (179 million unless the
    program raised PIL.Image.MAX_IMAGE_PIXELS) holds beside it. ``max_bytes`` is the size of the file.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 64 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.max_pixels < 1 or self.max_bytes < 1:
            raise ConfigError("limits of a picture are at least 1", got=repr(self))


DEFAULT_LIMITS = ImageLimits()


class Upright(NamedTuple):
    """A decoded picture, upright, mode RGB.

    ``size_hw`` is the photo's own size in px. ``part`` is None, or where the photo lies in ``picture`` when it was
    decoded smaller (``shrunken``).
    """

    picture: Image.Image
    size_hw: tuple[int, int]
    part: Part | None = None


Known = dict[tuple[int, int], Upright]
"""What was decoded of one photo so far, by the (width, height) in which it lies in the file or was decoded smaller."""


def open_upright(
    source: Source,
    limits: ImageLimits = DEFAULT_LIMITS,
    need: Need | None = None,
    *,
    name: str | None = None,
    known: Known | None = None,
) -> Upright:
    """Decode one picture, without a copy of its pixels.

    Parameters
    ----------
    source : a path, or the bytes of a file.
    limits : the greatest number of pixels and bytes.
    need : allows a JPEG to be decoded smaller, down to this size; all its pixels when not given.
    name : what the picture is called in messages; its path when not given.
    known : of this photo, where several sizes are asked for: looked up and added to, so none is decoded twice.

    Raises
    ------
    ImageError : the file is missing, no picture, damaged, cut off or beyond the limits.
    """
    name = _name(source) if name is None else name
    data = source if isinstance(source, bytes) else read_bytes(Path(source), limits)
    _check_bytes(name, len(data), limits)
    with decoding(name, limits.max_pixels), BytesIO(data) as stream:
        image = open_header(stream, name, limits)
        (width, height), part = image.size, None
        if need is not None and image.format in SHRINKABLE:
            part = shrink(image, exif_orientation(image), need)
        stored = image.size
        if known is not None and stored in known:
            return known[stored]
        image.decodermaxblock = len(data)  # read at once: the interpreter's lock is taken once a picture
        image.load()
        orientation = exif_orientation(image)
        picture = turn_upright(to_rgb(image), orientation)
        size_hw = (width, height) if orientation >= 5 else (height, width)
        found = Upright(picture, (picture.height, picture.width) if part is None else size_hw, part)
        if known is not None:
            known[stored] = found
        return found


def read_image(source: Source, limits: ImageLimits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Decode one picture.

    Parameters
    ----------
    source : a path, or the bytes of a file.
    limits : the greatest number of pixels and bytes.

    Returns
    -------
    (H, W, 3) uint8 RGB, upright, contiguous and writable.

    Raises
    ------
    ImageError : the file is missing, no picture, damaged, cut off or beyond the limits.
    """
    return np.array(open_upright(source, limits).picture)


def read_size(source: Source, limits: ImageLimits = DEFAULT_LIMITS) -> tuple[int, int]:
    """(height, width) of the upright picture in pixels, from the header alone.

    Raises
    ------
    ImageError : as ``read_image``, as far as the header shows it.
    """
    name = _name(source)
    if isinstance(source, bytes):
        _check_bytes(name, len(source), limits)
    with (
        decoding(name, limits.max_pixels),
        BytesIO(source) if isinstance(source, bytes) else _open_file(Path(source), limits) as stream,
    ):
        image = open_header(stream, name, limits)
        width, height = image.size
        return (width, height) if _orientation_from_header(image, stream) >= 5 else (height, width)


def encode_image(
    image: NDArray[np.uint8],
    format: str = "PNG",  # noqa: A002
    quality: int = 90,
    *,
    comment: str | None = None,
) -> bytes:
    """The bytes of a file.

    Parameters
    ----------
    image : (H, W, 3), (H, W, 1) or (H, W) uint8.
    format : PNG, JPEG or WEBP; ``quality`` (1 to 100) is for the latter two.
    comment : text in the file, of JPEG alone.
    """
    kind = {"JPG": "JPEG"}.get(format.upper(), format.upper())
    if kind not in ("PNG", "JPEG", "WEBP"):
        raise ConfigError(f"pictures cannot be written as {format!r}", fix="choose PNG, JPEG or WEBP")
    if not 1 <= quality <= 100:
        raise ConfigError(f"quality is {quality}", fix="choose 1 to 100")
    target = BytesIO()
    options: dict[str, Any] = {} if kind == "PNG" else {"quality": quality}
    if comment is not None and kind == "JPEG":
        options["comment"] = comment
    to_pillow(image).save(target, kind, **options)
    return target.getvalue()


def to_pillow(image: NDArray[np.uint8]) -> Image.Image:
    """(H, W, 3) uint8 as mode RGB; (H, W, 1) and (H, W) as mode L."""
    if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3))):
        raise ImageError(
            "a picture is an (H, W, 3), (H, W, 1) or (H, W) array of uint8",
            got=f"{image.shape} of {image.dtype}",
        )
    return Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def _name(source: Source) -> str:
    return f"picture of {len(source):,} bytes" if isinstance(source, bytes) else str(source)


def _check_file(path: Path, limits: ImageLimits) -> None:
    """A regular file within the limits: a pipe or device would block for ever."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{path} cannot be read", got=reason, fix="check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path} is a folder", fix="name a picture file")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path} is not a regular file", fix="name a picture file")
    _check_bytes(str(path), status.st_size, limits)


def _check_bytes(name: str, size: int, limits: ImageLimits) -> None:
    if size == 0:
        raise ImageError(f"{name} is empty", got="0 bytes", fix="copy it again from its source")
    if size > limits.max_bytes:
        raise ImageError(
            f"{name} is too large a file",
            got=f"{size:,} bytes; the limit is {limits.max_bytes:,}",
            fix="save it smaller, or raise max_bytes",
        )


def _open_file(path: Path, limits: ImageLimits) -> BinaryIO:
    _check_file(path, limits)
    try:
        return path.open("rb")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"{path} cannot be read", got=reason, fix="check its permissions") from error


def read_bytes(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The whole file in memory: no open handle stays, and no change on disk can reach the decoder.

    Raises
    ------
    ImageError : the file is missing, no regular file, empty or too large.
    """
    with _open_file(path, limits) as file:
        size = os.fstat(file.fileno()).st_size  # Python sets aside as much memory as is asked for
        return file.read(min(size, limits.max_bytes) + 1)


def open_header(stream: BinaryIO, name: str, limits: ImageLimits) -> ImageFile.ImageFile:
    """The header, checked; for use inside ``decoding``. Nothing is decoded yet.

    Raises
    ------
    ImageError : no known kind of picture, or more pixels than ``limits`` allow.
    """
    try:
        image = Image.open(stream, formats=_known_formats())
    except UnidentifiedImageError as error:
        stream.seek(0)
        raise unknown_kind(name, stream.read(64), FORMATS) from error
    width, height = image.size
    if width * height > limits.max_pixels:
        raise too_many_pixels(name, f"{width} x {height} = {width * height:,} pixels", limits.max_pixels)
    if width < 1 or height < 1:
        raise ImageError(f"{name} holds no pixels", got=f"{width} x {height}")
    if image.format == "TIFF":
        check_tiff(name, image.tag_v2, stream.seek(0, SEEK_END))  # type: ignore[attr-defined]
    return image


def _known_formats() -> tuple[str, ...]:
    """FORMATS that this Pillow has; importing the plugin modules spares loading all fifty."""
    from PIL import (  # noqa: F401, PLC0415
        BmpImagePlugin,
        GifImagePlugin,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        MpoImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    if "AVIF" not in Image.OPEN:
        Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 that is still to be applied; 1 where it is absent or cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged metadata raises anything, and must not cost the picture
        return 1
    return value if value in _TURNS else 1


def _orientation_from_header(image: ImageFile.ImageFile, stream: BinaryIO) -> int:
    """As ``exif_orientation``, without decoding a PNG, whose getexif does so to find metadata behind the pixels."""
    if image.format == "TIFF":
        return 1  # Pillow states the upright size of a TIFF itself
    if image.format == "PNG" and not _metadata_behind_pixels(stream):
        image.load = lambda: None  # type: ignore[method-assign]
    return exif_orientation(image)


def _metadata_behind_pixels(stream: BinaryIO) -> bool:
    """Whether a PNG has an eXIf or text chunk after its first IDAT. Reads chunk headers only."""
    position, seen_pixels = 8, False
    while True:
        stream.seek(position)
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            return False
        if seen_pixels and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            return True
        seen_pixels = seen_pixels or head[4:] == b"IDAT"
        position += 12 + int.from_bytes(head[:4], "big")


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as the photographer saw it; ``orientation`` is EXIF's, 1 to 8."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
