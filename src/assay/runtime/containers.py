"""Things that hold many pictures, by their names: archives, tables of bytes, videos and cameras, addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from assay.errors import ConfigError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo, once
from assay.runtime.archives import is_tar, is_zip, walk_tar, walk_zip
from assay.runtime.sources import Container, Pictures
from assay.runtime.web import is_address, photo_of

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
        ConfigError : an address that was not allowed or is none; a table or a video that cannot be read.
        """
        if is_address(name):
            return self._address(name)
        if not Path(name).is_file():
            return _video(name, self.step)
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
        photo = photo_of(name)
        return _Archive(name, lambda: iter([photo]), 1)

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

    def __iter__(self) -> Iterator[Photo]:
        return self.walk()

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
    from assay.runtime.columns import ColumnFile, is_columns  # noqa: PLC0415 - pyarrow, which most do not need

    return ColumnFile(name, column, key) if is_columns(name) else None


def _video(name: str, step: int) -> Container | None:
    from assay.runtime.video import Video, is_video  # noqa: PLC0415 - most name no video

    if not is_video(name) or (not Path(name).is_file() and not name.startswith("camera:")):
        return None
    video = Video(name, step)
    _ = video.facts  # no ffmpeg, or no video: told before the first picture is answered
    return video


def _whole(stream: BinaryIO) -> bytes:
    data = stream.read(DEFAULT_LIMITS.max_bytes + 1)
    if len(data) > DEFAULT_LIMITS.max_bytes:
        raise ImageError(
            "the picture on standard input is too large", got=f"over {DEFAULT_LIMITS.max_bytes:,} bytes"
        )
    return data
