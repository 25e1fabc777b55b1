from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.errors import DatasetError, ImageError
from assay.train import cache as cache_module
from assay.train import pixel_folder
from assay.train.cache import PictureCache

PICTURE = 4 * 6 * 3  # bytes of one


def write(path: Path, grey: int) -> None:
    Image.new("RGB", (6, 4), (grey, grey, grey)).save(path)


class Render:
    """Reads a picture and counts how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> np.ndarray:
        self.calls += 1
        if path.name == "broken.png":
            raise ImageError("broken.png is not a picture")
        return np.asarray(Image.open(path).convert("RGB"))


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(found):
        write(path, i * 10)
    return found


def make(tmp_path: Path, paths: list[Path], render: Render, limit: int = 10**6) -> PictureCache:
    cache = PictureCache(tmp_path / "cache", paths, render, limit_bytes=limit)
    cache.fill(workers=1)
    return cache


def fill(folder: Path, paths: list[Path], limit: int = 10**6) -> PictureCache:
    cache = PictureCache(folder, paths, Render(), limit_bytes=limit)
    cache.fill(workers=1)
    return cache


def greys(cache: PictureCache) -> list[int]:
    return [int(cache[row][0, 0, 0]) for row in range(len(cache))]


def pixels_of(folder: Path) -> int:
    path = folder / "pixels.u8"
    return path.stat().st_size if path.exists() else 0


def told_once(cache: PictureCache, reason: str) -> None:
    """The run goes on with the right pixels, and says once why they are not kept."""
    assert greys(cache) == [0, 10, 20, 30, 40]
    assert len(cache.warnings) == 1
    assert "5 of 5 pictures are not cached and are decoded each time" in cache.warnings[0]
    assert reason in cache.warnings[0]


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def test_pictures_are_decoded_once(tmp_path: Path, paths: list[Path]) -> None:
    render = Render()
    make(tmp_path, paths, render)
    again = make(tmp_path, paths, render)
    assert render.calls == 5
    assert [int(again[i][0, 0, 0]) for i in range(5)] == [0, 10, 20, 30, 40]
    assert again[0].shape == (4, 6, 3)


def test_a_changed_file_is_noticed(tmp_path: Path, paths: list[Path]) -> None:
    render = Render()
    make(tmp_path, paths, render)
    write(paths[2], 200)
    os.utime(paths[2], ns=(1, 1))
    again = make(tmp_path, paths, render)
    assert render.calls == 6
    assert int(again[2][0, 0, 0]) == 200


def test_pictures_beyond_the_limit_are_decoded_each_time(tmp_path: Path, paths: list[Path]) -> None:
    render = Render()
    cache = make(tmp_path, paths, render, limit=2 * PICTURE)
    assert render.calls == 2, "what will not be kept is not decoded"
    assert int(cache[0][0, 0, 0]) == 0
    assert render.calls == 2
    assert int(cache[4][0, 0, 0]) == 40
    assert render.calls == 3
    assert len(cache.warnings) == 1
    assert "3 of 5 pictures are not cached" in cache.warnings[0]
    assert "no room left (cache_gb is" in cache.warnings[0]


def test_a_full_cache_is_not_filled_again(tmp_path: Path, paths: list[Path]) -> None:
    make(tmp_path, paths, Render(), limit=2 * PICTURE + PICTURE // 2)
    render = Render()
    make(tmp_path, paths, render, limit=2 * PICTURE + PICTURE // 2)
    assert render.calls == 0


def test_a_picture_too_large_for_the_room_ends_the_filling(tmp_path: Path, paths: list[Path]) -> None:
    for path in paths[2:]:
        Image.new("RGB", (60, 40)).save(path)
    render = Render()
    cache = make(tmp_path, paths, render, limit=3 * PICTURE)
    assert render.calls == 3  # two are kept, one shows that it is larger than the others
    assert cache[4].shape == (40, 60, 3)


def test_every_broken_picture_is_named_at_once(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"2 pictures cannot be read[\s\S]*broken.png is not a picture"):
        make(tmp_path, [*paths, tmp_path / "broken.png", tmp_path / "absent.png"], Render())


def test_pixels_cut_short_by_a_kill_are_decoded_again(tmp_path: Path, paths: list[Path]) -> None:
    render = Render()
    make(tmp_path, paths, render)
    pixels = tmp_path / "cache" / "pixels.u8"
    os.truncate(pixels, 100)
    again = make(tmp_path, paths, render)
    assert greys(again) == [0, 10, 20, 30, 40]
    assert pixels_of(tmp_path / "cache") == 5 * PICTURE


def test_a_row_whose_pixels_are_gone_never_finds_others(tmp_path: Path, paths: list[Path]) -> None:
    make(tmp_path, paths[:3], Render())
    (tmp_path / "cache" / "pixels.u8").unlink()
    make(tmp_path, paths[3:], Render())
    assert greys(make(tmp_path, paths, Render())) == [0, 10, 20, 30, 40]


def test_a_path_listed_twice_is_kept_once(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    twice = [paths[0], paths[1], paths[0], Path(paths[1].name)]
    for _ in range(2):
        render = Render()
        cache = make(tmp_path, twice, render)
        assert len(cache) == 4
        assert greys(cache) == [0, 10, 0, 10]
        assert pixels_of(tmp_path / "cache") == 2 * PICTURE
    assert render.calls == 0


def test_a_name_that_is_no_unicode_is_kept(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    write(path, 70)
    make(tmp_path, [path], Render())
    render = Render()
    assert greys(make(tmp_path, [path], render)) == [70]
    assert render.calls == 0


@pytest.mark.parametrize("content", [b"no index" * 100, None], ids=["no database", "another table"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, paths: list[Path], content: bytes | None) -> None:
    make(tmp_path, paths, Render())
    index = tmp_path / "cache" / "index.sqlite"
    if content is None:
        with closing(sqlite3.connect(index)) as db:
            db.execute("ALTER TABLE pictures DROP COLUMN offset")
    else:
        index.write_bytes(content)
    cache = make(tmp_path, paths, Render())
    assert greys(cache) == [0, 10, 20, 30, 40]
    assert cache.warnings == []
    assert pixels_of(tmp_path / "cache") == 5 * PICTURE
    del cache
    render = Render()
    make(tmp_path, paths, render)
    assert render.calls == 0


def test_a_damaged_index_that_another_run_holds_is_left(tmp_path: Path, paths: list[Path]) -> None:
    other = make(tmp_path, paths, Render())
    (tmp_path / "cache" / "index.sqlite").write_bytes(b"no index" * 100)
    told_once(make(tmp_path, paths, Render()), "not a database")
    assert greys(other) == [0, 10, 20, 30, 40]


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "cache").write_text("a file")
    told_once(make(tmp_path, paths, Render()), "File exists")


def test_an_index_that_cannot_be_opened_is_told_once(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "cache" / "index.sqlite").mkdir(parents=True)
    told_once(make(tmp_path, paths, Render()), "unable to open database file")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told_once(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "pixels.u8").symlink_to("/dev/full")
    told_once(make(tmp_path, paths, Render()), "No space left on device")


def test_a_nearly_full_disk_is_left_its_rest(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_folder, "SPARE_BYTES", 1 << 60)
    told_once(make(tmp_path, paths, Render()), "no room left")


def test_a_locked_index_is_told_once(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, paths[:1], Render())
    monkeypatch.setattr(cache_module, "_BUSY_S", 0.01)
    with closing(sqlite3.connect(tmp_path / "cache" / "index.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        told_once(make(tmp_path, paths, Render()), "database is locked")


def test_what_was_kept_before_the_disk_failed_is_used(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, paths[:2], Render())

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    render = Render()
    cache = make(tmp_path, paths, render)
    render.calls = 0
    assert greys(cache) == [0, 10, 20, 30, 40]
    assert render.calls == 3
    assert "3 of 5 pictures are not cached" in cache.warnings[0]


def test_errors_of_the_progress_are_not_taken_for_the_disk(tmp_path: Path, paths: list[Path]) -> None:
    def fail(_done: int, _total: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        PictureCache(tmp_path / "c", paths, Render(), limit_bytes=10**6).fill(on_progress=fail)


def test_neighbours_longest_unused_make_room(tmp_path: Path, paths: list[Path]) -> None:
    for name, age in (("old", 1), ("older", 0), ("new", 2)):
        fill(tmp_path / "all" / name, paths[:2])
        for file in ("used", "pixels.u8"):
            os.utime(tmp_path / "all" / name / file, (age, age))
    cache = fill(tmp_path / "all" / "mine", paths[:3], limit=5 * PICTURE)
    assert cache.warnings == []
    sizes = {name: pixels_of(tmp_path / "all" / name) for name in ("mine", "new", "old", "older")}
    assert sizes == {"mine": 3 * PICTURE, "new": 2 * PICTURE, "old": 0, "older": 0}
    assert not (tmp_path / "all" / "old" / "index.sqlite").exists()


def test_using_a_folder_again_makes_it_young(tmp_path: Path, paths: list[Path]) -> None:
    for name in ("a", "b"):
        fill(tmp_path / "all" / name, paths[:1])
        for file in ("used", "pixels.u8"):
            os.utime(tmp_path / "all" / name / file, (1, 1 if name == "a" else 2))
    fill(tmp_path / "all" / "a", paths[:1])
    fill(tmp_path / "all" / "c", paths[:1], limit=2 * PICTURE)
    assert [pixels_of(tmp_path / "all" / name) for name in "abc"] == [PICTURE, 0, PICTURE]


def test_neighbours_in_use_share_the_limit(tmp_path: Path, paths: list[Path]) -> None:
    train = fill(tmp_path / "all" / "train", paths[:3], limit=4 * PICTURE)
    validation = fill(tmp_path / "all" / "validation", paths[3:], limit=4 * PICTURE)
    assert pixels_of(tmp_path / "all" / "train") == 3 * PICTURE
    assert pixels_of(tmp_path / "all" / "validation") == PICTURE
    assert greys(train) + greys(validation) == [0, 10, 20, 30, 40]
    assert "1 of 2 pictures" in validation.warnings[0]


def test_a_lowered_limit_holds_at_once(tmp_path: Path, paths: list[Path]) -> None:
    make(tmp_path, paths, Render())
    make(tmp_path, paths, Render(), limit=2 * PICTURE)
    assert pixels_of(tmp_path / "cache") == 2 * PICTURE


def test_mostly_dead_pixels_are_dropped(tmp_path: Path, paths: list[Path]) -> None:
    make(tmp_path, paths, Render())
    for number, path in enumerate(paths[:3]):
        write(path, 100 + number)
        os.utime(path, ns=(1, 1))
    cache = make(tmp_path, paths, Render())
    assert pixels_of(tmp_path / "cache") == 5 * PICTURE
    assert greys(cache) == [100, 101, 102, 30, 40]


def test_dead_pixels_stay_while_another_run_uses_the_folder(tmp_path: Path, paths: list[Path]) -> None:
    other = make(tmp_path, paths, Render())
    for path in paths[:3]:
        write(path, 100)
        os.utime(path, ns=(1, 1))
    assert greys(make(tmp_path, paths, Render())) == [100, 100, 100, 30, 40]
    assert pixels_of(tmp_path / "cache") == 8 * PICTURE
    assert greys(other) == [0, 10, 20, 30, 40]


def test_pixels_of_other_pictures_of_the_folder_are_alive(tmp_path: Path, paths: list[Path]) -> None:
    make(tmp_path, paths[:4], Render())
    make(tmp_path, paths[4:], Render())
    assert pixels_of(tmp_path / "cache") == 5 * PICTURE


def test_nothing_stays_open(tmp_path: Path, paths: list[Path]) -> None:
    before = open_files()
    for _ in range(5):
        make(tmp_path, paths, Render())
    assert open_files() == before
