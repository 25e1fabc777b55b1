"""Pictures decoded once: uint8 pixels in one flat file, found through a small SQLite index.

A row of the index is (path, bytes, mtime_ns) -> (offset, height, width, channels); a file that changed since is
decoded again. Rows are committed after their pixels are on disk, so a kill at any moment leaves a sound cache, and
several runs may fill the same one. Pictures that are not kept, for want of room or of a disk that works, are decoded
each time they are asked for, and ``warnings`` says so.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError, DatasetError
from assay.train.pixel_folder import PixelFolder, stamp

Render = Callable[[Path], NDArray[np.uint8]]
Place = tuple[int, int, int, int]
"""offset, height, width, channels"""

_CHUNK = 256
_BUSY_S = 120.0
_SCHEMA = """CREATE TABLE IF NOT EXISTS pictures (path TEXT PRIMARY KEY, bytes INT, mtime_ns INT,
    offset INT, height INT, width INT, channels INT)"""
_ROWS = "SELECT path, bytes, mtime_ns, offset, height, width, channels FROM pictures"


class PictureCache:
    """Rows of pixels by number.

    Parameters
    ----------
    folder : where the cache lives; made by ``fill``. A folder must serve one kind of render only.
    paths : the pictures; row i belongs to ``paths[i]``. Rows of one path share their pixels.
    render : path -> (H, W, C) uint8; what is cached.
    limit_bytes : most bytes of the pixel files of this folder and its neighbours together.

    Attributes
    ----------
    warnings : what ``fill`` could not keep, and why; to be told to the user.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], render: Render, *, limit_bytes: int) -> None:
        self._folder, self._render = PixelFolder(folder, limit_bytes), render
        keys = [_key(path) for path in paths]
        unique = dict(zip(keys, paths, strict=True))
        self._number_of = {key: number for number, key in enumerate(unique)}
        self._numbers = [self._number_of[key] for key in keys]  # row -> picture
        self._keys, self._paths = list(unique), list(unique.values())
        self._place = np.full((len(self._paths), 4), -1, dtype=np.int64)
        self._map: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._stamps: list[tuple[int, int]] = []
        self.warnings: list[str] = []

    def fill(self, *, workers: int = 2, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Decode what is missing or changed, as far as there is room.

        Raises
        ------
        DatasetError : pictures that cannot be read, all that were tried named at once.
        """
        self._place[:] = -1
        self._stamps = [stamp(path) for path in self._paths]  # before reading: a later change is then noticed
        broken: list[str] = []
        with closing(self._store(workers, broken)) as steps:
            for done, total in steps:
                if on_progress:
                    on_progress(done, total)
        self._open_map()
        if broken:
            raise DatasetError(
                f"{len(broken)} pictures cannot be read",
                got="; ".join(broken[:5]) + ("; ..." if len(broken) > 5 else ""),
                fix="remove or mend them: `assay check DATA` lists them all",
            )

    def _store(self, workers: int, broken: list[str]) -> Generator[tuple[int, int]]:
        """Fill chunk by chunk, giving (done, total); a cache that fails is told and left as it is."""
        try:
            self._folder.make()
            self._tidy()
            self._folder.hold()
            with (
                closing(_open_index(self._folder.index)) as db,
                self._folder.pixels.open("ab") as file,
                ThreadPoolExecutor(workers) as pool,
            ):
                yield from self._add_missing(db, file, pool, broken)
        except (sqlite3.Error, OSError) as error:
            self._warn(str(error))

    def _add_missing(
        self, db: sqlite3.Connection, file: BinaryIO, pool: ThreadPoolExecutor, broken: list[str]
    ) -> Generator[tuple[int, int]]:
        missing, done = self._look_up(db), 0
        kept = self._place[self._place[:, 0] >= 0, 1:].prod(axis=1)
        pictures, n_bytes = len(kept), int(kept.sum())
        while done < len(missing):
            wanted = (
                min(_CHUNK, len(missing) - done) if done or pictures else 1
            )  # one tells how large all are
            mean = max(1, n_bytes // max(1, pictures))
            room = max(0, self._folder.room(mean * wanted))
            chunk = missing[done : done + min(wanted, room // mean)]
            rendered = self._rendered(chunk, pool, broken)
            pictures, n_bytes = pictures + len(rendered), n_bytes + sum(p.size for p in rendered.values())
            if not chunk or not self._keep(db, file, rendered):
                self._warn(f"no room left (cache_gb is {self._folder.limit_bytes / 1e9:.3g})")
                return
            done += len(chunk)
            yield done, len(missing)

    def _look_up(self, db: sqlite3.Connection) -> list[int]:
        """Note the places of the pictures that are there; the numbers of the others."""
        rows = list(self._rows(db))
        size = self._folder.size  # after the rows: another run may be adding some
        for number, place in rows:
            if number is not None and _end(place) <= size:
                self._place[number] = place
        return np.flatnonzero(self._place[:, 0] < 0).tolist()

    def _rows(self, db: sqlite3.Connection) -> Iterator[tuple[int | None, Place]]:
        """(number here, or None, place) of every row but those of pictures that changed since."""
        for key, n_bytes, mtime_ns, *place in db.execute(_ROWS):
            number = self._number_of.get(key)
            if number is None or self._stamps[number] == (n_bytes, mtime_ns):
                yield number, (place[0], place[1], place[2], place[3])

    def _rendered(
        self, numbers: list[int], pool: ThreadPoolExecutor, broken: list[str]
    ) -> dict[int, NDArray[np.uint8]]:
        found = {}
        for number, result in zip(numbers, pool.map(self._try_render, numbers), strict=True):
            if isinstance(result, AssayError):
                broken.append(result.what)
            else:
                found[number] = result
        return found

    def _try_render(self, number: int) -> NDArray[np.uint8] | AssayError:
        try:
            return self._render(self._paths[number])
        except AssayError as error:
            return error
        except OSError as error:
            return DatasetError(f"{self._paths[number]}: {error.strerror}")

    def _keep(self, db: sqlite3.Connection, file: BinaryIO, pictures: dict[int, NDArray[np.uint8]]) -> bool:
        """Append pictures, then their rows; False where some found no room."""
        if not pictures:
            return True
        db.execute("BEGIN IMMEDIATE")  # from here on nobody else appends
        end = file.seek(0, os.SEEK_END) + self._folder.room(sum(pixels.size for pixels in pictures.values()))
        places: dict[int, Place] = {}
        for number, pixels in pictures.items():
            if file.tell() + pixels.size > end:
                break
            places[number] = (file.tell(), *pixels.shape)
            file.write(pixels.tobytes())
        file.flush()
        os.fsync(file.fileno())
        rows = ((self._keys[i], *self._stamps[i], *place) for i, place in places.items())
        db.executemany("INSERT OR REPLACE INTO pictures VALUES (?,?,?,?,?,?,?)", rows)
        db.execute("COMMIT")
        for number, place in places.items():
            self._place[number] = place
        return len(places) == len(pictures)

    def _tidy(self) -> None:
        """Start afresh where that is better, unless another run uses the folder; hold all to the limit."""
        with self._folder.alone() as alone:
            if alone and not self._is_worth_keeping():
                self._folder.remove()
        self._folder.room(0)

    def _is_worth_keeping(self) -> bool:
        """Whether the folder is undamaged, within the limit, and at least half of its bytes are of use."""
        size = self._folder.size
        try:
            with closing(_open_index(self._folder.index)) as db:
                places = [place for _, place in self._rows(db)]
        except sqlite3.Error as error:
            if _is_damage(error):
                return False
            raise
        # A row beyond the end would find others' pixels once the file has grown over it.
        cut_short = any(_end(place) > size for place in places)
        return (
            not cut_short
            and size <= self._folder.limit_bytes
            and 2 * sum(_end(p) - p[0] for p in places) >= size
        )

    def _open_map(self) -> None:
        if not (self._place[:, 0] >= 0).any():
            return
        try:
            self._map = np.memmap(self._folder.pixels, dtype=np.uint8, mode="r")
        except OSError as error:
            self._place[:] = -1
            self._warn(str(error))

    def _warn(self, reason: str) -> None:
        left = int((self._place[:, 0] < 0).sum())
        self.warnings.append(
            f"{left} of {len(self._paths)} pictures are not cached and are decoded each time they are needed:"
            f" {self._folder.path}: {reason}"
        )

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """(H, W, C) uint8 pixels of one row."""
        number = self._numbers[row]
        offset, h, w, c = self._place[number]
        if offset < 0:
            return self._render(self._paths[number])
        return self._map[offset : offset + h * w * c].reshape(h, w, c)


def _open_index(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
    try:
        db.execute(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the index itself is at fault (of another make, or damaged), not its disk or another process."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    return code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _key(path: Path) -> str:
    return os.fsencode(path.absolute()).decode("utf-8", "backslashreplace")


def _end(place: Place) -> int:
    return place[0] + place[1] * place[2] * place[3]
