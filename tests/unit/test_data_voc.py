"""Pascal VOC in all the layouts that people have, its count of pixels, files good and bad, and what writing keeps."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.configs import ReadConfig
from assay.data.check_rows import reading_notes
from assay.data.checks import check_dataset
from assay.data.faults import faults_of
from assay.data.read import load_format, read_dataset, recognise
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.objects import objects_type
from assay.types import Dataset


def xml(*objects, size=(80, 40), more=""):
    """A VOC file; an object is (name, xmin, ymin, xmax, ymax)."""
    rows = "".join(
        f"<object>\n<name>{name}</name>\n<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>{more}</object>\n"
        for name, x1, y1, x2, y2 in objects
    )
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>\n"
    return f"<annotation>\n<filename>wrong.jpg</filename>\n{sides}{rows}</annotation>\n"


CUP = ("cup", 9, 11, 40, 30)


@pytest.fixture
def voc(tmp_path):
    """``voc({"1": xml(CUP), "2": None}, train="1\\n")``: pictures of 80 x 40 px, XML files (None: no file), lists."""

    def make(files, home="data", labels="Annotations", pictures="JPEGImages", **lists):
        folder = tmp_path / home
        for name, text in files.items():
            for inner in (pictures, labels):
                (folder / inner).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 40)).save(folder / pictures / f"{name}.png")
            if text is not None:
                data = text if isinstance(text, bytes) else text.encode()
                (folder / labels / f"{name}.xml").write_bytes(data)
        for name, text in lists.items():
            (folder / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
            (folder / f"ImageSets/Main/{name}.txt").write_text(text)
        return folder

    return make


def cells(data):
    return dict(zip(data.table["path"].to_pylist(), data.table["objects"].to_pylist(), strict=True))


def told(data):
    return [(fault.place, fault.what) for fault in faults_of(data)[0]]


def notes(data):
    return json.loads(data.table.schema.metadata[b"assay"])


def test_pictures_without_a_file_are_told_beside_others(voc):
    data = read_dataset(voc({"1": xml(CUP), "2": None, "3": xml()}))
    found = {problem.code: problem for problem in check_dataset(data, pictures=False)}
    assert found["not-looked-at"].what.startswith("one of 3 pictures has no label file that can be used")


def test_a_picture_that_loses_some_of_its_things_is_noted(voc):
    data = read_dataset(voc({"1": xml(CUP, ("", 1, 1, 9, 9)), "2": xml(CUP), "3": xml(("", 1, 1, 9, 9))}))
    assert notes(data)["partly_read"] == ["JPEGImages/1.png"]


def test_pixels_count_from_one_and_include_the_last(voc):
    data = read_dataset(voc({"1": xml(CUP, ("plate", 1, 1, 80, 40)), "2": xml()}))
    assert cells(data) == {
        "JPEGImages/1.png": [
            {"label": "cup", "box": [8.0, 10.0, 40.0, 30.0], "mask": None, "crowd": False},
            {"label": "plate", "box": [0.0, 0.0, 80.0, 40.0], "mask": None, "crowd": False},
        ],
        "JPEGImages/2.png": [],
    }
    assert list(data.object_classes) == ["cup", "plate"]
    assert data[0].size_hw == (40, 80)
    assert notes(data) == {"first_pixel": 1, "notes": []}
    assert recognise(data.root) is load_format("voc")


def test_a_corner_of_zero_says_that_edges_are_meant(voc):
    data = read_dataset(voc({"1": xml(CUP), "2": xml(("cup", 3, 0, 80, 40))}))
    assert [cell[0]["box"] for cell in cells(data).values()] == [
        [9.0, 11.0, 40.0, 30.0],
        [3.0, 0.0, 80.0, 40.0],
    ]
    assert notes(data)["first_pixel"] == 0
    assert notes(data)["notes"] == [
        "Annotations/2.xml line 4: a corner is 0, so boxes are read as edges counted from 0, not as VOC's pixels from 1"
    ]


def test_no_reading_is_off_by_more_than_a_pixel(voc):
    edges = np.array([[0, 3, 10, 40], [5, 5, 9, 7], [20, 0, 80, 30]])
    for shift in (0, 1):  # edges from 0, and VOC's own pixels
        files = {
            str(i): xml(("a", x1 + shift, y1 + shift, x2, y2)) for i, (x1, y1, x2, y2) in enumerate(edges)
        }
        found = [cell[0]["box"] for cell in cells(read_dataset(voc(files, home=f"shift {shift}"))).values()]
        assert (np.array(found) == edges).all()


def test_a_box_outside_of_the_picture_says_nothing_of_the_count(voc):
    data = read_dataset(voc({"1": xml(("cup", -5, 11, 90, 30))}))
    assert cells(data)["JPEGImages/1.png"][0]["box"] == [-6.0, 10.0, 90.0, 30.0]


def test_lists_say_what_is_part_of_it(voc):
    files = dict.fromkeys(("1", "2", "3", "4"), xml(CUP))
    data = read_dataset(voc(files, train="3\n1\n", val="2.png\n", trainval="1\n2\n3\n4\n", cup_train="4 1\n"))
    assert [p[11:-4] for p in data.table["path"].to_pylist()] == ["3", "1", "2"]
    assert data.parts == {"train": 2, "validation": 1}
    assert data.split == {"by": "source"}
    assert notes(data)["notes"] == ["pictures that are in no list of ImageSets/Main are left out: 1"]


@pytest.mark.parametrize(
    ("lists", "parts"),
    [
        ({"trainval": "1\n2\n"}, {"train": 2}),
        (
            {"trainval": "1\n2\n3\n", "train": "1 1\n", "test": "4\n"},
            {"train": 1, "validation": 2, "test": 1},
        ),
        ({"test": "JPEGImages/4\n"}, {"test": 1}),
    ],
)
def test_trainval_fills_in_for_a_list_that_is_missing(voc, lists, parts):
    assert read_dataset(voc(dict.fromkeys("1234", xml(CUP)), **lists)).parts == parts


def test_a_line_that_leads_nowhere_and_labels_without_picture_are_told(voc):
    folder = voc({"1": xml(CUP)}, train="\ufeff1\r\n\r\n7\r\n")
    (folder / "Annotations/lost.xml").write_text(xml(CUP))
    assert told(read_dataset(folder)) == [
        ("Annotations/lost.xml", "no picture is called lost"),
        ("ImageSets/Main/train.txt line 3", "no picture is called 7"),
    ]


@pytest.mark.parametrize("home", ["data/VOC2012", "data/BCCD"])
def test_one_level_down(voc, tmp_path, home):
    voc({"1": xml(CUP)}, home=home, train="1\n")
    data = read_dataset(tmp_path / "data")
    assert list(cells(data)) == [f"{home[5:]}/JPEGImages/1.png"]
    assert data.parts == {"train": 1}


def test_two_data_sets_in_one_folder_are_told(voc, tmp_path):
    voc({"1": xml(CUP)}, home="data/VOC2007")
    voc({"1": xml(CUP)}, home="data/VOC2012")
    with pytest.raises(ConfigError, match="holds 2 VOC data sets"):
        read_dataset(tmp_path / "data")


def test_lower_case_folders(voc):
    assert list(cells(read_dataset(voc({"1": xml(CUP)}, labels="annotations", pictures="images")))) == [
        "images/1.png"
    ]


def test_side_by_side(voc):
    folder = voc({"b": xml(CUP), "a 照片": None}, labels=".", pictures=".")
    assert cells(read_dataset(folder)).keys() == {"a 照片.png", "b.png"}
    assert cells(read_dataset(folder))["a 照片.png"] is None


def test_side_by_side_in_folders_of_parts(voc, tmp_path):
    for part in ("test", "train", "valid"):
        voc({f"{part}1": xml(CUP)}, home=f"data/{part}", labels=".", pictures=".")
    data = read_dataset(tmp_path / "data")
    assert list(cells(data)) == ["train/train1.png", "valid/valid1.png", "test/test1.png"]
    assert data.parts == {"train": 1, "validation": 1, "test": 1}


def test_a_missing_file_is_unlabelled_unless_told(voc):
    folder = voc({"1": xml(CUP), "2": None})
    assert cells(read_dataset(folder))["JPEGImages/2.png"] is None
    assert cells(read_dataset(folder, ReadConfig(missing_labels="background")))["JPEGImages/2.png"] == []


def test_difficult_is_a_column(voc):
    plain = read_dataset(voc({"1": xml(CUP, more="<difficult>0</difficult>")}))
    assert "difficult" not in plain.table.column_names
    two = (
        xml(CUP).replace("</annotation>", "")
        + xml(CUP, more="<difficult>1</difficult>").partition("</size>")[2]
    )
    data = read_dataset(voc({"1": two, "2": xml(), "3": None}))
    assert data.table["difficult"].to_pylist() == [[False, True], [], None]
    assert data[0].extra["difficult"] == [False, True]


@pytest.mark.parametrize(
    ("thing", "what"),
    [
        (("cup", 5, 5, 5, 20), "the box (5, 5, 5, 20) of cup has no area"),
        (("cup", 20, 5, 5, 20), "the box (20, 5, 5, 20) of cup ends before it begins"),
        (("cup", "nan", 5, 5, 20), "xmin of cup is 'nan', which is no number"),
        (("cup", 5, "inf", 5, 20), "ymin of cup is 'inf', which is no number"),
        (("cup", 5, 5, "", 20), "xmax of cup is missing, which is no number"),
        (("cup", 5, 5, 9, "zwölf"), "ymax of cup is 'zwölf', which is no number"),
        ((" ", 5, 5, 9, 9), "an object has no name"),
    ],
)
def test_a_bad_object_is_kept_out_and_told_with_its_line(voc, thing, what):
    data = read_dataset(voc({"1": xml(CUP, thing)}))
    assert told(data) == [("Annotations/1.xml line 7", what)]
    assert len(cells(data)["JPEGImages/1.png"]) == 1
    assert faults_of(data)[0][0].fix


def test_an_object_without_upright_box(voc):
    text = xml(CUP).replace("</annotation>", "<object><name>cup</name><robndbox/></object></annotation>")
    assert told(read_dataset(voc({"1": text}))) == [("Annotations/1.xml line 7", "cup has no bndbox")]


def test_a_picture_none_of_whose_objects_can_be_used_is_unlabelled(voc):
    data = read_dataset(voc({"1": xml(("cup", 5, 5, 5, 5)), "2": xml(CUP)}))
    assert cells(data)["JPEGImages/1.png"] is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<annotation>\n<object>\n</annotation>", "is no XML (line 3: mismatched tag)"),
        ("<annotation>\n", "is no XML (line 2: no element found)"),
        ("", "is empty"),
        (bytes(range(256)), "is no XML (line 1: not well-formed (invalid token))"),
        ("<kml></kml>", "begins with <kml> in place of <annotation>"),
        (
            b'<?xml version="1.0" encoding="klingon"?><annotation/>',
            "is in an unknown encoding (unknown encoding: klingon)",
        ),
        (
            "<!DOCTYPE annotation SYSTEM 'file:///etc/passwd'><annotation/>",
            "has a document type, which Assay does not read",
        ),
    ],
)
def test_a_broken_file_costs_its_own_picture_only(voc, text, what):
    data = read_dataset(voc({"1": xml(CUP), "2": text}))
    assert cells(data)["JPEGImages/2.png"] is None
    ((place, why),) = told(data)
    assert place == "Annotations/2.xml"
    assert why.startswith(what)


def test_entities_are_not_expanded(voc):
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    text = f'<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY a0 "ha">{laughs}]>\n<annotation>&a11;</annotation>'
    data = read_dataset(voc({"1": xml(CUP), "2": text, "3": text.encode("utf-16")}))
    assert {why for _, why in told(data)} == {
        "has a document type, which Assay does not read (line 2: <!DOCTYPE x)"
    }


def test_byte_order_mark_line_ends_and_encodings(voc):
    text = xml(("größer 大", 9, 11, 40, 30)).replace("\n", "\r\n")
    latin = '<?xml version="1.0" encoding="ISO-8859-1"?>' + xml(("größer", 9, 11, 40, 30))
    files = {"1": text.encode("utf-8-sig"), "2": text.encode("utf-16"), "3": latin.encode("latin-1")}
    data = read_dataset(voc(files))
    assert [cell[0]["label"] for cell in cells(data).values()] == ["größer 大", "größer 大", "größer"]
    assert told(data) == []


def test_deep_nesting_is_no_trouble(voc):
    deep = "<a>" * 20_000 + "</a>" * 20_000
    assert len(cells(read_dataset(voc({"1": xml(CUP, more=deep)})))["JPEGImages/1.png"]) == 1


@pytest.mark.parametrize("size", [(0, 0), ("", ""), ("wide", "high")])
def test_the_size_is_the_pictures_where_the_file_says_none(voc, size):
    data = read_dataset(voc({"1": xml(CUP, size=size)}))
    assert data[0].size_hw == (40, 80)
    assert told(data) == []


def test_a_wrong_size_is_told(voc):
    data = read_dataset(voc({"1": xml(CUP, size=(800, 400)), "2": xml(CUP, size=(40, 80))}))
    assert [s.size_hw for s in data] == [(40, 80), (40, 80)]
    assert told(data) == [
        ("Annotations/1.xml", "<size> is 800 x 400, and the upright picture is 80 x 40"),
        ("Annotations/2.xml", "<size> is 40 x 80, and the upright picture is 80 x 40"),
    ]
    assert "EXIF" in faults_of(data)[0][1].fix


def test_a_picture_that_cannot_be_read_keeps_its_boxes(voc):
    folder = voc({"1": xml(CUP)})
    (folder / "JPEGImages/1.png").write_bytes(b"no picture")
    data = read_dataset(folder)
    assert data[0].size_hw == (40, 80), "as the file says"
    assert len(data[0].objects) == 1


def test_pictures_of_one_name_are_left_out(voc):
    folder = voc({"1": xml(CUP), "2": xml(CUP)})
    Image.new("RGB", (80, 40)).save(folder / "JPEGImages/1.jpg")
    data = read_dataset(folder)
    assert list(cells(data)) == ["JPEGImages/2.png"]
    assert told(data)[0][1] == "1.jpg and 1.png have one name, so labels could be either's; they are left out"
    assert not [note for note in reading_notes(data, "notes") if "ImageSets" in note], "there are no lists"


def test_the_order_of_classes_is_that_of_labelmap(voc):
    folder = voc({"1": xml(CUP, ("ape", 1, 1, 9, 9))})
    (folder / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncup:9,9,9::\nzoo:::\n"
    )
    assert list(read_dataset(folder).object_classes) == ["cup", "zoo", "ape"]


def test_nothing_there_is_told(voc, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="is empty"):
        read_dataset(tmp_path / "empty", ReadConfig(format="voc"))
    folder = voc({"1": xml(CUP)})
    (folder / "JPEGImages/1.png").unlink()
    with pytest.raises(DatasetError, match="has no pictures") as error:
        read_dataset(folder)
    assert "no picture is called 1" in str(error.value)
    with pytest.raises(ConfigError, match="--group-column"):
        read_dataset(folder, ReadConfig(group_column="x"))
    with pytest.raises(ConfigError, match="is not a folder"):
        read_dataset(folder / "Annotations/1.xml", ReadConfig(format="voc"))


def test_other_xml_files_are_not_taken_for_it(tmp_path):
    (tmp_path / "1.xml").write_text("<kml></kml>")
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    assert not load_format("voc").detect(tmp_path)


def test_ten_thousand_boxes_in_one_picture(voc):
    data = read_dataset(voc({"1": xml(*[("cup", i % 70 + 1, i % 30 + 1, 75, 39) for i in range(10_000)])}))
    assert len(data[0].objects) == 10_000


def dataset(folder, things, **columns):
    """One picture of 80 x 40 px a cell of ``things``."""
    folder.mkdir(exist_ok=True)
    for i in range(len(things)):
        Image.new("RGB", (80, 40), (i, i, i)).save(folder / f"{i}.png")
    paths = [f"{i}.png" for i in range(len(things))]
    table = {
        "path": paths,
        "label": pa.nulls(len(paths), pa.string()),
        "objects": pa.array(things, objects_type()),
    }
    return Dataset(
        pa.table(table | columns), ClassNames([]), folder, object_classes=ClassNames(["b <&>", "a: größer"])
    )


def thing(*box, label="b <&>", mask=None, crowd=False):
    return {"label": label, "box": [float(v) for v in box], "mask": mask, "crowd": crowd}


def test_what_is_written_is_what_other_tools_read(tmp_path):
    parts = pa.array(["train", "validation", "train"])
    data = dataset(tmp_path / "in", [[thing(0, 10.5, 40, 30)], [], None], part=parts)
    write_dataset(data, tmp_path / "out", "voc")
    files = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
    )
    lists = [f"ImageSets/Main/{name}.txt" for name in ("train", "trainval", "val")]
    images = [f"JPEGImages/{i}.png" for i in range(3)]
    assert files == ["Annotations/0.xml", "Annotations/1.xml", *lists, *images, "labelmap.txt"]
    assert (tmp_path / "out/ImageSets/Main/train.txt").read_text() == "0\n2\n"
    text = (tmp_path / "out/Annotations/0.xml").read_text()
    assert "<xmin>1</xmin><ymin>11.5</ymin><xmax>40</xmax><ymax>30</ymax>" in text
    assert "<name>b &lt;&amp;&gt;</name>" in text


def test_boxes_come_back_bit_for_bit(tmp_path):
    corners = np.random.default_rng(0).normal(20, 40, (500, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    more = [
        thing(-1, -1, 5, 5),
        thing(-0.5, 0, 0.25, 1e-9),
        thing(3, 3, 4, 4),
        thing(0.1, 0.1, 0.1 + 1e-12, 0.2),
    ]
    data = dataset(tmp_path / "in", [[thing(*box, label="a: größer") for box in boxes] + more])
    write_dataset(data, tmp_path / "out", "voc")
    after = read_dataset(tmp_path / "out")
    assert cells(after)["JPEGImages/0.png"] == data.table["objects"][0].as_py()
    assert after.object_classes == data.object_classes
    assert told(after) == []
    assert after.parts == {}


def test_difficult_comes_back(tmp_path):
    flags = pa.array([[True, False], None])
    data = dataset(tmp_path / "in", [[thing(1, 1, 5, 5), thing(2, 2, 5, 5)], []], difficult=flags)
    write_dataset(data, tmp_path / "out", "voc")
    assert read_dataset(tmp_path / "out").table["difficult"].to_pylist() == [[True, False], []]


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ([thing(1, 1, 5, 5, mask="PPY`0")], "got: masks (1)"),
        ([thing(1, 1, 5, 5, crowd=True)], "got: crowds, regions of many things (1)"),
        ([thing(1, 1, 5, 5), thing(5, 1, 5, 5)], "0.png object 2 (b <&>): the box (5, 1, 5, 5) has no area"),
        ([thing(1, float("nan"), 5, 5)], "the box (1, nan, 5, 5) has no area"),
    ],
)
def test_what_cannot_be_held_is_refused(tmp_path, cell, what):
    with pytest.raises(DatasetError) as error:
        write_dataset(dataset(tmp_path / "in", [cell]), tmp_path / "out", "voc")
    assert what in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_names_that_xml_cannot_hold_are_refused(tmp_path):
    data = replace(dataset(tmp_path / "in", [[]]), object_classes=ClassNames(["a\x01"]))
    with pytest.raises(DatasetError, match="class names cannot be written"):
        write_dataset(data, tmp_path / "out", "voc")
    data = dataset(tmp_path / "named", [[]])
    i, (path,) = data.table.column_names.index("path"), data.table["path"].to_pylist()
    spaced = path.replace(".png", " .png")
    (data.root / path).rename(data.root / spaced)
    data = replace(data, table=data.table.set_column(i, "path", pa.array([spaced])))
    with pytest.raises(DatasetError, match="picture names cannot be written"):
        write_dataset(data, tmp_path / "out", "voc")


@pytest.mark.shared
def test_blood_cells(shared_data, tmp_path):
    data = read_dataset(shared_data / "bccd")
    assert len(data) == 364
    assert data.parts == {"train": 205, "validation": 87, "test": 72}
    assert list(data.object_classes) == ["Platelets", "RBC", "WBC"]
    found = Counter(thing["label"] for cell in cells(data).values() for thing in cell)
    assert found == {"RBC": 4153, "WBC": 372, "Platelets": 361}
    assert {place.partition(" ")[0] for place, _ in told(data)} == {
        "BCCD/Annotations/BloodImage_00338.xml",
        "BCCD/Annotations/BloodImage_00343.xml",
    }
    assert all("has no area" in what for _, what in told(data))
    assert notes(data)["first_pixel"] == 1
    for name in ("voc", "yolo"):
        write_dataset(data, tmp_path / name, name)
        after = read_dataset(tmp_path / name)
        assert after.parts == data.parts
        names = {path.rpartition("/")[2]: cell for path, cell in cells(after).items()}
        for path, cell in cells(data).items():
            for one, other in zip(cell, names[path.rpartition("/")[2]], strict=True):
                assert one["label"] == other["label"]
                assert np.abs(np.subtract(one["box"], other["box"])).max() <= (0 if name == "voc" else 1e-9)


def test_check_and_convert_say_from_where_pixels_are_counted(voc, cli, tmp_path):
    place = voc({"1": xml(("cup", 0, 11, 40, 30))})
    assert "a corner is 0, so boxes are read as edges" in cli("check", place).out
    made = cli("convert", place, tmp_path / "o.json", "--to", "coco")
    assert made.code == 0
    assert "a corner is 0, so boxes are read as edges" in made.err
