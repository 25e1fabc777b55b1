from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.errors import DatasetError, ImageError
from assay.train.cache import PictureCache


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
    cache = make(tmp_path, paths, render, limit=2 * 72)
    calls = render.calls
    assert int(cache[0][0, 0, 0]) == 0
    assert render.calls == calls
    assert int(cache[4][0, 0, 0]) == 40
    assert render.calls == calls + 1


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
    assert [int(again[i][0, 0, 0]) for i in range(5)] == [0, 10, 20, 30, 40]
