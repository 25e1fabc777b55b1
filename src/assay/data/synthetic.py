"""``render_shop``: the photo set of a small shop, drawn from code, with everything about it known exactly.

For trying Assay out, for demos and for tests: no photo, no font and no download is needed. What is in a picture is
in ``shop/``; this file turns numbers into a folder, in as many processes as wished, whole or not at all:

    pictures/000000.jpg ...   labels.csv   boxes.json   README.txt   shop.json
    scenes/scenes.parquet     scenes/masks/000000.png ...
    new/000000.jpg ...        new/labels.csv        pictures by sellers who are not in the shop

The same configuration gives the same bytes (with the same versions of Pillow and numpy), and a shop of 100
pictures is the beginning of a shop of 1000.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from assay.data.shop.labels import BoxesFile, Row, describe, write_rows
from assay.data.shop.notes import RENDERER, read_notes, write_notes, write_readme
from assay.data.shop.scene import render_picture
from assay.data.shop.scene_table import SceneTable
from assay.data.shop.sellers import NEWCOMERS, SHOP
from assay.data.whole_folder import whole_folder
from assay.errors import AssayError, ConfigError
from assay.verb_configs import ShopConfig

_CHUNK = 16
_FEW = 128
"""Up to so many pictures one process is quicker than starting several."""

_FOLDERS = {SHOP: "pictures", NEWCOMERS: "new"}


@dataclass(frozen=True)
class ShopFolder:
    """A rendered shop on disk. ``is_reused`` is true when the same shop was there already."""

    path: Path
    pictures: int
    new: int
    is_reused: bool = False


def render_shop(
    out: str | Path,
    n: int = 1200,
    seed: int = 0,
    size: int = 192,
    *,
    new: int = 24,
    workers: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> ShopFolder:
    """Render a shop into the folder ``out``; when the same shop is there already, nothing is done.

    Parameters
    ----------
    n, seed, size, new : see ``ShopConfig``.
    workers : processes. More than 1 needs, in a script, the usual ``if __name__ == "__main__":``.
    progress : called with (pictures done, of how many).

    Raises
    ------
    ConfigError : a value is out of range, or ``out`` holds something else.
    AssayError : the folder could not be written; nothing is left behind.
    """
    config = ShopConfig(n=n, seed=seed, size=size, new=new)
    if workers < 1:
        raise ConfigError(f"workers is {workers}; the least is 1")
    out = Path(out).expanduser()
    if _is_same_shop(out, config):
        return ShopFolder(out, config.n, config.new, is_reused=True)
    with _whole_shop(out) as beside:
        _render(beside, config, workers, progress or (lambda _done, _all: None))
    return ShopFolder(out, config.n, config.new)


def _is_same_shop(out: Path, config: ShopConfig) -> bool:
    """Whether ``out`` holds this very shop. False where there is nothing; anything else is an error."""
    if out.is_file():
        raise ConfigError(f"{out} is a file", fix="name a folder that does not exist yet")
    if not out.exists() or not any(out.iterdir()):
        return False
    there = read_notes(out)
    if there is None:
        fix = "name a new folder: nothing is overwritten"
        raise ConfigError(f"{out} is not empty", got="not a rendered shop", fix=fix)
    wanted = {**asdict(config), "renderer": RENDERER}
    other = [
        f"{name} {there.get(name)}, not {value}" for name, value in wanted.items() if there.get(name) != value
    ]
    if other:
        raise ConfigError(
            f"{out} holds another shop", got="; ".join(other), fix="name a new folder, or remove this one"
        )
    have = {name: sum(p.suffix == ".jpg" for p in (out / name).glob("*")) for name in _FOLDERS.values()}
    if (have["pictures"], have["new"]) != (config.n, config.new) or not (
        (out / "labels.csv").is_file() and (out / "scenes" / "scenes.parquet").is_file()
    ):
        got = f"{have['pictures']} of {config.n} pictures, {have['new']} of {config.new} new ones"
        raise ConfigError(
            f"{out} holds this shop, but not the whole of it", got=got, fix="remove it, or name a new folder"
        )
    return True


@contextmanager
def _whole_shop(out: Path) -> Iterator[Path]:
    try:
        with whole_folder(out) as beside:  # `out` is empty where it exists: _is_same_shop has seen to that
            yield beside
    except BrokenProcessPool as error:
        fix = 'use workers=1, or call it under `if __name__ == "__main__":`; for want of memory, use fewer workers'
        raise AssayError("a rendering process ended before its time", fix=fix) from error


def _render(folder: Path, config: ShopConfig, workers: int, progress: Callable[[int, int], object]) -> None:
    done, total = 0, config.n + config.new
    with BoxesFile(folder / "boxes.json", config.seed) as boxes, SceneTable(folder) as scenes:
        for stream, count in ((SHOP, config.n), (NEWCOMERS, config.new)):
            place = folder / _FOLDERS[stream]
            place.mkdir()
            table = folder / "labels.csv" if stream == SHOP else place / "labels.csv"
            with write_rows(table) as write:
                for row in _rows(place, config, stream, count, workers):
                    write(row, "pictures/" if stream == SHOP else "")
                    if stream == SHOP:
                        boxes.add(row)
                        scenes.add(row)
                    done += 1
                    progress(done, total)
    write_readme(folder, config)
    write_notes(folder, config)


def _rows(folder: Path, config: ShopConfig, stream: int, count: int, workers: int) -> Iterator[Row]:
    """Renders pictures into ``folder`` and yields what is known of each, in order."""
    work = partial(_render_chunk, str(folder), config.seed, stream, config.size)
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    if workers == 1 or count <= _FEW:
        for chunk in chunks:
            yield from work(chunk)
        return
    # spawn: a fork of a process whose threads hold locks (torch, BLAS) may never wake up
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        for rows in pool.map(work, chunks):
            yield from rows
    finally:
        pool.shutdown(cancel_futures=True)


def _render_chunk(folder: str, seed: int, stream: int, size: int, numbers: range) -> list[Row]:
    rows = []
    for i in numbers:
        picture = render_picture(seed, stream, i, size)
        name = f"{i:06d}.jpg"
        (Path(folder) / name).write_bytes(picture.jpeg)
        rows.append(describe(name, i, picture))
    return rows
