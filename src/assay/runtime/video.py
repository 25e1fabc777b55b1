"""Frames of a video file or a camera as photos, decoded by the user's ffmpeg; and frames back into a video file.

A frame is called ``walk.mp4#120``: its number from 0, counted over all frames, also where only every n-th is taken. Its
second in the video is told beside it. Frames come upright and in full size, so that they are prepared as photos are.
Pixels are as this ffmpeg decodes them: other versions may differ by a grey level.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import AssayError, ConfigError, ImageError
from assay.image import DEFAULT_LIMITS
from assay.photos import Photo
from assay.runtime.ffmpeg import Child, ask, opened, program
from assay.runtime.sources import faulty

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
_TIME = re.compile(r"showinfo.* n: *(\d+) .*pts_time:([-+\d.e]+)?")
_AT_ONCE = ("-fpsprobesize", "0")
"""For a camera: ffmpeg would else hold back its first frames to measure how many come in a second."""
_PATIENCE_S = 1.0
"""How long a frame waits for its second, which ffmpeg tells just before it."""
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
        if self.is_live:
            return _facts_of(self.path, [*self._camera(), "-of", "json", "-show_entries", _ASKED])
        arguments = ["-v", "error", "-select_streams", "v", "-show_entries", _ASKED, "-of", "json"]
        return _facts_of(self.path, [*arguments, *opened(self.path)])

    @property
    def is_live(self) -> bool:
        """Whether frames come as they are taken: from a camera."""
        return CAMERA.fullmatch(self.path) is not None

    def check(self) -> None:
        """Raises ConfigError: as ``facts``."""
        _ = self.facts

    def count(self) -> int | None:
        """Frames that will be taken, roughly; None where the file does not tell or cannot be read, or for a camera."""
        if self.is_live:
            return None
        try:
            frames = self.facts.frames
        except AssayError:
            return None
        return None if frames is None else -(-frames // self.step)

    def __iter__(self) -> Iterator[Photo]:
        """One Photo a frame; a video that is damaged or cut off ends with one that tells so."""
        run = _Run()
        return _Frames(self._frames(run), run)

    def _frames(self, run: _Run) -> Generator[Photo]:
        height, width = self.facts.size_hw
        taken, log = 0, _Log()
        with Child(self._arguments(), hear=log.hear) as child:
            run.begin(child)
            while True:
                frame = np.empty((height, width, 3), np.uint8)
                if not _fill(frame, child.output):
                    break
                number = taken * self.step
                told = (("frame", number), ("time_s", log.time_of(taken, number / self.facts.rate)))
                yield Photo(f"{self.path}#{number}", _Held(frame), told)
                del frame  # it is large, and a camera may be long in sending the next
                taken += 1
            code, words = child.finish()
        if code != 0 or taken == 0 or log.complaint:
            yield self._cut_off(taken, log.complaint or words)

    def _arguments(self) -> list[str]:
        picked = f"select='not(mod(n,{self.step}))'," if self.step > 1 else ""
        source = [*_AT_ONCE, *self._camera()] if self.is_live else opened(self.path)
        shown = ["-map", "0:V:0", "-an", "-sn", "-dn", "-vf", f"{picked}showinfo=checksum=0"]
        # passthrough: every frame once, none made up to fill a constant rate
        return [
            "-threads",
            "1",
            *source,
            *shown,
            "-fps_mode",
            "passthrough",
            "-pix_fmt",
            "rgb24",
            *(("-flush_packets", "1") if self.is_live else ()),
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
        return faulty(f"{self.path}#...", fault)


@dataclass(frozen=True)
class VideoFacts:
    """(height, width) of the upright frames in px, frames a second, and how many there are where the file tells."""

    size_hw: tuple[int, int]
    rate: Fraction
    frames: int | None


def is_video(path: str | Path) -> bool:
    """Whether a file is called as videos are, or is a camera."""
    return str(path).lower().endswith(ENDINGS) or CAMERA.fullmatch(str(path)) is not None


def require_programs() -> None:
    """Raises ConfigError: ffmpeg or ffprobe is not installed."""
    for name in ("ffprobe", "ffmpeg"):
        program(name)


class _Run:
    """What one walk over a video has started. It knows of no walk, so that a walk that is let go of ends at once."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._is_stopped = False

    def begin(self, child: Child) -> None:
        self._child = child
        # looked at behind the line above: ``stop`` has seen the child, or been seen here
        if self._is_stopped:
            child.stop()

    def stop(self) -> None:
        self._is_stopped = True
        if self._child is not None:
            self._child.stop()


class _Frames(Iterator[Photo]):
    """Frames one by one; ``stop`` ends the wait for one from another thread, ``close`` ends ffmpeg."""

    def __init__(self, walk: Generator[Photo], run: _Run) -> None:
        self._walk, self._run = walk, run

    def __next__(self) -> Photo:
        return next(self._walk)

    def stop(self) -> None:
        self._run.stop()

    def close(self) -> None:
        self._walk.close()


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
    """What ffmpeg says of each frame, and what it complains of. It may end without an error where a file is cut off.

    Seconds are kept until their frame has come: a few, for ffmpeg is but a pipe ahead.
    """

    def __init__(self) -> None:
        self._known: dict[int, float | None] = {}
        self._heard = threading.Condition()
        self._has_ended, self._patience_s = False, _PATIENCE_S
        self.complaint = ""

    def hear(self, line: str) -> bool:
        """Take in one line, in the thread that hears them; "" at the end. Whether it was about a frame."""
        found = _TIME.search(line)
        said = "" if found or not line.startswith("[") else line.partition("]")[2]  # not names and titles
        if _COMPLAINT.search(said):
            self.complaint = line.strip()[:200]
        with self._heard:
            if found:
                self._known[int(found[1])] = None if found[2] is None else float(found[2])
            self._has_ended = line == ""
            self._heard.notify_all()
        return found is not None

    def time_of(self, frame: int, otherwise: Fraction | float) -> float:
        """Its second in the video; ``otherwise`` where ffmpeg does not tell it."""
        with self._heard:
            is_told = self._heard.wait_for(
                lambda: frame in self._known or self._has_ended, timeout=self._patience_s
            )
            if not is_told:
                self._patience_s = 0.0  # this ffmpeg tells none: no other frame waits
            second = self._known.pop(frame, None)
        return round(float(otherwise) if second is None else second, 4)


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
