"""Frames of a video file or a camera as photos, decoded by the user's ffmpeg; and frames back into a video file.

A frame is called ``walk.mp4#120``: its number from 0, counted over all frames, also where only every n-th is taken. Its
second in the video is told beside it. Frames come upright and in full size, so that they are prepared as photos are.
Pixels are as this ffmpeg decodes them: other versions may differ by a grey level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ConfigError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo
from assay.runtime.ffmpeg import Child, ask, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENDINGS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".flv",
    ".wmv",
    ".ogv",
    ".3gp",
)
CAMERA = re.compile(r"camera:(\d+)")

_COMPLAINT = re.compile(
    r"ended prematurely|truncat|partial file|corrupt|invalid data|error while decoding|error submitting", re.I
)
_TIME = re.compile(r"showinfo.* n: *(\d+) .*pts_time:([-\d.]+)")
_ASKED = (
    "stream=width,height,avg_frame_rate,r_frame_rate,nb_frames,duration:stream_disposition=attached_pic"
    ":stream_side_data=rotation:format=duration"
)


@dataclass(frozen=True)
class Video:
    """A video file, or a camera by its number (``camera:0``, Linux).

    ``step`` takes every n-th frame. Iterating starts ffmpeg, and leaving early ends it.
    """

    path: str
    step: int = 1

    @cached_property
    def facts(self) -> VideoFacts:
        """Size and rate. Raises ConfigError: ffmpeg is not installed, or this is no video that it reads."""
        if CAMERA.fullmatch(self.path):
            return _facts_of(self.path, [*self._camera(), "-of", "json", "-show_entries", _ASKED])
        arguments = ["-v", "error", "-select_streams", "v", "-show_entries", _ASKED, "-of", "json"]
        return _facts_of(self.path, [*arguments, *opened(self.path)])

    def count(self) -> int | None:
        """Frames that will be taken, roughly; None where the file does not tell, or for a camera."""
        frames = None if CAMERA.fullmatch(self.path) else self.facts.frames
        return None if frames is None else -(-frames // self.step)

    def __iter__(self) -> Iterator[Photo]:
        """One Photo a frame; a video that is damaged or cut off ends with one that tells so."""
        height, width = self.facts.size_hw
        taken = 0
        with Child(self._arguments()) as child:
            log = _Log(child)
            while True:
                frame = np.empty((height, width, 3), np.uint8)
                if not _fill(frame, child.output):
                    break
                number = taken * self.step
                told = (("frame", number), ("time_s", log.time_of(taken, number / self.facts.rate)))
                yield Photo(f"{self.path}#{number}", _Held(frame), told)
                taken += 1
            code, words = child.finish()
            log.read()
        if code != 0 or taken == 0 or log.complaint:
            yield self._cut_off(taken, log.complaint or words)

    def _arguments(self) -> list[str]:
        picked = f"select='not(mod(n,{self.step}))'," if self.step > 1 else ""
        source = self._camera() if CAMERA.fullmatch(self.path) else ["-threads", "1", *opened(self.path)]
        shown = ["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", f"{picked}showinfo=checksum=0"]
        # passthrough: every frame once, none made up to fill a constant rate
        return [
            *source,
            *shown,
            "-fps_mode",
            "passthrough",
            "-pix_fmt",
            "rgb24",
            "-f",
            "rawvideo",
            "pipe:1",
        ]

    def _camera(self) -> list[str]:
        device = f"/dev/video{CAMERA.fullmatch(self.path)[1]}"  # type: ignore[index]
        if not Path(device).exists():
            raise ConfigError(f"there is no camera {self.path}", got=f"no {device}", fix="plug it in")
        return ["-f", "v4l2", "-i", device]

    def _cut_off(self, taken: int, words: str) -> Photo:
        last = (taken - 1) * self.step
        what = (
            f"{self.path} is damaged or cut off after frame {last} ({float(last / self.facts.rate):.1f} s)"
            if taken
            else f"{self.path} holds no frame that can be read"
        )
        fault = ImageError(what, got=words or None, fix="copy it again from its source")

        def read() -> bytes:
            raise fault

        return Photo(f"{self.path}#...", read)


@dataclass(frozen=True)
class VideoFacts:
    """(height, width) of the upright frames in px, frames a second, and how many there are where the file tells."""

    size_hw: tuple[int, int]
    rate: Fraction
    frames: int | None


def is_video(path: str | Path) -> bool:
    """Whether a file is called as videos are, or is a camera."""
    return str(path).lower().endswith(ENDINGS) or CAMERA.fullmatch(str(path)) is not None


def _fill(frame: NDArray[np.uint8], stream: Any) -> bool:
    """Read one frame whole; False where the stream ends before."""
    room = frame.data.cast("B")
    got = 0
    while got < len(room):
        more = stream.readinto(room[got:])
        if not more:
            return False
        got += more
    return True


@dataclass(frozen=True, slots=True)
class _Held:
    """Pixels that are there already, as a Photo reads them."""

    frame: NDArray[np.uint8]

    def __call__(self) -> NDArray[np.uint8]:
        return self.frame


class _Log:
    """What ffmpeg says of each frame, and what it complains of. It may end without an error where a file is cut off."""

    def __init__(self, child: Child) -> None:
        self._child, self._at = child, 0
        self._known: dict[int, float] = {}
        self.complaint = ""

    def time_of(self, frame: int, otherwise: Fraction | float) -> float:
        """Its second in the video; ``otherwise`` where ffmpeg has not told it yet."""
        if frame not in self._known:
            self.read()
        return round(self._known.pop(frame, float(otherwise)), 4)

    def read(self) -> None:
        """Take in what was said since."""
        while True:
            lines, self._at = self._child.lines(self._at)
            if not lines:
                return
            for line in lines:
                if found := _TIME.search(line):
                    self._known[int(found[1])] = float(found[2])
                elif line.startswith("[") and _COMPLAINT.search(
                    line.partition("]")[2]
                ):  # not names and titles
                    self.complaint = line.strip()[:200]


def _facts_of(path: str, arguments: list[str]) -> VideoFacts:
    code, said, words = ask(arguments)
    try:
        told = json.loads(said or b"{}")
    except ValueError:
        told = {}
    streams = [s for s in told.get("streams", []) if not s.get("disposition", {}).get("attached_pic")]
    if code != 0 or not streams or not streams[0].get("width"):
        raise ConfigError(
            f"{path} is no video that can be read",
            got=words or "no pictures in it",
            fix="copy it again from its source, or convert it to MP4",
        )
    stream = streams[0]
    height, width = int(stream["height"]), int(stream["width"])
    if height * width > DEFAULT_LIMITS.max_pixels:
        raise ConfigError(f"{path} has too many pixels", got=f"{width} x {height}")
    turned = [int(float(one["rotation"])) for one in stream.get("side_data_list", []) if "rotation" in one]
    if turned and turned[0] % 180:
        height, width = width, height
    rate = _fraction(stream.get("avg_frame_rate")) or _fraction(stream.get("r_frame_rate")) or Fraction(25)
    return VideoFacts((height, width), rate, _frames(stream, told.get("format", {}), rate))


def _frames(stream: dict[str, Any], whole: dict[str, Any], rate: Fraction) -> int | None:
    if str(stream.get("nb_frames", "")).isdecimal():
        return int(stream["nb_frames"])
    seconds = stream.get("duration") or whole.get("duration")
    try:
        return None if seconds is None else max(1, round(float(seconds) * rate))
    except ValueError:
        return None


def _fraction(told: Any) -> Fraction | None:
    try:
        found = Fraction(str(told))
    except (ValueError, ZeroDivisionError):
        return None
    return found if found > 0 else None
