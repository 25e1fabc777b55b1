"""YOLO folders as people have them: data.yaml in its forms, label lines good and bad, and what writing keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from assay.configs import ReadConfig
from assay.data.checks import check_dataset
from assay.data.convert import convert_dataset
from assay.data.faults import faults_of, notes_of
from assay.data.read import load_format, read_dataset, recognise
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.masks import Mask, encode
from assay.objects import objects_type
from assay.types import Dataset
from assay.verb_configs import ConvertConfig

NAMES = "names: [cup, plate]\n"


@pytest.fixture
def yolo(tmp_path):
    """``yolo({"train/1": "0 .5 .5 .5 .5", "val/2": None}, text)``: pictures of 80 x 40 px, label files, a data.yaml.

    None: no label file.
    """

    def make(labels, text="train: images/train\nval: images/val\n" + NAMES, root="data"):
        folder = tmp_path / root
        folder.mkdir(exist_ok=True)
        for name, lines in labels.items():
            picture = folder / "images" / f"{name}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 40)).save(picture)
            file = folder / "labels" / f"{name}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            if lines is not None:
                file.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
        for part in ("train", "val"):
            (folder / "images" / part).mkdir(parents=True, exist_ok=True)
        if text is not None:
            (folder / "data.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return make


def cells(data):
    return dict(zip(data.table["path"].to_pylist(), data.table["objects"].to_pylist(), strict=True))


def told(data):
    return [(fault.place, fault.what) for fault in faults_of(data)[0]]


def test_boxes_parts_and_sizes(yolo):
    data = read_dataset(yolo({"train/1": "1 0.5 0.5 0.25 0.5\n0 0.25 0.25 0.5 0.5\n", "val/2": ""}))
    assert data.parts == {"train": 1, "validation": 1}
    assert data.split == {"by": "source"}
    assert list(data.object_classes) == ["cup", "plate"]
    assert cells(data) == {
        "images/train/1.png": [
            {"label": "plate", "box": [30.0, 10.0, 50.0, 30.0], "mask": None, "crowd": False},
            {"label": "cup", "box": [0.0, 0.0, 40.0, 20.0], "mask": None, "crowd": False},
        ],
        "images/val/2.png": [],
    }
    assert data[0].size_hw == (40, 80)
    assert data[0].label is None
    assert told(data) == []


def test_the_yaml_itself_may_be_named(yolo):
    folder = yolo({"train/1": ""})
    (folder / "data.yaml").rename(folder / "cups.yaml")
    assert recognise(folder / "cups.yaml") is load_format("yolo")
    assert len(read_dataset(folder / "cups.yaml")) == 1


def test_another_yaml_is_not_taken_for_one(tmp_path):
    (tmp_path / "data.yaml").write_text("name: x\nlearning_rate: 0.1\n")
    assert not load_format("yolo").detect(tmp_path)


def test_a_missing_label_file_is_unlabelled_unless_told(yolo):
    folder = yolo({"train/1": "0 .5 .5 .1 .1", "train/2": None})
    assert cells(read_dataset(folder))["images/train/2.png"] is None
    asked = read_dataset(folder, ReadConfig(missing_labels="background"))
    assert cells(asked)["images/train/2.png"] == []


def test_pictures_without_a_label_file_are_told_beside_others(yolo):
    folder = yolo({"train/1": "0 .5 .5 .5 .5\n1 .5 .5 .2 .2", "train/2": None, "train/3": None, "val/4": ""})

    def problems(read=None, **options):
        found = check_dataset(read_dataset(folder, read), pictures=False, **options)
        return {problem.code: problem for problem in found}

    for options in ({}, {"for_training": True, "heads": ("boxes",)}):
        one = problems(**options)["not-looked-at"]
        assert one.level == "warning"
        assert str(one).startswith(
            "2 of 4 pictures have no label file that can be used, and teach nothing of things: images/train/2.png"
        )
        assert "give each an empty one" in one.fix
    assert "not-looked-at" not in problems(ReadConfig(missing_labels="background"))
    (folder / "labels/train/2.txt").write_text("")
    assert problems()["not-looked-at"].what.startswith("one of 4 pictures has no label file")
    (folder / "labels/train/3.txt").write_text("")
    assert "not-looked-at" not in problems()


def test_a_picture_that_loses_some_of_its_things_is_noted(yolo):
    good = "0 .5 .5 .5 .5\n\n"
    data = read_dataset(
        yolo({"train/1": good + "9 .5 .5 .1 .1", "train/2": good, "train/3": "9 .5 .5 .1 .1"})
    )
    assert notes_of(data)["partly_read"] == ["images/train/1.png"]


def test_sizes_are_those_of_the_upright_picture(yolo):
    folder = yolo({"train/1": "0 .5 .5 .5 .5"})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(folder / "images/train/1.png", exif=exif)
    data = read_dataset(folder)
    assert data[0].size_hw == (80, 40)
    assert cells(data)["images/train/1.png"][0]["box"] == [10.0, 20.0, 30.0, 60.0]


def test_a_polygon_is_a_mask_and_its_box(yolo):
    data = read_dataset(yolo({"train/1": "0 0.1 0.25 0.5 0.25 0.5 0.75 0.1 0.75"}))
    (thing,) = cells(data)["images/train/1.png"]
    assert thing["box"] == [8.0, 10.0, 40.0, 30.0]
    mask = Mask((40, 80), thing["mask"]).to_array()
    assert mask.sum() == 32 * 20
    assert mask[10:30, 8:40].all()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0 0.5 0.5 1.32 0.5", "box width is 1.32; YOLO boxes are fractions of the picture, 0 to 1"),
        ("0 120 80 40 30", "box centre x is 120; YOLO boxes are fractions of the picture, 0 to 1"),
        ("0 0.5 -0.2 0.5 0.5", "box centre y is -0.2; YOLO boxes are fractions of the picture, 0 to 1"),
        ("0 0.5 nan 0.5 0.5", "box centre y is nan; YOLO boxes are fractions of the picture, 0 to 1"),
        ("0 0.5 inf 0.5 0.5", "box centre y is inf; YOLO boxes are fractions of the picture, 0 to 1"),
        ("0 0.5 0.5 -0.1 0.5", "box width is -0.1; YOLO boxes are fractions of the picture, 0 to 1"),
        ("0 0.5 0.5 0 0.5", "the box has no area: width 0, height 0.5"),
        ("0 0.5 half 0.5 0.5", "'half' is no number"),
        ("0 0.5 0.5", "a line has 2 numbers behind the class"),
        ("0", "a line has 0 numbers behind the class"),
        ("0 0.5 0.5 0.1 0.1 0.97", "a box has a fifth number behind it"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.1 0.4", "a polygon has an odd number of values (7)"),
        (
            "0 0.1 0.1 0.2 0.2 0.3 7",
            "y of polygon point 3 is 7; YOLO polygons are fractions of the picture, 0 to 1",
        ),
        ("0 0.1 0.1 0.2 0.1 0.3 0.1", "the polygon has no area"),
        ("2 0.5 0.5 0.5 0.5", "class 2 is none of the 2 names, 0 to 1"),
        ("-1 0.5 0.5 0.5 0.5", "class -1 is none of the 2 names, 0 to 1"),
        ("0.5 0.5 0.5 0.5 0.5", "class '0.5' is no number"),
        ("cup 0.5 0.5 0.5 0.5", "class 'cup' is no number"),
    ],
)
def test_a_bad_line_is_kept_out_and_told_with_its_place(yolo, line, what):
    data = read_dataset(yolo({"train/1": f"0 .5 .5 .1 .1\n\n{line}\n1 .5 .5 .1 .1"}))
    assert told(data) == [("labels/train/1.txt line 3", what)]
    assert [thing["label"] for thing in cells(data)["images/train/1.png"]] == ["cup", "plate"]
    assert faults_of(data)[0][0].fix


def test_pixels_are_told_how_to_mend():
    from assay.data.faults import Faults
    from assay.data.formats.yolo_labels import read_lines

    faults = Faults()
    assert read_lines("0 120 80 40 30", "1.txt", (40, 80), ClassNames(["cup"]), faults) == []
    assert faults.kept_out[0].fix == "if these are pixels, divide them by the picture's width and height"


def test_a_hundredth_outside_is_rounding_and_a_box_may_reach_out(yolo):
    data = read_dataset(yolo({"train/1": "0 0.95 0.5 0.3 1.005"}))
    assert told(data) == []
    np.testing.assert_allclose(cells(data)["images/train/1.png"][0]["box"], [64, -0.1, 88, 40.1])


def test_a_picture_none_of_whose_lines_can_be_used_is_unlabelled(yolo):
    data = read_dataset(yolo({"train/1": "0 120 80 40 30\n", "train/2": "0 .5 .5 .1 .1"}))
    assert cells(data)["images/train/1.png"] is None, "it is not known to be empty"


def test_a_polygon_between_the_pixels_keeps_its_box(yolo):
    data = read_dataset(yolo({"train/1": "0 0.501 0.51 0.505 0.51 0.505 0.512"}))
    (thing,) = cells(data)["images/train/1.png"]
    assert thing["mask"] is None
    assert told(data)[0][1] == "the polygon covers the middle of no pixel; its box is kept, without a mask"


def test_byte_order_mark_line_ends_and_spaces(yolo):
    text = b"\xef\xbb\xbftrain: images/train\r\nval: images/val\r\nnames:\r\n  0: cup\r\n  1: plate\r\n"
    data = read_dataset(
        yolo({"train/1": b"\xef\xbb\xbf 1.0\t0.5 0.5  0.5 0.5 \r\n\r\n0 0.5 0.5 0.1 0.1"}, text)
    )
    assert [thing["label"] for thing in cells(data)["images/train/1.png"]] == ["plate", "cup"]
    assert told(data) == []


def test_names_that_are_not_ascii_and_words_that_yaml_would_change(yolo):
    text = 'train: "images/größe 大"\nnames: {0: no, 1: 007, 2: 杯, 3: "a: b"}\n'
    data = read_dataset(yolo({"größe 大/ein Bild": "2 .5 .5 .5 .5"}, text))
    assert list(data.object_classes) == ["no", "007", "杯", "a: b"]
    assert cells(data)["images/größe 大/ein Bild.png"][0]["label"] == "杯"


def test_places_are_folders_lists_of_folders_and_lists_of_pictures(yolo):
    folder = yolo(
        {"a/1": "", "b/2": "", "c/3": "", "c/4": ""}, "train: [images/a, images/b]\nval: val.txt\n" + NAMES
    )
    (folder / "val.txt").write_text("./images/c/3.png\n\nimages/c/9.png\n")
    data = read_dataset(folder)
    assert data.table["path"].to_pylist() == ["images/a/1.png", "images/b/2.png", "images/c/3.png"]
    assert data.parts == {"train": 2, "validation": 1}
    assert told(data) == [("val.txt line 3", "there is no picture images/c/9.png")]


def test_path_is_followed_or_else_the_yamls_own_folder(yolo, tmp_path):
    folder = yolo({"train/1": ""}, "path: ../elsewhere\ntrain: images/train\n" + NAMES)
    assert len(read_dataset(folder)) == 1, "../elsewhere does not exist"
    yolo({"train/1": "", "train/2": ""}, None, root="elsewhere")
    data = read_dataset(folder)
    assert len(data) == 2
    assert cells(data) == {"images/train/1.png": [], "images/train/2.png": []}
    assert len(read_dataset(folder, ReadConfig(root=str(folder)))) == 1


def test_neither_place_exists_is_told_with_both(yolo):
    folder = yolo({"train/1": ""}, "path: /nowhere/shop\ntrain: images/learn\n" + NAMES)
    with pytest.raises(DatasetError) as error:
        read_dataset(folder)
    assert "images/learn does not exist" in str(error.value)
    assert "/nowhere/shop/images/learn and " in str(error.value)
    assert str(folder / "images/learn") in str(error.value)


def test_roboflows_places_beside_the_yaml(yolo):
    folder = yolo({}, "train: ../train/images\nval: ../valid/images\ntest:\nnc: 2\n" + NAMES)
    for part in ("train", "valid"):
        for kind in ("images", "labels"):
            (folder / part / kind).mkdir(parents=True)
        Image.new("RGB", (10, 10)).save(folder / part / "images" / "1.jpg")
        (folder / part / "labels" / "1.txt").write_text("0 .5 .5 .5 .5")
    data = read_dataset(folder)
    assert data.parts == {"train": 1, "validation": 1}
    assert [len(cell) for cell in cells(data).values()] == [1, 1]


def test_the_root_itself_may_be_called_images(yolo):
    folder = yolo({"train/1": "0 .5 .5 .5 .5"}, "path: images\ntrain: train\n" + NAMES)
    assert [len(things) for things in cells(read_dataset(folder)).values()] == [1]


@pytest.mark.parametrize("root", ["data", "images"])
def test_labels_may_lie_beside_pictures(yolo, root):
    folder = yolo({}, "train: photos\n" + NAMES, root)
    (folder / "photos").mkdir()
    Image.new("RGB", (10, 10)).save(folder / "photos" / "1.png")
    (folder / "photos" / "1.txt").write_text("0 .5 .5 .5 .5")
    assert len(cells(read_dataset(folder))["photos/1.png"]) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("train: images/train\nnames: [cup, plate\n", "data.yaml line 3 is not YAML"),
        ("train: images/train\n\tnames: [cup]\n", "data.yaml line 2 is not YAML"),
        ("", "data.yaml is empty"),
        ("- cup\n- plate\n", "data.yaml has no names of classes"),
        ("just words", "data.yaml has no names of classes"),
        ("train: images/train\n", "data.yaml: no names"),
        ("train: images/train\nnames: []\n", "data.yaml: no names"),
        ("train: images/train\nnames: [[cup], plate]\n", "data.yaml: names is no list of texts"),
        (
            "train: images/train\nnames: {0: cup, 2: plate}\n",
            "data.yaml: names is not numbered from 0 to 1: 0, 2",
        ),
        ("train: images/train\nnames: [cup, plate, cup]\n", "data.yaml: names has cup more than once"),
        ("train: images/train\nnames: [cup, '']\n", "data.yaml: a name is empty"),
        ("train: images/train\nnc: 3\n" + NAMES, "data.yaml: nc is 3 and names has 2"),
        ("train: images/train\nkpt_shape: [17, 3]\n" + NAMES, "kpt_shape: a set of key points"),
        (b"train: images/train\nnames: [caf\xe9]\n", "data.yaml is not UTF-8"),
    ],
)
def test_a_broken_yaml_is_told(yolo, text, what):
    with pytest.raises(DatasetError) as error:
        read_dataset(yolo({"train/1": ""}, text), ReadConfig(format="yolo"))
    assert what in str(error.value)
    assert error.value.fix


def test_all_faults_of_a_yaml_are_told_at_once(yolo):
    with pytest.raises(DatasetError) as error:
        read_dataset(yolo({}, "train: a\nval: b\nnc: 5\n" + NAMES))
    assert [word in str(error.value) for word in ("nc is 5", "a does not exist", "b does not exist")] == [
        True
    ] * 3


def test_no_yaml_and_no_pictures_are_told(yolo, tmp_path):
    with pytest.raises(DatasetError, match=r"has no data\.yaml"):
        read_dataset(yolo({"train/1": ""}, None), ReadConfig(format="yolo"))
    with pytest.raises(DatasetError, match="leads to no pictures"):
        read_dataset(yolo({}, root="other"))
    with pytest.raises(ConfigError, match="--label-column"):
        read_dataset(yolo({"train/1": ""}), ReadConfig(label_column="x"))


def test_a_billion_laughs_are_no_trouble(yolo):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(DatasetError, match="names is no list of texts"):
        read_dataset(yolo({"train/1": ""}, "\n".join([*lines, "train: images/train", "names: *a11"])))


def test_a_label_file_without_picture_and_one_that_is_no_text(yolo):
    folder = yolo({"train/1": "0 .5 .5 .1 .1", "train/2": bytes(range(128, 256))})
    (folder / "labels/train/lost.txt").write_text("0 .5 .5 .1 .1")
    (folder / "labels/train/classes.txt").write_text("cup\n")
    data = read_dataset(folder)
    assert told(data) == [
        ("labels/train/lost.txt", "no picture has this name"),
        ("labels/train/2.txt", "is no text"),
    ]
    assert cells(data)["images/train/2.png"] is None


def test_a_picture_that_cannot_be_read_costs_its_own_boxes_only(yolo):
    folder = yolo({"train/1": "0 .5 .5 .1 .1", "train/2": "0 .5 .5 .1 .1"})
    (folder / "images/train/2.png").write_bytes(b"no picture")
    data = read_dataset(folder)
    assert [None if cell is None else len(cell) for cell in cells(data).values()] == [1, None]
    assert told(data)[0][0] == "labels/train/2.txt"
    assert "cannot be read, so its fractions are no pixels" in told(data)[0][1]


def test_ten_thousand_boxes_in_one_picture(yolo):
    rng = np.random.default_rng(0)
    lines = "\n".join(f"0 {x:.6f} {y:.6f} 0.1 0.1" for x, y in rng.random((10_000, 2)))
    assert len(cells(read_dataset(yolo({"train/1": lines})))["images/train/1.png"]) == 10_000


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
        pa.table(table | columns), ClassNames([]), folder, object_classes=ClassNames(["no", "größer"])
    )


def thing(box, mask=None, label="no", crowd=False):
    text = None if mask is None else encode(mask).counts
    return {"label": label, "box": [float(v) for v in box], "mask": text, "crowd": crowd}


def blocks(*boxes):
    mask = np.zeros((40, 80), bool)
    for x1, y1, x2, y2 in boxes:
        mask[y1:y2, x1:x2] = True
    return mask


def round_trip(data, folder):
    write_dataset(data, folder, "yolo")
    return read_dataset(folder)


def test_what_is_written_is_what_other_tools_read(tmp_path):
    parts = pa.array(["train", "validation", "train"])
    write_dataset(
        dataset(tmp_path / "in", [[thing((8, 10, 40, 30))], [], None], part=parts), tmp_path / "out", "yolo"
    )
    files = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()
    )
    assert files == [
        "data.yaml",
        "images/train/0.png",
        "images/train/2.png",
        "images/val/1.png",
        "labels/train/0.txt",
        "labels/val/1.txt",
    ]
    assert (tmp_path / "out/labels/train/0.txt").read_text() == "0 0.3 0.5 0.4 0.5\n"
    assert yaml.safe_load((tmp_path / "out/data.yaml").read_text()) == {
        "train": "images/train",
        "val": "images/val",
        "nc": 2,
        "names": {0: "no", 1: "größer"},
    }


def test_without_parts_none_are_made_up(tmp_path):
    after = round_trip(dataset(tmp_path / "in", [[thing((8, 10, 40, 30))], None]), tmp_path / "out")
    assert after.parts == {}
    assert after.split == {}
    assert list(cells(after)) == ["images/0.png", "images/1.png"]
    assert [None if cell is None else len(cell) for cell in cells(after).values()] == [1, None]


@pytest.mark.parametrize(
    ("parts", "train", "val"),
    [
        (None, "images", "images"),
        (["train", "train"], "images/train", "images/train"),
        (["test", "train"], "images/train", "images/train"),
        (["validation", "test"], "images/val", "images/val"),
        (["test", "test"], "images/test", "images/test"),
    ],
)
def test_other_tools_find_train_and_val_though_there_is_no_such_part(tmp_path, parts, train, val):
    more = {} if parts is None else {"part": pa.array(parts)}
    data = dataset(tmp_path / "in", [[thing((8, 10, 40, 30))], []], **more)
    after = round_trip(data, tmp_path / "out")
    written = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert (written["train"], written["val"]) == (train, val)
    assert after.parts == data.parts
    assert len(after) == 2
    assert round_trip(after, tmp_path / "again").parts == data.parts


def test_a_part_that_somebody_has_filled_in_since_is_one(tmp_path):
    folder = tmp_path / "out"
    round_trip(dataset(tmp_path / "in", [[thing((8, 10, 40, 30))], []]), folder)
    text = (folder / "data.yaml").read_text()
    for name, part in (("0", "train"), ("1", "val")):
        (folder / "images" / part).mkdir()
        (folder / f"images/{name}.png").rename(folder / f"images/{part}/{name}.png")
    text = text.replace("train: images", "train: images/train").replace("val: images", "val: images/val")
    (folder / "data.yaml").write_text(text)
    assert read_dataset(folder).parts == {"train": 1, "validation": 1}


def test_converting_tells_of_the_parts_that_stand_in(tmp_path):
    write_dataset(dataset(tmp_path / "in", [[thing((8, 10, 40, 30))], []]), tmp_path / "o.parquet", "table")
    made = convert_dataset(tmp_path / "o.parquet", tmp_path / "out", "yolo", ConvertConfig(strict=True))
    assert made.notes == (
        "there is no part for train and val, which other tools ask for: data.yaml names images there, and reading it "
        "back gives the parts as they were; `assay split` makes parts",
    )


def test_random_boxes_come_back_within_a_billionth_of_a_pixel(tmp_path):
    corners = np.random.default_rng(0).random((500, 2, 2)) * (79, 39)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1e-3], axis=1)
    after = round_trip(dataset(tmp_path / "in", [[thing(box) for box in boxes]]), tmp_path / "out")
    assert np.abs(after[0].objects.boxes_xyxy - boxes).max() < 1e-9


@pytest.mark.parametrize(
    "box",
    [
        (4, 5, 60, 30),
        (3.25, 2.5, 61.125, 33.9),  # reaches farther than the mask
        (4.3, 5.49, 59.51, 29.6),  # ends inside of it, by less than half a pixel
        (4.5, 5.5, 59.5, 29.5),  # by just half a pixel
        (-0.5, 5.2, 80.5, 30),  # reaches out of the picture
    ],
)
def test_a_mask_of_two_parts_with_a_hole_comes_back_beside_its_box(tmp_path, box):
    mask = blocks((4, 5, 30, 30), (50, 10, 60, 20)) & ~blocks((10, 10, 20, 20))
    after = round_trip(
        dataset(tmp_path / "in", [[thing(box, mask, "größer"), thing((1, 1, 2, 2))]]), tmp_path / "out"
    )
    first, second = cells(after)["images/0.png"]
    assert first["mask"] == encode(mask).counts
    assert np.abs(np.subtract(first["box"], box)).max() < 2e-9
    assert second["mask"] is None


def test_random_masks_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    masks = [rng.random((40, 80)) < share for share in rng.uniform(0.02, 0.98, 40)]
    things = [thing(encode(mask).box_xyxy, mask) for mask in masks]
    after = round_trip(dataset(tmp_path / "in", [things]), tmp_path / "out")
    assert [t["mask"] for t in cells(after)["images/0.png"]] == [t["mask"] for t in things]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (thing((0, 0, 80, 40), blocks((4, 4, 9, 9)), crowd=True), "got: crowds, regions of many things (1)"),
        (
            thing((10, 5, 60, 30), blocks((4, 5, 60, 30))),
            "0.png object 2 (no): the box (10, 5, 60, 30) ends inside its mask",
        ),
        (thing((0, 0, 9, 9), blocks()), "its mask is empty"),
        (thing((-10, 0, 95, 40)), "the box (-10, 0, 95, 40) reaches too far out of the picture"),
        (thing((10, 10, 10, 20)), "the box (10, 10, 10, 20) has no area"),
        (thing((10, float("nan"), 10, 20)), "(10, nan, 10, 20)"),
    ],
)
def test_what_cannot_be_held_is_refused_with_its_picture(tmp_path, bad, what):
    data = dataset(tmp_path / "in", [[thing((1, 1, 5, 5)), bad]])
    with pytest.raises(DatasetError) as error:
        write_dataset(data, tmp_path / "out", "yolo")
    assert what in str(error.value)
    assert error.value.fix
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_classes_and_tags_are_refused_and_mixed_parts_too(tmp_path):
    data = dataset(tmp_path / "in", [[], []])
    labelled = replace(data, table=data.table.set_column(1, "label", pa.array(["a", None])))
    with pytest.raises(DatasetError, match="YOLO cannot hold"):
        write_dataset(labelled, tmp_path / "out", "yolo")
    mixed = replace(data, table=data.table.append_column("part", pa.array(["train", None])))
    with pytest.raises(DatasetError, match="some rows have a part"):
        write_dataset(mixed, tmp_path / "out", "yolo")


def test_pictures_of_one_name_get_label_files_of_their_own(tmp_path):
    data = dataset(tmp_path / "in", [[thing((1, 1, 5, 5))], []])
    (tmp_path / "in/1.png").rename(tmp_path / "in/0.PNG.tmp")
    (tmp_path / "in/0.PNG.tmp").rename(tmp_path / "in/0.jpg")
    data = replace(data, table=data.table.set_column(0, "path", pa.array(["0.png", "0.jpg"])))
    after = round_trip(data, tmp_path / "out")
    assert {p: len(c) for p, c in cells(after).items()} == {"images/0.png": 1, "images/0-2.jpg": 0}


@pytest.mark.shared
def test_coco_comes_back_from_yolo_with_boxes_and_masks(shared_data, tmp_path):
    convert_dataset(shared_data / "tiny-coco", tmp_path / "out", "yolo")
    before, after = read_dataset(shared_data / "tiny-coco"), read_dataset(tmp_path / "out")
    found = {path.rpartition("/")[2]: cell for path, cell in cells(after).items()}
    masks = 0
    for path, cell in cells(before).items():
        kept = [t for t in cell if not t["crowd"]]
        for one, other in zip(kept, found[path.rpartition("/")[2]], strict=True):
            assert (one["label"], one["mask"]) == (other["label"], other["mask"])
            assert np.abs(np.subtract(one["box"], other["box"])).max() < 2e-9
            masks += one["mask"] is not None
    assert masks > 800
    assert list(after.object_classes) == list(before.object_classes)


def test_pictures_outside_of_the_yaml_are_found(yolo, tmp_path, monkeypatch):
    yolo({"train/1": "0 .5 .5 .5 .5"}, None, "other")
    place = yolo({}, "path: .\ntrain: ../other/images/train\nval: images/val\n" + NAMES)
    monkeypatch.chdir(tmp_path)
    for path in (place, place.relative_to(tmp_path)):
        assert [sample.path.is_file() for sample in read_dataset(path)] == [True]


def test_a_line_too_long_for_a_name_is_told(yolo):
    place = yolo({"train/1": "0 .5 .5 .5 .5"}, "train: list.txt\n" + NAMES)
    (place / "list.txt").write_text("images/train/1.png\n" + "x" * 300 + ".png\n")
    data = read_dataset(place)
    assert len(data) == 1
    assert told(data)[0][1].startswith("there is no picture xxx")


def test_names_with_spaces_at_their_ends_are_refused(yolo, tmp_path):
    data = read_dataset(yolo({"train/1": "0 .5 .5 .5 .5"}))
    cell = [{"label": " a", "box": [1.0, 1, 9, 9], "mask": None, "crowd": False}]
    at = data.table.column_names.index("objects")
    table = data.table.set_column(at, "objects", pa.array([cell], objects_type()))
    with pytest.raises(DatasetError, match=r"class names cannot be written in YOLO[^.]*' a'"):
        write_dataset(
            replace(data, table=table, object_classes=ClassNames([" a", "a"])), tmp_path / "o", "yolo"
        )
    assert not (tmp_path / "o").exists()


def test_check_and_convert_say_that_no_label_file_was_found(yolo, cli, tmp_path):
    place = yolo({"train/1": None})
    out = cli("check", place, "--json")
    assert '"read-so"' in out.out
    assert "no picture has a label file that can be used" in out.out


def test_a_part_with_its_own_order_of_classes_is_told(yolo):
    folder = yolo({"train/1": "0 .5 .5 .5 .5", "val/2": "0 .5 .5 .5 .5"})
    names = list(read_dataset(folder).object_classes)
    (folder / "labels/val/classes.txt").write_text("\n".join(reversed(names)))
    (folder / "labels/train/classes.txt").write_text(names[0])
    (line,) = told(read_dataset(folder))
    what = f"class 0 is {names[-1]} here and {names[0]} in data.yaml: in another order than there"
    assert line == ("labels/val/classes.txt", what)
    (folder / "labels/val/classes.txt").write_text("else\n")
    (line,) = told(read_dataset(folder))
    assert line[1] == f"class 0 is else here and {names[0]} in data.yaml: other classes than there"
    problems = {p.code: p for p in check_dataset(read_dataset(folder), pictures=False)}
    assert "give their numbers the order of data.yaml" in problems["class-order"].fix


def test_a_yaml_of_a_part_with_another_order_is_told(yolo):
    folder = yolo({"train/1": "0 .5 .5 .5 .5", "val/2": "0 .5 .5 .5 .5"})
    names = list(read_dataset(folder).object_classes)
    (folder / "images/val/data.yaml").write_text(
        f"names: [{', '.join(map(repr, reversed(names)))}]\ntrain: nowhere\n"
    )
    ((place, what),) = told(read_dataset(folder))
    assert place == "images/val/data.yaml"
    assert what.startswith("class 0 is plate here")
    (folder / "images/val/data.yaml").write_text("names: [")
    assert told(read_dataset(folder)) == [], "a broken file that nobody asked for"
