"""COCO: where files and pictures lie, what is kept exactly, and the words for what is wrong."""

from __future__ import annotations

import json
import math
import os
import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.audit.intake import read_for_audit
from assay.configs import ReadConfig
from assay.data.checks import check_dataset
from assay.data.faults import faults_by_kind, faults_of, notes_of
from assay.data.formats.coco import FORMAT
from assay.data.formats.coco_write import _extent
from assay.data.read import load_format, read_dataset, recognise
from assay.data.split import split_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError
from assay.masks import encode

SQUARE = [[2, 2, 12, 2, 12, 10, 2, 10]]


def coco(**changes):
    """Two pictures of 20 x 16 px, one of them empty; ids and categories with gaps, in no order."""
    told = {
        "images": [
            {"id": 70, "file_name": "a.png", "width": 20, "height": 16},
            {"id": 8, "file_name": "ü 店.png", "width": 20, "height": 16},
        ],
        "annotations": [
            {"id": 3, "image_id": 70, "category_id": 90, "bbox": [2, 2, 10, 8], "segmentation": SQUARE},
            {"id": 1, "image_id": 70, "category_id": 7, "bbox": [0.1, 0.2, 3.3, 4.4], "iscrowd": 1},
        ],
        "categories": [
            {"id": 90, "name": "cat", "supercategory": "animal"},
            {"id": 7, "name": "tea", "supercategory": "drink"},
        ],
    }
    return {**told, **changes}


def annotation(**changes):
    return {"id": 5, "image_id": 70, "category_id": 7, "bbox": [1, 1, 4, 4], **changes}


@pytest.fixture
def put(tmp_path):
    """``put(told, "annotations/instances_train.json", "train")`` writes a file, and its pictures into a folder."""

    def write(told, name="boxes.json", pictures="."):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(told if isinstance(told, str) else json.dumps(told), "utf-8")
        if pictures is not None and not isinstance(told, str):
            for i, image in enumerate(told["images"]):
                picture = tmp_path / pictures / image.get("file_name", "x.png")
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((16, 20, 3), 40 * i % 256, np.uint8)).save(picture)
        return place

    return write


def told_of(dataset):
    faults, count = faults_of(dataset)
    assert count == len(faults)
    assert all(fault.fix for fault in faults)
    return [str(fault) for fault in faults]


def test_a_picture_that_loses_some_of_its_things_is_noted(put):
    lost = [annotation(category_id=1), annotation(id=6, bbox=[1, 1, float("nan"), 4])]
    whole = [{**row, "image_id": 8} for row in coco()["annotations"][:1]]
    data = read_dataset(put(coco(annotations=[*coco()["annotations"], *lost, *whole])))
    assert notes_of(data)["partly_read"] == ["a.png"]
    told = {problem.code: problem for problem in check_dataset(data, pictures=False)}["partly-read"]
    assert str(told) == (
        "some things of one picture are kept out: its other things are taken to be all there are: a.png"
    )
    assert "partly_read" not in notes_of(read_dataset(put(coco(annotations=lost)))), "it is unlabelled"


def test_a_polygon_without_area_costs_itself_alone(put):
    parts = [[3, 3, 4, 4], *SQUARE, [7, 7]]
    data = read_dataset(put(coco(annotations=[annotation(bbox=[2, 2, 10, 8], segmentation=parts)])))
    assert data[0].objects.masks[0].area == 80
    assert told_of(data) == [
        "boxes.json annotation 5: polygon 1 of 3 of its mask has no area: (3, 3, 4, 4); the others are kept",
        "boxes.json annotation 5: polygon 3 of 3 of its mask has no area: (7, 7); the others are kept",
    ]
    assert list(faults_by_kind(data)) == ["no-area"]


def test_a_file(put):
    data = read_dataset(put(coco()))
    assert list(data.object_classes) == ["tea", "cat"], "in the order of the ids"
    assert [s.path.name for s in data] == ["a.png", "ü 店.png"]
    assert all(s.path.is_file() and s.size_hw == (16, 20) and s.label is None for s in data)
    things = data[0].objects
    assert things.boxes_xyxy.tolist() == [[2, 2, 12, 10], [0.1, 0.2, 0.1 + 3.3, 0.2 + 4.4]]
    assert things.labels.tolist() == [1, 0]
    assert things.crowd.tolist() == [False, True]
    assert things.masks[0].to_array()[2:10, 2:12].all()
    assert things.masks[0].area == 80
    assert things.masks[1] is None
    assert len(data[1].objects) == 0, "looked at, and nothing found"
    assert data.table["image_id"].to_pylist() == [70, 8]
    assert data.parts == {}
    assert faults_of(data) == ([], 0)


def test_masks_in_all_three_ways_of_writing(put):
    pixels = np.zeros((16, 20), bool)
    pixels[3:9, 4:15] = True
    pixels[5, 6:8] = False
    runs = np.diff(np.flatnonzero(np.diff(np.r_[-1, pixels.T.ravel().astype(int), 2]) != 0)).tolist()
    ways = (
        {"size": [16, 20], "counts": [0, *runs] if pixels[0, 0] else runs},
        {"size": [16, 20], "counts": encode(pixels).counts},
    )
    for way in ways:
        data = read_dataset(put(coco(annotations=[annotation(segmentation=way)])))
        assert (data[0].objects.masks[0].to_array() == pixels).all()
    polygons = [[0, 0, 4, 0, 4, 4, 0, 4], [10, 10, 14, 10, 14, 14, 10, 14]]
    data = read_dataset(put(coco(annotations=[annotation(segmentation=polygons)])))
    assert data[0].objects.masks[0].area == 32
    bare = annotation(segmentation=SQUARE)
    del bare["bbox"]
    data = read_dataset(put(coco(annotations=[bare])))
    assert data[0].objects.boxes_xyxy.tolist() == [[2, 2, 12, 10]], "the box of the mask"


@pytest.mark.parametrize(
    ("files", "pictures"),
    [
        (
            ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
            ("train2017", "val2017"),
        ),
        (
            ("annotations/instances_train.json", "annotations/instances_val.json"),
            ("images/train", "images/val"),
        ),
        (("train/_annotations.coco.json", "valid/_annotations.coco.json"), ("train", "valid")),
        (("train.json", "dev.json"), ("images", "images")),
        (("annotations/train.json", "annotations/validation.json"), ("photos", "photos")),
    ],
)
def test_layouts_of_folders(put, tmp_path, files, pictures):
    for file, folder in zip(files, pictures, strict=True):
        put(coco(), file, folder)
    put({"images": [], "annotations": []}, "annotations/captions_train2017.json", None) if "2017" in files[
        0
    ] else None
    assert recognise(tmp_path) is FORMAT
    data = read_dataset(tmp_path)
    assert data.parts == {"train": 2, "validation": 2}
    assert data.split == {"by": "source"}
    assert all(s.path.is_file() for s in data)
    assert {(s.part, s.path.parent.name) for s in data} == {
        ("train", pictures[0].split("/")[-1]),
        ("validation", pictures[1].split("/")[-1]),
    }
    assert not any(path.startswith("/") for path in data.table["path"].to_pylist())


def test_a_file_in_annotations_finds_the_pictures_beside(put, tmp_path):
    place = put(coco(), "annotations/instances_val2017.json", "val2017")
    data = read_dataset(place)
    assert data.table["path"].to_pylist() == ["val2017/a.png", "val2017/ü 店.png"]
    assert data.parts == {}, "a file that is named alone is one whole"
    again = read_dataset(place, ReadConfig(root=str(tmp_path / "val2017")))
    assert again.table["path"].to_pylist() == ["a.png", "ü 店.png"]


def test_pictures_in_several_folders(put, tmp_path):
    place = put(coco())
    (tmp_path / "more").mkdir()
    (tmp_path / "ü 店.png").rename(tmp_path / "more" / "ü 店.png")
    assert read_dataset(place).table["path"].to_pylist() == ["a.png", "more/ü 店.png"]


def test_pictures_of_two_folders_are_found_however_they_are_listed(put, tmp_path):
    told = coco()
    told["images"] = [{"id": i, "file_name": f"{i}.png", "width": 20, "height": 16} for i in range(63)]
    told["annotations"] = []
    place = put(told, "annotations/instances.json", "images/train")
    (tmp_path / "images/val").mkdir()
    for i in range(32, 63):
        (tmp_path / f"images/train/{i}.png").rename(tmp_path / f"images/val/{i}.png")
    paths = read_dataset(place).table["path"].to_pylist()
    assert paths == [f"images/{'train' if i < 32 else 'val'}/{i}.png" for i in range(63)]


def test_a_name_that_is_not_utf8_is_told_when_writing(put, tmp_path):
    data = replace(read_dataset(put(coco())), name=os.fsdecode(b"caf\xe9"))
    with pytest.raises(DatasetError, match="a name is not UTF-8"):
        write_dataset(data, tmp_path / "out.json", "coco")
    assert not (tmp_path / "out.json").exists()


def test_pictures_that_are_not_found_are_told(put, tmp_path):
    place = put(coco(), pictures=None)
    data = read_dataset(place)
    (line,) = told_of(data)
    assert line.startswith("boxes.json: none of its pictures is found, such as a.png, in ")
    assert "--root FOLDER" in faults_of(data)[0][0].fix
    assert len(data) == 2
    with pytest.raises(ConfigError, match="is not a folder"):
        read_dataset(place, ReadConfig(root=str(tmp_path / "no")))


def test_names_that_no_disk_can_hold(put, tmp_path):
    place = put(coco())
    told = coco()
    told["images"][1]["file_name"] = "x" * 5000 + ".png"
    place.write_text(json.dumps(told), "utf-8")
    data = read_dataset(place)
    assert len(data) == 2
    with pytest.raises(DatasetError, match="1 pictures of boxes do not exist"):
        write_dataset(data, tmp_path / "out", "coco")


def test_sizes_come_from_the_picture_where_the_file_has_none(put):
    told = coco()
    for image in told["images"]:
        del image["width"]
    data = read_dataset(put(told))
    assert [s.size_hw for s in data] == [(16, 20)] * 2
    assert data[0].objects.masks[0].size_hw == (16, 20)
    told["images"][0] |= {"width": -20, "height": 16}
    told["images"][1] |= {"width": 1e9, "height": 1e9}
    data = read_dataset(put(told))
    assert [s.size_hw for s in data] == [(16, 20)] * 2
    assert told_of(data)[0] == "boxes.json image 70: its height and width are 16 x -20"
    told["images"][0] |= {"width": None}
    data = read_dataset(put(told, "sub/boxes.json", None), ReadConfig(format="coco"))
    assert any("its picture has no size" in line for line in told_of(data)) or data[0].size_hw == (16, 20)


FAULTS = [
    (annotation(image_id=71), "annotation 5: no image has the id 71", 0),
    (annotation(image_id=[1]), "annotation 5: no image has the id [1]", 0),
    (annotation(category_id=8), "annotation 5: no category has the id 8", 0),
    (annotation(bbox=[1, 1, 0, 4]), "annotation 5: the box (1, 1, 0, 4) has no area", 0),
    (annotation(bbox=[9, 9, -4, 4]), "annotation 5: the box (9, 9, -4, 4) has no area", 0),
    (annotation(bbox=[math.nan, 1, 4, 4]), "annotation 5: the box (nan, 1, 4, 4) is not four numbers", 0),
    (annotation(bbox=[1, 1, math.inf, 4]), "annotation 5: the box (1, 1, inf, 4) is not four numbers", 0),
    (annotation(bbox=[1, 1, 4]), "annotation 5: bbox is not x, y, width, height", 0),
    (annotation(bbox="1 1 4 4"), "annotation 5: bbox is not x, y, width, height", 0),
    (
        annotation(segmentation=[[1, 1, 5, 5]]),
        "annotation 5: a polygon has 2 points (1, 1, 5, 5); its box is kept",
        1,
    ),
    (
        annotation(segmentation=[*SQUARE, [1, 1, 5, 5, 2]]),
        "annotation 5: a polygon has an odd number of values (5); its box is kept",
        1,
    ),
    (
        annotation(segmentation=[[1, 1, 5, 5, math.nan, 9]]),
        "annotation 5: a polygon has a value that is no number ([1, 1, 5, 5, nan, 9]); its box is kept",
        1,
    ),
    (
        annotation(segmentation=[[1, 1, 1e12, 5, 5, 9]]),
        "annotation 5: a polygon lies far outside its picture (1e+12); its box is kept",
        1,
    ),
    (
        annotation(segmentation=[1, 1, 5, 5, 2, 2]),
        "annotation 5: segmentation is neither polygons nor run lengths ([1, 1, 5, 5, 2, 2]); its box is kept",
        1,
    ),
    (
        annotation(segmentation={"size": [20, 16], "counts": [320]}),
        "annotation 5: a mask has another size than its picture (mask [20, 16], picture [16, 20] (height, width)); "
        "its box is kept",
        1,
    ),
    (
        annotation(segmentation={"size": [16, 20], "counts": [9]}),
        "annotation 5: run lengths do not fill their picture (9 pixels of 320); its box is kept",
        1,
    ),
    (
        annotation(segmentation={"size": [16, 20], "counts": ["a"]}),
        "annotation 5: segmentation is neither polygons nor run lengths ({'size': [16, 20], 'counts': ['a']}); "
        "its box is kept",
        1,
    ),
    (
        annotation(segmentation={"size": 3, "counts": "x"}),
        "annotation 5: segmentation is neither polygons nor run lengths ({'size': 3, 'counts': 'x'}); its box is kept",
        1,
    ),
]


@pytest.mark.parametrize(("row", "words", "kept"), FAULTS)
def test_faults_are_kept_out_and_told(put, row, words, kept):
    data = read_dataset(put(coco(annotations=[row])))
    assert told_of(data) == [f"boxes.json {words}"]
    if kept:
        assert data[0].objects.masks == (None,)
    elif row["image_id"] == 70:
        assert data[0].objects is None, "something is there that cannot be told: not a picture of nothing"
    else:
        assert len(data[0].objects) == 0, "nobody knows whose picture was meant"


def test_all_faults_are_told_at_once(put):
    rows = [{**row, "id": i} for i, (row, _, _) in enumerate(FAULTS, 10)]
    data = read_dataset(put(coco(annotations=[*coco()["annotations"], *rows])))
    assert faults_of(data)[1] == len(FAULTS)
    assert len(data[0].objects) == 2 + sum(kept for *_, kept in FAULTS)


def test_many_faults_are_counted_and_the_first_are_kept(put):
    rows = [annotation(id=i, image_id=1) for i in range(1500)]
    data = read_dataset(put(coco(annotations=rows)))
    faults, count = faults_of(data)
    assert (len(faults), count) == (1000, 1500)


def test_images_and_ids_that_are_odd(put):
    told = coco()
    told["images"] += [{"id": 9}, {"file_name": "b.png"}, "no object", dict(told["images"][0])]
    told["images"][1]["split"] = "minival"
    told["annotations"] += [dict(told["annotations"][0]), annotation(id=3)]
    data = read_dataset(put(json.dumps(told)))
    lines = told_of(data)
    assert "boxes.json image 9: no file_name" in lines
    assert "boxes.json image 4: no id" in lines
    assert "boxes.json: 1 entries of images are no objects" in lines
    assert "boxes.json image 70: it is listed twice" in lines
    assert "boxes.json: 1 images are of the part 'minival', which is none" in lines
    assert "boxes.json annotation 3: it is listed twice" in lines
    assert "boxes.json annotation 3: another one has the same id; both are kept" in lines
    assert len(data) == 2
    assert len(data[0].objects) == 3


def test_ids_may_be_texts(put):
    told = coco(
        images=[{"id": "x/1", "file_name": "a.png", "width": 20, "height": 16}],
        annotations=[
            annotation(image_id="x/1", category_id="c10"),
            annotation(id=6, image_id="x/1", category_id="c9"),
        ],
        categories=[{"id": "c10", "name": "ten"}, {"id": "c9", "name": "nine"}, {"id": 4, "name": "four"}],
    )
    data = read_dataset(put(told))
    assert list(data.object_classes) == ["four", "nine", "ten"]
    assert "image_id" not in data.table.column_names
    assert data[0].objects.labels.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("", "boxes.json is empty"),
        ('{"images": [],\n "annotations": [1 2]}', "boxes.json line 2 column 20 cannot be read as JSON"),
        ('{"images": [], "annotations": [', "it ends too early: copy it again"),
        ('{"images": [], "annotations": [], "a": "\\ud8', "boxes.json line 1 column"),
        ('{"images": []}', "boxes.json is not COCO"),
        ("[1, 2]", "boxes.json is not COCO\n  got: list"),
        ("[" * 100_000, "cannot be read as JSON"),
        (json.dumps(coco(images=[])), "it holds no pictures"),
        (json.dumps(coco(images={})), "it holds no pictures"),
        (json.dumps(coco(categories=None)), "there is no list of categories"),
        ('{"images": [], "annotations": []}', "there is no list of categories"),
        (json.dumps(coco(categories=[{"id": 1, "name": "\ud800"}])), "boxes.json has half a character"),
        (json.dumps(coco(info="\U0001f600 is whole", images=[])), "it holds no pictures"),
        (
            json.dumps(coco(annotations=[{"id": 1, "image_id": 70, "caption": "a cat"}])),
            "boxes.json has annotations without bbox and segmentation",
        ),
    ],
)
def test_files_that_cannot_be_used(put, told, words):
    with pytest.raises(DatasetError) as error:
        read_dataset(put(told), ReadConfig(format="coco"))
    assert words in str(error.value)
    assert error.value.fix


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path):
    place = tmp_path / "boxes.json"
    place.write_bytes(
        json.dumps(coco(), indent=1, ensure_ascii=False).replace("ü", "u").encode("latin-1", "replace")
    )
    place.write_bytes(b'{"images": [],\n"annotations": ["\xfc"]}')
    with pytest.raises(
        DatasetError, match=r"boxes.json line 2: not UTF-8 text\n  got: the byte 0xfc at position 32"
    ):
        read_dataset(place)
    place.write_bytes(json.dumps(coco()).encode("utf-16"))
    assert len(read_dataset(place, ReadConfig(format="coco"))) == 2


def test_everything_refused_is_told_of_all_files_at_once(put, tmp_path):
    told = coco()
    told["images"][1]["id"] = 70
    told["categories"][1]["id"] = 90
    put(told, "annotations/instances_train.json", "images/train")
    put("{", "annotations/instances_val.json")
    put(coco(annotations=[annotation(bbox=[1, 1, 0, 0])]), "annotations/instances_test.json", "images/test")
    with pytest.raises(DatasetError) as error:
        read_dataset(tmp_path)
    for words in (
        "instances_train.json image 70: two pictures have this id: a.png and ü 店.png",
        "instances_train.json: two categories have the id 90: cat and tea",
        "instances_val.json line 1 column 2 cannot be read as JSON",
        "instances_test.json annotation 5: the box (1, 1, 0, 0) has no area",
    ):
        assert words in str(error.value)


def test_the_doctor_does_not_take_broken_boxes_for_pictures_without_labels(put, tmp_path):
    put(coco(), "annotations/instances_train.json", "images/train")
    put("{", "annotations/instances_val.json")
    with pytest.raises(DatasetError, match="line 1 column 2"):
        read_for_audit(tmp_path, ReadConfig())


def test_classes_of_parts_are_matched_by_name(put, tmp_path):
    put(coco(), "annotations/instances_train.json", "images/train")
    swapped = coco(
        categories=[{"id": 7, "name": "cat"}, {"id": 90, "name": "tea"}, {"id": 91, "name": "owl"}],
        annotations=[annotation(category_id=7)],
    )
    put(swapped, "annotations/instances_val.json", "images/val")
    data = read_dataset(tmp_path)
    assert list(data.object_classes) == ["tea", "cat", "owl"]
    assert data.part("validation")[0].objects.labels.tolist() == [1], "cat, whatever its number"
    assert told_of(data) == [
        "instances_val.json: 2 categories have other ids than in instances_train.json (cat 7, not 90, tea 90, not 7)",
        "instances_val.json: 1 categories are not in instances_train.json: owl",
    ]


def test_two_ids_of_one_name_are_one_class(put):
    told = coco()
    told["categories"] += [{"id": 91, "name": "cat"}, {"id": 92}, {"name": "x"}]
    data = read_dataset(put(told))
    assert list(data.object_classes) == ["tea", "cat"]
    assert "boxes.json: 1 names have several ids: cat" in told_of(data)
    assert "boxes.json category 92: no name" in told_of(data)
    assert "boxes.json category None: no id" in told_of(data)


def test_options_for_other_formats_are_refused(put):
    place = put(coco())
    for option in ({"label_column": "x"}, {"class_depth": 1}):
        with pytest.raises(ConfigError, match="COCO"):
            read_dataset(place, ReadConfig(**option))


def test_what_is_not_coco_is_not_taken_for_it(tmp_path, put):
    assert not FORMAT.detect(put('{"boxes_xyxy_pixels": {}}'))
    assert not FORMAT.detect(put("[]", "list.json"))
    assert not FORMAT.detect(tmp_path / "gone.json")
    assert not FORMAT.detect(tmp_path)
    with pytest.raises(DatasetError, match="holds no COCO file"):
        read_dataset(tmp_path, ReadConfig(format="coco"))
    assert FORMAT.detect(put(coco(), "any-name.json"))
    big = {"info": {"x": "y" * 100_000}, **coco()}
    assert FORMAT.detect(put(big, "big.json"))
    assert not FORMAT.detect(put({"images": [], "x": "y" * 100_000}, "images-only.json"))


def test_ids_supercategories_and_groups_come_back(put, tmp_path):
    told = coco()
    told["images"][0] |= {"group": "seller 1", "part": "test"}
    write_dataset(read_dataset(put(told)), tmp_path / "out.json", "coco")
    again = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert again["categories"] == [
        {"id": 7, "name": "tea", "supercategory": "drink"},
        {"id": 90, "name": "cat", "supercategory": "animal"},
    ]
    assert again["images"][0] == {**told["images"][0], "group": "seller 1", "part": "test"}
    assert "part" not in again["images"][1]
    first, second = again["annotations"]
    assert (first["bbox"], first["area"], first["category_id"], first["iscrowd"]) == (
        [2, 2, 10, 8],
        80,
        90,
        0,
    )
    assert first["segmentation"]["size"] == [16, 20]
    assert (second["bbox"], second["segmentation"], second["iscrowd"]) == ([0.1, 0.2, 3.3, 4.4], [], 1)
    assert second["area"] == pytest.approx(3.3 * 4.4)


def test_new_ids_where_the_old_ones_would_change_the_order(put, tmp_path):
    data = read_dataset(put(coco()))
    turned = type(data.object_classes)(["cat", "tea"])
    write_dataset(
        type(data)(data.table, data.classes, data.root, object_classes=turned), tmp_path / "o.json", "coco"
    )
    rows = json.loads((tmp_path / "o.json").read_text("utf-8"))["categories"]
    assert [(row["id"], row["name"]) for row in rows] == [(1, "cat"), (2, "tea")]


def test_a_file_elsewhere_names_pictures_by_their_whole_path(put, tmp_path):
    data = read_dataset(put(coco(), "in/boxes.json", "in"))
    write_dataset(data, tmp_path / "far" / "out.json", "coco")
    write_dataset(data, tmp_path / "near.json", "coco")
    far, near = (json.loads((tmp_path / name).read_text("utf-8")) for name in ("far/out.json", "near.json"))
    assert far["images"][0]["file_name"] == (tmp_path / "in" / "a.png").resolve().as_posix()
    assert near["images"][0]["file_name"] == "in/a.png"
    for name in ("far/out.json", "near.json"):
        assert all(sample.path.is_file() for sample in read_dataset(tmp_path / name))


def test_writing_refuses_what_has_no_place(put, tmp_path):
    data = read_dataset(put(coco()))
    labels = pa.array(["x", None])
    table = data.table.set_column(1, "label", labels).append_column("labels", pa.array([["a"], []]))
    at = table.column_names.index("objects")
    table = table.set_column(at, "objects", pa.array([[], None], data.table["objects"].type))
    labelled = type(data)(
        table, type(data.classes)(["a", "x"]), data.root, object_classes=data.object_classes
    )
    with pytest.raises(DatasetError) as error:
        write_dataset(labelled, tmp_path / "o.json", "coco")
    for words in (
        "1 pictures have classes",
        "2 pictures have tags",
        "1 pictures are not labelled",
        "assay convert",
    ):
        assert words in str(error.value)
    assert not (tmp_path / "o.json").exists()


def test_missing_pictures_are_all_named_before_anything_is_copied(put, tmp_path):
    data = read_dataset(put(coco()))
    for sample in data:
        sample.path.unlink()
    with pytest.raises(DatasetError, match=r"2 pictures of boxes do not exist\n  got: .*a.png, .*店.png"):
        write_dataset(data, tmp_path / "out", "coco")
    write_dataset(data, tmp_path / "out.json", "coco")  # which needs no pictures, as all sizes are known


def test_extents_lead_to_the_very_same_corner():
    rng = random.Random(0)
    for _ in range(20_000):
        start, size = rng.uniform(0, 4000), rng.uniform(1e-3, 4000)
        assert start + _extent(start, start + size) == start + size
        x, w = round(start, 2), round(size + 0.01, 2)
        assert _extent(x, x + w) == w, "what people wrote comes back"


def test_a_split_carries_the_classes_of_objects_along(put):
    data = split_dataset(read_dataset(put(coco())))
    assert list(data.object_classes) == ["tea", "cat"]
    assert sum(len(sample.objects) for sample in data) == 2


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in pycocotools itself
@pytest.mark.parametrize(("part", "name"), [("train", "train"), ("validation", "val")])
def test_real_boxes_and_masks_equal_pycocotools(shared_data, tmp_path, part, name):
    from pycocotools.coco import COCO

    theirs = COCO(str(shared_data / "tiny-coco" / "annotations" / f"instances_{name}2017.json"))
    ours = read_dataset(shared_data / "tiny-coco")
    assert ours.parts == {"train": 50, "validation": 50}
    assert faults_of(ours) == ([], 0)
    write_dataset(ours, tmp_path / "copy", "coco")
    written = COCO(str(tmp_path / "copy" / "annotations" / f"instances_{name}.json"))
    again = read_dataset(tmp_path / "copy")
    assert (
        list(again.object_classes)
        == list(ours.object_classes)
        == [c["name"] for c in theirs.dataset["categories"]]
    )
    assert again.parts == ours.parts
    for data in (ours, again):
        rows = data.part(part)
        assert {s.extra["image_id"] for s in rows} == set(theirs.getImgIds())
        for sample in rows:
            _compare(sample, data.object_classes, theirs)
            _compare(sample, data.object_classes, written)


def _compare(sample, classes, theirs):
    rows = theirs.loadAnns(theirs.getAnnIds(sample.extra["image_id"]))
    info = theirs.loadImgs(sample.extra["image_id"])[0]
    assert sample.size_hw == (info["height"], info["width"])
    assert sample.path.is_file()
    assert len(rows) == len(sample.objects)
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    assert (sample.objects.boxes_xyxy == boxes).all()
    assert [classes[i] for i in sample.objects.labels] == [
        theirs.cats[row["category_id"]]["name"] for row in rows
    ]
    assert sample.objects.crowd.tolist() == [bool(row["iscrowd"]) for row in rows]
    for row, mask in zip(rows, sample.objects.masks, strict=True):
        assert (mask.to_array() == theirs.annToMask(row).astype(bool)).all()


def test_it_is_in_the_table():
    assert load_format("coco") is FORMAT


def test_sizes_are_compared_with_the_pictures(put, tmp_path):
    told = coco()
    told["images"][0].update(width=16, height=20)
    told["images"][1].update(width=40, height=32)
    place = put(told)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((20, 16, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    data = read_dataset(place)
    swapped, other = faults_of(data)[0]
    assert "boxes.json image 70: it says 16 x 20 (width x height), and the upright picture is 20 x 16" in str(
        swapped
    )
    assert "remove its EXIF turn" in swapped.fix
    assert "it says 40 x 32" in other.what
    assert "EXIF" not in other.fix
    assert data[0].size_hw == (16, 20)
    assert len(data[0].objects) == 2
    for name in ("a.png", "ü 店.png"):
        (tmp_path / name).unlink()
    assert read_dataset(place)[0].size_hw == (20, 16), "nothing else tells"


@pytest.mark.parametrize("box", [[], None, [5, 5, 0, 0], [1, 2]])
def test_a_good_mask_stands_in_for_a_bad_box(put, box):
    data = read_dataset(put(coco(annotations=[annotation(bbox=box, segmentation=SQUARE)])))
    assert data[0].objects.boxes_xyxy.tolist() == [[2, 2, 12, 10]]
    assert [line.endswith("; that of its mask is taken") for line in told_of(data)] == [True] * bool(box)


def test_a_mask_without_a_pixel_is_kept_out(put):
    outside = [[30, 30, 40, 30, 40, 40]]
    rows = [annotation(segmentation=outside), annotation(id=6, bbox=[], segmentation=outside)]
    data = read_dataset(put(coco(annotations=rows)))
    assert data[0].objects.masks == (None,)
    lines = told_of(data)
    assert lines[0] == "boxes.json annotation 5: its mask holds no pixel of the picture; its box is kept"
    assert lines[1:] == [
        "boxes.json annotation 6: its mask holds no pixel of the picture",
        "boxes.json annotation 6: bbox is not x, y, width, height",
    ]
