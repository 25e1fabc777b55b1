"""Annotated frames as a video file, which appears whole or not at all."""

from __future__ import annotations

import os
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from assay.errors import AssayError, ConfigError
from assay.runtime.ffmpeg import Child, ask

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENCODERS = (
    ("libx264", "-preset", "veryfast", "-crf", "23"),
    ("libopenh264", "-b:v", "4M"),
    ("libsvtav1", "-crf", "35"),
    ("libvpx-vp9", "-crf", "33", "-b:v", "0"),
    ("mpeg4", "-q:v", "4"),
)
"""The first that works is taken: H.264 plays everywhere, the last one is part of every ffmpeg."""
_MOST_RATE = 65_535  # a time base beyond this is refused by MPEG-4


class VideoFile:
    """An MP4 file for ``with``; frames (H, W, 3) uint8 of one size are written one by one.

    Parameters
    ----------
    path : the file; one that is there is replaced at the end.
    rate : frames a second.
    overwrite : replace a file that is there.

    Raises
    ------
    ConfigError : it is there already; ffmpeg is not installed, or has no encoder that works.
    AssayError : the place cannot be written, the disk is full.
    """

    def __init__(self, path: str | Path, rate: Fraction, *, overwrite: bool = False) -> None:
        if Path(path).exists() and not overwrite:
            raise ConfigError(
                f"{path} is there already", fix="choose another name, or replace it with --overwrite"
            )
        self._path, self._rate = Path(path), rate.limit_denominator(1001)
        self._part = self._path.with_name(f".{self._path.name}.{os.getpid()}.part.mp4")
        self._child: Child | None = None
        self._size: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        encoder()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append one frame; the first one fixes the size."""
        if self._child is None:
            self._size = frame.shape
            self._child = Child(self._arguments(), reads=True)
        if frame.shape != self._size:
            raise AssayError("frames of a video have one size", got=f"{frame.shape} after {self._size}")
        try:
            self._child.input.write(np.ascontiguousarray(frame).data.cast("B"))
        except OSError as error:
            raise self._fault() from error

    def _arguments(self) -> list[str]:
        height, width = self._size[:2]
        name, *options = encoder()
        raw = [
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-video_size",
            f"{width}x{height}",
            "-framerate",
            str(self._rate),
        ]
        even = "pad=ceil(iw/2)*2:ceil(ih/2)*2"  # H.264 has no odd sizes
        coded = ["-an", "-vf", even, "-c:v", name, *options, "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        return ["-v", "error", "-y", *raw, "-i", "pipe:0", *coded, f"file:{self._part}"]

    def _fault(self) -> AssayError:
        words = "" if self._child is None else self._child.words()
        return AssayError(
            f"{self._path} could not be written",
            got=words or None,
            fix="free some space, or choose another place",
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is None:
            return
        try:
            with self._child as child:
                if kind is None:
                    code, _ = child.finish()
                    if code != 0:
                        raise self._fault()
                    self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)


@cache
def encoder() -> tuple[str, ...]:
    """Name and options of the first encoder that works here. Raises ConfigError: none does."""
    for found in _ENCODERS:
        source = ["-f", "lavfi", "-i", "color=size=64x64:rate=5:duration=0.4"]
        tried = [
            "-hide_banner",
            "-v",
            "error",
            *source,
            "-c:v",
            *found,
            "-pix_fmt",
            "yuv420p",
            "-f",
            "null",
            "-",
        ]
        if ask(tried, "ffmpeg")[0] == 0:
            return found
    raise ConfigError("this ffmpeg cannot write videos", fix="install one with libx264")
