"""Tables: columns, delimiters, encodings, several labels, and what is told when they are wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.configs import ReadConfig
from assay.data import arrow_cache
from assay.data.faults import faults_of, notes_of
from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.types import Dataset


@pytest.fixture
def table(tmp_path):
    def write(text, name="shop.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


def told(path, kind, **options):
    with pytest.raises(kind) as error:
        read_dataset(path, ReadConfig(**options))
    return str(error.value)


def test_all_columns_are_found_by_usual_names_and_the_others_kept(table):
    data = read_dataset(table("Image,Class,Split,group,price\na.jpg,hat,Dev,s1,007\nb.jpg,shoe,TRAINING,,\n"))
    first, second = data
    assert (first.part, first.group, first.extra) == ("validation", "s1", {"price": "007"})
    assert (second.part, second.group, second.extra) == ("train", None, {"price": None})
    assert list(data.classes) == ["hat", "shoe"]
    assert data.split == {"by": "source"}
    assert first.path == data.root / "a.jpg"


def test_labels_that_are_numbers_stay_text_and_sort_as_numbers(table):
    data = read_dataset(table("path,label\na,10\nb,9\nc,007\nd,NA\n"))
    assert list(data.classes) == ["007", "9", "10", "NA"]
    assert data.targets.tolist() == [2, 1, 0, 3]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_marks_and_line_ends(table, delimiter, encoding, newline):
    rows = [
        ["path", "label", "note"],
        ["ü.jpg", "größer", '"two' + newline + 'lines"'],
        ["b.jpg", "x", '"a""b"'],
    ]
    data = read_dataset(table(newline.join(delimiter.join(r) for r in rows) + newline, encoding=encoding))
    assert [s.extra["note"] for s in data] == [f"two{newline}lines", 'a"b']
    assert data[0].path.name == "ü.jpg"


def test_semicolons_between_labels_are_not_the_delimiter(table):
    data = read_dataset(table("path,labels\na.jpg,red;large\nb.jpg, red | round |\nc.jpg,red\nd.jpg,\n"))
    assert list(data.classes) == ["large", "red", "round"]
    assert [s.labels for s in data] == [(1, 0), (1, 2), (1,), None]
    assert [s.label for s in data] == [None, None, 1, None]


def test_parquet_keeps_types_lists_and_numbers(tmp_path):
    rows = {"image": ["a", "b"], "tags": [["x", "y"], ["x"]], "price": [1.5, None], "fold": [1, 2]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    first, second = read_dataset(tmp_path / "t.parquet", ReadConfig(group_column="fold"))
    assert (first.labels, first.label, first.extra, first.group) == ((0, 1), None, {"price": 1.5}, "1")
    assert (second.labels, second.label) == ((0,), 0)


@pytest.mark.parametrize(
    "labels", [[3, 1], [3.0, 1.0], [True, False], pa.array(["b", "a"]).dictionary_encode()]
)
def test_parquet_labels_of_any_type_become_names(tmp_path, labels):
    pq.write_table(pa.table({"path": ["a", "b"], "label": labels}), tmp_path / "t.parquet")
    data = read_dataset(tmp_path / "t.parquet")
    assert data.targets.tolist() == [1, 0]
    assert all("." not in name for name in data.classes)


def test_parquet_of_ours_keeps_class_order_and_record(tmp_path, table):
    data = read_dataset(table("path,label,part\na,x,train\nb,y,test\n"))
    data.split.update(by="hash", salt=7)
    write_dataset(data, tmp_path / "t.parquet")
    again = read_dataset(tmp_path / "t.parquet")
    assert again.split["salt"] == 7
    assert again.split_hash == data.split_hash


def test_options_win_over_usual_names(table):
    path = table("path,label,coarse\na,hat,wear\nb,shoe,wear\n")
    data = read_dataset(path, ReadConfig(label_column="coarse"))
    assert list(data.classes) == ["wear"]
    assert data[0].extra == {"source_label": "hat"}


def test_several_labels_do_not_displace_one(table):
    data = read_dataset(table("path,label,tags\na,hat,new|red\n"))
    assert list(data.classes) == ["hat"]
    assert data[0].extra == {"tags": "new|red"}


def test_windows_paths_are_read(table, tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.jpg").write_bytes(b"x")
    assert read_dataset(table("path,label\ncat\\1.jpg,cat\n"))[0].path == tmp_path / "cat" / "1.jpg"


def test_root_option(table, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    data = read_dataset(table("path,label\na,x\n"), ReadConfig(root=str(tmp_path / "elsewhere")))
    assert data[0].path == tmp_path / "elsewhere" / "a"
    assert "is not a folder" in told(table("path,label\na,x\n"), ConfigError, root=str(tmp_path / "no"))


def test_a_wrong_column_is_a_usage_error_with_a_suggestion(table):
    text = told(table("image,kategory\na,x\n"), ConfigError, label_column="category", group_column="seller")
    assert "no column 'category'" in text
    assert "no column 'seller'" in text
    assert "columns: image, kategory" in text
    assert "--label-column: did you mean kategory?" in text


def test_missing_columns_are_named_together(table):
    text = told(table("datei,klasse\na,x\n"), DatasetError)
    assert "no column with picture paths and none with labels" in text
    assert "columns: datei, klasse" in text
    assert "--path-column NAME --label-column NAME" in text


def test_one_column_for_two_purposes(table):
    assert "two purposes" in told(table("path,label\na,x\n"), ConfigError, group_column="label")


def test_unknown_parts_are_counted_and_explained(table):
    text = told(table("path,label,part\na,x,trian\nb,x,trian\nc,x,fold1\nd,x,test\n"), DatasetError)
    assert "'trian' (2 rows), 'fold1' (1 rows)" in text
    assert "did you mean train" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("path,label\n", "has no rows"),
        ("path,label\na,\nb,\n", "has no labels"),
        ("path,label\n,x\nb,y\n", "1 rows of shop.csv have no path (row 1)"),
        ("path,label\na,x\nb,y,z\nc\n", "2 rows of shop.csv have more or fewer cells"),
        ("path,label,label\na,x,y\n", "columns of the same name: 'label'"),
    ],
)
def test_broken_csv(table, text, words):
    assert words in told(table(text), DatasetError)


def test_row_of_a_ragged_line_is_told(table):
    assert "3 cells instead of 2 in row 3: 'b,y,z'" in told(table("path,label\na,x\nb,y,z\n"), DatasetError)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,label\na,gr\xf6\xdfe\n".encode("latin-1"), "not UTF-8"),
        (("path,label\n" + "a,x\n" * 80_000 + "b,\xff\n").encode("latin-1"), "not UTF-8"),
        ("path,label\na,x\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04" + b"\0" * 40, "Excel"),
        (b"\x00\x01\x02path,label", "binary data"),
    ],
    ids=["latin-1", "late", "utf-16", "xlsx", "binary"],
)
def test_not_a_csv(tmp_path, content, words):
    (tmp_path / "shop.csv").write_bytes(content)
    assert words in told(tmp_path / "shop.csv", DatasetError)


def test_parquet_that_is_none(tmp_path):
    (tmp_path / "t.parquet").write_text("path,label\na,x\n")
    assert "t.parquet is not a Parquet file" in told(tmp_path / "t.parquet", DatasetError)


def test_a_picture_column_of_bytes_is_told(tmp_path):
    pq.write_table(pa.table({"image": [b"\x89PNG"], "label": ["x"]}), tmp_path / "t.parquet")
    assert "cannot be read as text" in told(tmp_path / "t.parquet", DatasetError)


def test_options_for_folders_are_refused(table):
    assert "--class-depth is for folders" in told(table("path,label\na,x\n"), ConfigError, class_depth=1)


def test_other_files_are_no_data_sets(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert "no data set that Assay knows" in told(tmp_path / "a.json", ConfigError)
    assert "did you mean image-folder" in told(tmp_path, ConfigError, format="image-folders")


def test_writing_needs_a_known_ending(table, tmp_path):
    data = read_dataset(table("path,label\na,x\n"))
    with pytest.raises(ConfigError, match=r"end it in \.csv or \.parquet"):
        write_dataset(data, tmp_path / "out.json")


def test_labels_with_a_bar_do_not_fit_csv(tmp_path):
    pq.write_table(pa.table({"path": ["a"], "labels": [["x|y", "z"]]}), tmp_path / "t.parquet")
    data = read_dataset(tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match=r"contain \| or ;"):
        write_dataset(data, tmp_path / "out.csv")
    write_dataset(data, tmp_path / "out.parquet")
    assert [s.labels for s in read_dataset(tmp_path / "out.parquet")] == [(0, 1)]


def test_paths_are_relative_to_the_table_where_pictures_lie_below_it(table, tmp_path):
    data = read_dataset(table("path,label\nsub/a,x\n"))
    write_dataset(data, tmp_path / "deep" / "out.csv")
    assert str(tmp_path / "sub/a") in (tmp_path / "deep" / "out.csv").read_text()
    write_dataset(data, tmp_path.parent / "above.csv")
    assert f'"{tmp_path.name}/sub/a"' in (tmp_path.parent / "above.csv").read_text()
    assert read_dataset(tmp_path.parent / "above.csv")[0].path == tmp_path / "sub/a"


def boxed(label, *box, mask=None, crowd=False):
    return {"label": label, "box": [float(v) for v in box], "mask": mask, "crowd": crowd}


@pytest.fixture
def street(tmp_path):
    """Five pictures: with class, tags, boxes, masks and pixels; with some of them; with none."""
    objects = [
        [
            boxed("hat", 0.1, 1 / 3, 7, 9, mask=encode(np.ones((9, 100))).counts),
            boxed("größer", -1, 0, 99.5, 2, crowd=True),
        ],
        [],
        None,
        [boxed("hat", 1, 2, 3, 4)],
        None,
    ]
    table = pa.table(
        {
            "path": [f"p/{i}.jpg" for i in range(5)],
            "label": ["a", None, None, None, None],
            "labels": pa.array([["x"], [], None, None, None], pa.list_(pa.string())),
            "objects": pa.array(objects, objects_type()),
            "pixels": ["m/0.png", None, "m/2.png", None, None],
            "height_px": pa.array([9, 9, None, 12, 1], pa.int32()),
            "width_px": pa.array([100, 9, None, 12, 1], pa.int32()),
        }
    )
    return Dataset(
        table,
        ClassNames(["x", "a"]),
        tmp_path,
        object_classes=ClassNames(["größer", "never", "hat"]),
        pixel_classes=ClassNames(["sky", "road"]),
    )


def test_parquet_holds_classes_tags_objects_pixels_and_sizes(street, tmp_path):
    write_dataset(street, tmp_path / "t.parquet")
    again = read_dataset(tmp_path / "t.parquet")
    assert again.table.to_pylist() == street.table.to_pylist()
    assert again.table.schema.field("objects").type == objects_type()
    assert again.table.schema.field("height_px").type == pa.int32()
    assert (again.classes, again.object_classes, again.pixel_classes) == (
        street.classes,
        street.object_classes,
        street.pixel_classes,
    )
    first, second, third, *_ = again
    assert first.objects.boxes_xyxy[0].tolist() == [0.1, 1 / 3, 7, 9]
    assert (len(second.objects), second.labels) == (0, ())
    assert (third.objects, third.labels, third.size_hw) == (None, None, None)
    assert third.pixels == tmp_path / "m" / "2.png"


def test_paths_of_masks_follow_the_table(street, tmp_path):
    write_dataset(street, tmp_path / "below" / "t.parquet")
    assert read_dataset(tmp_path / "below" / "t.parquet")[0].pixels == tmp_path / "m" / "0.png"
    (tmp_path / "p").mkdir()
    inside = Dataset(street.table, street.classes, tmp_path / "p", pixel_classes=street.pixel_classes)
    write_dataset(inside, tmp_path / "u.parquet")
    assert read_dataset(tmp_path / "u.parquet").table["pixels"][0].as_py() == "p/m/0.png"


def test_a_table_of_objects_alone_needs_no_labels(street, tmp_path):
    only = Dataset(
        street.table.drop_columns(["labels", "label"]),
        ClassNames([]),
        tmp_path,
        object_classes=ClassNames(["hat"]),
    )
    pq.write_table(only.table, tmp_path / "t.parquet")
    data = read_dataset(tmp_path / "t.parquet")
    assert list(data.object_classes) == ["größer", "hat"], "natural order, where nobody said another"
    assert data.table["label"].null_count == 5
    assert len(data.classes) == 0
    assert data[0].extra == {"source_pixels": "m/0.png"}, "values without names mean nothing"


def test_objects_of_others_in_a_looser_type(tmp_path):
    objects = [[{"box": [1, 2, 3, 4], "label": "cafe\u0301", "score": 0.5}], []]
    pq.write_table(pa.table({"path": ["a", "b"], "objects": objects}), tmp_path / "t.parquet")
    data = read_dataset(tmp_path / "t.parquet")
    assert data.table["objects"].to_pylist() == [
        [{"label": "caf\u00e9", "box": [1.0, 2.0, 3.0, 4.0], "mask": None, "crowd": None}],
        [],
    ]
    assert data[0].objects.boxes_xyxy.tolist() == [[1, 2, 3, 4]]


def test_a_column_of_the_users_own_keeps_its_values(table, tmp_path):
    data = read_dataset(table("path,label,objects,pixels\na,x,3,900\n"))
    assert data[0].extra == {"source_objects": "3", "source_pixels": "900"}
    assert data[0].objects is None


def test_objects_without_label_or_box_are_told(tmp_path):
    objects = [
        [boxed("a", 1, 2, 3, 4)],
        [{**boxed("a", 1, 2, 3, 4), "label": None}],
        [boxed("a", 1, 2, 3, 4), {**boxed("a", 1, 2, 3, 4), "box": None}],
        [{**boxed("a", 1, 2, 3, 4), "box": [1.0, None, 3.0, 4.0]}],
    ]
    table = pa.table({"path": list("abcd"), "objects": pa.array(objects, objects_type())})
    pq.write_table(table, tmp_path / "t.parquet")
    assert "objects without a label or a box in 3 rows of t.parquet (row 2, 3, 4)" in told(
        tmp_path / "t.parquet", DatasetError
    )
    loose = [[{"label": "a", "box": [1.0, 2.0, 3.0]}]]
    pq.write_table(pa.table({"path": ["a"], "objects": loose}), tmp_path / "u.parquet")
    assert "a column of u.parquet cannot be used" in told(tmp_path / "u.parquet", DatasetError)


def test_csv_refuses_what_it_cannot_hold_and_keeps_sizes(street, tmp_path):
    with pytest.raises(DatasetError, match="CSV cannot hold the column objects, pixels") as error:
        write_dataset(street, tmp_path / "t.csv")
    assert error.value.fix == "write a .parquet table"
    plain = Dataset(street.table.drop_columns(["objects", "pixels"]), street.classes, tmp_path)
    with pytest.raises(DatasetError, match="CSV cannot tell a picture without labels"):
        write_dataset(plain, tmp_path / "t.csv")
    plain = plain.take([0, 2, 3])
    write_dataset(plain, tmp_path / "t.csv")
    again = read_dataset(tmp_path / "t.csv")
    assert [s.size_hw for s in again] == [(9, 100), None, (12, 12)]
    assert again.table["height_px"].type == pa.int32()
    empty = plain.table.append_column("pixels", pa.nulls(3, pa.string()))
    write_dataset(Dataset(empty, street.classes, tmp_path), tmp_path / "u.csv")
    assert "pixels" not in read_dataset(tmp_path / "u.csv").table.column_names


@pytest.mark.parametrize("is_large", [False, True])
def test_boxes_and_masks_that_are_none_are_kept_out_and_told(tmp_path, monkeypatch, is_large):
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    if is_large:
        monkeypatch.setattr(arrow_cache, "LARGE_BYTES", 10)
    good = encode(np.ones((4, 6))).counts
    objects = [
        [boxed("a", 1, float("nan"), 3, 4), boxed("a", 0, 0, 6, 4, mask=good)],
        [boxed("a", 3, 0, 1, 4), boxed("a", 1, 1, 1, 4)],
        [boxed("a", 0, 0, 6, 4, mask="no run"), boxed("a", 0, 0, 6, 4, mask=encode(np.ones((6, 6))).counts)],
        [],
        [boxed("a", 0, 0, 6, 4, mask=good)],
        None,
    ]
    sizes = pa.array([4, 4, 4, 4, None, 4], pa.int32())
    columns = {"path": list("abcdef"), "objects": pa.array(objects, objects_type()), "height_px": sizes}
    table = pa.table({**columns, "width_px": pa.array([6] * 6, pa.int32())})
    pq.write_table(table, tmp_path / "t.parquet")
    for data in (read_dataset(tmp_path / "t.parquet"), read_dataset(tmp_path / "t.parquet")):
        cells = data.table["objects"].to_pylist()
        assert cells[0] == [boxed("a", 0, 0, 6, 4, mask=good)]
        assert cells[1] is None, "no box is left, which is not the same as nothing there"
        assert cells[2] == [boxed("a", 0, 0, 6, 4)] * 2
        assert cells[3:] == [[], [boxed("a", 0, 0, 6, 4)], None]
        faults, count = faults_of(data)
        lines = [str(fault) for fault in faults]
        assert count == 6
        assert notes_of(data)["partly_read"] == ["a"]
        assert "t.parquet row 1 object 1: (1, nan, 3, 4) is no box with an area" in lines
        assert "t.parquet row 2 object 2: (1, 1, 1, 4) is no box with an area" in lines
        assert any("row 3 object 1: run lengths do not fill their picture" in line for line in lines)
        assert any(
            "row 3 object 2: run lengths do not fill" in line and "its box is kept" in line for line in lines
        )
        assert any("row 5 object 1: its picture has no size" in line for line in lines)


def test_masks_without_a_size_are_no_masks_that_are_absent(street):
    at = street.table.column_names.index("height_px")
    table = street.table.set_column(at, "height_px", pa.nulls(5, pa.int32()))
    data = Dataset(table, street.classes, street.root, object_classes=street.object_classes)
    with pytest.raises(DatasetError, match="a picture with masks has no size") as error:
        data[0]
    assert "fill in both columns" in error.value.fix
    assert len(data[3].objects) == 1
