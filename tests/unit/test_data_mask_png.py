"""Pixel masks: layouts, names, parts, values as stored, things, and what is told when a mask cannot be used."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from assay.configs import ReadConfig
from assay.data.checks import check_dataset
from assay.data.faults import faults_of, notes_of
from assay.data.mask_names import read_class_names
from assay.data.read import load_format, read_dataset
from assay.data.write import write_dataset
from assay.errors import ConfigError, DatasetError, ImageError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.pixel_masks import (
    classes_used,
    encode_pixels,
    encode_things,
    read_pixels,
    read_things,
    voc_colours,
)
from assay.types import Dataset

SIZE = (12, 16)


def photo(path, size_hw=SIZE, orientation=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", size_hw[::-1], (90, 120, 150)).save(path, exif=exif)
    return path


def mask(path, values, palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(values, np.uint8)
    path.write_bytes(encode_pixels(values)) if palette else Image.fromarray(values).save(path)
    return path


def halves(left=0, right=1, size_hw=SIZE):
    values = np.full(size_hw, left, np.uint8)
    values[:, size_hw[1] // 2 :] = right
    return values


@pytest.fixture
def street(tmp_path):
    """Three pictures; two have masks, one of them with unknown pixels."""
    root = tmp_path / "street"
    for name in ("1", "2", "10"):
        photo(root / "images" / f"{name}.jpg")
    mask(root / "masks" / "1.png", halves())
    mask(root / "masks" / "10.png", halves(2, 255))
    (root / "classes.txt").write_text("background\nroad\ngröße 空\n", "utf-8")
    return root


def faults(data):
    return [f"{fault}" for fault in faults_of(data)[0]]


def test_rows_names_sizes_and_what_is_not_labelled(street):
    data = read_dataset(street)
    assert data.table["path"].to_pylist() == ["images/1.jpg", "images/2.jpg", "images/10.jpg"]
    assert data.table["pixels"].to_pylist() == ["masks/1.png", None, "masks/10.png"]
    assert list(data.pixel_classes) == ["background", "road", "größe 空"]
    assert (len(data.classes), len(data.object_classes)) == (0, 0)
    assert [s.size_hw for s in data] == [SIZE] * 3
    assert data[0].pixels == street / "masks" / "1.png"
    assert (data[1].pixels, data[1].label, data[1].objects, data.parts) == (None, None, None, {})
    assert faults(data) == []


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("images", "masks"),
        ("photos", "Masks"),
        ("JPEGImages", "SegmentationClass"),
        ("images", "labels"),
        ("Images", "annotations"),
    ],
)
def test_folders_under_the_names_of_other_tools(tmp_path, pictures, masks):
    for above in ("", "VOCdevkit/VOC2012/"):
        root = tmp_path / f"set {len(above)}"
        photo(root / f"{above}{pictures}" / "a.jpg")
        mask(root / f"{above}{masks}" / "a.png", halves())
        data = read_dataset(root)
        assert data.table["pixels"].to_pylist() == [f"{above}{masks}/a.png"]
        assert list(data.pixel_classes) == ["class 0", "class 1"]


def test_parts_from_folders_above_and_below(tmp_path):
    for layout in ("{part}/{kind}/{name}", "{kind}/{part}/{name}", "{kind}/{part}/deep/{name}"):
        root = tmp_path / layout.replace("/", "-")
        for part in ("train", "val", "test"):
            photo(root / layout.format(part=part, kind="images", name="a.jpg"))
            mask(root / layout.format(part=part, kind="masks", name="a.png"), halves())
        data = read_dataset(root)
        assert data.parts == {"train": 1, "validation": 1, "test": 1}
        assert data.split == {"by": "source"}
        assert data.table["pixels"].null_count == 0


@pytest.mark.parametrize("folder", [".", "ImageSets/Segmentation"])
def test_parts_from_lists(street, folder):
    (street / folder).mkdir(parents=True, exist_ok=True)
    (street / folder / "train.txt").write_text("1\nimages/2.jpg masks/2.png\n\n", "utf-8")
    (street / folder / "val.txt").write_text("10.jpg\nnowhere\n", "utf-8")
    data = read_dataset(street)
    assert data.table["part"].to_pylist() == ["train", "train", "validation"]
    assert faults(data) == ["val.txt: no picture is called 'nowhere'"]


def test_a_picture_in_two_lists_is_refused(street):
    (street / "train.txt").write_text("1\n2\n", "utf-8")
    (street / "val.txt").write_text("1\n2\n", "utf-8")
    with pytest.raises(DatasetError, match=r"1: it is in train.txt and in val.txt") as told:
        read_dataset(street)
    assert "2: it is in train.txt" in str(told.value), "all at once"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("classes.txt", "\ufeffsky\nroad \n\n", ["sky", "road"]),
        ("labels.txt", "sky\nroad", ["sky", "road"]),
        ("classes.csv", "id,name\n2,c\n0,a\n255,void\n", ["a", "class 1", "c"]),
        ("class_dict.csv", "name, r, g, b\nsky,1,2,3\nroad,4,5,6\n", ["sky", "road"]),
        ("boxes.json", json.dumps({"x": 1, "labels": ["null", "hat"]}), ["null", "hat"]),
    ],
)
def test_names_of_classes(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text, "utf-8")
    names, source = read_class_names([tmp_path])
    assert (list(names), source) == (expected, name)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("classes.txt", "a\n\nb\n", "classes.txt: a class name is empty"),
        ("classes.txt", "a\na\n", "occur twice: a"),
        ("classes.txt", "\n".join(map(str, range(256))), "names 256 classes"),
        ("classes.csv", "colour\nred\n", "no column with names"),
        ("classes.csv", "id,name\nx,a\n", "'id' of classes.csv is to number the classes"),
        ("classes.csv", "id,name\n1,a\n1,b\n", "an id twice"),
    ],
)
def test_broken_names_are_told(tmp_path, name, text, words):
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(DatasetError) as told:
        read_class_names([tmp_path])
    assert words in str(told.value)


def test_json_without_names_is_passed_over(tmp_path):
    (tmp_path / "a.json").write_text('{"labels": [1, 2]}')
    (tmp_path / "b.json").write_text("[")
    assert read_class_names([tmp_path]) is None


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_values_are_those_stored_whatever_the_bits(tmp_path, bits):
    """Grey PNG of 2 and 4 bits, which Pillow reads stretched; made by hand, as it does not write them."""
    import struct
    import zlib

    values = np.arange(8).reshape(1, 8).astype(np.uint8) & (2**bits - 1)
    packed = np.packbits(np.unpackbits(values[..., None], axis=2)[..., 8 - bits :].reshape(1, -1)).tobytes()

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0))
    data += chunk(b"IDAT", zlib.compress(b"\0" + packed)) + chunk(b"IEND", b"")
    (tmp_path / "m.png").write_bytes(data)
    assert read_pixels(tmp_path / "m.png").tolist() == values.tolist()


def test_palettes_sixteen_bits_and_grey_in_colour(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask(tmp_path / "p.png", values)
    assert np.array_equal(read_pixels(tmp_path / "p.png"), values)
    assert (tmp_path / "p.png").read_bytes()[25] == 3, "PNG's number for a palette"
    Image.fromarray(np.dstack([values] * 3)).save(tmp_path / "g.png")
    assert np.array_equal(read_pixels(tmp_path / "g.png"), values)
    deep = (values.astype(np.uint16) * 200)[:, ::-1]
    (tmp_path / "d.png").write_bytes(encode_things(deep))
    found, all_count = read_things(tmp_path / "d.png")
    assert np.array_equal(found, deep)
    assert all_count, "255 is a thing among 65,535"
    assert not read_things(tmp_path / "p.png")[1]
    with pytest.raises(ImageError, match="holds no classes"):
        read_pixels(tmp_path / "d.png")


def test_the_colour_map_is_pascals():
    assert voc_colours()[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_what_is_no_mask_is_told(tmp_path):
    colours = voc_colours()[np.array([[0, 1], [15, 255]])]
    Image.fromarray(colours).save(tmp_path / "voc.png")
    with pytest.raises(ImageError, match="4 colours, all of them in Pascal VOC's colour map"):
        read_pixels(tmp_path / "voc.png")
    Image.fromarray(colours).convert("RGBA").save(tmp_path / "alpha.png")
    with pytest.raises(ImageError, match="alpha channel"):
        read_pixels(tmp_path / "alpha.png")
    Image.fromarray(colours).save(tmp_path / "photo.jpg")
    with pytest.raises(ImageError, match="no PNG"):
        read_pixels(tmp_path / "photo.jpg")
    noise = encode_pixels(np.random.default_rng(0).integers(0, 9, (64, 64)).astype(np.uint8))
    (tmp_path / "cut.png").write_bytes(noise[: len(noise) // 2])
    with pytest.raises(ImageError, match="damaged"):
        read_pixels(tmp_path / "cut.png")


def test_classes_used_leaves_out_what_is_unknown():
    assert classes_used(np.array([[3, 255, 3], [0, 0, 7]], np.uint8)) == [0, 3, 7]


def test_a_mask_of_another_size_is_kept_out(street):
    mask(street / "masks" / "2.png", halves(size_hw=(6, 8)))
    data = read_dataset(street)
    assert data.table["pixels"].to_pylist() == ["masks/1.png", None, "masks/10.png"]
    assert faults(data) == ["masks/2.png: a mask of 8 x 6 px for a picture of 16 x 12 px (2.jpg)"]


def test_a_mask_of_the_pixels_as_stored_is_told_as_such(street):
    photo(street / "images" / "2.jpg", size_hw=(16, 12), orientation=6)
    mask(street / "masks" / "2.png", halves(size_hw=(16, 12)))
    data = read_dataset(street)
    assert data[1].size_hw == (12, 16)
    assert "it fits the pixels as stored, and the picture's EXIF data turns them" in faults(data)[0]
    assert "turn the mask" in faults_of(data)[0][0].fix


def test_values_beyond_the_names_are_kept_out(street):
    mask(street / "masks" / "2.png", halves(3, 9))
    data = read_dataset(street)
    assert data[1].pixels is None
    assert faults(data) == ["masks/2.png: the value 3, 9; classes.txt names 3 classes, 0 to 2"]


def test_masks_in_colours_are_kept_out_and_no_masks_left_is_refused(street):
    for name in ("1", "10"):
        Image.fromarray(np.dstack([halves(0, 128), halves(), halves()])).save(
            street / "masks" / f"{name}.png"
        )
    with pytest.raises(DatasetError) as told:
        read_dataset(street)
    assert "none of them can be used" in str(told.value)
    assert "masks/1.png: 1.png is a picture in colours, not in numbers (2 colours)" in str(told.value)
    assert "palette or grey PNG" in str(told.value)


def test_masks_of_0_and_255_are_refused(street):
    (street / "classes.txt").unlink()
    for name in ("1", "10"):
        mask(street / "masks" / f"{name}.png", halves(0, 255))
    with pytest.raises(DatasetError, match="0 and 255 alone") as told:
        read_dataset(street)
    assert "write 1 in place of 255" in told.value.fix


def test_names_that_are_no_text_are_refused(street):
    bad = street / "images" / b"x\xff.jpg".decode("utf-8", "surrogateescape")
    photo(street / "images" / "x.jpg").rename(bad)
    with pytest.raises(DatasetError, match=r"images/x\\xff.jpg: the name is not UTF-8"):
        read_dataset(street)


def test_masks_without_a_picture_and_pictures_of_one_name(street):
    mask(street / "masks" / "7.png", halves())
    photo(street / "images" / "1.png")
    data = read_dataset(street)
    assert len(data) == 2
    assert sorted(faults(data)) == [
        "7.png: no picture has this name",
        "images: 1.jpg and 1.png have one name, so a mask could be either's; they are left out",
    ]


def test_a_broken_picture_keeps_its_mask(street):
    (street / "images" / "1.jpg").write_bytes(b"no picture")
    data = read_dataset(street)
    assert data[0].pixels is not None
    assert data[0].size_hw == SIZE, "as its mask says"


def test_no_masks_and_options_for_tables_are_told(tmp_path, street):
    photo(tmp_path / "other" / "images" / "a.jpg")
    with pytest.raises(DatasetError, match="no pictures with masks beside them"):
        read_dataset(tmp_path / "other", ReadConfig(format="mask-png"))
    with pytest.raises(ConfigError, match="has no columns"):
        read_dataset(street, ReadConfig(label_column="x"))
    with pytest.raises(ConfigError, match="--root is for tables"):
        read_dataset(street, ReadConfig(root="."))


def test_lists_of_boxes_beside_pictures_are_not_masks(tmp_path):
    photo(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 1 1")
    assert not load_format("mask-png").detect(tmp_path)
    mask(tmp_path / "labels" / "other.png", halves())
    assert not load_format("mask-png").detect(tmp_path)


def test_classes_of_things_must_be_classes_of_values(street):
    (street / "things.txt").write_text("road\nrode\n", "utf-8")
    with pytest.raises(DatasetError, match=r"things\.txt names classes that no value has") as told:
        read_dataset(street)
    assert "rode; the values are background, road" in str(told.value)
    (street / "classes.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"classes\.txt is empty"):
        read_dataset(street)


@pytest.fixture
def crowd_of_two(street):
    """Two things on the first picture: one of each class; the border between them belongs to nobody."""
    values = halves(1, 2)
    values[:, 7] = 255
    mask(street / "masks" / "1.png", values)
    things = np.zeros(SIZE, np.uint8)
    things[2:9, 1:7], things[3:5, 10:15], things[0, 0] = 7, 3, 255
    mask(street / "SegmentationObject" / "1.png", things)
    return street


def test_things_take_their_class_from_most_of_their_pixels(crowd_of_two):
    data = read_dataset(crowd_of_two)
    assert list(data.object_classes) == ["road", "größe 空"]
    objects = data[0].objects
    assert objects.boxes_xyxy.tolist() == [[10, 3, 15, 5], [1, 2, 7, 9]], "in the order of their values"
    assert [data.object_classes[int(label)] for label in objects.labels] == ["größe 空", "road"]
    assert [m.area for m in objects.masks] == [10, 42]
    assert (data[1].objects, data[2].objects) == (None, None)


@pytest.mark.parametrize("right", [0, 255])
def test_a_picture_that_loses_some_of_its_things_is_noted(crowd_of_two, right):
    mask(crowd_of_two / "masks" / "1.png", halves(1, right))
    data = read_dataset(crowd_of_two)
    assert len(data[0].objects) == 1
    assert notes_of(data)["partly_read"] == ["images/1.jpg"]


def test_things_without_a_class_are_kept_out(crowd_of_two):
    mask(crowd_of_two / "SegmentationObject" / "2.png", halves())
    mask(crowd_of_two / "masks" / "1.png", halves(0, 255))
    data = read_dataset(crowd_of_two)
    assert data[0].objects is None, "two things that cannot be told are not nothing"
    told = sorted(faults(data))
    assert told[0].startswith("SegmentationObject/1.png: thing 3 has no class")
    assert told[1] == "SegmentationObject/1.png: thing 7 lies on background, which is no class of things"
    assert told[2] == "SegmentationObject/2.png: the classes of its things are not told"


def whole(folder, **columns):
    table = {"path": [f"{i}.png" for i in range(len(next(iter(columns.values()))))]}
    for i, name in enumerate(table["path"]):
        picture = np.random.default_rng(i).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    n = len(table["path"])
    return pa.table(
        {
            **table,
            "label": pa.nulls(n, pa.string()),
            **columns,
            "height_px": pa.array([SIZE[0]] * n, pa.int32()),
            "width_px": pa.array([SIZE[1]] * n, pa.int32()),
        }
    )


def thing(label, values):
    found = encode(values)
    return {"label": label, "box": found.box_xyxy.tolist(), "mask": found.counts, "crowd": False}


def test_pixels_are_written_and_read_back(tmp_path):
    values = np.random.default_rng(0).integers(0, 4, (3, *SIZE)).astype(np.uint8)
    values[1, :4] = 255
    for i in range(3):
        mask(tmp_path / "from" / "m" / f"{i}.png", values[i], palette=i > 0)
    pixels = ["m/0.png", "m/1.png", None]
    table = whole(tmp_path / "from", pixels=pixels, part=["train", "test", None])
    table = table.slice(0, 2)
    names = ClassNames(["background", "a, b", "größer", "三角"])
    before = Dataset(table, ClassNames([]), tmp_path / "from", split={"by": "source"}, pixel_classes=names)
    write_dataset(before, tmp_path / "to", "mask-png")
    after = read_dataset(tmp_path / "to")
    assert after.pixel_classes == names
    assert after.parts == {"train": 1, "test": 1}
    assert [np.array_equal(read_pixels(s.pixels), v) for s, v in zip(after, values[[1, 0]], strict=True)] == [
        True,
        True,
    ], "test, then train"
    assert sorted(p.name for p in (tmp_path / "to").iterdir()) == ["classes.txt", "images", "masks"]
    assert after[0].pixels.read_bytes()[25] == 3, "PNG's number for a palette"


def test_things_alone_get_a_mask_of_classes(tmp_path):
    values = halves() * 1
    cells = pa.array([[thing("b", values)], [], None], objects_type())
    before = Dataset(
        whole(tmp_path / "from", objects=cells),
        ClassNames([]),
        tmp_path / "from",
        object_classes=ClassNames(["a", "b"]),
    )
    write_dataset(before, tmp_path / "to", "mask-png")
    after = read_dataset(tmp_path / "to")
    assert after.table["objects"].to_pylist() == cells.to_pylist()
    assert after.object_classes == before.object_classes
    assert list(after.pixel_classes) == ["background", "a", "b"]
    assert np.array_equal(read_pixels(after[0].pixels), values * 2)
    assert after[2].pixels is None


def test_between_things_of_other_pictures_nothing_is_claimed(tmp_path):
    mask(tmp_path / "from" / "m.png", halves(0, 1))
    cells = pa.array([[thing("road", halves())], None], objects_type())
    before = Dataset(
        whole(tmp_path / "from", objects=cells, pixels=[None, "m.png"]),
        ClassNames([]),
        tmp_path / "from",
        object_classes=ClassNames(["road"]),
        pixel_classes=ClassNames(["background", "road"]),
    )
    write_dataset(before, tmp_path / "to", "mask-png")
    assert np.array_equal(read_pixels(read_dataset(tmp_path / "to")[0].pixels), halves(255, 1))


def test_what_masks_cannot_hold_is_told_all_at_once(tmp_path):
    left, all_of_it = halves(1, 0), np.ones(SIZE, np.uint8)
    bare = {**thing("a", left), "mask": None}
    crowd = {**thing("a", left), "crowd": True}
    cells = pa.array([[thing("a", left), thing("b", all_of_it)], [bare], [crowd]], objects_type())
    data = Dataset(
        whole(tmp_path / "from", objects=cells),
        ClassNames([]),
        tmp_path / "from",
        object_classes=ClassNames(["a", "b"]),
    )
    with pytest.raises(DatasetError) as told:
        write_dataset(data, tmp_path / "to", "mask-png")
    for words in ("0.png: thing 2 overlaps", "1.png: 1 of 1 things have no mask", "2.png: 1 regions of many"):
        assert words in str(told.value)
    assert not (tmp_path / "to").exists()


def test_a_thing_that_contradicts_its_pixels_is_told(tmp_path):
    mask(tmp_path / "from" / "m.png", halves(0, 1))
    cells = pa.array([[thing("b", halves())]], objects_type())
    data = Dataset(
        whole(tmp_path / "from", objects=cells, pixels=["m.png"]),
        ClassNames([]),
        tmp_path / "from",
        object_classes=ClassNames(["b"]),
        pixel_classes=ClassNames(["background", "a", "b"]),
    )
    with pytest.raises(DatasetError, match="thing 1 is b, and most of its pixels are a"):
        write_dataset(data, tmp_path / "to", "mask-png")


def test_tags_have_no_place(tmp_path):
    mask(tmp_path / "from" / "m.png", halves())
    data = Dataset(
        whole(tmp_path / "from", pixels=["m.png"], labels=pa.array([["x"]])),
        ClassNames(["x"]),
        tmp_path / "from",
        pixel_classes=ClassNames(["a", "b"]),
    )
    with pytest.raises(DatasetError, match="1 pictures have tags"):
        write_dataset(data, tmp_path / "to", "mask-png")


def test_masks_saved_by_pillow_with_exif_are_not_turned(tmp_path):
    """A mask is drawn on the upright picture: an orientation in the mask itself means nothing."""
    exif = Image.Exif()
    exif[0x0112] = 6
    target = BytesIO()
    Image.fromarray(halves()).save(target, "PNG", exif=exif)
    (tmp_path / "m.png").write_bytes(target.getvalue())
    assert np.array_equal(read_pixels(tmp_path / "m.png"), halves())


@pytest.mark.shared
def test_street_photos_with_masks_and_without(shared_data):
    data = read_dataset(shared_data / "ccp")
    assert len(data) == 1204
    assert data.table["pixels"].null_count == 400
    assert len(data.pixel_classes) == 59
    assert (data.pixel_classes[0], data.pixel_classes[-1]) == ("null", "wedges")
    assert faults_of(data) == ([], 0)


def test_a_link_that_leads_back_up_is_passed_over(street):
    (street / "images" / "deep").mkdir()
    (street / "images" / "deep" / "up").symlink_to("..", target_is_directory=True)
    (street / "masks" / "up").symlink_to("..", target_is_directory=True)
    assert "images/10.jpg" in read_dataset(street).table["path"].to_pylist()


def test_check_looks_at_masks(street):
    data = read_dataset(street)
    assert not [p for p in check_dataset(data, decode=True) if "mask" in p.code]
    mask(street / "masks" / "1.png", halves(0, 7))
    mask(street / "masks" / "10.png", halves(size_hw=(5, 4)))
    assert not [p for p in check_dataset(data) if "mask" in p.code], "values and sizes are in the pixels"
    told = {p.code: p for p in check_dataset(data, decode=True)}
    assert told["mask-value"].where == ("masks/1.png (7; there are 3 classes)",)
    assert told["mask-size"].where == ("masks/10.png (4 x 5, and images/10.jpg is 16 x 12)",)
    (street / "masks" / "1.png").unlink()
    (street / "masks" / "10.png").write_bytes(b"no picture")
    assert [p.where for p in check_dataset(data) if p.code == "missing-mask"] == [("masks/1.png",)]
    told = {p.code: p for p in check_dataset(data, decode=True)}
    assert told["unreadable-mask"].level == told["missing-mask"].level == "error"
