"""What every data format of classes must do, asked of each such entry of ``tables.FORMATS``: newcomers unasked."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.configs import ReadConfig
from assay.data.read import load_format, read_dataset, recognise
from assay.data.write import write_dataset
from assay.errors import AssayError, ConfigError, DatasetError
from assay.labels import ClassNames
from assay.tables import FORMATS
from assay.types import Dataset

KINDS = [
    (name, suffix)
    for name in FORMATS
    for suffix in load_format(name).suffixes
    if "label" in load_format(name).holds(Path(f"x{suffix}"))
]


@pytest.fixture(params=KINDS, ids=[f"{name}{suffix}" for name, suffix in KINDS])
def kind(request):
    return request.param


def target(tmp_path: Path, suffix: str) -> Path:
    return tmp_path / "written" / f"Läden 店{suffix}"


def pictures(folder: Path, labels: list[str], parts: list[str | None] | None = None) -> Dataset:
    """One 8 x 8 picture a label, with names that are not ASCII, contain spaces, commas and quotes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = np.random.default_rng(0), []
    for i in range(len(labels)):
        path = folder / f'ein "Bild", {i} 照片.png'
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
        paths.append(path.name)
    columns = {"path": paths, "label": labels} | ({"part": parts} if parts else {})
    classes = ClassNames(sorted(set(labels)))
    return Dataset(pa.table(columns), classes, folder, split={"by": "source"} if parts else {})


def content(dataset: Dataset) -> Counter:
    """What a data set says, whatever its files are called: (bytes, label, part) of every row."""
    return Counter(
        (hashlib.sha256(s.path.read_bytes()).hexdigest(), dataset.classes[s.label], s.part) for s in dataset
    )


LABELS = ["größer", "三角 形", "a, b", 'say "x"', "größer", "10", "9", "007"]
PARTS = ["train", "train", "train", "train", "validation", "validation", "test", "test"]


@pytest.mark.parametrize("parts", [None, PARTS], ids=["no parts", "parts"])
def test_write_then_read_is_the_identity(kind, tmp_path, parts):
    name, suffix = kind
    before = pictures(tmp_path / "pictures", LABELS, parts)
    out = target(tmp_path, suffix)
    write_dataset(before, out, name)
    after = read_dataset(out)
    assert content(after) == content(before)
    assert set(after.classes) == set(before.classes)
    assert after.parts == before.parts
    assert after.split.get("by") == before.split.get("by")
    assert [p.name for p in out.parent.iterdir()] == [out.name], "nothing is left beside"


def test_it_recognises_what_it_wrote(kind, tmp_path):
    name, suffix = kind
    write_dataset(pictures(tmp_path / "pictures", LABELS), target(tmp_path, suffix), name)
    assert recognise(target(tmp_path, suffix)) is load_format(name)


def test_reading_twice_gives_the_same_split_hash(kind, tmp_path):
    name, suffix = kind
    write_dataset(pictures(tmp_path / "pictures", LABELS, PARTS), target(tmp_path, suffix), name)
    first, second = (read_dataset(target(tmp_path, suffix)) for _ in range(2))
    assert first.split_hash == second.split_hash


def test_names_in_another_unicode_form_are_one_class(kind, tmp_path):
    name, suffix = kind
    data = pictures(tmp_path / "pictures", ["caf\u00e9", "tea"])
    write_dataset(data, target(tmp_path, suffix), name)
    again = read_dataset(target(tmp_path, suffix))
    assert again.classes.position("caf\u00e9") == 0
    assert sorted(again.targets) == [0, 1]


def test_empty_is_told(kind, tmp_path):
    name, suffix = kind
    out = target(tmp_path, suffix)
    out.parent.mkdir(parents=True)
    out.write_bytes(b"") if suffix else out.mkdir()
    with pytest.raises(DatasetError, match=r"is empty|not a Parquet file"):
        read_dataset(out, ReadConfig(format=name))


def test_no_rows_is_told(kind, tmp_path):
    name, suffix = kind
    data = pictures(tmp_path / "pictures", ["x"])
    write_dataset(data.take([]), target(tmp_path, suffix), name)
    with pytest.raises(DatasetError, match=r"no rows|no pictures"):
        read_dataset(target(tmp_path, suffix), ReadConfig(format=name))


def test_broken_is_told(kind, tmp_path):
    name, suffix = kind
    out = target(tmp_path, suffix)
    out.parent.mkdir(parents=True)
    if suffix:
        out.write_bytes(np.random.default_rng(0).integers(0, 256, 4000, dtype=np.uint8).tobytes())
    else:
        out.mkdir()
        (out / "notes.txt").write_text("no picture")
    with pytest.raises(DatasetError) as told:
        read_dataset(out, ReadConfig(format=name))
    assert out.name in str(told.value)
    assert told.value.fix


def test_missing_is_a_usage_error(kind, tmp_path):
    name, suffix = kind
    with pytest.raises(ConfigError, match="does not exist"):
        read_dataset(target(tmp_path, suffix), ReadConfig(format=name))


def test_detect_never_raises(kind, tmp_path):
    form = load_format(kind[0])
    for path in (tmp_path, tmp_path / "nothing", Path(__file__)):
        assert form.detect(path) in (True, False)


def test_a_failed_write_leaves_nothing(kind, tmp_path):
    name, suffix = kind
    data = pictures(tmp_path / "pictures", ["x", "y"])
    out = target(tmp_path, suffix)
    out.parent.mkdir(parents=True)
    if suffix:
        out.mkdir()
    else:
        (tmp_path / "pictures" / data.table["path"][0].as_py()).unlink()
    with pytest.raises(AssayError):
        write_dataset(data, out, name)
    assert [p.name for p in out.parent.iterdir()] == ([out.name] if suffix else [])
