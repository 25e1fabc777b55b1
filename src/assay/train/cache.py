"""Pictures decoded once: uint8 pixels in one flat file, found through a small SQLite index.

A row of the index is (path, bytes, mtime_ns) -> (offset, height, width); a file that changed since is decoded
again. Rows are committed after their pixels are on disk, so a kill at any moment leaves a sound cache, and
several runs may fill the same one. Pictures beyond the size limit are decoded each time they are asked for.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError, DatasetError

Render = Callable[[Path], NDArray[np.uint8]]
_CHUNK = 256


class PictureCache:
    """Rows of pixels by number.

    Parameters
    ----------
    folder : where the cache lives; made when absent.
    paths : the pictures; row i belongs to ``paths[i]``.
    render : path -> (H, W, C) uint8; what is cached. A cache folder must serve one kind of render only.
    limit_bytes : most bytes of the pixel file.
    """

    def __init__(self, folder: Path, paths: Sequence[Path], render: Render, *, limit_bytes: int) -> None:
        self._paths, self._render, self._limit = list(paths), render, limit_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._pixels = folder / "pixels.u8"
        self._index = folder / "index.sqlite"
        self._place = np.full((len(paths), 4), -1, dtype=np.int64)  # offset, height, width, channels
        self._map: NDArray[np.uint8] = np.zeros(0, np.uint8)

    def fill(self, *, workers: int = 2, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Decode what is missing or changed.

        Raises
        ------
        DatasetError : pictures that cannot be read, all named at once.
        """
        with sqlite3.connect(self._index, timeout=120, isolation_level=None) as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS pictures (path TEXT PRIMARY KEY, bytes INT, mtime_ns INT,"
                " offset INT, height INT, width INT, channels INT)"
            )
            missing = self._look_up(db)
            broken: list[str] = []
            with ThreadPoolExecutor(workers) as pool:
                for start in range(0, len(missing), _CHUNK):
                    self._add(db, missing[start : start + _CHUNK], pool, broken)
                    if on_progress:
                        on_progress(min(start + _CHUNK, len(missing)), len(missing))
        db.close()
        if broken:
            raise DatasetError(
                f"{len(broken)} pictures cannot be read",
                got="; ".join(broken[:5]) + ("; ..." if len(broken) > 5 else ""),
                fix="remove or mend them: `assay check DATA` lists them all",
            )
        if self._pixels.exists() and self._pixels.stat().st_size:
            self._map = np.memmap(self._pixels, dtype=np.uint8, mode="r")

    def _look_up(self, db: sqlite3.Connection) -> list[int]:
        wanted = {str(path): i for i, path in enumerate(self._paths)}
        size = self._pixels.stat().st_size if self._pixels.exists() else 0
        missing = set(range(len(self._paths)))
        for path, n_bytes, mtime, *place in db.execute("SELECT * FROM pictures"):
            i = wanted.get(path)
            if i is None or place[0] + place[1] * place[2] * place[3] > size:
                continue
            try:
                found = self._paths[i].stat()
            except OSError:
                continue
            if (found.st_size, found.st_mtime_ns) == (n_bytes, mtime):
                self._place[i] = place
                missing.discard(i)
        return sorted(missing)

    def _add(
        self, db: sqlite3.Connection, rows: list[int], pool: ThreadPoolExecutor, broken: list[str]
    ) -> None:
        rendered = list(pool.map(self._try_render, rows))
        db.execute("BEGIN IMMEDIATE")
        with self._pixels.open("ab") as file:
            offset = file.seek(0, os.SEEK_END)
            for row, result in zip(rows, rendered, strict=True):
                if isinstance(result, AssayError):
                    broken.append(result.what)
                    continue
                pixels, n_bytes, mtime = result
                if offset + pixels.size > self._limit:
                    continue
                file.write(pixels.tobytes())
                place = (offset, *pixels.shape)
                entry = (str(self._paths[row]), n_bytes, mtime, *place)
                db.execute("INSERT OR REPLACE INTO pictures VALUES (?,?,?,?,?,?,?)", entry)
                self._place[row] = place
                offset += pixels.size
            file.flush()
            os.fsync(file.fileno())
        db.execute("COMMIT")

    def _try_render(self, row: int) -> tuple[NDArray[np.uint8], int, int] | AssayError:
        try:
            found = self._paths[row].stat()  # before reading: a later change is then noticed
            return self._render(self._paths[row]), found.st_size, found.st_mtime_ns
        except AssayError as error:
            return error
        except OSError as error:
            return DatasetError(f"{self._paths[row]}: {error.strerror}")

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """(H, W, C) uint8 pixels of one row."""
        offset, h, w, c = self._place[row]
        if offset < 0:
            return self._render(self._paths[row])
        return self._map[offset : offset + h * w * c].reshape(h, w, c)
