"""The user's own ffmpeg, started as a program: Assay neither ships nor links it, for its licence and its size.

Only formats and protocols of an allow list may be opened: a text file with a video's name could otherwise make ffmpeg
open other files. Names are handed over as ``file:NAME`` in an argument list, so that no name can be an option or an
address.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from assay.errors import AssayError, ConfigError

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,image2"
_SAFE = ("-protocol_whitelist", "file,pipe", "-format_whitelist", FORMATS)
_LONGEST = 4096
"""Bytes of one line of what it says; what is longer comes in pieces."""
_END_S = 5.0
"""How long its end is waited for, when it is told to end."""
_INSTALL = "install it (Debian, Ubuntu: apt-get install ffmpeg; macOS: brew install ffmpeg), or name it in ASSAY_FFMPEG"


@cache
def program(name: str = "ffmpeg") -> str:
    """The path of ffmpeg or ffprobe: beside ``$ASSAY_FFMPEG``, or on the path.

    Raises
    ------
    ConfigError : it is not installed.
    """
    own = os.environ.get("ASSAY_FFMPEG")
    found = str(Path(own).with_name(Path(own).name.replace("ffmpeg", name))) if own else shutil.which(name)
    if found is None or not Path(found).is_file():
        raise ConfigError(f"videos need {name}, which is not installed", got=own, fix=_INSTALL)
    return found


def opened(path: str) -> tuple[str, ...]:
    """Arguments that name an input file and what of it may be opened."""
    return (*_SAFE, "-i", f"file:{path}")


def ask(arguments: Sequence[str], name: str = "ffprobe", timeout_s: float = 60.0) -> tuple[int, bytes, str]:
    """Run to the end: (exit code, stdout, last words of stderr).

    Raises
    ------
    ConfigError : it is not installed. AssayError : no end within ``timeout_s``.
    """
    try:
        done = subprocess.run(
            [program(name), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise AssayError(f"{name} did not come to an end", got=f"{timeout_s:g} s") from error
    return done.returncode, done.stdout, _words(done.stderr.decode("utf-8", "replace"))


class Child:
    """ffmpeg running beside us, for ``with``. A thread hears what it says on stderr, so that nothing blocks.

    What was said is not kept: a camera may run for weeks, and say something of every frame.

    Parameters
    ----------
    reads : whether it is written to (``input``); else it is read from (``output``).
    hear : is given every line it says, in that thread, and "" at the end; whether that was all it was good for. Of the
        others the last is kept (``words``).
    """

    def __init__(
        self, arguments: Sequence[str], *, reads: bool = False, hear: Callable[[str], bool] | None = None
    ) -> None:
        self._hear, self._last = hear or (lambda _line: False), ""
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [program(), "-hide_banner", "-nostdin", "-nostats", *arguments],
            stdin=subprocess.PIPE if reads else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if reads else subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=None
            if os.name == "nt"
            else 0,  # a terminal's Ctrl-C is for us: what is begun here is ended by us, whole
        )
        self._listener = threading.Thread(target=self._listen, name="assay-ffmpeg", daemon=True)
        self._listener.start()

    @property
    def output(self) -> Any:
        """Its stdout."""
        return self._process.stdout

    @property
    def input(self) -> Any:
        """Its stdin."""
        return self._process.stdin

    def finish(self) -> tuple[int, str]:
        """Wait for its end: (exit code, last words)."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):  # it went away: its exit code tells
                self._process.stdin.close()
        code = self._process.wait()
        self._listener.join(_END_S)
        return code, self.words()

    def words(self) -> str:
        """What it said last."""
        return _words(self._last)

    def stop(self) -> None:
        """Ask it to end, from any thread; what reads from it then sees the end."""
        self._process.terminate()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as said:
            for piece in iter(partial(said.readline, _LONGEST), b""):
                line = piece.decode("utf-8", "replace")
                if line.strip() and not self._hear(line):
                    self._last = line
        self._hear("")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # it went away first
                    stream.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listener.join(_END_S)


def _words(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
