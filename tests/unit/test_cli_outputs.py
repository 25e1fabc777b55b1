"""Files of answers: what is told of an answer that is held back, and where copies of pictures go."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from assay.card import Card
from assay.cli.outputs.parquet_file import ParquetFile
from assay.cli.outputs.pictures import AnnotatedPictures
from assay.configs import PreprocessConfig
from assay.labels import ClassNames
from assay.types import Doubt, Prediction

CLASSES = ClassNames(["cat", "dog"])


def said(*, doubt: Doubt | None) -> Prediction:
    return Prediction("a.jpg", CLASSES, np.array([0.55, 0.45], np.float32), (10, 20), doubt=doubt)


def test_a_parquet_row_says_that_an_answer_is_held_back(tmp_path):
    card = Card(CLASSES, PreprocessConfig(size=8), {"model": "csp-nano", "channels": 3})
    table = ParquetFile(tmp_path / "a.parquet", card, "digest", abstain=True)
    table.open(None)
    table.write(said(doubt=Doubt(("unsure",), ("cat", "dog"))))
    table.write(said(doubt=Doubt((), ("cat",))))
    table.write(Prediction("b.jpg", CLASSES, np.zeros(0, np.float32), error="b.jpg cannot be read"))
    table.finish()
    held, told, broken = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert (held["answer"], held["abstains"], held["reasons"], held["set"]) == (
        None, True, ["unsure"], ["cat", "dog"]
    )  # fmt: skip
    assert (held["label"], told["label"]) == ("cat", "cat")
    assert (told["answer"], told["abstains"], told["reasons"], told["set"]) == ("cat", False, [], ["cat"])
    assert broken["abstains"] is None


@pytest.mark.parametrize(
    ("named", "source", "copy"),
    [
        (["shop"], "shop/red/1.jpg", "red/1.jpg"),
        (["shop/red/1.jpg", "shop/blue/1.jpg"], "shop/blue/1.jpg", "1.jpg"),
        (["shop/red/1.jpg", "shop"], "shop/red/1.jpg", "red/1.jpg"),  # folders before parents of files
        (["shop"], "elsewhere/2.png", "2.png.jpg"),
        (["shop"], "shop/../3.jpg", "3.jpg"),  # never beside the folder
    ],
)
def test_copies_have_the_names_that_pictures_have_below_what_was_named(
    tmp_path, monkeypatch, named, source, copy
):
    monkeypatch.chdir(tmp_path)
    for name in ("shop/red/1.jpg", "shop/blue/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    copies = AnnotatedPictures("out", named)
    assert copies.target(source).as_posix() == f"out/{copy}"


def test_dealing_names_does_not_ask_every_named_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    names = [f"shop/{i}.jpg" for i in range(50)]
    for name in names:
        (tmp_path / name).touch()
    copies = AnnotatedPictures("out", names)
    assert len(copies._ranks) == 1
