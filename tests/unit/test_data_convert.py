"""``assay convert``: what is kept, what is told, and where it stops."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import assay
from assay.configs import ReadConfig
from assay.data.convert import fit
from assay.data.formats import HOLDABLE
from assay.data.read import read_dataset
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.types import Dataset
from assay.verb_configs import ConvertConfig


@pytest.fixture
def shop(tmp_path):
    """A COCO file of three pictures: a mask and a box, a crowd, nothing; and one annotation without a picture."""
    for name in "abc":
        Image.fromarray(np.zeros((16, 20, 3), np.uint8)).save(tmp_path / f"{name}.png")
    images = [
        {"id": i, "file_name": f"{name}.png", "width": 20, "height": 16} for i, name in enumerate("abc")
    ]
    rows = [
        {"image_id": 0, "bbox": [2, 2, 8, 8], "segmentation": [[2, 2, 10, 2, 10, 10, 2, 10]]},
        {"image_id": 0, "bbox": [1, 1, 3, 3]},
        {"image_id": 1, "bbox": [0, 0, 20, 9], "iscrowd": 1},
        {"image_id": 9, "bbox": [0, 0, 20, 9]},
    ]
    annotations = [{"id": i, "category_id": 5, **row} for i, row in enumerate(rows, 1)]
    told = {"images": images, "annotations": annotations, "categories": [{"id": 5, "name": "mug"}]}
    (tmp_path / "shop.json").write_text(json.dumps(told))
    return tmp_path / "shop.json"


def everything(tmp_path):
    """A data set with all kinds of labels, each picture with some."""
    mask = encode(np.ones((4, 4), np.uint8)).counts
    cell = [
        {"label": "mug", "box": [0.0, 0, 4, 4], "mask": mask, "crowd": False},
        {"label": "mug", "box": [0.0, 0, 2, 2], "mask": None, "crowd": False},
        {"label": "mug", "box": [0.0, 0, 3, 3], "mask": mask, "crowd": True},
    ]
    table = pa.table(
        {
            "path": ["a.png", "b.png", "c.png"],
            "label": ["x", None, None],
            "part": ["train", "test", None],
            "group": ["g", None, None],
            "labels": pa.array([["t"], None, []], pa.list_(pa.string())),
            "objects": pa.array([cell, [], None], objects_type()),
            "pixels": [None, "b-mask.png", None],
        }
    )
    names = {"object_classes": ClassNames(["mug"]), "pixel_classes": ClassNames(["floor"])}
    return Dataset(table, ClassNames(["t", "x"]), tmp_path, "all", {"by": "source"}, **names)


class Holder:
    """A format that holds what it is told."""

    def __init__(self, *holds):
        self._holds = frozenset(holds)

    def holds(self, path):
        return self._holds


def fitted(data, *holds):
    return fit(data, Holder(*holds), data.root / "out", "this")


def test_what_the_target_can_hold_stays(tmp_path):
    data = everything(tmp_path)
    kept, told = fitted(data, *HOLDABLE)
    assert told == []
    assert kept.table.equals(data.table)


def test_what_it_cannot_hold_is_told(tmp_path):
    kept, told = fitted(everything(tmp_path), "boxes", "empty")
    assert told == [
        "classes of 1 pictures: this has no place for them",
        "tags of 2 pictures: this has no place for them",
        "pixel masks of 1 pictures: this has no place for them",
        "parts of 2 pictures: this has no place for them",
        "groups of 1 pictures: this has no place for them",
        "1 regions of many things (crowds): this has no word for them"
        "; what is left of their pictures now counts as all that is there",
        "masks of 1 things: this has no place for them; their boxes are kept",
        "1 pictures without labels: this would call them empty",
    ]
    rows = kept.table.to_pylist()
    assert [row["path"] for row in rows] == ["a.png", "b.png"]
    assert [[thing["mask"] for thing in row["objects"]] for row in rows] == [[None, None], []]
    assert set(rows[0]) == {"path", "label", "objects"}
    assert (len(kept.classes), len(kept.pixel_classes), list(kept.object_classes)) == (0, 0, ["mug"])
    assert kept.split == {}


def test_masks_alone(tmp_path):
    kept, told = fitted(everything(tmp_path), "masks", "crowd", "part")
    assert any(
        "1 boxes without a mask: this holds masks alone; what is left of their pictures now counts" in line
        for line in told
    )
    assert "1 empty pictures: this cannot tell them from those without labels" in told
    assert [len(cell) for cell in kept.table["objects"].to_pylist()] == [2]


def test_a_picture_that_loses_all_its_things_is_not_empty(tmp_path):
    data = everything(tmp_path)
    crowd = [thing for thing in data.table["objects"][0].as_py() if thing["crowd"]]
    at = data.table.column_names.index("objects")
    cells = pa.array([crowd, [], None], objects_type())
    data = Dataset(
        data.table.set_column(at, "objects", cells),
        data.classes,
        data.root,
        object_classes=data.object_classes,
    )
    kept, told = fitted(
        data, "boxes", "masks", "empty", "unlabelled", "label", "labels", "part", "group", "pixels"
    )
    assert kept.table["objects"].to_pylist() == [None, [], None]
    assert len(told) == 1
    assert told[0].startswith("1 regions of many things (crowds): this has no word for them")
    kept, told = fitted(data, "boxes", "empty", "label", "labels", "part", "group", "pixels")
    assert [row["path"] for row in kept.table.to_pylist()] == ["b.png"]
    assert told[-1] == "2 pictures without labels: this would call them empty"


def test_classes_alone(tmp_path):
    kept, told = fitted(everything(tmp_path), "label", "part")
    assert "3 boxes and masks: this has no place for them" in told
    assert "objects" not in kept.table.column_names
    assert len(kept) == 3
    with pytest.raises(DatasetError, match="has nothing that this can hold") as error:
        fitted(everything(tmp_path).take([1]), "label")
    assert "assay crops" in error.value.fix
    with pytest.raises(DatasetError, match="has nothing that this can hold"):
        fitted(everything(tmp_path).take([2]), "boxes", "empty")


def test_to_a_folder_and_back_to_a_file(shop, tmp_path):
    steps = []
    made = assay.convert_dataset(shop, tmp_path / "folder", "coco", progress=lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert (made.pictures, made.objects, made.masks, made.classes) == (3, 3, 1, ("mug",))
    assert [str(fault) for fault in made.faults] == ["shop.json annotation 4: no image has the id 9"]
    assert made.left_out == ()
    back = assay.convert_dataset(tmp_path / "folder", tmp_path / "back.json", "coco")
    assert back.fault_count == 0
    first, last = read_dataset(shop), read_dataset(tmp_path / "back.json")
    for column in ("objects", "height_px", "width_px", "image_id"):
        assert first.table[column].to_pylist() == last.table[column].to_pylist()


def test_a_table_keeps_the_ids_and_groups_of_categories(shop, tmp_path):
    told = json.loads(shop.read_text())
    told["categories"] = [
        {"id": 5, "name": "mug", "supercategory": "kitchen"},
        {"id": 90, "name": "bowl", "supercategory": "kitchen"},
        {"id": 7, "name": "cat", "supercategory": None},
    ]
    shop.write_text(json.dumps(told))
    assay.convert_dataset(shop, tmp_path / "t.parquet", "table")
    assay.convert_dataset(tmp_path / "t.parquet", tmp_path / "again.parquet", "table")
    assay.convert_dataset(tmp_path / "again.parquet", tmp_path / "back.json", "coco")
    back = json.loads((tmp_path / "back.json").read_text())
    assert back["categories"] == [
        {"id": 5, "name": "mug", "supercategory": "kitchen"},
        {"id": 7, "name": "cat", "supercategory": "none"},
        {"id": 90, "name": "bowl", "supercategory": "kitchen"},
    ]
    assert {row["category_id"] for row in back["annotations"]} == {5}


def test_strict_writes_nothing_where_something_would_be_lost(shop, tmp_path):
    with pytest.raises(
        DatasetError, match=r"without a loss:\n  - shop.json annotation 4: no image has the id 9"
    ):
        assay.convert_dataset(shop, tmp_path / "o.json", "coco", ConvertConfig(strict=True))
    assert not (tmp_path / "o.json").exists()
    assay.convert_dataset(shop, tmp_path / "o.json", "coco")
    assay.convert_dataset(tmp_path / "o.json", tmp_path / "p.json", "coco", ConvertConfig(strict=True))


def test_requests_that_cannot_be_taken(shop, tmp_path, photos):
    with pytest.raises(ConfigError, match="did you mean coco"):
        assay.convert_dataset(shop, tmp_path / "o.json", "cocoo")
    with pytest.raises(ConfigError, match="is the data set that is read"):
        assay.convert_dataset(shop, shop, "coco")
    with pytest.raises(ConfigError, match="does not exist"):
        assay.convert_dataset(tmp_path / "gone", tmp_path / "o.json", "coco")
    with pytest.raises(ConfigError, match="is not empty"):
        assay.convert_dataset(shop, tmp_path, "coco")
    with pytest.raises(DatasetError, match="photos has nothing that coco can hold"):
        assay.convert_dataset(photos, tmp_path / "o.json", "coco")
    with pytest.raises(DatasetError, match="has nothing that image-folder can hold"):
        assay.convert_dataset(shop, tmp_path / "o", "image-folder")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("to", "suffix", "off_px", "keeps_masks"),
    [
        ("coco", ".json", 0, True),
        ("table", ".parquet", 0, True),
        ("yolo", "", 0.01, True),
        ("voc", "", 0.01, False),
    ],
)
def test_real_boxes_and_masks_survive_the_way_there_and_back(
    shared_data, tmp_path, to, suffix, off_px, keeps_masks
):
    there = assay.convert_dataset(shared_data / "tiny-coco", tmp_path / f"there{suffix}", to)
    back = assay.convert_dataset(tmp_path / f"there{suffix}", tmp_path / "back.json", "coco")
    assert there.fault_count == back.fault_count == 0
    assert back.parts == {"train": 50, "validation": 50}
    first, last = read_dataset(shared_data / "tiny-coco"), read_dataset(tmp_path / "back.json")
    crowds_stay = back.objects == 852
    assert back.objects == (852 if crowds_stay else 842)
    found = {sample.path.name: sample.objects for sample in last}
    for sample in first:
        things = sample.objects.to_rows(first.object_classes)
        wanted = [thing for thing in things if crowds_stay or not thing["crowd"]]
        for thing, other in zip(wanted, found[sample.path.name].to_rows(last.object_classes), strict=True):
            assert other["label"] == thing["label"]
            assert np.abs(np.subtract(other["box"], thing["box"])).max() <= off_px
            assert other["mask"] == (thing["mask"] if keeps_masks else None)


def test_classes_to_a_table(photos, tmp_path):
    made = assay.convert_dataset(photos, tmp_path / "o.csv", "table", read=ReadConfig(format="image-folder"))
    assert (made.pictures, made.objects, len(made.classes), made.left_out) == (24, 0, 3, ())


def test_command(cli, shop, tmp_path):
    told = cli("convert", shop, tmp_path / "o", "--to", "coco")
    assert told.code == 0
    assert "o: 3 pictures as coco" in told.out
    assert "1 classes; 3 things, 1 of them with masks" in told.out
    assert "shop.json annotation 4: no image has the id 9\n  fix: correct image_id" in told.err
    told = cli("convert", tmp_path / "o", tmp_path / "o.json", "to=coco", "--json")
    record = json.loads(told.out)
    assert (told.code, told.err) == (0, "")
    assert (record["n"], record["objects"], record["masks"], record["to"]) == (3, 3, 1, "coco")
    assert (record["faults"], record["left_out"]) == ([], [])


def test_command_exit_codes(cli, shop, tmp_path):
    assert cli("convert", shop, tmp_path / "o").code == 2
    assert "did you mean coco" in cli("convert", shop, tmp_path / "o", "--to", "coko").err
    told = cli("convert", shop, tmp_path / "o", "--to", "coco", "--strict")
    assert told.code == 1
    assert "without a loss" in told.err
    (tmp_path / "bad.json").write_text('{"images": [], "annotations": [}')
    told = cli("convert", tmp_path / "bad.json", tmp_path / "o", "--to", "coco", "--json")
    assert told.code == 1
    assert "line 1 column 32" in json.loads(told.err)["error"]["what"]
    assert not (tmp_path / "o").exists()


@pytest.fixture
def crowded(tmp_path):
    """``crowded(cell, cell, ...)``: a Parquet table of pictures of 40 x 30 px with these objects."""

    def make(*cells, **columns):
        for i in range(len(cells)):
            Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / f"{i}.png")
        table = pa.table(
            {
                "path": [f"{i}.png" for i in range(len(cells))],
                "label": pa.nulls(len(cells), pa.string()),
                "objects": pa.array(list(cells), objects_type()),
                "height_px": pa.array([30] * len(cells), pa.int32()),
                "width_px": pa.array([40] * len(cells), pa.int32()),
                **columns,
            }
        )
        data = Dataset(table, ClassNames([]), tmp_path, "crowded", object_classes=ClassNames(["cup", "dog"]))
        assay.write_dataset(data, tmp_path / "crowded.parquet")
        return tmp_path / "crowded.parquet"

    return make


def a_box(label, *box, mask=None):
    counts = None
    if mask is not None:
        values = np.zeros((30, 40), np.uint8)
        for x1, y1, x2, y2 in mask:
            values[y1:y2, x1:x2] = 1
        counts = encode(values).counts
    return {"label": label, "box": [float(v) for v in box], "mask": counts, "crowd": False}


def test_boxes_that_are_no_fractions_are_cut_and_the_rest_goes_on(crowded, tmp_path):
    source = crowded(
        [a_box("cup", -20, 5, 30, 25), a_box("dog", 1, 1, 9, 9)],
        [a_box("cup", 60, 5, 70, 25)],
        [a_box("dog", 6, 6, 8, 8, mask=[(4, 4, 12, 12)]), a_box("cup", 20, 2, 55, 9, mask=[(20, 2, 40, 9)])],
        [a_box("dog", -0.2, 0, 40.1, 30)],
    )
    made = assay.convert_dataset(source, tmp_path / "out", "yolo")
    assert made.changed == (
        "2 boxes that reach out of their pictures are cut off at the edge: yolo has fractions of the picture "
        "(0.png, 2.png)",
        "1 boxes that lie outside of their pictures are left out; what is left counts as all that is there (1.png)",
        "1 boxes that end inside their masks are widened to go around them: yolo writes the outline alone (2.png)",
    )
    back = read_dataset(tmp_path / "out")
    boxes = [None if s.objects is None else np.round(s.objects.boxes_xyxy, 6).tolist() for s in back]
    assert boxes == [
        [[0, 5, 30, 25], [1, 1, 9, 9]],
        None,
        [[4, 4, 12, 12], [20, 2, 40, 9]],
        [[-0.2, 0, 40.1, 30]],
    ], "a picture that lost its only thing is not empty, and a tenth of a pixel is rounding"
    with pytest.raises(DatasetError, match="without a loss") as error:
        assay.convert_dataset(source, tmp_path / "strict", "yolo", ConvertConfig(strict=True))
    assert "are cut off at the edge" in str(error.value)
    assert not (tmp_path / "strict").exists()


def test_masks_that_overlap_are_parted_or_their_picture_is_left_out(crowded, tmp_path):
    front, behind = [(10, 10, 20, 20)], [(0, 0, 20, 20)]
    source = crowded(
        [a_box("dog", 0, 0, 20, 20, mask=behind), a_box("cup", 10, 10, 20, 20, mask=front)],
        [a_box("dog", 0, 0, 10, 10, mask=[(0, 0, 10, 10)]), a_box("cup", 0, 0, 9, 9, mask=[(0, 0, 9, 9)])],
        [a_box("dog", 0, 0, 5, 5, mask=[(0, 0, 5, 5)])],
    )
    made = assay.convert_dataset(source, tmp_path / "out", "mask-png")
    assert made.pictures_left_out == ("1.png",)
    assert made.left_out == (
        "1 pictures in which a mask covers most of another one are left out: mask-png holds one thing a pixel (1.png)",
    )
    assert made.changed[0].startswith(
        "1 masks that overlap others give the shared pixels to the smaller thing"
    )
    back = read_dataset(tmp_path / "out")
    assert [path.rpartition("/")[2] for path in back.table["path"].to_pylist()] == ["0.png", "2.png"]
    areas = {
        back.object_classes[int(k)]: m.area
        for k, m in zip(back[0].objects.labels, back[0].objects.masks, strict=True)
    }
    assert areas == {"dog": 300, "cup": 100}


def test_a_box_that_is_no_hull_of_its_mask_is_told(crowded, tmp_path):
    mask = [(4, 4, 12, 12)]
    source = crowded([a_box("cup", 4.004, 4, 12, 12, mask=mask)], [a_box("dog", 3.5, 4, 12, 12, mask=mask)])
    made = assay.convert_dataset(source, tmp_path / "out", "mask-png")
    assert made.changed == ("1 boxes become the hulls of their masks: mask-png keeps masks alone (1.png)",)
    assert [s.objects.boxes_xyxy.tolist() for s in read_dataset(tmp_path / "out")] == [[[4, 4, 12, 12]]] * 2
    with pytest.raises(DatasetError, match="become the hulls of their masks"):
        assay.convert_dataset(source, tmp_path / "strict", "mask-png", ConvertConfig(strict=True))


def test_further_columns_and_marks_of_difficult_things_are_told(crowded, tmp_path):
    cell = [a_box("cup", 1, 1, 9, 9), a_box("dog", 2, 2, 9, 9)]
    more = {
        "difficult": pa.array([[True, False], None], pa.list_(pa.bool_())),
        "camera": pa.array(["a", None]),
        "empty": pa.nulls(2, pa.string()),
    }
    source = crowded(cell, [], **more)
    marks = "marks of 1 things as difficult: {} has no place for them"
    columns = "further columns (camera): {} has no place for them"
    made = assay.convert_dataset(source, tmp_path / "o.json", "coco")
    assert made.left_out == (marks.format("coco"), columns.format("coco"))
    made = assay.convert_dataset(source, tmp_path / "voc", "voc")
    assert made.left_out == (columns.format("voc"),)
    assert read_dataset(tmp_path / "voc").table["difficult"].to_pylist() == [[True, False], []]
    made = assay.convert_dataset(source, tmp_path / "o.parquet", "table", ConvertConfig(strict=True))
    assert made.left_out == ()
    assert set(more) <= set(read_dataset(tmp_path / "o.parquet").table.column_names)
    with pytest.raises(DatasetError, match="marks of 1 things as difficult"):
        assay.convert_dataset(source, tmp_path / "strict", "yolo", ConvertConfig(strict=True))
    numbers = crowded(cell, [], difficult=pa.array([1, 2]))
    made = assay.convert_dataset(numbers, tmp_path / "q.json", "coco")
    assert made.left_out == ("further columns (difficult): coco has no place for them",)


def test_nothing_that_fits_is_an_error(crowded, tmp_path):
    source = crowded([a_box("dog", 0, 0, 10, 10, mask=[(0, 0, 10, 10)])] * 2)
    with pytest.raises(DatasetError, match="nothing that mask-png can hold") as error:
        assay.convert_dataset(source, tmp_path / "out", "mask-png")
    assert "covers most of another one" in error.value.got
    assert not (tmp_path / "out").exists()


def test_the_command_tells_what_was_changed(cli, crowded, tmp_path):
    source = crowded([a_box("cup", -20, 5, 30, 25)])
    told = cli("convert", source, tmp_path / "out", "--to", "yolo")
    assert told.code == 0
    assert "changed: 1 boxes that reach out" in told.err
    assert json.loads(cli("convert", source, tmp_path / "j", "--to", "yolo", "--json").out)["changed"]
