"""Class-per-folder trees in all the shapes that people have."""

from __future__ import annotations

import os
import sys
import unicodedata

import numpy as np
import pytest

from assay.configs import ReadConfig
from assay.data.check_rows import reading_notes
from assay.data.names import in_order, is_picture, part_named
from assay.data.picture_copy import free_name
from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError


@pytest.fixture
def tree(tmp_path):
    """``tree("cat/1.jpg", "dog/")`` makes files (their content does not matter here) and folders."""

    def make(*names):
        for name in names:
            path = tmp_path / "data" / name
            (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                path.write_bytes(name.encode())
        return tmp_path / "data"

    return make


def seen(data):
    return {
        path: (label, part)
        for path, label, part in zip(
            data.table["path"].to_pylist(),
            data.table["label"].to_pylist(),
            data.table["part"].to_pylist() if data.parts else [None] * len(data),
            strict=True,
        )
    }


def test_plain_tree_in_natural_order(tree):
    data = read_dataset(tree("size 10/a.jpg", "size 9/b.PNG", "größer/c.webp"))
    assert list(data.classes) == ["größer", "size 9", "size 10"]
    assert data.targets.tolist() == [0, 1, 2]
    assert data.parts == {}
    assert data.split == {}


def test_parts_by_any_name_and_classes_as_their_union(tree):
    data = read_dataset(tree("Training/a/1.jpg", "dev/b/2.jpg", "TEST/a/3.jpg"))
    assert list(data.classes) == ["a", "b"]
    assert seen(data) == {
        "Training/a/1.jpg": ("a", "train"),
        "dev/b/2.jpg": ("b", "validation"),
        "TEST/a/3.jpg": ("a", "test"),
    }
    assert data.split == {"by": "source"}


def test_parts_below_a_wrapper_and_below_classes(tree):
    assert seen(read_dataset(tree("set/images/train/a/1.jpg", "set/images/val/a/2.jpg"))) == {
        "set/images/train/a/1.jpg": ("a", "train"),
        "set/images/val/a/2.jpg": ("a", "validation"),
    }


def test_parts_inside_classes(tree):
    data = read_dataset(tree("a/train/1.jpg", "a/test/2.jpg", "b/train/3.jpg"))
    assert seen(data)["a/test/2.jpg"] == ("a", "test")
    assert list(data.classes) == ["a", "b"]


def test_classes_called_like_parts(tree):
    data = read_dataset(tree("train/1.jpg", "bus/2.jpg"))
    assert list(data.classes) == ["bus", "train"]


def test_the_class_is_the_topmost_folder_with_pictures(tree):
    folder = tree(
        "train/fruit/apple/1.jpg",
        "train/fruit/apple/red/2.jpg",
        "val/fruit/apple/red/3.jpg",
        "val/milk/4.jpg",
    )
    assert list(read_dataset(folder).classes) == ["fruit/apple", "milk"]
    assert list(read_dataset(folder, ReadConfig(class_depth=1)).classes) == ["fruit", "milk"]
    assert list(read_dataset(folder, ReadConfig(class_depth=9)).classes) == [
        "fruit/apple",
        "fruit/apple/red",
        "milk",
    ]


def test_litter_is_not_seen(tree):
    data = read_dataset(
        tree(
            "a/1.jpg",
            "a/.2.jpg",
            "a/Thumbs.db",
            "a/notes.txt",
            "__MACOSX/a/3.jpg",
            ".cache/4.jpg",
            "b/5.tiff",
            "a/._1.jpg",
        )
    )
    assert set(seen(data)) == {"a/1.jpg", "b/5.tiff"}


def test_empty_classes_stay_so_that_the_checks_can_name_them(tree):
    assert list(read_dataset(tree("a/1.jpg", "b/", "train2/c.txt")).classes) == ["a", "b", "train2"]


def test_a_class_missing_in_one_part_is_not_empty_twice(tree):
    data = read_dataset(tree("train/a/1.jpg", "train/b/2.jpg", "val/a/", "val/b/3.jpg"))
    assert list(data.classes) == ["a", "b"]


def test_stray_pictures_and_folders_are_left_out_and_told(tree):
    data = read_dataset(tree("train/a/1.jpg", "train/stray.jpg", "cover.jpg", "extra/x/9.jpg"))
    assert set(seen(data)) == {"train/a/1.jpg"}
    notes = data.table.schema.metadata[b"assay"].decode()
    for name in ("cover.jpg", "train/stray.jpg", "extra/"):
        assert name in notes


def test_formats_that_are_not_read_are_told(tree):
    data = read_dataset(tree("a/1.jpg", "a/raw.NEF", "b/2.png", "icon.ico", "b/notes.txt"))
    assert set(seen(data)) == {"a/1.jpg", "b/2.png"}
    assert reading_notes(data, "not_read") == ["a/raw.NEF", "icon.ico"]


def test_a_folder_of_raw_photos_alone_says_so(tree):
    with pytest.raises(DatasetError, match="no pictures that can be read") as told:
        read_dataset(tree("a/1.nef", "b/2.nef"))
    assert (told.value.got, told.value.fix) == ("a/1.nef, b/2.nef", "export them as JPEG, PNG or TIFF")


def test_names_are_nfc_and_paths_are_not_touched(tree):
    decomposed = unicodedata.normalize("NFD", "café")
    data = read_dataset(tree(f"train/{decomposed}/1.jpg", "val/café/2.jpg"))
    assert list(data.classes) == ["café"]
    assert all(sample.path.exists() for sample in data)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "is empty"),
        (["readme.txt"], "has no pictures"),
        (["1.jpg", "2.jpg"], "2 pictures directly in the folder"),
        (["train/1.jpg", "val/2.jpg"], "pictures directly in train/, val/"),
    ],
)
def test_no_classes(tree, tmp_path, names, words):
    (tmp_path / "data").mkdir()
    with pytest.raises(DatasetError) as told:
        read_dataset(tree(*names))
    assert words in str(told.value)
    assert "into a folder with its name" in told.value.fix


def test_a_misspelt_path_shows_how_far_it_exists(tree):
    folder = tree("a/1.jpg")
    with pytest.raises(ConfigError) as told:
        read_dataset(folder / "b" / "c")
    assert f"{folder} exists, but has no 'b'" in str(told.value)


def test_columns_are_refused(tree):
    with pytest.raises(ConfigError, match="which has no columns"):
        read_dataset(tree("a/1.jpg"), ReadConfig(group_column="seller"))


def test_a_folder_with_its_table_is_a_table(tree):
    folder = tree("images/1.jpg", "images/2.jpg")
    (folder / "labels.csv").write_text("path,label\nimages/1.jpg,x\nimages/2.jpg,y\n")
    assert list(read_dataset(folder).classes) == ["x", "y"]


def test_a_folder_with_only_a_table_we_wrote_is_a_table(tree, tmp_path):
    data = read_dataset(tree("a/1.jpg", "b/2.jpg"))
    write_dataset(data, tmp_path / "out" / "split.csv")
    assert list(read_dataset(tmp_path / "out").classes) == ["a", "b"]


def test_a_table_about_something_else_does_not_hide_the_folders(tree):
    folder = tree("a/1.jpg", "b/2.jpg")
    (folder / "senders.csv").write_text("image,sender\n1,x\n")
    (folder / "elsewhere.csv").write_text("path,label\nnot/here.jpg,x\n")
    assert list(read_dataset(folder).classes) == ["a", "b"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_once(tree):
    folder = tree("a/1.jpg", "b/2.jpg")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "c").symlink_to(tree("../outside/3.jpg") / ".." / "outside")
    assert list(read_dataset(folder).classes) == ["a", "b", "c"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8_are_told(tree):
    folder = tree("a/1.jpg")
    (folder / "a" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    with pytest.raises(DatasetError, match="not UTF-8"):
        read_dataset(folder)


def test_writing_refuses_what_folders_cannot_hold(tree, tmp_path):
    data = read_dataset(tree("a/1.jpg", "b/2.jpg"))
    with pytest.raises(DatasetError, match="exists and is not empty"):
        write_dataset(data, tmp_path / "data", "image-folder")
    odd = tmp_path / "odd.csv"
    odd.write_text("path,label\ndata/a/1.jpg,../up\ndata/b/2.jpg,.x\n")
    with pytest.raises(DatasetError, match="cannot be folders"):
        write_dataset(read_dataset(odd), tmp_path / "out", "image-folder")


def test_equal_file_names_do_not_overwrite_each_other(tree, tmp_path):
    tree("x/1.jpg", "y/1.jpg")
    (tmp_path / "t.csv").write_text("path,label\ndata/x/1.jpg,a\ndata/y/1.jpg,a\n")
    write_dataset(read_dataset(tmp_path / "t.csv"), tmp_path / "out", "image-folder")
    assert sorted(p.read_bytes() for p in (tmp_path / "out" / "a").iterdir()) == [b"x/1.jpg", b"y/1.jpg"]


def test_names():
    assert [part_named(n) for n in ("VAL", " dev ", "testing", "fold1")] == [
        "validation",
        "validation",
        "test",
        None,
    ]
    assert all(is_picture(f"a.{ending}") for ending in ("JPG", "apng", "mpo", "jpx", "jpf"))
    assert not is_picture("Thumbs.db")
    assert not is_picture("jpg")
    assert in_order(["b10", "b9", "a", "b9"]) == ["a", "b9", "b10"]


def test_fifty_thousand_classes(tmp_path):
    rows = "".join(f"{i}.jpg,c{i % 50_000}\n" for i in range(100_000))
    (tmp_path / "t.csv").write_text("path,label\n" + rows)
    data = read_dataset(tmp_path / "t.csv")
    assert len(data.classes) == 50_000
    assert data.classes[-1] == "c49999"
    assert np.array_equal(data.targets[:3], [0, 1, 2])


def test_many_equal_names_get_numbers_without_a_search():
    taken: dict[str, int] = {}
    assert free_name("a-3.jpg", taken) == "a-3.jpg"
    names = [free_name("A.jpg" if i % 2 else "a.jpg", taken) for i in range(5000)]
    assert names[:4] == ["a.jpg", "A-2.jpg", "a-4.jpg", "A-5.jpg"]
    assert len({name.casefold() for name in names}) == 5000
