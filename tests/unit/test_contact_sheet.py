"""The contact sheet and `assay show`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.configs import AugmentConfig, PreprocessConfig
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.report.contact_sheet import contact_sheet, pick_rows
from assay.types import Dataset


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Eight pictures of two classes, one in Chinese; the last picture is broken."""
    paths = [f"{i}.png" for i in range(8)]
    for i, path in enumerate(paths):
        Image.new("RGB", (64, 64), (30 * i, 255 - 30 * i, 80)).save(tmp_path / path)
    (tmp_path / "7.png").write_bytes(b"broken")
    table = pa.table({"path": paths, "label": ["shoe", "连衣裙"] * 4, "part": ["train"] * 6 + ["test"] * 2})
    return Dataset(table, ClassNames(["shoe", "连衣裙"]), tmp_path, name="shop")


def test_the_same_call_gives_the_same_sheet(dataset):
    one, two = contact_sheet(dataset, columns=4, rows=2), contact_sheet(dataset, columns=4, rows=2)
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != contact_sheet(dataset, columns=4, rows=2, seed=1).tobytes()


def test_pictures_are_on_it(dataset):
    sheet = np.asarray(contact_sheet(dataset, columns=4, rows=2))
    for i in range(7):
        assert (sheet == [30 * i, 255 - 30 * i, 80]).all(axis=2).sum() > 10_000


def test_sizes(dataset):
    wide = contact_sheet(dataset, columns=8, rows=1)
    tall = contact_sheet(dataset, columns=2, rows=4)
    assert wide.width > wide.height
    assert tall.height > tall.width
    assert contact_sheet(dataset, columns=1, rows=1).width > 150


def test_part_and_grey_preprocessing(dataset):
    assert contact_sheet(dataset, part="test").height < contact_sheet(dataset, columns=2).height
    grey = np.asarray(contact_sheet(dataset, preprocess=PreprocessConfig(size=16, colour="gray")), int)
    pictures = grey[170:, :, :][np.abs(grey[170:] - 255).max(axis=2) > 60]
    assert np.median(np.ptp(pictures, axis=1)) == 0
    with pytest.raises(ConfigError, match="no part 'validation'"):
        contact_sheet(dataset, part="validation")


@pytest.mark.parametrize("mix", [{}, {"mixup": 1.0}, {"cutmix": 1.0}])
def test_augmented_rows(dataset, mix):
    sheet = contact_sheet(dataset, augment=AugmentConfig(**mix), columns=5, rows=3)
    again = contact_sheet(dataset, augment=AugmentConfig(**mix), columns=5, rows=3)
    assert sheet.tobytes() == again.tobytes()
    assert contact_sheet(dataset, augment=AugmentConfig(**mix), columns=1).width > 0


def test_unreadable_pictures_only(tmp_path):
    table = pa.table({"path": ["gone.jpg"], "label": ["a"]})
    dataset = Dataset(table, ClassNames(["a"]), tmp_path)
    assert contact_sheet(dataset).height > 100  # a tile says so
    with pytest.raises(DatasetError, match="none of the pictures drawn can be read"):
        contact_sheet(dataset, augment=AugmentConfig())


def test_words_for_wrong_numbers_and_emptiness(dataset):
    for wrong in ({"columns": 0}, {"rows": 0}, {"per_class": 0}):
        with pytest.raises(ConfigError, match="at least one column"):
            contact_sheet(dataset, **wrong)
    with pytest.raises(DatasetError, match="has no pictures to show"):
        contact_sheet(dataset.select(np.zeros(8, bool)))


def test_rows_are_drawn_evenly():
    rng = np.random.default_rng(0)
    targets = np.array([0] * 90 + [1] * 9 + [2] * 1 + [-1] * 20)
    picked = targets[pick_rows(targets, 12, None, rng)]
    assert (picked[:-1] <= picked[1:]).all()
    assert 1 in picked
    assert 2 in picked
    assert -1 not in picked
    assert abs((picked == 0).sum() - (picked == 1).sum()) <= 1
    assert len(pick_rows(targets, 100, 2, rng)) == 5
    assert len(set(pick_rows(np.repeat(np.arange(50_000), 4), 64, None, rng))) == 64
    assert len(pick_rows(np.full(9, -1), 4, None, rng)) == 4


def test_cli(cli, photos, tmp_path):
    out = tmp_path / "sheets" / "sheet.png"
    done = cli("show", photos, "--out", out, "--columns", 4)
    assert done.code == 0, done.err
    assert str(out) in done.out
    assert out.read_bytes().startswith(b"\x89PNG")
    done = cli("show", photos, f"out={tmp_path / 'aug.jpg'}", "--augment", "--colour-jitter", "0.4", "rows=2")
    assert done.code == 0, done.err
    assert (tmp_path / "aug.jpg").read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--out", "sheet.docx"], "no name for a picture"),
        (["--colour-jitter", "0.4"], "add --augment"),
        (["--seed", "-1"], "seed is -1"),
        (["--columns", "0"], "at least one column"),
        (["--part", "nowhere"], "no part 'nowhere'"),
        (["--per-clas", "3"], "per-class"),
    ],
)
def test_cli_words(cli, photos, tmp_path, words, told, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("show", photos, *words)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.glob("*.png"))
