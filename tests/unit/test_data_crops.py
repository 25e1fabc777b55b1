"""Crops: the rules of overlap, the ways in which boxes are written, faults that are told, and equal bytes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.configs import ReadConfig
from assay.data.box_files import read_boxes
from assay.data.crop_frames import Boxes, background_frames, iou, target_frame
from assay.data.crops import cut_crops, label_names
from assay.data.read import read_dataset
from assay.data.write import write_dataset
from assay.errors import AssayError, ConfigError, DatasetError
from assay.image import read_image
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.types import Dataset
from assay.verb_configs import CropsConfig

RNG = np.random.default_rng


@pytest.fixture
def boxed(tmp_path):
    """Two pictures of 100 x 80 with a red square each, and boxes.csv around them."""
    for i, (x, y) in enumerate(((10, 20), (60, 30))):
        pixels = np.full((80, 100, 3), 200, np.uint8)
        pixels[y : y + 24, x : x + 20] = (220, 30, 30)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "boxes.csv").write_text(
        "path,x1,y1,x2,y2,label\n0.png,10,20,30,44,mug\n1.png,60,30,80,54,cup\n"
    )
    return tmp_path


def rows_of(folder):
    return read_dataset(folder / "labels.csv").table.to_pylist()


def test_a_target_is_its_box_and_a_background_lies_beside_it(boxed):
    made = cut_crops(boxed / "boxes.csv", boxed / "out", CropsConfig(file_type="png"))
    rows = rows_of(boxed / "out")
    assert made.counts == {"0": 2, "1": 2}
    assert list(read_dataset(boxed / "out").classes) == ["0", "1"]
    for row in rows:
        pixels = read_image(boxed / "out" / row["path"])
        frame = [int(row[name]) for name in ("x1", "y1", "x2", "y2")]
        assert pixels.shape[:2] == (24, 20) == (frame[3] - frame[1], frame[2] - frame[0])
        source = read_image(boxed / row["source"])
        assert (pixels == source[frame[1] : frame[3], frame[0] : frame[2]]).all()
        assert row["group"] == row["source"]
    targets = [row for row in rows if row["label"] == "0"]
    assert [row["box_label"] for row in targets] == ["mug", "cup"]
    assert (read_image(boxed / "out" / targets[0]["path"]) == (220, 30, 30)).all()


def test_the_same_seed_gives_the_same_bytes(boxed):
    def everything(folder):
        return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    cut_crops(boxed / "boxes.csv", boxed / "a", workers=1)
    cut_crops(boxed / "boxes.csv", boxed / "b", workers=4)
    cut_crops(boxed / "boxes.csv", boxed / "c", CropsConfig(seed=1))
    assert everything(boxed / "a") == everything(boxed / "b") != everything(boxed / "c")


def test_covered_counts_boxes_that_overlap_once():
    boxes = Boxes(np.array([[0, 0, 10, 10], [5, 0, 15, 10], [40, 40, 50, 50]]))
    assert boxes.covered((0, 0, 20, 20)) == pytest.approx(150 / 400)
    assert boxes.covered((20, 20, 30, 30)) == 0
    assert boxes.covered((2, 2, 4, 4)) == pytest.approx(1)
    assert boxes.iou((0, 0, 10, 10)) == 1
    none = Boxes(np.empty((0, 4)))
    assert none.covered((0, 0, 5, 5)) == none.iou((0, 0, 5, 5)) == 0


def test_covered_equals_a_raster():
    rng = RNG(0)
    corners = rng.integers(0, 40, (12, 2, 2))
    xyxy = np.concatenate([corners.min(1), corners.max(1) + 1], axis=1)
    raster = np.zeros((50, 50), bool)
    for x1, y1, x2, y2 in xyxy:
        raster[y1:y2, x1:x2] = True
    boxes = Boxes(xyxy)
    for x1, y1 in rng.integers(0, 35, (30, 2)):
        found = boxes.covered((x1, y1, x1 + 12, y1 + 9))
        assert found == pytest.approx(raster[y1 : y1 + 9, x1 : x1 + 12].mean())


@pytest.mark.parametrize("most", [0.0, 0.1, 0.5])
def test_backgrounds_keep_both_rules(most):
    rng = RNG(1)
    xy = rng.integers(0, 150, (25, 2))
    boxes = Boxes(np.concatenate([xy, xy + rng.integers(5, 40, (25, 2))], axis=1))
    frames = background_frames([(24, 24)] * 20, boxes, (200, 200), CropsConfig(max_overlap=most), rng)
    assert frames
    for i, frame in enumerate(frames):
        assert boxes.covered(frame) <= most
        assert boxes.iou(frame) <= most
        others = np.array(frames[:i], float).reshape(-1, 4)
        assert iou(frame, others).max(initial=0) <= 0.5
        assert min(frame) >= 0
        assert max(frame) <= 200


def test_target_frames():
    def frame(box, **options):
        return target_frame(box, (80, 100), CropsConfig(**options), RNG(0))

    assert frame((10, 20, 30, 40)) == (10, 20, 30, 40)
    assert frame((10, 20, 30, 40), margin=0.5) == (0, 10, 40, 50)
    assert frame((0, 0, 20, 10), margin=0.5) == (0, 0, 30, 15), "a margin ends at the border"
    assert frame((10, 20, 30, 60), square=True) == (0, 20, 40, 60)
    assert frame((0, 0, 100, 20), square=True) == (0, 0, 100, 80), "as far as the picture reaches"
    for seed in range(20):
        shaken = target_frame((30, 30, 60, 60), (80, 100), CropsConfig(min_overlap=0.6), RNG(seed))
        assert iou(shaken, np.array([[30.0, 30, 60, 60]]))[0] >= 0.55  # whole pixels round a little


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("image,xmin,ymin,xmax,ymax", "10,20,30,44"),
        ("file,left,top,right,bottom", "10,20,30,44"),
        ("filename,width,height,x1,y1,x2,y2", "100,80,10,20,30,44"),
        ("path,X,Y,W,H", "10,20,20,24"),
        ("path,left,top,width,height", "10,20,20,24"),
        ("path,bbox_x,bbox_y,bbox_w,bbox_h", "10,20,20,24"),
    ],
)
def test_ways_to_write_a_box(tmp_path, header, values):
    (tmp_path / "b.csv").write_text(f"{header}\na.png,{values}\n")
    (picture,) = read_boxes(tmp_path / "b.csv").pictures.values()
    assert picture.boxes[0].xyxy == (10, 20, 30, 44)
    assert picture.boxes[0].place == "b.csv line 2"


def test_json_of_three_kinds(boxed):
    coco = {
        "images": [{"id": 7, "file_name": "0.png", "split": "val"}],
        "categories": [{"id": 1, "name": "mug"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 20, 24]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0, 0, 90, 9], "iscrowd": 1},
            {"id": 3, "image_id": 8, "category_id": 1, "bbox": [1, 1, 2, 2]},
        ],
    }
    lists = {"boxes_xyxy_pixels": {"0": [["mug", 10, 20, 30, 44, 480]], "9": [["mug", 1, 1, 2, 2]]}}
    records = [{"path": "0.png", "x": 10, "y": 20, "w": 20, "h": 24, "label": "mug"}]
    for name, told in (("coco", coco), ("lists", lists), ("records", records)):
        (boxed / f"{name}.json").write_text(json.dumps(told))
        found = read_boxes(boxed / f"{name}.json")
        assert list(found.pictures) == ["0.png"]
        box = found.pictures["0.png"].boxes[0]
        assert (box.xyxy, box.label) == ((10, 20, 30, 44), "mug")
    made = cut_crops(boxed / "coco.json", boxed / "out")
    assert made.counts["0"] == 1, "a crowd is no target"
    assert str(made.faults[0]) == "coco.json annotation 3: no image has the id 8"
    assert {row["part"] for row in rows_of(boxed / "out")} == {"validation"}
    missing = cut_crops(boxed / "lists.json", boxed / "out2").faults
    assert [fault.place for fault in missing] == ["lists.json '9'"]


def test_faults_are_told_and_the_rest_is_done(boxed):
    (boxed / "broken.png").write_bytes(b"no picture")
    lines = [
        "path,x1,y1,x2,y2",
        "0.png,10,20,30,44",
        "0.png,50,50,50,70",
        "0.png,60,60,40,70",
        "0.png,500,500,600,600",
        "1.png,60,30,130,54",
        "1.png,a,b,c,d",
        "gone.png,1,1,30,30",
        "broken.png,1,1,30,30",
        ",1,1,30,30",
    ]
    (boxed / "boxes.csv").write_text("\n".join(lines) + "\n")
    made = cut_crops(boxed / "boxes.csv", boxed / "out")
    told = [str(fault) for fault in made.faults]
    assert made.counts["0"] == 2
    assert told[:4] == [
        "boxes.csv line 3: the box (50, 50, 50, 70) has no area",
        "boxes.csv line 4: the box (60, 60, 40, 70) ends before it begins",
        "boxes.csv line 7: the box (a, b, c, d) is not four numbers",
        "boxes.csv line 10: no picture is named",
    ]
    assert told[4:7] == [
        "boxes.csv line 5: the box (500, 500, 600, 600) lies outside the picture of 100 x 80 px",
        "boxes.csv line 6: the box (60, 30, 130, 54) reaches beyond the picture of 100 x 80 px; it is cut off there",
        "boxes.csv line 8: gone.png does not exist",
    ]
    assert told[7].startswith("boxes.csv line 9: broken.png cannot be read")
    assert all(fault.fix for fault in made.faults)
    assert len(json.loads((boxed / "out" / "crops.json").read_text())["faults"]) == len(told)


def test_names_of_labels(boxed):
    config = CropsConfig(labels=("garment=target", "scene=background"))
    assert cut_crops(boxed / "boxes.csv", boxed / "a", config).counts == {"garment": 2, "scene": 2}
    made = cut_crops(boxed / "boxes.csv", boxed / "b", CropsConfig(classes=True))
    assert made.counts == {"background": 2, "cup": 1, "mug": 1}
    only = cut_crops(boxed / "boxes.csv", boxed / "c", CropsConfig(targets=("cup",), background=0))
    assert only.counts == {"0": 1}
    for wrong in (
        ("0",),
        ("a=target", "a=background"),
        ("a=target", "b=target"),
        ("=target", "1=background"),
    ):
        with pytest.raises(ConfigError, match="name both kinds"):
            label_names(CropsConfig(labels=wrong))
    with pytest.raises(ConfigError, match="did you mean cup"):
        cut_crops(boxed / "boxes.csv", boxed / "d", CropsConfig(targets=("cupp",)))


def test_parts_and_groups_of_the_sources_are_kept(boxed):
    (boxed / "who.csv").write_text("path,label,part,seller\n0.png,mug,train,ann\n1.png,cup,test,bob\n")
    sources = read_dataset(boxed / "who.csv", ReadConfig(group_column="seller"))
    cut_crops(boxed / "boxes.csv", boxed / "out", sources=sources)
    found = {(row["source"], row["part"], row["group"]) for row in rows_of(boxed / "out")}
    assert found == {("0.png", "train", "ann"), ("1.png", "test", "bob")}
    (boxed / "who.csv").write_text("path,label\nelse.png,mug\n")
    with pytest.raises(DatasetError, match="no picture with boxes is in who"):
        cut_crops(boxed / "boxes.csv", boxed / "out2", sources=read_dataset(boxed / "who.csv"))


def test_sizes_and_units(boxed):
    made = cut_crops(boxed / "boxes.csv", boxed / "a", CropsConfig(square=True, side=48))
    assert {read_image(p).shape for p in (boxed / "a" / "pictures").iterdir()} == {(48, 48, 3)}
    assert not made.notes
    with pytest.raises(DatasetError, match="2 boxes are under 21 px"):
        cut_crops(boxed / "boxes.csv", boxed / "b", CropsConfig(min_size=21))
    (boxed / "large.csv").write_text("path,x1,y1,x2,y2\n0.png,10,20,30,44\n1.png,60,30,90,60\n")
    small = cut_crops(boxed / "large.csv", boxed / "b", CropsConfig(min_size=21))
    assert (small.too_small, small.counts) == (1, {"0": 1, "1": 1})
    assert "lower --min-size" in small.notes[0]
    (boxed / "f.csv").write_text("path,x1,y1,x2,y2\n0.png,0.1,0.25,0.3,0.55\n")
    cut_crops(boxed / "f.csv", boxed / "c", CropsConfig(units="fraction"))
    assert [rows_of(boxed / "c")[0][name] for name in ("x1", "y1", "x2", "y2")] == ["10", "20", "30", "44"]
    with pytest.raises(ConfigError, match="--units fraction"):
        cut_crops(boxed / "f.csv", boxed / "d")
    with pytest.raises(ConfigError, match="are no fractions"):
        cut_crops(boxed / "boxes.csv", boxed / "d", CropsConfig(units="fraction"))


def test_pictures_without_boxes_give_backgrounds(boxed):
    (boxed / "boxes.csv").write_text("path,x1,y1,x2,y2\n0.png,10,20,30,44\n1.png,,,,\n")
    assert cut_crops(boxed / "boxes.csv", boxed / "a").counts == {"0": 1, "1": 1}
    assert cut_crops(boxed / "boxes.csv", boxed / "b", CropsConfig(background=3)).counts == {"0": 1, "1": 6}


def test_no_room_is_told(boxed):
    (boxed / "boxes.csv").write_text("path,x1,y1,x2,y2\n0.png,2,2,98,78\n")
    made = cut_crops(boxed / "boxes.csv", boxed / "out")
    assert made.counts == {"0": 1}
    assert made.no_room == 1
    assert "found no room" in made.notes[0]


def test_turned_pictures_are_cut_upright(boxed):
    picture = Image.open(boxed / "0.png").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(boxed / "turned.jpg", exif=exif, quality=98)
    (boxed / "boxes.csv").write_text("path,x1,y1,x2,y2\nturned.jpg,10,20,30,44\n")
    cut_crops(boxed / "boxes.csv", boxed / "out", CropsConfig(file_type="png"))
    red = read_image(boxed / "out" / "pictures" / "turned-1.png").astype(int)
    assert np.abs(red[4:-4, 4:-4] - (220, 30, 30)).max() < 30


def test_whole_or_not_at_all(boxed):
    with pytest.raises(ConfigError, match="is not empty"):
        cut_crops(boxed / "boxes.csv", boxed)
    (boxed / "boxes.csv").write_text("path,x1,y1,x2,y2\ngone.png,10,20,30,44\n")
    with pytest.raises(DatasetError, match="nothing could be cut"):
        cut_crops(boxed / "boxes.csv", boxed / "out")
    assert not (boxed / "out").exists()
    assert not list(boxed.glob(".*"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("b.csv", "path,label\na,b\n", "no four columns with boxes"),
        ("b.csv", "x1,y1,x2,y2\n1,1,2,2\n", "no column with picture paths"),
        ("b.csv", "path,x1,y1,x2,y2\na.png,,,,\n", "no box that can be used"),
        ("b.json", "{", "cannot be read as JSON"),
        ("b.json", '{"a": 1}', "no boxes in a known form"),
        ("b.txt", "", "is no file of boxes"),
        ("gone.csv", None, "is not a file of boxes"),
    ],
)
def test_files_that_are_no_boxes(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(AssayError, match=words) as error:
        cut_crops(tmp_path / name, tmp_path / "out")
    assert error.value.fix or name == "b.json"


def test_command(cli, boxed):
    told = cli("crops", boxed / "boxes.csv", "--out", boxed / "out", "--margin", "0.1")
    assert told.code == 0
    assert "4 crops from 2 pictures" in told.out
    assert "next: assay train" in told.out
    told = cli(
        "crops", boxed / "boxes.csv", f"out={boxed / 'j'}", "--json", "labels=product=target,scene=background"
    )
    assert json.loads(told.out)["labels"] == {"product": 2, "scene": 2}
    assert told.err == ""
    told = cli("crops", boxed / "boxes.csv", "--out", boxed / "out")
    assert told.code == 2
    assert "is not empty" in told.err


def block(x1, y1, x2, y2, size_hw=(80, 100)):
    values = np.zeros(size_hw, np.uint8)
    values[y1:y2, x1:x2] = 1
    return encode(values).counts


def thing(label, box, mask=None, *, crowd=False):
    return {"label": label, "box": [float(v) for v in box], "mask": mask, "crowd": crowd}


@pytest.fixture
def shop(boxed):
    """A Parquet table of five pictures: a masked mug, a cup with a box alone, a crowd, nothing, and nobody looked."""
    for name in ("2", "3", "4"):
        Image.new("RGB", (100, 80), (200, 200, 200)).save(boxed / f"{name}.png")
    cells = [
        [thing("mug", (10, 20, 30, 44), block(14, 20, 30, 44))],
        [thing("cup", (60, 30, 80, 54))],
        [thing("mug", (0, 0, 100, 40), crowd=True)],
        [],
        None,
    ]
    table = pa.table(
        {
            "path": [f"{i}.png" for i in range(5)],
            "label": pa.nulls(5, pa.string()),
            "part": ["train", "train", "test", "test", "test"],
            "group": ["ann", None, None, None, None],
            "objects": pa.array(cells, objects_type()),
            "height_px": pa.array([80] * 5, pa.int32()),
            "width_px": pa.array([100] * 5, pa.int32()),
        }
    )
    data = Dataset(table, ClassNames([]), boxed, "shop", object_classes=ClassNames(["cup", "mug"]))
    write_dataset(data, boxed / "shop.parquet")
    return data


def test_the_objects_of_a_data_set(shop, boxed):
    made = cut_crops(shop, boxed / "out", CropsConfig(file_type="png", background=3))
    rows = rows_of(boxed / "out")
    assert made.counts["0"] == 2
    assert [row["box_label"] for row in rows if row["role"] == "target"] == ["mug", "cup"]
    backgrounds = [row for row in rows if row["role"] == "background"]
    assert {row["source"] for row in backgrounds} == {"0.png", "1.png", "2.png", "3.png"}, (
        "nobody looked at 4.png"
    )
    assert made.not_known == 1
    assert "nobody looked there" in " ".join(made.notes)
    held = {"0.png": (10, 20, 30, 44), "1.png": (60, 30, 80, 54), "2.png": (0, 0, 100, 40)}
    for row in backgrounds:
        frame = [int(row[name]) for name in ("x1", "y1", "x2", "y2")]
        box = np.array([held.get(row["source"], (0, 0, 0, 0))], float)
        assert iou(frame, box)[0] == 0, "backgrounds of a data set touch nothing, crowds included"
    assert {(row["source"], row["part"], row["group"]) for row in rows[:1]} == {("0.png", "train", "ann")}
    assert json.loads((boxed / "out" / "crops.json").read_text())["config"]["max_overlap"] == 0


def test_a_data_set_by_its_path_and_by_its_format(shop, boxed, tmp_path):
    assert cut_crops(boxed / "shop.parquet", boxed / "a").counts["0"] == 2
    write_dataset(shop.take([0, 1, 3, 4]), tmp_path / "yolo", "yolo")
    for place in (tmp_path / "yolo", tmp_path / "yolo" / "data.yaml"):
        made = cut_crops(place, tmp_path / f"out-{place.name}", CropsConfig(classes=True))
        assert (made.counts["mug"], made.counts["cup"]) == (1, 1)
    coco = {
        "images": [{"id": 0, "file_name": "0.png", "width": 100, "height": 80}],
        "annotations": [
            {
                "id": 1,
                "image_id": 0,
                "category_id": 1,
                "bbox": [10, 20, 20, 24],
                "segmentation": [[14, 20, 30, 20, 30, 44]],
            }
        ],
        "categories": [{"id": 1, "name": "mug"}],
    }
    (boxed / "coco.json").write_text(json.dumps(coco))
    assert cut_crops(boxed / "coco.json", boxed / "b", read=ReadConfig(format="coco")).counts["0"] == 1
    assert cut_crops(boxed / "coco.json", boxed / "c", CropsConfig(masked="grey")).counts["0"] == 1


@pytest.mark.parametrize("masked", ["grey", "blur"])
def test_masked_crops_show_the_thing_and_backgrounds_its_outline(shop, boxed, masked):
    config = CropsConfig(masked=masked, file_type="png", background=1)
    made = cut_crops(shop, boxed / "out", config)
    assert (made.counts["0"], made.no_mask) == (1, 1), "a thing without a mask is not cut"
    assert "1 things have no mask" in " ".join(made.notes)
    rows = rows_of(boxed / "out")
    target = read_image(boxed / "out" / rows[0]["path"]).astype(int)
    assert np.abs(target[12, 12] - (220, 30, 30)).max() < 8, "the mug"
    outside = (114, 114, 114) if masked == "grey" else (220, 30, 30)
    assert np.abs(target[12, 0] - outside).max() < 12, "left of its mask; what is blurred there is red, too"
    (background,) = (row for row in rows if row["role"] == "background" and row["source"] == "0.png")
    pixels = read_image(boxed / "out" / background["path"]).astype(int)
    if masked == "grey":
        assert np.abs(pixels[:, 0] - 114).max() < 12, "the outline of the mug, so that grey tells nothing"
        assert np.abs(pixels[:, 10:] - 200).max() < 12
    assert {row["source"] for row in rows if row["role"] == "background"} == {
        "0.png",
        "1.png",
        "2.png",
        "3.png",
    }


def test_a_mask_of_another_picture_costs_its_own_crop_only(shop, boxed):
    Image.new("RGB", (50, 40), (200, 200, 200)).save(boxed / "1.png")
    cells = shop.table["objects"].to_pylist()
    cells[1] = [thing("cup", (10, 5, 30, 24), block(10, 5, 30, 24))]  # drawn on 100 x 80
    i = shop.table.column_names.index("objects")
    stale = replace(shop, table=shop.table.set_column(i, "objects", pa.array(cells, objects_type())))
    made = cut_crops(stale, boxed / "out", CropsConfig(masked="grey"))
    assert made.counts["0"] == 1
    assert [fault.what for fault in made.faults] == [
        "its mask is of a picture of (80, 100), this one is (40, 50) (height, width)"
    ]
    backgrounds = [
        row for row in rows_of(boxed / "out") if row["role"] == "background" and row["source"] == "1.png"
    ]
    for row in backgrounds:  # the thing is there all the same
        frame = [int(row[name]) for name in ("x1", "y1", "x2", "y2")]
        assert iou(frame, np.array([[10.0, 5, 30, 24]]))[0] == 0


def test_pictures_of_a_data_set_that_lost_some_things_give_no_background(boxed):
    images = [{"id": i, "file_name": f"{i}.png", "width": 100, "height": 80} for i in (0, 1)]
    row = {"category_id": 1, "image_id": 0, "bbox": [10, 20, 20, 24]}
    rows = [row, {**row, "bbox": [60, 50, 9, 9], "category_id": 7}, {**row, "image_id": 1}]
    told = {
        "images": images,
        "annotations": [{"id": i, **row} for i, row in enumerate(rows)],
        "categories": [{"id": 1, "name": "mug"}],
    }
    (boxed / "shop.json").write_text(json.dumps(told))
    made = cut_crops(read_dataset(boxed / "shop.json"), boxed / "out")
    assert (made.counts, made.not_known) == ({"0": 2, "1": 1}, 1)


def test_pictures_whose_boxes_are_not_all_known_give_no_background(boxed):
    (boxed / "boxes.csv").write_text(
        "path,x1,y1,x2,y2\n0.png,10,20,30,44\n0.png,5,5,5,9\n1.png,60,30,80,54\n"
    )
    made = cut_crops(boxed / "boxes.csv", boxed / "out")
    assert (made.counts, made.not_known) == ({"0": 2, "1": 1}, 1)


def test_what_is_no_data_set_of_boxes(shop, boxed, photos):
    with pytest.raises(DatasetError, match="has no boxes"):
        cut_crops(photos, boxed / "out")
    with pytest.raises(ConfigError, match="--units is for files of boxes"):
        cut_crops(boxed / "shop.parquet", boxed / "out", CropsConfig(units="fraction"))
    wrong = replace(shop, table=shop.table.set_column(6, "width_px", pa.array([100] * 5, pa.int32())))
    Image.new("RGB", (90, 80)).save(boxed / "0.png")
    with pytest.raises(DatasetError, match="nothing could be cut from shop") as error:
        cut_crops(wrong, boxed / "out", CropsConfig(masked="grey"))
    assert "this one is (80, 90)" in error.value.got
    assert not (boxed / "out").exists()


def test_the_command_on_a_data_set(cli, shop, boxed):
    told = cli("crops", boxed / "shop.parquet", "--out", boxed / "out", "--masked", "grey")
    assert told.code == 0, told.err
    assert "things have no mask" in told.err
    told = cli("crops", boxed / "shop.parquet", "--out", boxed / "j", "--classes", "--json")
    assert json.loads(told.out)["not_known"] == 1
