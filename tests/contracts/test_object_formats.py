"""What every format of boxes or masks must do. A newcomer joins with one entry in ``KINDS``.

The made data set has all that is difficult and that the format says it holds: a mask with a hole, one of two parts,
one of a single pixel; boxes that begin outside the picture; crowds; empty and unlabelled pictures; several parts; names
that are not ASCII, and equal names in two folders.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.configs import ReadConfig
from assay.data.faults import faults_of
from assay.data.formats import HOLDABLE
from assay.data.read import load_format, read_dataset, recognise
from assay.data.write import write_dataset
from assay.errors import AssayError, ConfigError, DatasetError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.types import Dataset

EVERYTHING = frozenset({"boxes", "masks", "crowd", "empty", "unlabelled", "part"})


@dataclass(frozen=True)
class Kind:
    """A format as it is written: its name, the suffix of the path, and which of EVERYTHING it can hold.

    ``broken`` is a pattern of the files below the written path, or the path itself (""), that are filled with rubbish
    in turn; None where no single file is needed. ``exact_masks``: bit for bit, holes and several parts included.
    ``off_px`` is how far a corner may be off after writing and reading. ``far_out``: a box may exceed the picture.
    """

    name: str
    suffix: str
    holds: frozenset[str]
    broken: str | None = ""
    exact_masks: bool = True
    off_px: float = 0.0
    far_out: bool = True

    def __str__(self) -> str:
        return f"{self.name}{self.suffix}"


KINDS = [
    Kind("coco", ".json", EVERYTHING - {"unlabelled"}),
    Kind("coco", "", EVERYTHING - {"unlabelled"}, broken="annotations/*.json"),
    Kind("yolo", "", EVERYTHING - {"crowd"}, broken="data.yaml", off_px=1e-9, far_out=False),
    Kind("voc", "", EVERYTHING - {"crowd", "masks"}, broken=None),  # a broken file a picture is kept out
    Kind("mask-png", "", EVERYTHING - {"boxes", "crowd"}, broken="*.txt"),
    Kind("table", ".parquet", EVERYTHING),
]


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    return request.param


def target(tmp_path: Path, kind: Kind) -> Path:
    return tmp_path / "written" / f"Läden 店{kind.suffix}"


def blank(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """(40, 56) with ones in these x1, y1, x2, y2."""
    mask = np.zeros((40, 56), np.uint8)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = 1
    return mask


def masked(label: str, mask: np.ndarray, *, crowd: bool = False) -> dict:
    found = encode(mask)
    return {"label": label, "box": found.box_xyxy.tolist(), "mask": found.counts, "crowd": crowd}


def boxed(label: str, *box: float, crowd: bool = False) -> dict:
    return {"label": label, "box": [float(v) for v in box], "mask": None, "crowd": crowd}


def things(kind: Kind) -> list[list[dict] | None]:
    """A cell a picture, of what ``kind`` can hold; no two masks of one picture overlap."""
    ring = blank((4, 5, 20, 25))
    ring[10:15, 8:14] = 0
    two, dot = blank((30, 2, 40, 9), (44, 20, 54, 38)), blank((50, 3, 51, 4))
    solid = blank((2, 2, 30, 12))
    cells: list[list[dict] | None] = []
    if "masks" in kind.holds:
        cells += [
            [masked("größer", ring), masked("三角 形", two), masked("größer", dot)],
            [masked("a, b", solid)],
        ]
        if not kind.exact_masks:
            cells = [[masked("größer", solid), masked("三角 形", blank((31, 20, 50, 33)))]]
    if "boxes" in kind.holds:
        cells += [
            [boxed("a, b", 3.07, 4.19, 20.33, 17.61), boxed("größer", 1 / 3, 0.1, 0.7, 39.9)],
            [boxed("三角 形", -2.5, 10.25, 60.125 if kind.far_out else 30, 41), boxed("a, b", 0, 0, 56, 40)],
        ]
    if "crowd" in kind.holds:
        cells.append(
            [masked("größer", blank((0, 30, 56, 40)), crowd=True), boxed("a, b", 1, 2, 9, 8, crowd=True)]
        )
    return cells + [[]] * ("empty" in kind.holds) + [None] * ("unlabelled" in kind.holds)


def made(folder: Path, kind: Kind) -> Dataset:
    """Pictures of 56 x 40 px, half of them of one name in two folders, and what is in them."""
    cells = things(kind)
    rng, paths = np.random.default_rng(0), []
    for i in range(len(cells)):
        path = folder / f"ordner {i % 2}" / f"ein Bild, {i // 2} 照片.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(path)
        paths.append(path.relative_to(folder).as_posix())
    columns = {
        "path": pa.array(paths),
        "label": pa.nulls(len(cells), pa.string()),
        "objects": pa.array(cells, objects_type()),
        "height_px": pa.array([40] * len(cells), pa.int32()),
        "width_px": pa.array([56] * len(cells), pa.int32()),
    }
    if "part" in kind.holds:
        columns["part"] = pa.array(
            [("train", "train", "validation", "test")[i % 4] for i in range(len(cells))]
        )
    classes = ClassNames(["a, b", "größer", "三角 形"])
    split = {"by": "source"} if "part" in kind.holds else {}
    return Dataset(pa.table(columns), ClassNames([]), folder, split=split, object_classes=classes)


def content(dataset: Dataset) -> dict[str, tuple]:
    """What a data set says of each picture, by the picture's bytes: part, size, and its things in order."""
    found = {}
    for row in dataset.table.to_pylist():
        key = hashlib.sha256((dataset.root / row["path"]).read_bytes()).hexdigest()
        size_hw = (row["height_px"], row["width_px"])
        cell = row["objects"]
        found[key] = (
            row.get("part"),
            size_hw,
            None if cell is None else sorted(cell, key=lambda t: t["box"]),
        )
    return found


def assert_equal(after: Dataset, before: Dataset, kind: Kind) -> None:
    told, wanted = content(after), content(before)
    assert told.keys() == wanted.keys()
    for key, (part, size_hw, cell) in wanted.items():
        assert told[key][:2] == (part, size_hw)
        if cell is None:
            assert told[key][2] is None
            continue
        for found, thing in zip(told[key][2], cell, strict=True):
            assert np.abs(np.subtract(found["box"], thing["box"])).max() <= kind.off_px
            assert {**found, "box": None} == {**thing, "box": None}


def test_it_says_what_it_holds(kind, tmp_path):
    holds = load_format(kind.name).holds(target(tmp_path, kind))
    assert holds <= HOLDABLE
    assert holds & EVERYTHING == kind.holds


def test_write_then_read_is_the_identity(kind, tmp_path):
    before, out = made(tmp_path / "pictures", kind), target(tmp_path, kind)
    write_dataset(before, out, kind.name)
    after = read_dataset(out)
    assert_equal(after, before, kind)
    assert after.object_classes == before.object_classes
    assert after.parts == before.parts
    assert after.split.get("by") == before.split.get("by")
    assert faults_of(after) == ([], 0)
    assert [p.name for p in out.parent.iterdir()] == [out.name], "nothing is left beside"


def test_a_second_round_changes_nothing(kind, tmp_path):
    first, second = target(tmp_path, kind), target(tmp_path / "again", kind)
    write_dataset(made(tmp_path / "pictures", kind), first, kind.name)
    once = read_dataset(first)
    write_dataset(once, second, kind.name)
    assert_equal(read_dataset(second), once, kind)


def test_it_recognises_what_it_wrote(kind, tmp_path):
    write_dataset(made(tmp_path / "pictures", kind), target(tmp_path, kind), kind.name)
    assert recognise(target(tmp_path, kind)) is load_format(kind.name)


def test_a_class_without_things_stays(kind, tmp_path):
    data = made(tmp_path / "pictures", kind)
    kept = [
        c is not None and all(t["label"] != "三角 形" for t in c) for c in data.table["objects"].to_pylist()
    ]
    write_dataset(data.select(np.array(kept)), target(tmp_path, kind), kind.name)
    assert read_dataset(target(tmp_path, kind)).object_classes == data.object_classes


def test_what_it_cannot_hold_is_refused(kind, tmp_path):
    cases = {
        "masks": [masked("a, b", blank((2, 3, 9, 9)))],
        "boxes": [boxed("a, b", 2, 3, 9, 9)],
        "crowd": [masked("a, b", blank((2, 3, 9, 9)), crowd=True)],
        "unlabelled": None,
    }
    data = made(tmp_path / "pictures", kind).take([0, 1])
    for what in cases.keys() - kind.holds:
        at = data.table.column_names.index("objects")
        cells = [data.table["objects"][0].as_py(), cases[what]]
        table = data.table.set_column(at, "objects", pa.array(cells, objects_type()))
        bad = Dataset(table, data.classes, data.root, object_classes=data.object_classes)
        with pytest.raises(DatasetError) as told:
            write_dataset(bad, target(tmp_path, kind), kind.name)
        assert told.value.fix
        assert not target(tmp_path, kind).exists()


def test_many_things_in_one_picture(kind, tmp_path):
    if "boxes" not in kind.holds:
        pytest.skip("one thing a pixel")
    data = made(tmp_path / "pictures", kind).take([0])
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 20, (10_000, 2))
    rows = [boxed("a, b", x, y, x + 9.5, y + 11.25) for x, y in corners]
    at = data.table.column_names.index("objects")
    data = Dataset(
        data.table.set_column(at, "objects", pa.array([rows], objects_type())),
        *(data.classes, data.root),
        object_classes=data.object_classes,
    )
    write_dataset(data, target(tmp_path, kind), kind.name)
    after = read_dataset(target(tmp_path, kind))
    assert Counter(len(s.objects) for s in after) == {10_000: 1}
    found = np.sort(after[0].objects.boxes_xyxy[:, 0])
    assert np.abs(found - np.sort(corners[:, 0])).max() <= kind.off_px


def test_a_failed_write_leaves_nothing(kind, tmp_path):
    data, out = made(tmp_path / "pictures", kind), target(tmp_path, kind)
    out.parent.mkdir(parents=True)
    if kind.suffix:
        out.mkdir()
    else:
        (data.root / data.table["path"][0].as_py()).unlink()
    with pytest.raises(AssayError) as told:
        write_dataset(data, out, kind.name)
    assert told.value.fix
    assert [p.name for p in out.parent.iterdir()] == ([out.name] if kind.suffix else [])


def test_a_folder_with_something_in_it_is_never_touched(kind, tmp_path):
    if kind.suffix:
        pytest.skip("a file is replaced, as everywhere")
    data, out = made(tmp_path / "pictures", kind), target(tmp_path, kind)
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    with pytest.raises(AssayError, match="not empty"):
        write_dataset(data, out, kind.name)
    assert [p.name for p in out.iterdir()] == ["mine.txt"]


def test_broken_is_told_with_the_file(kind, tmp_path):
    if kind.broken is None:
        pytest.skip("no single file is needed")
    write_dataset(made(tmp_path / "pictures", kind), target(tmp_path, kind), kind.name)
    out = target(tmp_path, kind)
    files = [out] if kind.suffix else sorted(out.glob(kind.broken))
    assert files
    for file in files:
        whole = file.read_bytes()
        for rubbish in (b"", whole[: len(whole) // 2], bytes(range(256)) * 4):
            file.write_bytes(rubbish)
            with pytest.raises(DatasetError) as told:
                read_dataset(out, ReadConfig(format=kind.name))
            assert file.name in str(told.value)
            assert told.value.fix
        file.write_bytes(whole)


def test_empty_is_told(kind, tmp_path):
    out = target(tmp_path, kind)
    out.parent.mkdir(parents=True)
    out.write_bytes(b"") if kind.suffix else out.mkdir()
    with pytest.raises(DatasetError, match=r"is empty|not a Parquet file") as told:
        read_dataset(out, ReadConfig(format=kind.name))
    assert told.value.fix


def test_no_pictures_is_told(kind, tmp_path):
    data = made(tmp_path / "pictures", kind)
    write_dataset(data.take([]), target(tmp_path, kind), kind.name)
    with pytest.raises(DatasetError, match=r"(has|holds|leads to) no "):
        read_dataset(target(tmp_path, kind), ReadConfig(format=kind.name))


def test_missing_is_a_usage_error(kind, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        read_dataset(target(tmp_path, kind), ReadConfig(format=kind.name))


def test_detect_never_raises(kind, tmp_path):
    (tmp_path / "x.json").write_bytes(bytes(range(256)))
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "x.json", Path(__file__)):
        assert load_format(kind.name).detect(path) in (True, False)
