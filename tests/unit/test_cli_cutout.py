"""``assay cutout``: from masks and from a network's answers, on nothing and on white, and where it stops."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import assay
from assay.card import Card
from assay.configs import PreprocessConfig
from assay.data.cutout_files import write_cutouts
from assay.data.cutout_photos import photos_of, photos_of_predictions
from assay.detections import Detections
from assay.errors import ConfigError, DatasetError
from assay.labels import ClassNames
from assay.masks import encode
from assay.objects import objects_type
from assay.pixel_masks import encode_pixels
from assay.types import Dataset, Prediction
from assay.verb_configs import CutoutConfig

SIZE = (40, 60)
RED = (220, 30, 30)


def block(x1, y1, x2, y2):
    values = np.zeros(SIZE, bool)
    values[y1:y2, x1:x2] = True
    return values


def thing(label, box, *, mask=True, crowd=False):
    counts = encode(block(*box)).counts if mask else None
    return {"label": label, "box": [float(v) for v in box], "mask": counts, "crowd": crowd}


@pytest.fixture
def shop(tmp_path):
    """A Parquet table: a red cup and a dog with masks, a box alone, a crowd, a thing of 6 px; an empty picture."""
    folder = tmp_path / "shop"
    (folder / "street").mkdir(parents=True)
    pixels = np.full((*SIZE, 3), (20, 180, 60), np.uint8)
    pixels[block(5, 5, 30, 30)] = RED
    for name in ("street/1.jpg", "2.png"):
        Image.fromarray(pixels).save(folder / name, quality=100, subsampling=0)
    cell = [
        thing("cup", (5, 5, 30, 30)),
        thing("dog", (35, 5, 55, 35)),
        thing("cup", (1, 1, 9, 9), mask=False),
        thing("dog", (0, 30, 60, 40), crowd=True),
        thing("dog", (50, 1, 56, 7)),
    ]
    table = pa.table(
        {
            "path": ["street/1.jpg", "2.png"],
            "label": pa.nulls(2, pa.string()),
            "objects": pa.array([cell, []], objects_type()),
            "height_px": pa.array([SIZE[0]] * 2, pa.int32()),
            "width_px": pa.array([SIZE[1]] * 2, pa.int32()),
        }
    )
    data = Dataset(table, ClassNames([]), folder, object_classes=ClassNames(["cup", "dog"]))
    assay.write_dataset(data, folder / "shop.parquet")
    return folder / "shop.parquet"


def files_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_things_on_nothing(cli, shop, tmp_path):
    told = cli("cutout", shop, "--out", tmp_path / "out")
    assert told.code == 0, told.err
    assert files_in(tmp_path / "out") == ["cutouts.csv", "cutouts.jsonl", "street/1-1.png", "street/1-2.png"]
    cut = np.asarray(Image.open(tmp_path / "out/street/1-1.png"))
    assert cut.shape[2] == 4
    assert (cut[0, 0] == 0).all()
    assert np.abs(cut[cut.shape[0] // 2, cut.shape[1] // 2].astype(int) - (*RED, 255)).max() < 6
    rows = list(csv.DictReader((tmp_path / "out/cutouts.csv").read_text().splitlines()))
    assert [(r["path"], r["label"], r["source"], r["x1"], r["y2"]) for r in rows] == [
        ("street/1-1.png", "cup", "street/1.jpg", "5", "30"),
        ("street/1-2.png", "dog", "street/1.jpg", "35", "35"),
    ]
    assert "2 cut-outs from 2 pictures" in told.out
    for words in (
        "1 things have a box alone",
        "1 regions of many things",
        "1 things are smaller than --min-size",
    ):
        assert words in told.err


@pytest.mark.parametrize(("background", "corner"), [("white", (255, 255, 255)), ("blur", (20, 180, 60))])
def test_other_backgrounds_are_jpeg(cli, shop, tmp_path, background, corner):
    told = cli(
        "cutout", shop, f"out={tmp_path / 'out'}", f"background={background}", "--whole", "--classes", "cup"
    )
    assert told.code == 0, told.err
    assert files_in(tmp_path / "out")[-1] == "street/1-1.jpg"
    cut = np.asarray(Image.open(tmp_path / "out/street/1-1.jpg")).astype(int)
    assert cut.shape == (*SIZE, 3), "--whole keeps the size of the picture"
    assert np.abs(cut[38, 58] - corner).max() < 12


def test_the_same_command_goes_on_and_another_one_does_not(cli, shop, tmp_path):
    out = tmp_path / "out"
    cli("cutout", shop, "--out", out)
    before = {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    (out / "street/1-2.png").unlink()
    with (out / "cutouts.jsonl").open("a") as file:
        file.write('{"source": "2.p')  # broken off here
    told = json.loads(cli("cutout", shop, "--out", out, "--json").out)
    assert (told["n"], told["resumed"]) == (2, 1), "the picture whose file is gone is done again"
    assert set(files_in(out)) == set(before)
    told = json.loads(cli("cutout", shop, "--out", out, "--json").out)
    assert told["resumed"] == 2
    assert (out / "cutouts.csv").read_text().count("\n") == 3
    other = cli("cutout", shop, "--out", out, "--soft", "3")
    assert other.code == 2
    assert "holds cut-outs of another request" in other.err
    assert "soft was 1.5, is 3.0" in other.err


def test_pictures_that_cannot_be_read_are_told_and_the_rest_is_done(cli, shop, tmp_path):
    data = assay.read_dataset(shop)
    both = [data.table["objects"][0].as_py()] * 2
    table = data.table.set_column(
        data.table.column_names.index("objects"), "objects", pa.array(both, objects_type())
    )
    assay.write_dataset(Dataset(table, data.classes, data.root, object_classes=data.object_classes), shop)
    (shop.parent / "2.png").write_bytes(b"no picture")
    told = cli("cutout", shop, "--out", tmp_path / "out")
    assert told.code == 1
    assert "2.png" in told.err
    assert "street/1-1.png" in files_in(tmp_path / "out")
    Image.new("RGB", SIZE[::-1]).save(shop.parent / "2.png")
    again = json.loads(cli("cutout", shop, "--out", tmp_path / "out", "--json").out)
    assert (again["resumed"], again["n"], again["faults"]) == (1, 4, [])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--classes", "cupp"], 2, "did you mean cup"),
        (["--background", "pink"], 2, "pink"),
        (["--whole", "--margin", "0.2"], 2, "contradict each other"),
        (["--score", "0.4"], 2, "leave it out"),
        (["--soft", "-1"], 2, "soft"),
    ],
)
def test_words_for_wrong_requests(cli, shop, tmp_path, words, code, told):
    outcome = cli("cutout", shop, "--out", tmp_path / "out", *words)
    assert outcome.code == code
    assert told in outcome.err
    assert not (tmp_path / "out").exists()


def test_where_it_may_not_write(cli, shop, tmp_path):
    (tmp_path / "file").write_text("")
    assert "is a file" in cli("cutout", shop, "--out", tmp_path / "file").err
    assert "is not empty" in cli("cutout", shop, "--out", shop.parent).err
    assert cli("cutout", shop).code == 2


def test_no_masks_at_all(cli, shop, tmp_path, photos):
    data = assay.read_dataset(shop)
    bare = [[thing("cup", (1, 1, 9, 9), mask=False)], []]
    table = data.table.set_column(
        data.table.column_names.index("objects"), "objects", pa.array(bare, objects_type())
    )
    assay.write_dataset(Dataset(table, data.classes, data.root, object_classes=data.object_classes), shop)
    told = cli("cutout", shop, "--out", tmp_path / "out")
    assert told.code == 1
    assert "has no masks, so nobody knows where its things end" in told.err
    assert "got: 1 boxes" in told.err
    assert "assay crops" in told.err
    assert "has no masks" in cli("cutout", photos, "--out", tmp_path / "out").err
    assert not (tmp_path / "out").exists()


def test_classes_of_pixels_are_things_where_there_are_no_masks(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / "street" / name).mkdir(parents=True)
    Image.new("RGB", SIZE[::-1], RED).save(tmp_path / "street/images/1.png")
    pixels = (block(0, 0, 30, 30) * 1 + block(30, 0, 60, 30) * 2).astype(np.uint8)
    (tmp_path / "street/masks/1.png").write_bytes(encode_pixels(pixels))
    (tmp_path / "street/classes.txt").write_text("background\nshoe\nhat\n")
    total, photos = photos_of(assay.read_dataset(tmp_path / "street"), ())
    made = write_cutouts(photos, tmp_path / "out", total=total)
    assert made.counts == {"hat": 1, "shoe": 1}, "the background is no thing"
    assert "images/1-2.png" in files_in(tmp_path / "out")
    with pytest.raises(ConfigError, match="no class is called 'sock'"):
        photos_of(assay.read_dataset(tmp_path / "street"), ("sock",))


class Finder:
    """A network that finds one cup with a mask and one without in every photo that can be read."""

    digest = "abc"

    def __init__(self, **heads):
        names = {"object_classes": ClassNames(["cup", "dog"]), "pixel_classes": ClassNames([])}
        model = {"heads": heads.get("heads", ["boxes", "masks"]), "channels": 3}
        self.card = Card(ClassNames([]), PreprocessConfig(), model, task="scene", name="finder", **names)
        self.asked = {}

    def predict(self, sources, **options):
        self.asked = options
        for path in sources:
            if str(path).endswith("broken.png"):
                yield Prediction(str(path), ClassNames([]), np.zeros(0, np.float32), error="it is broken")
                continue
            found = Detections(
                np.array([[5, 5, 30, 30], [35, 5, 55, 35]], float),
                np.array([0, 1]),
                np.array([0.9, 0.4], np.float32),
                (encode(block(5, 5, 30, 30)), None),
            )
            yield Prediction(
                str(path),
                ClassNames([]),
                np.zeros(0, np.float32),
                SIZE,
                boxes=found,
                object_classes=self.card.object_classes,
            )


@pytest.fixture
def album(tmp_path, monkeypatch):
    """A folder of photos, one of them broken, and ``assay.load`` that gives a Finder."""
    (tmp_path / "album" / "day").mkdir(parents=True)
    Image.new("RGB", SIZE[::-1], RED).save(tmp_path / "album/1.png")
    Image.new("RGB", SIZE[::-1], RED).save(tmp_path / "album/day/1.png")
    (tmp_path / "x.bundle").write_bytes(b"")
    finder = Finder()
    monkeypatch.setattr("assay.runtime.load.load", lambda _place, **_: finder)
    return tmp_path / "album", finder


def test_what_a_network_finds(cli, album, tmp_path):
    folder, finder = album
    told = cli("cutout", tmp_path / "x.bundle", folder, "--out", tmp_path / "out", "--score", "0.3")
    assert told.code == 0, told.err
    assert finder.asked == {"pixels": False, "least_score": 0.3}
    assert [n for n in files_in(tmp_path / "out") if n.endswith(".png")] == ["1-1.png", "day/1-1.png"]
    rows = list(csv.DictReader((tmp_path / "out/cutouts.csv").read_text().splitlines()))
    assert [(r["source"], r["label"], r["score"]) for r in rows] == [
        ("1.png", "cup", "0.9"),
        ("day/1.png", "cup", "0.9"),
    ]
    assert "2 things have a box alone" in told.err
    (folder / "broken.png").write_bytes(b"")
    told = cli("cutout", tmp_path / "x.bundle", folder, "--out", tmp_path / "more")
    assert told.code == 1
    assert "broken.png: it is broken" in told.err


def test_what_a_network_cannot_do(cli, album, tmp_path, tiny_bundle):
    folder, finder = album
    out = ("--out", tmp_path / "out")
    assert "did you mean cup" in cli("cutout", tmp_path / "x.bundle", folder, *out, "--classes", "cupp").err
    finder.card = Finder(heads=["boxes"]).card
    told = cli("cutout", tmp_path / "x.bundle", folder, *out)
    assert told.code == 2
    assert "tells no outlines" in told.err
    assert "--heads boxes,masks" in told.err
    assert "needs photos to look at" in cli("cutout", tmp_path / "x.bundle", *out).err
    assert "does not exist" in cli("cutout", tmp_path / "gone.bundle", folder, *out).err
    assert (
        "where the photos come from"
        in cli("cutout", tmp_path / "x.bundle", folder, "--out", folder / "o").err
    )
    assert not (tmp_path / "out").exists()


def test_a_classifier_is_told_apart(cli, photos, tmp_path, tiny_bundle):
    told = cli("cutout", tiny_bundle, photos, "--out", tmp_path / "out")
    assert told.code == 2
    assert "tells no outlines" in told.err


def test_pixels_of_a_network(tmp_path):
    Image.new("RGB", SIZE[::-1], RED).save(tmp_path / "1.png")
    pixels = (block(0, 0, 30, 30) * 1).astype(np.uint8)
    names = ClassNames(["background", "shoe"])
    told = Prediction(
        str(tmp_path / "1.png"),
        ClassNames([]),
        np.zeros(0, np.float32),
        SIZE,
        pixels=pixels,
        pixel_classes=names,
    )
    made = write_cutouts(
        photos_of_predictions([told], [], (), things=False),
        tmp_path / "out",
        CutoutConfig(background="white"),
    )
    assert made.counts == {"shoe": 1}
    bare = Prediction(str(tmp_path / "1.png"), ClassNames(["a"]), np.ones(1, np.float32), SIZE)
    with pytest.raises(ConfigError, match="tells no outlines"):
        list(photos_of_predictions([bare], [], (), things=False))
    with pytest.raises(ConfigError, match="tells no outlines"):
        list(photos_of_predictions([bare], [], (), things=True))


def test_classes_of_pixels_are_cut_where_no_box_was_found(tmp_path):
    Image.new("RGB", SIZE[::-1], RED).save(tmp_path / "1.png")
    told = Prediction(
        str(tmp_path / "1.png"),
        ClassNames([]),
        np.zeros(0, np.float32),
        SIZE,
        boxes=Detections.none(),
        object_classes=ClassNames(["cup"]),
        pixels=(block(0, 0, 30, 30) * 1).astype(np.uint8),
        pixel_classes=ClassNames(["background", "wall"]),
    )
    made = write_cutouts(photos_of_predictions([told], [], ["wall"], things=False), tmp_path / "out")
    assert made.counts == {"wall": 1}


def test_photos_of_one_name_in_two_folders_are_two(cli, album, tmp_path):
    folder, _ = album
    words = ("cutout", tmp_path / "x.bundle", folder / "1.png", folder / "day", "--out", tmp_path / "out")
    assert cli(*words).code == 0
    files = files_in(tmp_path / "out")
    assert sum(name.endswith(".png") for name in files) == 2
    log = tmp_path / "out/cutouts.jsonl"
    log.write_text(
        "".join(line + "\n" for line in log.read_text().splitlines()[:2])
    )  # broken off after the first
    for name in files:
        if name.endswith(".png") and name != "1-1.png":
            (tmp_path / "out" / name).unlink()
    told = json.loads(cli(*words, "--json").out)
    assert (told["n"], told["resumed"]) == (2, 1)
    assert files_in(tmp_path / "out") == files


def test_a_data_set_without_masks_is_named(tmp_path):
    table = pa.table({"path": ["a.jpg"], "label": ["x"]})
    with pytest.raises(DatasetError, match="has no masks"):
        photos_of(Dataset(table, ClassNames(["x"]), tmp_path), ())
