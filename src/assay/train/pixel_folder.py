"""The folder of one picture cache on disk: who uses it, and how much room it has among its neighbours.

Folders that lie side by side share one limit: the longest unused make way for the one being filled. Who uses a
folder holds a shared lock on its file ``used``; only who holds it alone removes pixels. The file itself stays, so
that two processes never lock two different files of one name.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which itself keeps files that are mapped from being removed
    fcntl = None  # type: ignore[assignment]

SPARE_BYTES = 1 << 30
"""Left free on the disk: for checkpoints, and for everybody else."""

_PIXELS, _INDEX, _USED = "pixels.u8", "index.sqlite", "used"


class PixelFolder:
    """A folder with a pixel file and its index. Its methods raise OSError.

    Parameters
    ----------
    path : the folder; made by ``make``.
    limit_bytes : most bytes of the pixel files of this folder and its neighbours together.
    """

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path, self.limit_bytes = path, limit_bytes
        self.pixels, self.index = path / _PIXELS, path / _INDEX
        self._held = False

    @property
    def size(self) -> int:
        """Bytes of the pixel file; 0 where there is none."""
        return max(0, stamp(self.pixels)[0])

    def make(self) -> None:
        """Make the folder where it is absent."""
        self.path.mkdir(parents=True, exist_ok=True)

    def hold(self) -> None:
        """Mark the folder as used now, and as in use for as long as this object lives."""
        if not self._held:
            lock = os.open(self.path / _USED, os.O_RDWR | os.O_CREAT, 0o666)
            weakref.finalize(self, os.close, lock)
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_SH)
            self._held = True
        os.utime(self.path / _USED)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody uses the folder; while this lasts, nobody begins to."""
        lock = os.open(self.path / _USED, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            yield _locks_alone(lock)
        finally:
            os.close(lock)

    def remove(self) -> None:
        """Remove pixels and index; for who is alone.

        Rows go before their pixels: a row without pixels would find others', pixels without rows are only waste.
        """
        for name in (_INDEX, f"{_INDEX}-journal", _PIXELS):
            (self.path / name).unlink(missing_ok=True)

    def room(self, wanted: int) -> int:
        """Bytes that may be added, after idle neighbours, longest unused first, made way for ``wanted``."""
        neighbours = [PixelFolder(path, 0) for path in self.path.parent.iterdir() if path != self.path]
        idle = sorted((n for n in neighbours if n.size), key=PixelFolder._last_use)
        while True:
            room = self.limit_bytes - self.size - sum(n.size for n in neighbours)
            if wanted:
                room = min(room, shutil.disk_usage(self.path).free - SPARE_BYTES)
            if room >= wanted or not idle:
                return room
            first = idle.pop(0)
            with suppress(OSError), first.alone() as alone:
                if alone:
                    first.remove()

    def _last_use(self) -> int:
        return max(stamp(self.path / _USED)[1], stamp(self.pixels)[1])


def stamp(path: Path) -> tuple[int, int]:
    """(bytes, mtime_ns) of a file; (-1, -1) where it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _locks_alone(lock: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
