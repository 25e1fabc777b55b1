"""Things that hold many pictures, by their names: archives, tables of bytes, videos and cameras, addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from assay.data.names import is_picture
from assay.errors import AssayError, ConfigError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo, once
from assay.runtime.archives import is_tar, is_zip, walk_tar, walk_zip
from assay.runtime.sources import Container, Pictures, faulty
from assay.runtime.web import is_address, photo_of, shown

TABLE_ENDINGS = (".parquet", ".arrow", ".arrows", ".feather")
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"MM\0*", b"BM", b"\0\0\0\x0cjP")
_TAR_MARK, _TAR_AT = b"ustar", 257
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_STDIN = "stdin"


@dataclass(frozen=True)
class Containers:
    """How containers are opened.

    ``column`` and ``key`` are those of tables: which column holds pictures, and which one names them. ``step`` takes
    every n-th frame of a video. ``network`` allows addresses.
    """

    column: str | None = None
    key: str | None = None
    step: int = 1
    network: bool = False

    def open(self, name: str) -> Container | None:
        """The container of this name; None where it is none.

        Raises
        ------
        ConfigError : an address that was not allowed or is none; a camera that is not there; a video without ffmpeg.
        """
        if is_address(name):
            return self._address(name)
        if not _is_file(name):
            return _camera(name, self.step)
        if is_zip(name):
            return _Archive(name, partial(walk_zip, name))
        if is_tar(name):
            return _Archive(name, partial(walk_tar, name))
        return _table(name, self.column, self.key) or _video(name, self.step)

    def _address(self, name: str) -> Container:
        if not self.network:
            raise ConfigError(
                "nothing is fetched from the network unless it is allowed",
                got=name.split("?", maxsplit=1)[0].rpartition("@")[2][:200],
                fix="add --allow-network",
            )
        photo_of(name)  # a name that is no address is told now
        # anew for each walk: a Photo keeps what it fetched, and this lives as long as the walk
        return _Archive(name, lambda: iter([photo_of(name)]), 1)

    def listed(self, name: str) -> Iterable[Photo] | None:
        """As ``open``, for a name in a list: what cannot be opened is one Photo that tells so."""
        if is_picture(name) and not is_address(name):
            return None  # the usual: the system is asked when it is read
        try:
            return self.open(name)
        except AssayError as fault:
            return [faulty(_called(name), fault)]

    def sniff(self, stream: BinaryIO) -> Iterator[Photo] | None:
        """The picture or the TAR archive in a stream; None where neither is in it, and nothing was taken from it."""
        peek: Callable[[int], bytes] | None = getattr(stream, "peek", None)
        head = peek(512) if peek is not None else b""
        is_text = b"\0" not in head  # a list may begin with BMW/1.jpg
        if not is_text and (head.startswith(_PICTURES) or head[4:8] == b"ftyp"):
            return iter([Photo(_STDIN, once(partial(_whole, stream)))])
        if (not is_text and head.startswith(_PACKED)) or head[
            _TAR_AT : _TAR_AT + len(_TAR_MARK)
        ] == _TAR_MARK:
            return walk_tar(_STDIN, stream)
        return None


@dataclass(frozen=True)
class _Archive:
    """Pictures that ``walk`` gives; ``pictures`` is how many, where that is known."""

    name: str
    walk: Callable[[], Iterator[Photo]]
    pictures: int | None = None
    is_live: bool = False

    def __iter__(self) -> Iterator[Photo]:
        return self.walk()

    def check(self) -> None:
        """Nothing: what is wrong is seen with its first picture."""

    def count(self) -> int | None:
        return self.pictures


def pictures(
    names: str | Path | Iterable[str | Path], *, stdin: BinaryIO | None = None, **options: Any
) -> Pictures:
    """What ``assay predict`` takes: files, folders, patterns, archives, tables, videos. ``options``: of Containers.

    Raises
    ------
    ConfigError : as ``Pictures``, and as ``Containers.open``.
    """
    return Pictures(names, stdin, Containers(**options))


def _table(name: str, column: str | None, key: str | None) -> Container | None:
    if not name.lower().endswith(TABLE_ENDINGS):
        return None
    from assay.runtime.columns import ColumnFile  # noqa: PLC0415 - pyarrow, which most do not need

    return ColumnFile(name, column, key)


def _video(name: str, step: int) -> Container | None:
    from assay.runtime.video import Video, is_video, require_programs  # noqa: PLC0415 - most name no video

    if not is_video(name):
        return None
    require_programs()
    return Video(name, step)


def _camera(name: str, step: int) -> Container | None:
    from assay.runtime.video import CAMERA, Video  # noqa: PLC0415 - as above

    if CAMERA.fullmatch(name) is None:
        return None
    camera = Video(name, step)
    camera.check()  # no ffmpeg, or no camera: told before the first picture is answered
    return camera


def _is_file(name: str) -> bool:
    """Also False where the system does not say: what is wrong is told when it is read."""
    try:
        return Path(name).is_file()
    except OSError:
        return False


def _called(name: str) -> str:
    """A name as it may be shown: of an address no secret."""
    if not is_address(name):
        return name
    try:
        return shown(name)
    except ValueError:
        return "an address"


def _whole(stream: BinaryIO) -> bytes:
    data = stream.read(DEFAULT_LIMITS.max_bytes + 1)
    if len(data) > DEFAULT_LIMITS.max_bytes:
        raise ImageError(
            "the picture on standard input is too large", got=f"over {DEFAULT_LIMITS.max_bytes:,} bytes"
        )
    return data
