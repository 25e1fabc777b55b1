from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.configs import PreprocessConfig, Recipe
from assay.preprocess import Preprocess
from assay.train.material import Material, gather, read, training_kind, training_render
from assay.train.record import Recorder

CONFIG = PreprocessConfig(size=32)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for label in ("cat", "dog"):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "photos"


def material_of(photos: Path, run: Path | None = None, **options: object) -> Material:
    recipe = Recipe.from_options({"size": 32, "workers": 1, **options})
    with Recorder(run) as recorder:
        return gather(read(photos, recipe), recipe, recorder)


def folders(photos: Path) -> list[str]:
    return sorted(path.parent.name for path in (photos.parent / "cache" / "pixels").glob("*/pixels.u8"))


@pytest.mark.parametrize(
    "change",
    [
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.5)},
        {"pad_value": 0},
        {"resize": "letterbox"},
        {"crop_share": 0.5},
        {"smoothing_strength": 2.0},
    ],
)
def test_what_leaves_training_pixels_alone_shares_them(photos: Path, change: dict[str, object]) -> None:
    first, second = (Preprocess(c) for c in (CONFIG, replace(CONFIG, **change)))  # type: ignore[arg-type]
    assert training_kind(first) == training_kind(second)
    picture = photos / "train" / "cat" / "0.png"
    assert np.array_equal(training_render(first)(picture), training_render(second)(picture))


@pytest.mark.parametrize(
    "change", [{"size": 24}, {"colour": "gray"}, {"smoothing": "median"}, {"interpolation": "bicubic"}]
)
def test_what_changes_training_pixels_keeps_them_apart(photos: Path, change: dict[str, object]) -> None:
    first, second = (Preprocess(c) for c in (CONFIG, replace(CONFIG, **change)))  # type: ignore[arg-type]
    assert training_kind(first) != training_kind(second)
    picture = photos / "train" / "cat" / "0.png"
    assert not np.array_equal(training_render(first)(picture), training_render(second)(picture))


def test_the_strength_of_a_smoothing_that_is_on_counts() -> None:
    soft, softer = (replace(CONFIG, smoothing="gaussian", smoothing_strength=s) for s in (1.0, 2.0))
    assert training_kind(Preprocess(soft)) != training_kind(Preprocess(softer))


def test_training_pixels_are_a_little_larger_and_never_enlarged(photos: Path) -> None:
    picture = photos / "train" / "cat" / "0.png"
    assert training_render(Preprocess(CONFIG))(picture).shape == (37, 49, 3)
    assert training_render(Preprocess(replace(CONFIG, size=64)))(picture).shape == (48, 64, 3)


def test_runs_of_other_means_share_training_pixels(photos: Path) -> None:
    material_of(photos)
    before = folders(photos)
    material_of(photos, mean=(0.5, 0.5, 0.5))
    added = set(folders(photos)) - set(before)
    assert len(before) == 2
    assert not any("train-" in name for name in added)


def test_training_and_validation_share_the_limit(photos: Path) -> None:
    limit = 8 * 37 * 49 * 3 + 32 * 32 * 3
    material = material_of(photos, cache_gb=limit / 1e9)
    sizes = [path.stat().st_size for path in (photos.parent / "cache" / "pixels").glob("*/pixels.u8")]
    assert sorted(sizes) == [32 * 32 * 3, 8 * 37 * 49 * 3]
    assert material.validation_pixels is not None
    assert [material.validation_pixels[row].shape for row in range(4)] == [(32, 32, 3)] * 4


def test_a_cache_that_cannot_be_kept_is_in_the_log(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "run").mkdir()
    material = material_of(photos, tmp_path / "run")
    assert material.train_pixels[0].shape == (37, 49, 3)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    notes = [line["text"] for line in lines if line["kind"] == "note"]
    assert len(notes) == 2
    assert "8 of 8 pictures are not cached" in notes[0]
    assert "4 of 4 pictures are not cached" in notes[1]
